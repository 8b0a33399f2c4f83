"""report.html from the record: the rows as results.csv has them, and behind them what the record knows besides."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from batchmod import clock, report, results
from batchmod.app import bookkeeping
from batchmod.checkpoint import Checkpoint
from batchmod.model import Delivery, Scored, Status, Work

_AT_A_TIME: Final = 1_000
_TWO: Final = 2


def write(
    record: Checkpoint,
    folder: Path,
    noted: report.Gathering,
    *,
    sources: Mapping[str, str],
    first_frames: Mapping[str, str],
    orphans: Sequence[str],
) -> Path:
    """Write the page of what was noted; where it stands. `sources`, `first_frames`: as `report.write` takes them."""
    return report.write(
        folder,
        noted,
        title=record.fact("manifest_name") or folder.name,
        sources=sources,
        first_frames=first_frames,
        orphans=orphans,
        background=replace(background(record, noted), up=bookkeeping.names(folder)),
    )


def background(record: Checkpoint, noted: report.Gathering) -> report.Background:
    """What the record knows besides its lines, as far as the page shows it."""
    made = record.generations()
    return report.Background(
        older=_older(record, noted.kept),
        since=_since(record),
        generations=made.succeeded,
        spent_usd=made.cost_usd,
        is_estimated=made.estimated_usd > 0,
        folder_id=record.fact("folder_id") or "",
    )


def _since(record: Checkpoint) -> report.Since | None:
    runs = record.last_runs(_TWO)
    if not runs:
        return None
    made = record.generations(since=runs[0].started_at)
    return report.Since(
        began=runs[0].started_at,
        began_at=clock.iso(runs[0].started_at),
        is_first=len(runs) < _TWO,
        succeeded=made.succeeded,
        failed=made.failed,
        cost_usd=made.cost_usd,
        is_estimated=made.estimated_usd > 0,
    )


def _older(record: Checkpoint, kept: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Id → its earlier versions, the newest first; only rows that have had more than one are asked for."""
    shown = {str(line["id"]): line.get("version") for line in kept}
    found: dict[str, list[dict[str, Any]]] = {}
    several = (row_id for row_id, version in shown.items() if version != 1)
    while some := tuple(islice(several, _AT_A_TIME)):
        by_folded = {row_id.casefold(): row_id for row_id in some}
        delivered = list(record.delivered_to(some))
        scored = record.scores_of(work.work_id for _, work in delivered)
        for delivery, work in delivered:
            row_id = by_folded[delivery.id.casefold()]
            if delivery.version != shown[row_id]:
                found.setdefault(row_id, []).insert(0, _line(delivery, work, scored.get(work.work_id)))
    return found


def _line(delivery: Delivery, work: Work, scored: Scored | None) -> dict[str, Any]:
    """A line of results.csv for a version that the row shows no more."""
    row = {"id": delivery.id, "mode": work.inputs.get("mode"), "prompt": work.inputs.get("prompt")}
    return results.record(
        row, number=0, status=Status.SUCCEEDED, work=work, delivery=delivery, manifest="", scored=scored
    )
