"""How a run ended: its exit code, results.csv and the report, run.json, and the summary for who called."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batchmod import clock, files, results
from batchmod.app import outcomes, tables
from batchmod.app.loading import Loaded
from batchmod.app.log import Log
from batchmod.checkpoint import Checkpoint
from batchmod.model import EVENTS_VERSION
from batchmod.results import RowResult
from batchmod.runner import Runner

if TYPE_CHECKING:
    import pandas as pd

SIGNALLED: Final = {"sigint": 130, "sigterm": 143}


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """How a run ended."""

    folder: Path
    exit_code: int
    counts: Mapping[str, int]
    """Status → number of selected rows."""
    made: int
    copied: int
    spent_usd: float
    seconds: float
    delivered: int = 0
    """How many copies that are fit for use were made."""
    stop_reason: str | None = None
    message: str | None = None
    warnings: tuple[str, ...] = ()
    results: Path | None = None
    report: Path | None = None
    workbook: Path | None = None
    """results.xlsx, where the manifest is a workbook."""
    unscored: int = 0
    """How many of the outputs made have no scores yet: `batchmod report` makes them."""
    run_id: str = ""
    store: str | None = None
    """The store in which all of it is; None where something is not, or there is none."""
    skipped: bool = False
    """Whether nothing was begun because another run held the folder."""

    @property
    def ok(self) -> bool:
        """Whether every selected row succeeded."""
        return self.exit_code == 0

    @property
    def rows(self) -> Iterator[RowResult]:
        """Each row of results.csv, typed: as it stands in the file when it is read."""
        return results.rows(self._table)

    def to_frame(self) -> "pd.DataFrame":
        """results.csv as a pandas table, numbers as numbers; pandas is imported here."""
        return results.frame(self._table)

    @property
    def _table(self) -> Path:
        return self.results or self.folder / results.FILE_NAME


def ended(
    record: Checkpoint,
    loaded: Loaded,
    runner: Runner,
    log: Log,
    *,
    run_id: str,
    began: float,
    new_rows: bool,
    declined: bool,
) -> Summary:
    """Show and write down how a run ended."""
    counts = outcomes.counts(record, loaded)
    stop = "declined" if declined else runner.desk.stop_slug or _unfinished_slug(runner)
    waiting = counts.get("planned", 0) + record.wishes_of(run_id)
    code = exit_code({**counts, "planned": waiting}, stop=stop, warned=runner.desk.uncollected > 0)
    table, page, workbook = tables.places(loaded.folder)
    if new_rows or log.changes or record.not_shown() or not (table.exists() and page.exists()):
        table, page, workbook = tables.write(record, loaded.folder)
    aside = tables.written_aside(table, page, workbook)
    if not aside:
        record.shown()
    summary = Summary(
        folder=loaded.folder,
        run_id=run_id,
        exit_code=code,
        counts=counts,
        made=log.tally.made,
        copied=log.tally.copied,
        spent_usd=log.tally.spent_usd,
        delivered=log.tally.delivered,
        seconds=clock.now() - began,
        stop_reason=stop,
        message=runner.desk.stop_message,
        warnings=(*runner.desk.warnings, *aside),
        results=table,
        report=page,
        workbook=workbook,
    )
    if not declined:
        log.tell("run_ended", run_id=run_id, **end_facts(summary))
        record.end_run(run_id, at=clock.now(), exit_code=code, stop_reason=stop)
    write_run_json(summary, began=began)
    return summary


def end_facts(summary: Summary) -> dict[str, Any]:
    """How a run ended, as its last event and run.json say it."""
    return {
        "exit_code": summary.exit_code,
        "stop_reason": summary.stop_reason,
        "message": summary.message,
        "counts": dict(summary.counts),
        "made": summary.made,
        "copied": summary.copied,
        "delivered": summary.delivered,
        "spent_usd": round(summary.spent_usd, 6),
        "seconds": round(summary.seconds, 3),
        "warnings": list(summary.warnings),
    }


def _unfinished_slug(runner: Runner) -> str | None:
    """Why a run that stopped by itself has not ended: outputs wait to be fetched or put up, or were left on purpose."""
    if runner.desk.unfetched:
        return "download_failed"
    if runner.desk.left:
        return "not_waited_for"
    return "not_stored" if runner.desk.not_up else None


def exit_code(counts: Mapping[str, int], *, stop: str | None, warned: bool = False) -> int:
    """0 all succeeded (held rows are not selected); 3 something has not ended; 1 something failed; signals first."""
    if stop in SIGNALLED:
        return SIGNALLED[stop]
    if stop is not None or any(counts.get(name) for name in ("planned", "submitting", "submitted")):
        return 3
    if warned or any(counts.get(name) for name in ("failed", "invalid", "uncertain")):
        return 1
    return 0


def write_run_json(summary: Summary, *, began: float) -> None:
    """Write run.json: how the last run ended."""
    about = {
        "schema_version": EVENTS_VERSION,
        "run_id": summary.run_id,
        "started_at": clock.iso(began),
        **end_facts(summary),
    }
    text = json.dumps(about, indent=2, ensure_ascii=False).encode()
    files.write_whole(summary.folder / "run.json", lambda file: file.write(text))


def not_begun(
    loaded: Loaded,
    exit_code: int,
    *,
    run_id: str,
    message: str | None = None,
    stop_reason: str | None = None,
    skipped: bool = False,
) -> Summary:
    """The summary of a run that was not begun."""
    return Summary(
        folder=loaded.folder, run_id=run_id, exit_code=exit_code, counts={}, made=0, copied=0, spent_usd=0.0,
        seconds=0.0, message=message, stop_reason=stop_reason, skipped=skipped,
    )  # fmt: skip
