"""When the next paid request may leave: one provider, one key, all its jobs.

What is told (a rate, a number in flight) is kept to from the beginning. What is not told is learned from refusals
(429): how many may run at once, or how many may come in a time, whichever a refusal turns out to have been about.
"""

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, NamedTuple

from batchmod.limits.bucket import TokenBucket
from batchmod.limits.cadence import Cadence
from batchmod.limits.window import Window

_FIRST_S: Final = 1.0
_LONGEST_S: Final = 60.0
_SHORTEST_S: Final = 0.1
_REACH: Final = (8.0, 16.0)
"""How many may be in the air at first; and up to where one more may with each that is accepted."""
_APART: Final = 0.5
_MOST_APART_S: Final = 0.05
_BEATS: Final = 16
_JITTER: Final = 0.1
"""What several processes of one key are kept from marching in step by."""
_MOST_ASKED: Final = 30.0
"""No more than so many times what was asked for is waited, where that was not enough."""
_TWO: Final = 2
_SURE: Final = 3
"""So many signs of one kind, and what was learned of the other kind is forgotten."""
_DOUBT_S: Final = 5.0
_DOUBT_STARTS: Final = 20.0
"""After so long, or the time of so many starts, a provider that asked for more is tried once all the same."""


class Learned(StrEnum):
    """What the last refusal was about."""

    NOTHING = "nothing"
    SLOTS = "slots"
    RATE = "rate"


class Ticket(NamedTuple):
    """Which start an answer belongs to."""

    number: int
    by_end: bool = False
    """Whether it was tried, after a refusal, for the only reason that others had ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed:
    """The provider has refused one, and has taken none since."""

    first: int
    """The number of the first start after that: the only ones that tell whether it still refuses."""
    since: float
    until: float
    """When one may be tried although nothing has ended."""
    held: int
    """How many were in flight when it refused."""
    last: float
    """When it refused last."""
    denied: int = 0
    """Trials it refused."""
    late: int = 0
    """Those of them that were made because the time was over."""
    denied_by_end: bool = False
    ended: int = 0
    """Jobs that have ended since and gave nobody their place yet."""
    any_ended: bool = False
    need: int = 1
    """How many must have ended for a trial."""
    trials: int = 0
    """In the air."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """Who is in flight, and when the next may leave."""

    window: Window
    told: TokenBucket | None = None
    cadence: Cadence = field(default_factory=Cadence)
    signs: int = 0
    """What refusals turned out to be about: above zero a lack of slots, below zero a rate."""
    disproved: bool = False
    """Whether it has taken one sooner than it had asked for, when a job had ended."""
    closed: Closed | None = None
    opened: int = 0
    """The number of the first start after the last opening: what is answered to earlier ones is old news."""
    starts: int = 0
    reach: float = _REACH[0]
    """How many may be in the air, sent and not answered: grows with what is accepted, as in TCP's slow start."""
    started_at: float = -math.inf
    accepted_at: float = -math.inf
    beat_s: float = 0.0
    """How far apart jobs are accepted, on an average."""
    air: int = 0
    running: int = 0
    """Accepted, and not known to have ended."""

    @classmethod
    def of(cls, most: int, *, told: TokenBucket | None = None) -> "Pace":
        """What is told, and nothing learned yet."""
        return cls(window=Window.of(most), told=told)

    def under(self, other: "Pace", at: float) -> "Pace":
        """The same pace where the numbers that `other` begins with are told."""
        told = other.told if self.told is None or other.told is None else self.told.under(other.told, at)
        return replace(self, window=self.window.under(other.window.most), told=told)

    @property
    def learned(self) -> Learned:
        """What refusals are taken to be about."""
        if self.signs > 0:
            return Learned.SLOTS
        return Learned.RATE if self.signs <= -_TWO else Learned.NOTHING

    @property
    def in_flight(self) -> int:
        """All that may hold a place at the provider."""
        return self.air + self.running

    def wait(self, at: float) -> float:
        """Seconds until the next may leave, if nothing happens till then; infinite: not before something happens."""
        told = 0.0 if self.told is None else self.told.wait(at)
        told = max(told, self._apart_s(at))
        if self.closed is not None:
            return max(told, self._trial_in(self.closed, at))
        if self.air >= int(self.reach) or self.in_flight >= self.window.size:
            return math.inf
        return max(told, self.cadence.wait(at))

    def _apart_s(self, at: float) -> float:
        """Seconds until the next start is no longer in step with the last one.

        Jobs that begin together end together, and whoever has eight answers at once to deal with leaves seven places
        empty meanwhile.
        """
        if self.learned is not Learned.SLOTS or 2 * self.in_flight < self.window.size:
            return 0.0
        return max(0.0, self.started_at + min(_MOST_APART_S, _APART * self.beat_s) - at)

    def _trial_in(self, closed: Closed, at: float) -> float:
        """Seconds until a trial: where enough has ended, else when the time is over; one at a time then."""
        if self.in_flight >= self.window.most:
            return math.inf
        by_time = math.inf if closed.trials else max(0.0, closed.until - at)
        if closed.ended < closed.need:
            return by_time
        if self.learned is not Learned.RATE:
            return 0.0
        return min(by_time, self._doubt_in(closed, at))

    def _doubt_in(self, closed: Closed, at: float) -> float:
        """Seconds until the provider's word is put to the test, which asked for long: once."""
        if closed.denied_by_end or closed.trials:
            return math.inf
        rate = self.cadence.rate
        long_s = _DOUBT_S if rate is None else max(_DOUBT_S, _DOUBT_STARTS / rate)
        return max(0.0, closed.since + long_s - at)

    def started(self, at: float) -> tuple["Pace", Ticket]:
        """One has left."""
        told = None if self.told is None else self.told.take(at)[0]
        closed, by_end = self.closed, False
        if closed is not None:
            by_end = closed.ended >= closed.need and at < closed.until
            used = closed.need if by_end else 0
            closed = replace(closed, trials=closed.trials + 1, ended=closed.ended - used)
        pace = replace(
            self, told=told, closed=closed, air=self.air + 1, starts=self.starts + 1, started_at=at,
            cadence=self.cadence.started(at),
        )  # fmt: skip
        return pace, Ticket(self.starts, by_end)

    def accepted(self, at: float, ticket: Ticket) -> "Pace":
        """One of those in the air was accepted."""
        apart = min(at - self.accepted_at, 2.0 * _MOST_APART_S) if self.starts > 1 else 0.0
        pace = replace(
            self, air=self.air - 1, running=self.running + 1, cadence=self.cadence.accepted(at), accepted_at=at,
            beat_s=self.beat_s + (apart - self.beat_s) / _BEATS,
        )  # fmt: skip
        if self.closed is not None:
            return _reopened(pace, self.closed, at, ticket) if ticket.number >= self.closed.first else pace
        reach = self.reach + (1.0 if self.reach < _REACH[1] else 4.0 / self.reach)
        return replace(pace, reach=min(reach, float(self.window.most)), window=self.window.accepted(pace.in_flight))

    def refused(self, at: float, ticket: Ticket, *, after_s: float | None, jitter: float) -> "Pace":
        """One of those in the air was refused for now; `after_s`: how long the provider asks to be left alone."""
        pace, closed = replace(self, air=self.air - 1), self.closed
        if closed is None:
            return pace if ticket.number < self.opened else _closing(pace, at, after_s, jitter)
        held = min(closed.held, pace.in_flight)
        if ticket.number < closed.first:
            until = max(closed.until, at + (after_s or 0.0))
            return replace(pace, closed=replace(closed, held=held, last=at, until=until))
        return replace(
            pace,
            closed=_denied(pace, closed, at, ticket, after_s=after_s, jitter=jitter),
            signs=max(-_SURE, self.signs - (ticket.by_end and not closed.denied_by_end)),
        )

    def gone(self, ticket: Ticket) -> "Pace":
        """One of those in the air came to something else: it says nothing of the pace."""
        closed = self.closed
        if closed is not None and ticket.number >= closed.first:
            closed = replace(closed, trials=max(0, closed.trials - 1))
        return replace(self, air=self.air - 1, closed=closed)

    def resumed(self) -> "Pace":
        """A job of an earlier run is in flight."""
        return replace(self, running=self.running + 1)

    def ended(self) -> "Pace":
        """A running job has ended: its place is free."""
        closed = self.closed
        if closed is not None:
            closed = replace(closed, ended=closed.ended + 1, any_ended=True)
        return replace(self, running=self.running - 1, closed=closed)

    def left(self) -> "Pace":
        """A running job is not watched any more."""
        return replace(self, running=self.running - 1)


def _closing(pace: Pace, at: float, after_s: float | None, jitter: float) -> Pace:
    until = at + _pause_s(pace, 0, after_s, jitter)
    told = None if pace.told is None else pace.told.paused(at)
    return replace(
        pace, told=told, closed=Closed(first=pace.starts, since=at, until=until, held=pace.in_flight, last=at)
    )


def _denied(pace: Pace, closed: Closed, at: float, ticket: Ticket, *, after_s: float | None, jitter: float) -> Closed:
    """A trial was refused: the next of its kind is longer away, those of the other kind are as they were."""
    closed = replace(closed, last=at, denied=closed.denied + 1, trials=closed.trials - 1)
    if ticket.by_end:
        need = min(2 * closed.need, max(1, pace.in_flight))
        until = max(closed.until, at + (after_s or 0.0))
        return replace(closed, need=need, ended=0, denied_by_end=True, until=until)
    late = closed.late + 1
    return replace(closed, late=late, until=at + _pause_s(pace, late, after_s, jitter))


def _pause_s(pace: Pace, denied: int, after_s: float | None, jitter: float) -> float:
    """How long until a trial by time: as asked, at least; doubling where trials are refused all the same."""
    rate = pace.cadence.rate
    doubling = 2.0 ** min(denied, 16)
    if after_s is not None:
        paused = max(after_s, min(_LONGEST_S, _MOST_ASKED * after_s, doubling * after_s))
    else:
        first = _FIRST_S if rate is None else min(_FIRST_S, max(_SHORTEST_S, 2.0 / rate))
        paused = min(_LONGEST_S, doubling * first)
    if pace.learned is Learned.SLOTS and pace.in_flight:
        paused = max(paused, _LONGEST_S)  # places become free when jobs end, not with time
    return paused * (1.0 + _JITTER * jitter)


def _reopened(pace: Pace, closed: Closed, at: float, ticket: Ticket) -> Pace:
    """One was taken again: that tells what the refusal was about."""
    signs = max(-_SURE, min(_SURE, pace.signs + _sign(pace, closed, at, ticket)))
    disproved = pace.disproved or ticket.by_end
    opened = replace(pace, closed=None, opened=pace.starts, signs=signs, disproved=disproved)
    if opened.learned is Learned.SLOTS:
        level = pace.in_flight if closed.denied else closed.held
        cadence = pace.cadence.anew(at) if signs < _SURE else Cadence(began=at, passed=1)
        reach = max(1.0, min(pace.reach, float(level)))
        return replace(opened, window=pace.window.learned(level), cadence=cadence, reach=reach)
    reach = max(1.0, pace.reach / 2.0)
    if opened.learned is Learned.NOTHING:
        return replace(opened, reach=reach)
    window = pace.window if signs > -_SURE else Window.of(pace.window.most)
    cadence = pace.cadence.learned(at, since=closed.since, refused_at=closed.last, denied=closed.denied)
    return replace(opened, window=window, cadence=cadence, reach=reach)


def _sign(pace: Pace, closed: Closed, at: float, ticket: Ticket) -> int:
    """Something ended and its place was given away: slots. Nothing had, and only time had passed: a rate."""
    if ticket.by_end:
        return int(pace.learned is not Learned.RATE and not closed.denied_by_end)
    if not closed.any_ended or pace.signs <= 0:
        return -_TWO if at - closed.since >= _DOUBT_S else -1  # soon after, an end may only not have been seen yet
    return -1 if closed.denied_by_end else 0
