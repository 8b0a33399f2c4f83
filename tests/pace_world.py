"""A provider and its client on a simulated clock: what a pace does to limits that nobody tells it."""

import functools
import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from batchmod.limits import Pace, Ticket


class Limit(Protocol):
    """What a provider holds its clients to."""

    def takes(self, at: float, running: int, /) -> bool:
        """Whether one more is accepted at this moment."""
        ...


@dataclass
class Slots:
    """So many jobs at once; `later` replaces it from a moment on."""

    count: int
    later: tuple[float, int] = (math.inf, 0)

    def takes(self, at: float, running: int) -> bool:
        return running < (self.later[1] if at >= self.later[0] else self.count)


@dataclass
class Sliding:
    """So many in any window."""

    count: int
    window_s: float = 60.0
    later: tuple[float, int] = (math.inf, 0)
    taken: deque[float] = field(default_factory=deque)

    def takes(self, at: float, _running: int) -> bool:
        while self.taken and self.taken[0] <= at - self.window_s:
            self.taken.popleft()
        if len(self.taken) >= (self.later[1] if at >= self.later[0] else self.count):
            return False
        self.taken.append(at)
        return True


@dataclass
class Fixed:
    """So many in each window of the clock."""

    count: int
    window_s: float = 60.0
    offset_s: float = 17.0
    window: int = -1
    taken: int = 0

    def takes(self, at: float, _running: int) -> bool:
        window = math.floor((at + self.offset_s) / self.window_s)
        if window != self.window:
            self.window, self.taken = window, 0
        self.taken += 1
        return self.taken <= self.count


@dataclass
class Bucket:
    """A token bucket."""

    per_s: float
    burst: float
    tokens: float = math.inf
    at: float = 0.0

    def takes(self, at: float, _running: int) -> bool:
        self.tokens = min(self.burst, self.tokens + (at - self.at) * self.per_s)
        self.at = at
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


@dataclass
class World:
    """A lane of `jobs` at a provider, event by event."""

    limit: Limit
    pace: Pace
    jobs: int = 10**9
    takes_s: Callable[[random.Random], float] = lambda _: 0.2
    trip_s: float = 0.002
    """Each way."""
    seen_late_s: Callable[[random.Random], float] = lambda _: 0.0
    """How long after its end a job is seen to have ended."""
    after_s: float | None = None
    blocking: bool = False
    """The answer comes when the job has ended."""
    seed: int = 1

    now: float = 0.0
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    finished: int = 0
    running: int = 0

    def run(self, until: float = math.inf) -> "World":
        """Let it happen until all jobs have ended, or until that moment."""
        dice, self._number = random.Random(self.seed), itertools.count()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._waiting, self._wake = self.jobs, math.inf
        self._send(dice)
        while self._queue and self.finished < self.jobs:
            self.now, _, happen = heapq.heappop(self._queue)
            if self.now > until:
                break
            happen()
            self._send(dice)
        return self

    def _at(self, when: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._number), happen))

    def _send(self, dice: random.Random) -> None:
        while self._waiting:
            wait = self.pace.wait(self.now)
            if wait > 1e-9:
                if self.now + wait < self._wake or self._wake <= self.now:
                    self._wake = self.now + wait
                    if wait < math.inf:
                        self._at(self._wake, lambda: None)
                return
            self._waiting -= 1
            self.pace, ticket = self.pace.started(self.now)
            self._at(self.now + self.trip_s, functools.partial(self._arrives, ticket, dice))

    def _arrives(self, ticket: Ticket, dice: random.Random) -> None:
        if not self.limit.takes(self.now, self.running):
            self.refused.append(self.now)
            self._at(self.now + self.trip_s, lambda: self._no(ticket, dice))
            return
        self.accepted.append(self.now)
        self.running += 1
        took = self.takes_s(dice)
        self._at(self.now + took, self._ends)
        if not self.blocking:
            self._at(self.now + self.trip_s, lambda: self._yes(ticket))
            self._at(self.now + max(took, self.trip_s) + self.trip_s + self.seen_late_s(dice), self._seen)
            return
        self._at(self.now + took + self.trip_s, functools.partial(self._yes_and_ended, ticket))

    def _yes_and_ended(self, ticket: Ticket) -> None:
        self._yes(ticket)
        self._seen()

    def _ends(self) -> None:
        self.running -= 1

    def _yes(self, ticket: Ticket) -> None:
        self.pace = self.pace.accepted(self.now, ticket)

    def _seen(self) -> None:
        self.pace = self.pace.ended()
        self.finished += 1

    def _no(self, ticket: Ticket, dice: random.Random) -> None:
        self.pace = self.pace.refused(self.now, ticket, after_s=self.after_s, jitter=dice.random())
        self._waiting += 1

    def got_through(self, since: float, until: float) -> int:
        return sum(since <= at < until for at in self.accepted)

    def turned_away(self, since: float, until: float) -> int:
        return sum(since <= at < until for at in self.refused)


def untold(most: int = 64) -> Pace:
    """A pace that was told nothing but how many may be in flight."""
    return Pace.of(most)
