"""Scores and thumbnails beside a run: outputs are looked at as they come home, and the run does not wait for them."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from batchmod import clock, executors
from batchmod.app.options import Options
from batchmod.app.scoring.orders import Wishes, lacking
from batchmod.app.scoring.scorer import Scorer, look_at_all
from batchmod.app.scoring.workers import is_shared
from batchmod.app.services import engine_installed
from batchmod.checkpoint import Checkpoint
from batchmod.model import Event
from batchmod.providers.base import Executor

_AFTER_S: Final = 1.0
"""A run that is over by then would only wait for its workers to start."""
_MOST_WAITING: Final = 1000
"""Further ones are left to `batchmod report`."""
_SHARE: Final = 4
"""Of the works that a cluster is given at a time, so many to one output that is looked at: that takes far less."""


class Scoring:
    """One of a run's companions: not waited for unless somebody says so."""

    warnings: Sequence[str] = ()

    def __init__(
        self,
        record: Checkpoint,
        folder: Path,
        options: Options,
        tell: Callable[[int, int], None],
        *,
        machines: Executor | None = None,
    ) -> None:
        self._record, self._folder, self._tell = record, folder, tell
        self._wishes = Wishes(scores=options.scores, remote=options.score_remote)
        self._is_awaited = options.wait_scores
        self._workers = max(1, executors.cores() // 2)
        self._machines = machines
        self._scorer = Scorer(record, folder, self._wishes, workers=self._workers, machines=machines)
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue(_MOST_WAITING)
        self._tasks: list[asyncio.Task[None]] = []
        self._heard: dict[str, None] = {}
        self._ended = not options.scores

    @property
    def kept(self) -> int:
        """Outputs that scores, or why there are none, were written down for."""
        return self._scorer.kept

    def left(self) -> int:
        """How many outputs of this run have no scores yet and can have them."""
        if not self._wishes.scores or not engine_installed():
            return 0
        return self._record.awaiting_scores(self._heard, remote=self._wishes.remote)

    def begin(self) -> None:
        """See how many can be looked at side by side; outputs of before are looked at by `batchmod report`."""
        if self._machines is not None and is_shared(self._machines):
            self._workers = max(self._workers, self._machines.width // _SHARE)
            self._scorer.widen(self._workers)

    def heard(self, event: Event) -> None:
        """Take note of an output; more than can wait are left for later."""
        if event.kind not in ("succeeded", "copied") or event.job_key is None or self._ended:
            return
        if event.kind == "succeeded":
            self._heard[event.job_key] = None
        if not self._tasks:
            self._tasks = [asyncio.ensure_future(self._carry()) for _ in range(self._workers)]
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait(event.job_key)

    async def _carry(self) -> None:
        await clock.sleep(_AFTER_S)
        while (key := await self._waiting.get()) is not None:
            found = self._record.latest_work(key)
            if found is not None:
                await self._scorer.look(found.work_id)

    def stop(self) -> None:
        """Leave what is not done, at once."""
        self._ended = True
        for task in self._tasks:
            task.cancel()

    async def finish(self) -> None:
        """Where they are waited for: every output of the folder that has no scores yet, or until `stop`."""
        if self._ended or not self._is_awaited:
            return
        waiting = asyncio.ensure_future(self._rest())
        self._tasks.append(waiting)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([waiting])

    async def _rest(self) -> None:
        """End what is being looked at, then look at what was not."""
        while not self._waiting.empty():
            self._waiting.get_nowait()
        carriers = self._tasks[: self._workers] if self._heard else []
        for _ in carriers:
            self._waiting.put_nowait(None)
        await asyncio.gather(*carriers)
        self._scorer.keep()
        await look_at_all(self._scorer, lacking(self._record, self._folder, self._wishes), self._tell)

    async def close(self) -> None:
        """Leave what is not done, and keep what is."""
        self.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._scorer.close()
