"""A run's events: kept in events.jsonl, handed to whoever watches, and counted."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self

from batchmod import clock, files
from batchmod.app import logs, rotating
from batchmod.model import EVENTS_VERSION, Event

_PASSING: Final = ("polled", "progress", "scoring")
"""Events for who watches; nothing has changed with them."""
_OF_THE_RUN: Final = (
    "source_changed",
    "run_started",
    "planned",
    "run_ended",
    "hook_succeeded",
    "hook_failed",
    "not_stored",
    "notify_failed",
)
"""Events with which no row has changed."""


@dataclass(kw_only=True, slots=True)
class Tally:
    """What a run has brought so far, as its events say."""

    made: int = 0
    copied: int = 0
    delivered: int = 0
    spent_usd: float = 0.0

    def count(self, event: Event) -> None:
        """Count an event in."""
        self.made += (1 + len(event.facts.get("also", ()))) * (event.kind == "succeeded")
        self.delivered += event.kind == "conformed"
        self.copied += event.kind == "copied"
        self.spent_usd += float(event.facts.get("cost_usd") or 0.0) if event.kind == "succeeded" else 0.0


class Log:
    """Writes events to events.jsonl and hands them on; counts what changed."""

    def __init__(self, folder: Path, observe: Callable[[Event], None]) -> None:
        self._folder = folder
        self._observe = logs.observed(observe)
        self._full_at = rotating.PART_BYTES
        self._packer = rotating.Packer(folder)
        self._file: IO[bytes] | None = None
        self._size = 0
        self._run_id = ""
        self.tally = Tally()
        self.changes = 0

    def __enter__(self) -> Self:
        path = self._folder / rotating.FILE_NAME
        with suppress(OSError):
            if path.stat().st_size >= self._full_at:
                rotating.put_away(self._folder)
        self._file = path.open("ab")
        if not _ends_a_line(path):  # a kill or a full disk cut the last event; the next one is whole
            self._file.write(b"\n")
        self._size = path.stat().st_size
        self._packer.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        if error is None:  # whoever is in a hurry leaves it to the next one
            self._packer.finish()

    def write(self, event: Event) -> None:
        """Keep an event and hand it on."""
        assert self._file is not None
        self.changes += event.kind not in (*_OF_THE_RUN, *_PASSING)
        self.tally.count(event)
        if event.kind not in _PASSING:
            self._size += files.append_lines(self._file, [as_json(event)])
            self._rotate()
        try:
            self._observe(event)
        except OSError:  # whoever watched has gone: a request that is half sent is not left for that
            self._observe = lambda _: None

    def _rotate(self) -> None:
        """Begin a new part where this one is full; where that cannot be now, it is tried again a part later."""
        assert self._file is not None
        if self._size < self._full_at:
            return
        try:
            self._file = rotating.begin_part(self._folder, self._file)
        except OSError:
            self._full_at = self._size + rotating.PART_BYTES
            return
        self._size, self._full_at = 0, rotating.PART_BYTES
        self._packer.start()

    def tell(self, kind: str, *, run_id: str, **facts: Any) -> None:
        """An event of the run itself."""
        self.write(Event(kind=kind, at=clock.iso(clock.now()), run_id=run_id, facts=facts))


def followed(observe: Callable[[Event], None], hear: Callable[[Event], None]) -> Callable[[Event], None]:
    """Both hear an event; the second one also where the first has gone."""

    def both(event: Event) -> None:
        hear(event)
        observe(event)

    return both


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) in (b"", b"\n")


def as_json(event: Event) -> dict[str, Any]:
    """An event as one flat object."""
    head = {"event": event.kind, "at": event.at, "run_id": event.run_id, "id": event.id, "job_key": event.job_key}
    known = {name: value for name, value in head.items() if value is not None}
    return {"schema_version": EVENTS_VERSION, **known, **event.facts}
