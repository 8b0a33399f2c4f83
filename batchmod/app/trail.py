"""The event log, read back: whole, or only its end, to see whether the record is behind it."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from batchmod.checkpoint import Checkpoint

FILE_NAME: Final = "events.jsonl"
ANEW_AT: Final = "events_at"
"""The fact of a record that was made anew: how long the event log was then; what stands before it is settled."""

_TAIL_BYTES: Final = 1 << 18

Line = Mapping[str, Any]


def read(folder: Path, *, start: int = 0, having: Iterable[str] | None = None) -> Iterator[Line]:
    """Each event from this byte on; a line that was cut off by a crash is passed over.

    `having`: only lines in which one of these texts may stand; the others are not looked into.
    """
    path = folder / FILE_NAME
    marks = None if having is None else [json.dumps(each, ensure_ascii=False)[1:-1].casefold() for each in having]
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(max(0, start - 1))
        if start:
            file.readline()
        for line in file:
            if marks is not None and not _holds(line, marks):
                continue
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and isinstance(event.get("event"), str):
                yield event


def _holds(line: bytes, marks: Collection[str]) -> bool:
    text = line.decode("utf-8", "replace").casefold()
    return any(mark in text for mark in marks)


def length(folder: Path) -> int:
    """How long the event log is, in bytes."""
    path = folder / FILE_NAME
    return path.stat().st_size if path.exists() else 0


def behind(folder: Path, record: Checkpoint) -> str | None:
    """What the end of the event log knows and the record does not, in words; None where there is nothing.

    An event is written only after the record has what it tells, so a record that lacks it is an older one.
    """
    whole, settled = length(folder), int(record.fact(ANEW_AT) or 0)
    start = max(whole - _TAIL_BYTES, settled if settled <= whole else 0)
    return next((lacking for event in read(folder, start=start) if (lacking := _lacking(event, record))), None)


def _lacking(event: Line, record: Checkpoint) -> str | None:
    run_id, attempt, request_id = event.get("run_id"), event.get("attempt"), event.get("request_id")
    match event["event"]:
        case "run_started" if isinstance(run_id, str) and not record.knows_run(run_id):
            return f"the run of {event.get('at')}"
        case "intended" if isinstance(attempt, int):
            if not record.knows_attempt(attempt, str(event.get("job_key"))):
                return f"the request of {event.get('at')} for {event.get('id')}"
        case "submitted" | "resolved" | "succeeded" if isinstance(request_id, str) and request_id:
            if not record.knows_request(request_id, str(event.get("job_key"))):
                return f"the request {request_id}"
    return None
