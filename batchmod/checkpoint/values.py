"""Rows of the record as values, and values as rows."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from batchmod.model import Attempt, Delivery, Job, Scored, Scores, Source, Status, VideoFacts, Work

WORK_COLUMNS: Final = (
    "work_id, job_key, provider, model, origin, options, inputs, status, attempts, request_id, state, output_location, "
    "error_code, error, billed, cost_usd, cost_source, reserved_usd, facts, sha256, warnings, flag_reason, "
    "submitted_at, finished_at, run_id, again"
)


_WORK_NAMES: Final = tuple(WORK_COLUMNS.split(", "))
_JSON: Final = json.JSONEncoder(ensure_ascii=False)
_NOTHING: Final[Mapping[str | None, Any]] = {None: None, "{}": MappingProxyType({}), "[]": ()}
"""What most cells hold, read without a reader of JSON."""
BOOKED: Final = "paid for elsewhere"
"""The note of an attempt whose request id comes from a history or a person, not from an answer to our own POST."""


class StoredRow(NamedTuple):
    """A manifest row as the last run saw it."""

    number: int
    id: str
    job_key: str | None
    status: str | None
    fields: Mapping[str, Any]
    manifest: str = ""
    """Its file, as seen from the folder."""


class Totals(NamedTuple):
    """Counts by status and money over the whole record."""

    by_status: Mapping[str, int]
    spent_usd: float
    reserved_usd: float


def inputs_of(job: Job) -> dict[str, Any]:
    """What a request is made of, as the record keeps it."""
    return {
        "mode": job.mode,
        "prompt": job.prompt,
        "video": asdict(job.video),
        "first_frame": asdict(job.first_frame) if job.first_frame else None,
        "keyframes": asdict(job.keyframes) if job.keyframes else None,
    }


def source_of(stored: Mapping[str, Any] | None) -> Source | None:
    """A source as a work's `inputs` keep it."""
    return None if stored is None else Source(**stored)


def _json_of(cell: str | None) -> Any:
    return _NOTHING[cell] if cell in _NOTHING else json.loads(cell or "")


def work_of(row: Sequence[Any], *, json_of: Callable[[str | None], Any] = _json_of) -> Work:
    """A row of `work`, in the order of WORK_COLUMNS; `json_of` reads its cells of JSON."""
    values = dict(zip(_WORK_NAMES, row, strict=True))
    for name in ("options", "inputs", "state", "facts", "warnings"):
        values[name] = json_of(values[name])
    values["status"] = Status(values["status"])
    values["billed"] = None if values["billed"] is None else bool(values["billed"])
    values["warnings"] = tuple(values["warnings"])
    values["facts"] = _facts_from_json(values["facts"])
    return Work(**values)


remembered: Final = lru_cache(maxsize=4096)(_json_of)
"""The same, for a work that is read again and again while it is carried: most of it stays as it was."""


def attempt_of(row: Sequence[Any]) -> Attempt:
    """A row of `attempt`."""
    return Attempt(
        attempt_id=row[0],
        work_id=row[1],
        provider=row[2],
        origin=row[3],
        body=json.loads(row[4]),
        sent_at=row[5],
        seen_dead_at=row[6],
        request_id=row[7],
        account=row[8],
    )


def delivery_of(row: Sequence[Any]) -> Delivery:
    """A row of `delivery`: id, version, work_id, path, delivered, stem."""
    return Delivery(id=row[0], version=row[1], work_id=row[2], path=row[3], delivered=bool(row[4]), stem=row[5])


def facts_as_json(facts: VideoFacts) -> dict[str, Any]:
    """A video's facts with the frame rate as text."""
    return {**asdict(facts), "fps": None if facts.fps is None else str(facts.fps)}


def _facts_from_json(stored: dict[str, Any] | None) -> VideoFacts | None:
    if stored is None:
        return None
    return VideoFacts(**{**stored, "fps": None if stored["fps"] is None else Fraction(stored["fps"])})


def scores_as_json(scores: Scores) -> dict[str, Any]:
    """Scores as the record keeps them, those that say something."""
    values = {**asdict(scores), "source": None if scores.source is None else facts_as_json(scores.source)}
    return {name: value for name, value in values.items() if value not in (None, ())}


def scored_of(row: Sequence[Any]) -> Scored:
    """A row of `score`: work_id, sha256, scores, problem."""
    scores = None
    if row[2] is not None:
        stored = json.loads(row[2])
        stretches = {name: tuple(map(tuple, stored.get(name, ()))) for name in ("black", "frozen")}
        notes, source = tuple(stored.get("notes", ())), _facts_from_json(stored.get("source"))
        scores = Scores(**{**stored, **stretches, "notes": notes, "source": source})
    return Scored(work_id=row[0], sha256=row[1], scores=scores, problem=row[3])


def dump(value: Any) -> str:
    """JSON, as the record keeps it."""
    return text(_JSON.encode(value))


def text(text: str) -> str:
    """The text as a file can hold it: an answer may name half a character, and must not keep a receipt out."""
    return text.encode("utf-8", "replace").decode()
