"""Durable steps, those of one moment together; whoever took one goes on when it is on disk."""

import asyncio
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from batchmod import clock

Value = TypeVar("Value")

_SOON_S: Final = 0.1
_LONGEST_S: Final = 0.01
"""Nobody waits longer for company, but on a disk that takes longer for a commit: there, as long as that takes."""
_PATIENT_S: Final = 0.01
"""After a commit, what is not urgent waits so long for one that is, to go with it."""
_CROWD: Final = 100.0
"""At so many steps a second they wait as long as a commit takes; at twice as many twice as long; and so on."""
_MOST_CROWDED: Final = 4.0
_BUSY: Final = 400.0
"""At so many a second nothing is urgent: nobody gains by commits that leave no time for anything else."""
_LOOKS_BACK_S: Final = 0.1


@dataclass(kw_only=True, slots=True)
class _Taken:
    """A step, and what came of it. `done` only wakes whoever waits: it is cancelled with him, and the step is not."""

    step: Callable[[], Any]
    done: "asyncio.Future[None] | None" = None
    value: Any = None
    error: Exception | None = None
    is_over: bool = False


class Writer:
    """Groups the steps of a database: a commit costs as much for a hundred of them as for one.

    No promise is weaker for it: a step's value is had only when it is on disk, as if it had been alone.
    """

    def __init__(self, together: Callable[[], AbstractContextManager[None]], *, broken: type[Exception]) -> None:
        """`together`: a group; `broken`: what it raises where nothing of it was written."""
        self._together, self._broken = together, broken
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._took_s = self._ended = 0.0
        self._added = 0.0
        self._rate = 0.0
        """Steps a second, of late."""
        self._waiting: list[_Taken] = []

    async def write(self, step: Callable[[], Value], *, urgent: bool = False) -> Value:
        """Take a step with those of the same moment; its value, or what it raises, once it is durable.

        `urgent`: a place at the provider may be empty until then; it waits for company only where all are busy.
        A task that is cancelled meanwhile comes back with its value all the same, and is cancelled where it waits
        next: what is on disk must be followed by what belongs to it.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        taken = _Taken(step=step, done=done)
        self._add(taken, loop, urgent=urgent)
        try:
            await done
        except asyncio.CancelledError:
            if not taken.is_over:
                self.flush()
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            loop.call_soon(task.cancel)
        assert taken.is_over
        if taken.error is not None:
            raise taken.error
        value: Value = taken.value
        return value

    def soon(self, step: Callable[[], object]) -> None:
        """Take a step that nobody waits for, after those that were taken before it."""
        self._add(_Taken(step=step), asyncio.get_running_loop(), within_s=_SOON_S)

    def _add(
        self,
        taken: "_Taken",
        loop: asyncio.AbstractEventLoop,
        *,
        within_s: float = 0.0,
        urgent: bool = False,
    ) -> None:
        """Wait for others no longer than the last commit took: half of the time at most goes into commits.

        Where many come, each of them has little to lose by waiting, and a fifth of the time is enough.
        """
        self._waiting.append(taken)
        now = clock.ticks()
        self._rate = self._rate * math.exp((self._added - now) / _LOOKS_BACK_S) + 1.0 / _LOOKS_BACK_S
        self._added = now
        wait_s = self._took_s * min(_MOST_CROWDED, max(1.0, self._rate / _CROWD))
        if not urgent:
            wait_s = max(wait_s, _PATIENT_S)
        elif self._rate < _BUSY:
            wait_s = 0.0
        due = max(now + within_s, min(self._ended + wait_s, now + max(_LONGEST_S, self._took_s)))
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due, self._timer = due, loop.call_later(due - now, self.flush)

    def flush(self) -> None:
        """Write what waits, now."""
        if self._timer is not None:
            self._timer.cancel()
        began, self._timer = clock.ticks(), None
        waiting, self._waiting = self._waiting, []
        outcomes = self._outcomes([taken.step for taken in waiting])
        for taken, (value, error) in zip(waiting, outcomes, strict=True):
            taken.value, taken.error, taken.is_over = value, error, True
            if taken.done is not None and not taken.done.done():
                taken.done.set_result(None)

        self._ended = clock.ticks()
        self._took_s = self._ended - began

    def _outcomes(self, steps: list[Callable[[], Any]]) -> list[tuple[Any, Exception | None]]:
        if len(steps) > 1:
            try:
                with self._together():
                    return [self._outcome(step) for step in steps]
            except self._broken:
                pass  # each by itself: one may find room where all did not, and a receipt has its ballast
            except Exception as error:  # noqa: BLE001 - it is raised where the steps were taken: somebody waits there
                return [(None, error) for _ in steps]
        return [self._outcome(step) for step in steps]

    def _outcome(self, step: Callable[[], Any]) -> tuple[Any, Exception | None]:
        try:
            return step(), None
        except self._broken:
            raise
        except Exception as error:  # noqa: BLE001 - it is raised where the step was taken
            return None, error
