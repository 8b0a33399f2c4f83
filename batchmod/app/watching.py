"""A run seen from a second terminal: no lock, no key, no network, nothing written."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from batchmod import clock, files, lease
from batchmod.app import pointer, traces
from batchmod.app.tailing import Tail
from batchmod.checkpoint import Flight, Glance, LastRun, Seen

WINDOW_S: Final = 300.0
"""Over how long the rate is taken."""
_LEAST_S: Final = 5.0
_MOST_FLIGHTS: Final = 50
_MOST_EVENTS: Final = 12
_ENDS: Final = ("succeeded", "failed", "copied")
_OF_WORK: Final = ("submitting", "submitted", "uncertain", "planned")


class Phase(StrEnum):
    """Where a folder's last run is in its life."""

    WAITING = "waiting"  # there was none yet
    PREPARING = "preparing"  # one holds the folder, and has not begun to send
    RUNNING = "running"
    CUT_OFF = "cut off"  # it was begun, never ended, and nobody holds the folder
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A folder as it stands at a moment; times in Unix seconds."""

    folder: Path
    at: float
    phase: Phase
    holder: str | None
    """Who holds the folder: `process 4711`."""
    seen: Seen | None
    """None where there is no record yet."""
    per_minute: float | None
    """Rows that ended in a minute, over the last minutes of this run; None where it is too young to say."""
    left_s: float | None
    """How long the rest takes at that rate."""
    retries: Mapping[str, int]
    """Provider → how often something was tried again in the last minutes."""
    events: tuple[Mapping[str, Any], ...]
    """The latest lines of events.jsonl, the newest last."""

    @property
    def run(self) -> LastRun | None:
        """The last run."""
        return None if self.seen is None else self.seen.run


class Watch(AbstractContextManager["Watch"]):
    """One output folder, looked at again and again."""

    def __init__(self, folder: Path, *, state: Path | None = None) -> None:
        self.folder = folder
        self._state = state
        self._tail = Tail(folder)
        self._record: Glance | None = None
        self._is_file: tuple[int, int] | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Let go of the record and the log."""
        self._tail.close()
        self._let_go()

    def look(self) -> View:
        """How it stands now. Raises RecordRefused where the record cannot be read."""
        now, holder = clock.now(), holder_of(self.folder)
        seen = self._glance()
        self._tail.read()
        run = None if seen is None else seen.run
        phase = phase_of(run, is_held=holder is not None)
        rate = None if run is None or phase is not Phase.RUNNING else rate_of(self._tail.events, run, at=now)
        return View(
            folder=self.folder,
            at=now,
            phase=phase,
            holder=holder,
            seen=seen,
            per_minute=rate,
            left_s=left_of(rate, seen, self._tail.events),
            retries=_retries(self._tail.events, since=now - WINDOW_S),
            events=tuple(self._tail.events)[-_MOST_EVENTS:],
        )

    def _glance(self) -> Seen | None:
        path = pointer.record_file(self.folder, self._state)
        try:
            stat = path.stat()
        except FileNotFoundError:
            self._let_go()
            return None
        if self._record is None or self._is_file != (stat.st_dev, stat.st_ino):  # it was made anew
            self._let_go()
            self._record, self._is_file = Glance.look_at(path, whole=False), (stat.st_dev, stat.st_ino)
        return self._record.seen(most=_MOST_FLIGHTS)

    def _let_go(self) -> None:
        if self._record is not None:
            self._record.close()
        self._record = None


def holder_of(folder: Path) -> str | None:
    """Who runs into this folder now, as far as can be seen from here."""
    found = lease.living(folder, now=clock.now())
    return files.lock_holder(folder) if found is None else str(found)


def phase_of(run: LastRun | None, *, is_held: bool) -> Phase:
    """Where the last run is in its life."""
    if run is None or run.ended_at is not None:
        if is_held:
            return Phase.PREPARING
        return Phase.WAITING if run is None else Phase.ENDED
    return Phase.RUNNING if is_held else Phase.CUT_OFF


def rate_of(events: Sequence[Mapping[str, Any]], run: LastRun, *, at: float) -> float | None:
    """Rows that ended in a minute over the last minutes, since the run's beginning at most."""
    since = max(run.started_at, at - WINDOW_S)
    if (
        events and events[0]["event"] != "run_started"
    ):  # the log's end, or a new part of it: what was before is not seen
        since = max(since, _at(events[0]))
    if at - since < _LEAST_S:
        return None
    ended = sum(_rows(event) for event in _latest(events, since) if event["event"] in _ENDS)
    return 60.0 * ended / (at - since)


def _latest(events: Sequence[Mapping[str, Any]], since: float) -> Iterator[Mapping[str, Any]]:
    """The events since a moment, the newest first."""
    return takewhile(lambda event: _at(event) >= since, reversed(events))


def left_of(rate: float | None, seen: Seen | None, events: Sequence[Mapping[str, Any]]) -> float | None:
    """How long the rows take that have not ended, at this rate."""
    if not rate or seen is None or seen.run is None:
        return None
    return 60.0 * _rows_left(seen, seen.run, events) / rate


def _rows_left(seen: Seen, run: LastRun, events: Sequence[Mapping[str, Any]]) -> int:
    """Of the selected rows those that have not ended; of all rows, where the log's end does not tell the plan."""
    mine = [event for event in events if event.get("run_id") == run.run_id]
    planned = next((event for event in mine if event["event"] == "planned"), None)
    open_rows = sum(seen.counts.get(status, 0) for status in _OF_WORK)
    if planned is None:
        return open_rows
    actions = planned.get("counts", {})
    to_do: int = sum(number for action, number in actions.items() if action not in ("keep", "leave", "held", "invalid"))
    return max(0, min(open_rows, to_do - sum(_rows(event) for event in mine if event["event"] in _ENDS)))


def _rows(event: Mapping[str, Any]) -> int:
    return 1 + len(event.get("also", ()))


def _at(event: Mapping[str, Any]) -> float:
    return traces.seconds(event.get("at")) or 0.0


def _retries(events: Sequence[Mapping[str, Any]], *, since: float) -> dict[str, int]:
    found: dict[str, int] = {}
    for event in _latest(events, since):
        if event["event"] == "retrying":
            name = str(event.get("provider") or "")
            found[name] = found.get(name, 0) + 1
    return found


_FLIGHT_WORDS: Final = {"submitting": "being sent", "submitted": "at the provider", "uncertain": "uncertain"}


def flight_phase(flight: Flight) -> str:
    """What becomes of a request now, in words."""
    if flight.status == "submitted" and flight.is_made:
        return "being fetched"
    if flight.provider == "local" and flight.status in ("submitting", "submitted"):
        return "being made"
    return _FLIGHT_WORDS[flight.status]


def as_json(view: View) -> dict[str, Any]:
    """A view as one object; its keys stand in the schema `status`."""
    run, seen = view.run, view.seen
    flights = () if seen is None else seen.flights
    return {
        "at": clock.iso(view.at),
        "output": str(view.folder),
        "phase": view.phase.value,
        "holder": view.holder,
        "run": None if run is None else _run_as_json(run),
        "rows": 0 if seen is None else seen.rows,
        "counts": {} if seen is None else dict(seen.counts),
        "spent_usd": 0.0 if seen is None else round(seen.spent_usd, 6),
        "reserved_usd": 0.0 if seen is None else round(seen.reserved_usd, 6),
        "per_minute": None if view.per_minute is None else round(view.per_minute, 3),
        "left_s": None if view.left_s is None else round(view.left_s, 1),
        "retries": dict(view.retries),
        "unfinished": 0 if seen is None else seen.flying,
        "in_flight": [
            {
                "id": flight.id,
                "provider": flight.provider,
                "status": flight.status,
                "phase": flight_phase(flight),
                "request_id": flight.request_id,
                "since": None if flight.since is None else clock.iso(flight.since),
            }
            for flight in flights
        ],
    }


def _run_as_json(run: LastRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "started_at": clock.iso(run.started_at),
        "ended_at": None if run.ended_at is None else clock.iso(run.ended_at),
        "exit_code": run.exit_code,
        "stop_reason": run.stop_reason,
    }
