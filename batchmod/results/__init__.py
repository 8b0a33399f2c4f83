"""The record → results.csv: one line per manifest row, for machines and spreadsheets."""

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from batchmod import clock, files, judgement
from batchmod.model import Delivery, Scored, Status, Work
from batchmod.rows.returning import COPY

if TYPE_CHECKING:
    import pandas as pd

FILE_NAME: Final = "results.csv"
FURTHER: Final = ("keyframes", "source_id", "hold")
"""Fields of a row that have a column, behind the user's own, where a row sets them: they are needed to read it back."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "'")


@cache
def columns() -> tuple[str, ...]:
    """Our columns, in order; the schema is their only home."""
    return tuple(files.schema("results")["properties"])


def record(
    row: Mapping[str, Any],
    *,
    number: int,
    status: Status,
    work: Work | None,
    delivery: Delivery | None,
    manifest: str,
    spent_on: int | None = None,
    scored: Scored | None = None,
) -> dict[str, Any]:
    """One line: our columns, then the user's own under their names (`my_<name>` where it is one of ours).

    `spent_on`: the version that its `review: redo` was spent on. The line goes on to speak of that one: read back, it
    must not ask for another version.
    """
    line: dict[str, Any] = dict.fromkeys(columns())
    for name in (
        "id",
        "provider",
        "model",
        "mode",
        "prompt",
        "video_url",
        "first_frame_url",
        "variant",
        "review",
        "job_key",
    ):
        line[name] = row.get(name)
    line.update(status=status.value, manifest=manifest, row=number)
    if work is not None:
        line.update(_of_work(work))
        if scored is not None and work.status is Status.SUCCEEDED:
            line.update(_of_scores(work, scored))
    if status in (Status.HELD, Status.INVALID):
        line["error"] = row.get("why")
    if status is Status.INVALID:
        line["error_code"] = "bad_manifest"
    if delivery is not None:
        line["version"] = delivery.version
        line["review_of"] = delivery.version if delivery.delivered else None
        if status is Status.SUCCEEDED:
            line["output"] = delivery.path
    line["review_of"] = spent_on or row.get("review_of") or line["review_of"]
    own: Mapping[str, str] = row.get("own", {})
    headers = own_headers(own)
    line.update({name: row[name] for name in FURTHER if row.get(name)})
    line.update({headers[name]: value for name, value in own.items()})
    return line


def own_headers(own: Iterable[str]) -> dict[str, str]:
    """A user's column → its header: its name, or `my_<name>` where the name is one of ours."""
    ours = {*columns(), COPY}
    taken = {*ours, *own}
    headers = {}
    for name in own:
        header = name
        while header in ours or (header != name and header in taken):
            header = f"my_{header}"
        headers[name] = header
    return headers


def _of_work(work: Work) -> dict[str, Any]:
    found: dict[str, Any] = {
        "error_code": work.error_code,
        "error": work.error,
        "attempts": work.attempts,
        "request_id": work.request_id,
        "cost_usd": None if work.cost_usd is None else round(work.cost_usd, 6),
        "cost_source": work.cost_source,
        "submitted_at": None if work.submitted_at is None else clock.iso(work.submitted_at),
        "finished_at": None if work.finished_at is None else clock.iso(work.finished_at),
        "seconds": _seconds(work),
        "billed": None if work.billed is None else str(work.billed).lower(),
        "run_id": work.run_id,
        "warnings": "; ".join(work.warnings) or None,
        "flagged": str(work.flag_reason is not None).lower() if work.status is Status.SUCCEEDED else None,
        "flag_reason": work.flag_reason,
    }
    if work.facts is not None:
        facts = work.facts
        found.update(width=facts.width, height=facts.height, frames=facts.frames, bytes=facts.bytes, sha256=work.sha256)
        found.update(fps=None if facts.fps is None else str(facts.fps), has_audio=str(facts.has_audio).lower())
        found["duration_s"] = None if facts.duration_s is None else round(facts.duration_s, 3)
    return found


def _of_scores(work: Work, scored: Scored) -> dict[str, Any]:
    """The scores, and what they say against the output; doubts that stood when it arrived come first."""
    scores = scored.scores
    if scores is None:
        return {"warnings": "; ".join((*work.warnings, f"it has no scores: {scored.problem}"))}
    doubts = (work.flag_reason, scores.differs, judgement.needs_review(scores, work.inputs.get("mode")))
    said = (*work.warnings, *scores.notes, judgement.lost_sound(scores, work.facts))
    reason = "; ".join(filter(None, doubts)) or None
    return {
        "motion_score": scores.motion,
        "flicker_score": scores.flicker,
        "first_frame_score": scores.first_frame,
        "structure_score": scores.structure,
        "drift_score": scores.drift,
        "flagged": str(reason is not None).lower(),
        "flag_reason": reason,
        "warnings": "; ".join(filter(None, said)) or None,
    }


def _seconds(work: Work) -> float | None:
    if work.submitted_at is None or work.finished_at is None:
        return None
    return round(max(0.0, work.finished_at - work.submitted_at), 3)


def write(
    folder: Path,
    lines: Iterable[Mapping[str, Any]],
    own: Sequence[str],
    *,
    further: Collection[str] = (),
    copies: bool = False,
) -> Path:
    """Write results.csv whole: UTF-8 with BOM, formulas made harmless. Returns where it stands.

    `further`: those of FURTHER that have a column; `copies`: whether delivered copies have one.
    """
    names = _names(own, further, copies=copies)
    return files.write_whole(folder / FILE_NAME, lambda file: fill(file, lines, names))


def names_of(rows: Iterable[Mapping[str, Any]], *, further: Collection[str] = ()) -> list[str]:
    """The header that the fields of these rows come to; `further` columns stand at its end."""
    own: dict[str, None] = {}
    said: set[str] = set()
    for row in rows:
        own.update(dict.fromkeys(row["own"]))
        said.update(name for name in FURTHER if row.get(name))
    names = _names(list(own), said)
    return [*names, *(name for name in further if name not in names)]


def _names(own: Sequence[str], further: Collection[str], *, copies: bool = False) -> list[str]:
    names = [*columns(), *own_headers(own).values()]
    names += [name for name in FURTHER if name in further and name not in names]
    return [*names, COPY] if copies else names


def fill(file: IO[bytes], lines: Iterable[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Write lines as a CSV with this header."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="", write_through=True)
    writer = csv.DictWriter(text, names, restval="", extrasaction="ignore")
    writer.writerow({name: guarded(name) for name in names})
    for line in lines:
        writer.writerow({name: guarded(value) for name, value in line.items()})
    text.flush()
    text.detach()


def guarded(value: object) -> object:
    """A text that a spreadsheet would take for a formula, with `'` before it; undone by `unguarded`."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value


def unguarded(text: str) -> str:
    """The text as it was before `guarded`."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def read(path: Path) -> Iterator[dict[str, str]]:
    """The lines of a results.csv, as they were before the guard."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for line in csv.DictReader(file):
            yield {unguarded(name): unguarded(value or "") for name, value in line.items() if name is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class RowResult:
    """What became of a row: the columns of results.csv that programs ask for most, and all of them as text."""

    id: str
    status: Status
    output: Path | None
    """The video; absolute."""
    version: int | None
    provider: str | None
    request_id: str | None
    cost_usd: float | None
    error_code: str | None
    error: str | None
    flagged: bool
    cells: Mapping[str, str]
    """Every column, the user's own among them; empty where nothing is known."""


def rows(table: Path) -> Iterator[RowResult]:
    """The lines of a results.csv, typed; none where there is no such file."""
    if not table.exists():
        return
    for cells in read(table):
        yield RowResult(
            id=cells["id"],
            status=Status(cells["status"]),
            output=table.parent / cells["output"] if cells["output"] else None,
            version=int(cells["version"]) if cells["version"] else None,
            provider=cells["provider"] or None,
            request_id=cells["request_id"] or None,
            cost_usd=float(cells["cost_usd"]) if cells["cost_usd"] else None,
            error_code=cells["error_code"] or None,
            error=cells["error"] or None,
            flagged=cells["flagged"] == "true",
            cells=cells,
        )


def frame(place: Path) -> "pd.DataFrame":
    """The results as a table; texts everywhere but in the columns whose schema says number or integer.

    `place`: a results.csv, or the folder it is in; a table without lines where there is none.
    """
    import pandas as pd

    path = place / FILE_NAME if place.is_dir() else place
    lines = list(read(path)) if path.exists() else []
    table = pd.DataFrame(lines, columns=None if lines else list(columns()))
    for name, about in files.schema("results")["properties"].items():
        kinds = about.get("type", [])
        if name in table and {"number", "integer"} & set(kinds if isinstance(kinds, list) else [kinds]):
            table[name] = pd.to_numeric(table[name], errors="coerce")
    return table
