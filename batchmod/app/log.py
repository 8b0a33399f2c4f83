"""A run's events: kept in events.jsonl, handed to whoever watches, and counted."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final, Self

from batchmod import clock, files
from batchmod.model import Event

_PASSING: Final = ("polled", "progress", "scoring")
"""Events for who watches; nothing has changed with them."""


class Log:
    """Writes events to events.jsonl and hands them on; counts what changed."""

    def __init__(self, folder: Path, observe: Callable[[Event], None]) -> None:
        self._path = folder / "events.jsonl"
        self._observe = observe
        self._file: IO[str] | None = None
        self._run_id = ""
        self.made = 0
        self.copied = 0
        self.changes = 0
        self.spent_usd = 0.0

    def __enter__(self) -> Self:
        self._file = self._path.open("a", encoding="utf-8")
        if not _ends_a_line(self._path):  # a kill or a full disk cut the last event; the next one is whole
            self._file.write("\n")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, event: Event) -> None:
        """Keep an event and hand it on."""
        assert self._file is not None
        self.changes += event.kind not in ("run_started", "planned", "run_ended", *_PASSING)
        self.made += (1 + len(event.facts.get("also", ()))) * (event.kind == "succeeded")
        self.copied += event.kind == "copied"
        self.spent_usd += float(event.facts.get("cost_usd") or 0.0) if event.kind == "succeeded" else 0.0
        if event.kind not in _PASSING:
            files.append_lines(self._file, [as_json(event)])
        try:
            self._observe(event)
        except OSError:  # whoever watched has gone: a request that is half sent is not left for that
            self._observe = lambda _: None

    def tell(self, kind: str, *, run_id: str, **facts: Any) -> None:
        """An event of the run itself."""
        self.write(Event(kind=kind, at=clock.iso(clock.now()), run_id=run_id, facts=facts))


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) in (b"", b"\n")


def as_json(event: Event) -> dict[str, Any]:
    """An event as one flat object."""
    head = {"event": event.kind, "at": event.at, "run_id": event.run_id, "id": event.id, "job_key": event.job_key}
    return {**{name: value for name, value in head.items() if value is not None}, **event.facts}
