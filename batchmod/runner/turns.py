"""Who waits for a turn, in what order: the limits decide when, this wakes them."""

import asyncio
import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from batchmod import clock
from batchmod.limits import Ticket


@dataclass(kw_only=True, slots=True, eq=False)
class _Waiter:
    turn: "asyncio.Future[Ticket | None]"
    not_before: float = 0.0
    """Until when its own last refusal asked it to wait; 0 where it was not refused."""


class Alarm:
    """One timer of the loop, set to the earliest moment that anybody asked for."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._at = math.inf

    def within(self, seconds: float) -> None:
        """Ring after so many seconds, or earlier."""
        if seconds == math.inf:
            return
        at = clock.ticks() + seconds
        if self._timer is not None:
            if self._at <= at:
                return
            self._timer.cancel()
        self._at, self._timer = at, asyncio.get_running_loop().call_later(seconds, self._rung)

    def off(self) -> None:
        """Do not ring any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _rung(self) -> None:
        self._timer = None
        self._ring()


class SubmitTurns:
    """The queue of paid requests: in order of asking, but those that were refused stand back for a while."""

    def __init__(
        self,
        *,
        wait: Callable[[float], float],
        disproved: Callable[[], bool],
        start: Callable[[], Ticket],
        give_back: Callable[[Ticket], None],
    ) -> None:
        """`wait`: seconds until the next may leave; `start`: one leaves now; `give_back`: it did not after all.

        `disproved`: whether the provider itself has disproved what it asked of those it refused, having taken others.
        """
        self._wait, self._disproved, self._start, self._give_back = wait, disproved, start, give_back
        self._fresh: deque[_Waiter] = deque()
        self._refused: deque[_Waiter] = deque()
        self._alarm = Alarm(self.look)
        self._closed = False

    async def take(self, *, not_before: float = 0.0) -> Ticket | None:
        """Wait for the turn; None where nothing leaves any more."""
        if self._closed:
            return None
        waiter = _Waiter(turn=asyncio.get_running_loop().create_future(), not_before=not_before)
        queue = self._refused if not_before else self._fresh
        queue.append(waiter)
        self.look()
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            if waiter in queue:
                queue.remove(waiter)
            elif not waiter.turn.cancelled() and (ticket := waiter.turn.result()) is not None:
                self._give_back(ticket)
            raise

    def look(self) -> None:
        """Let go whoever may leave now."""
        while self._fresh or self._refused:
            now = clock.ticks()
            queue, stands_back = self._next(now)
            wait = max(self._wait(now), stands_back)
            if wait > 0.0:
                self._alarm.within(wait)
                return
            waiter = queue.popleft()
            if not waiter.turn.done():
                waiter.turn.set_result(self._start())

    def _next(self, now: float) -> tuple[deque[_Waiter], float]:
        """Whose turn it is, and how long he has to stand back himself."""
        back = max(0.0, self._refused[0].not_before - now) if self._refused else math.inf
        if self._fresh and back > 0.0:
            return self._fresh, 0.0
        return self._refused, 0.0 if self._disproved() else back

    def close(self) -> None:
        """Nobody's turn comes any more."""
        self._closed = True
        self._alarm.off()
        for waiter in (*self._fresh, *self._refused):
            if not waiter.turn.done():
                waiter.turn.set_result(None)
        self._fresh.clear()
        self._refused.clear()


@dataclass(order=True, slots=True)
class _Due:
    at: float
    number: int
    turn: "asyncio.Future[None]" = field(compare=False)


class PollTurns:
    """The queue of questions: by the moment they are due; first ones and later ones take turns in a tight budget."""

    def __init__(self, *, wait: Callable[[float], float], take: Callable[[float], None]) -> None:
        self._wait, self._take = wait, take
        self._first: deque[asyncio.Future[None]] = deque()
        self._later: list[_Due] = []
        self._numbers = itertools.count()
        self._first_had_it = False
        self._alarm = Alarm(self.look)

    async def take(self, delay_s: float) -> None:
        """Wait so long, and then for a turn; no time at all is a first question."""
        turn = asyncio.get_running_loop().create_future()
        if delay_s <= 0.0:
            self._first.append(turn)
        else:
            heapq.heappush(self._later, _Due(clock.ticks() + delay_s, next(self._numbers), turn))
        self.look()
        await turn

    def look(self) -> None:
        """Let go whoever may ask now."""
        while self._first or self._later:
            now = clock.ticks()
            due = self._later[0].at - now if self._later else math.inf
            ready = 0.0 if self._first else due
            wait = max(ready, self._wait(now))
            if wait > 0.0:
                self._alarm.within(wait)
                return
            self._first_had_it = bool(self._first) and not (self._first_had_it and due <= 0.0)
            turn = self._first.popleft() if self._first_had_it else heapq.heappop(self._later).turn
            if not turn.done():  # one that was given up has asked nothing
                self._take(now)
                turn.set_result(None)

    def close(self) -> None:
        """Ring no more."""
        self._alarm.off()
