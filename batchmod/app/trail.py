"""The event log, read back: whole, or only its end, to see whether the record is behind it."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from batchmod.app import rotating
from batchmod.checkpoint import Checkpoint

ANEW_AT: Final = "events_at"
"""The fact of a record that was made anew: where the event log ended then; what stands before it is settled."""

_TAIL_BYTES: Final = 1 << 18

Line = Mapping[str, Any]


class Position(NamedTuple):
    """A place in the event log: the number of a part, and how many of its bytes stand before."""

    part: int
    offset: int

    def __str__(self) -> str:
        """As a fact of the record has it."""
        return f"{self.part}:{self.offset}"

    @classmethod
    def of(cls, text: str) -> "Position":
        """What a fact says; a number alone is of the first part, when there were no others."""
        part, _, offset = text.rpartition(":")
        return cls(int(part or 1), int(offset))


BEGINNING: Final = Position(1, 0)


def read(folder: Path, *, start: Position = BEGINNING, having: Iterable[str] | None = None) -> Iterator[Line]:
    """Each event from this place on, of all parts; a line that was cut off by a crash is passed over.

    `having`: only lines in which one of these texts may stand; the others are not looked into.
    """
    marks = None if having is None else [json.dumps(each, ensure_ascii=False)[1:-1].casefold() for each in having]
    for number, file in rotating.opened(folder, first=start.part):
        if number == start.part and start.offset:
            file.seek(start.offset - 1)
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


def end(folder: Path) -> Position:
    """Where the event log ends."""
    return _back_from_end(folder, 0)


def _back_from_end(folder: Path, reach: int) -> Position:
    """The place at least so many bytes before the end of the log; its beginning where it is shorter."""
    old = rotating.parts(folder)
    number = old[-1].number + 1 if old else 1
    size = _size(folder / rotating.FILE_NAME)
    for part in reversed(old):
        if size >= reach:
            break
        reach -= size
        number, size = part.number, part.size()
    return Position(number, max(0, size - reach))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def behind(folder: Path, record: Checkpoint) -> str | None:
    """What the end of the event log knows and the record does not, in words; None where there is nothing.

    An event is written only after the record has what it tells, so a record that lacks it is an older one.
    """
    settled = Position.of(record.fact(ANEW_AT) or "0")
    start = _back_from_end(folder, _TAIL_BYTES)
    if settled <= end(folder):
        start = max(start, settled)
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
