"""The lines of results.csv in one pass: what they add up to, and which of them the page shows."""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from batchmod.model import Status
from batchmod.report.timeline import Timeline, moment

Line = Mapping[str, Any]

MOST_CARDS: Final = 20_000
"""Rows on the page; a browser still scrolls and filters that many."""

SCORES: Final = ("motion_score", "flicker_score", "first_frame_score", "structure_score", "drift_score")
"""The columns that hold a score from 0 to 100, higher is better."""

_STATUSES: Final = {status.value: status for status in Status}

_TO_LOOK_AT: Final = frozenset({Status.FAILED, Status.UNCERTAIN, Status.INVALID})


@dataclass(kw_only=True, slots=True)
class Totals:
    """What all lines add up to, also those the page leaves out. A request delivered to several ids counts once."""

    rows: int = 0
    flagged: int = 0
    to_look_at: int = 0
    by_status: Counter[Status] = field(default_factory=Counter)
    cost_usd: float = 0.0
    estimated_usd: float = 0.0
    """The part of `cost_usd` that no provider has confirmed."""
    seconds: float = 0.0
    kept: int = 0
    """Rows of which a person said keep."""
    scored: set[str] = field(default_factory=set)
    """The scores that any row has."""
    timeline: Timeline = field(default_factory=Timeline)
    _requests: set[str] = field(default_factory=set)

    def add(self, line: Line) -> None:
        """Count one line."""
        self.rows += 1
        self.flagged += is_flagged(line)
        self.to_look_at += needs_a_look(line)
        self.by_status[status_of(line)] += 1
        self.kept += line.get("review") == "keep"
        self.scored.update(name for name in SCORES if line.get(name) not in (None, ""))
        cost, seconds = number(line.get("cost_usd")), number(line.get("seconds"))
        is_new = (cost is not None or seconds is not None) and self._is_new(line)
        if (ended := moment(line.get("finished_at"))) is not None:
            self.timeline.add(ended, done=1, cost_usd=(cost or 0.0) if is_new else 0.0)
            if (began := moment(line.get("submitted_at"))) is not None:
                self.timeline.add(began, done=0, cost_usd=0.0)
        if not is_new:
            return
        self.cost_usd += cost or 0.0
        self.estimated_usd += 0.0 if line.get("cost_source") == "provider" else cost or 0.0
        self.seconds += seconds or 0.0

    def _is_new(self, line: Line) -> bool:
        request = str(line.get("request_id") or line.get("job_key") or "")
        if not request:
            return True
        before = len(self._requests)
        self._requests.add(request)
        return len(self._requests) > before


class Gathering:
    """What the report needs of the lines, taken note of while they go by to somebody else."""

    def __init__(self, *, most: int = MOST_CARDS) -> None:
        self.totals = Totals()
        self._most = most
        self._kept: list[tuple[tuple[bool, str, int], int, Line]] = []

    def watch(self, lines: Iterable[Line]) -> Iterator[Line]:
        """The lines as they are."""
        for number, line in enumerate(lines):
            self.totals.add(line)
            # of equals the first; the number is never there twice, so that lines are not compared
            entry = (_worth(line), -number, line)
            if len(self._kept) < self._most:
                heapq.heappush(self._kept, entry)
            elif self._kept:
                heapq.heappushpop(self._kept, entry)
            yield line

    @property
    def kept(self) -> list[Line]:
        """The lines to show: those that need a look first, then the newest."""
        return [line for _, _, line in sorted(self._kept, key=lambda entry: entry[:2], reverse=True)]


def in_reading_order(kept: Iterable[Line]) -> Iterator[tuple[int, Line]]:
    """Those that need a look, then the others, each in the manifest's order; numbered from 1."""
    return iter(enumerate(sorted(kept, key=lambda line: (not needs_a_look(line), row_of(line))), start=1))


def _worth(line: Line) -> tuple[bool, str, int]:
    newest = str(line.get("finished_at") or line.get("submitted_at") or "")
    return needs_a_look(line), newest, -row_of(line)


def needs_a_look(line: Line) -> bool:
    """Whether a person should see this line first."""
    return status_of(line) in _TO_LOOK_AT or is_flagged(line)


def is_flagged(line: Line) -> bool:
    """Whether batchmod doubts the output."""
    return said(line.get("flagged")) is True


def status_of(line: Line) -> Status:
    """The line's status."""
    return _STATUSES[str(line["status"])]


def row_of(line: Line) -> int:
    """The row's number in its manifest; 0 where it has none."""
    return int(number(line.get("row")) or 0)


def number(value: object) -> float | None:
    """A number, as a value or as a cell's text; None for anything else."""
    if value is None or value == "":
        return None
    try:
        found = value if isinstance(value, float) else float(str(value))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def said(value: object) -> bool | None:
    """A yes or no, as a value or as a cell's text; None where nothing is said."""
    return {"true": True, "false": False}.get(str(value).lower())


def present(totals: Totals) -> Sequence[tuple[Status, int]]:
    """The statuses that occur, with their numbers, in the order of the words."""
    return [(status, totals.by_status[status]) for status in Status if totals.by_status[status]]
