"""Checks outputs before they count: in worker processes where there are many, so that nothing else waits for it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from batchmod import executors, work
from batchmod.errors import StoppedEarly
from batchmod.model import VideoFacts
from batchmod.providers.base import Executor

if TYPE_CHECKING:  # with it comes the HTTP client
    from batchmod.executors.courier import Courier

_MANY: Final = 24
"""Fewer are checked sooner than worker processes have started."""
_TOGETHER: Final = 16
"""So many at most go to a worker in one piece: the way there and back costs as much as a fifth of a check."""
_AHEAD: Final = 2
"""Pieces for each worker, so that none of them waits for us."""
_NICER: Final = 5
"""A check can wait a moment; a place at the provider, and whoever keeps all the places filled, cannot."""

_Verdict = VideoFacts | work.Refusal
_Waiting = tuple[Path, "asyncio.Future[_Verdict]"]


class Checker:
    """Says whether a file is a whole video."""

    def __init__(
        self,
        depth: Literal["decode", "container"],
        *,
        outputs: int,
        engine: Executor,
        courier: "Courier",
        drop_environment: Sequence[str],
    ) -> None:
        """`outputs`: how many there may be; `drop_environment`: the variables that no worker of ours is told."""
        self._depth = depth
        self._engine = engine
        self._courier = courier
        self._inline = executors.Inline()
        self._workers = (
            executors.Processes(executors.cores(), drop_environment=drop_environment, nicer=_NICER)
            if depth == "decode" and outputs >= _MANY
            else None
        )
        self._waiting: list[_Waiting] = []
        self._away: set[asyncio.Task[None]] = set()

    async def verify(self, path: Path) -> _Verdict:
        """The facts of a whole video, or what is wrong with it."""
        if self._engine.is_elsewhere and self._engine.shares_files:
            with suppress(work.WorkerDied, StoppedEarly):
                return await self._engine.submit(work.verify_video, str(path), self._depth, reads=(str(path),))
        if self._depth == "container":
            return await self._courier.verify(path)
        if self._workers is None:
            return await self._here(path)
        verdict: asyncio.Future[_Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append((path, verdict))
        self._hand_out(self._workers)
        return await verdict

    def _hand_out(self, workers: executors.Processes) -> None:
        """Give away what waits, as long as a worker will have nothing to do soon."""
        while self._waiting and len(self._away) < _AHEAD * workers.count:
            piece, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
            task = asyncio.ensure_future(self._check(workers, piece))
            self._away.add(task)
            task.add_done_callback(lambda task: self._came_back(workers, task))

    def _came_back(self, workers: executors.Processes, task: "asyncio.Task[None]") -> None:
        self._away.discard(task)
        if not task.cancelled():
            self._hand_out(workers)

    async def _check(self, workers: executors.Processes, piece: list[_Waiting]) -> None:
        try:
            found = await workers.submit(work.verify_videos, [str(path) for path, _ in piece], self._depth)
        except Exception:  # noqa: BLE001 - killed for its memory, say: each is done here, and says itself what is wrong
            await asyncio.gather(*(self._check_here(*each) for each in piece))
            return
        for (_, verdict), one in zip(piece, found, strict=True):
            if not verdict.done():
                verdict.set_result(one)

    async def _check_here(self, path: Path, verdict: "asyncio.Future[_Verdict]") -> None:
        try:
            found = await self._here(path)
        except Exception as error:  # noqa: BLE001 - it is raised where the check was asked for
            if not verdict.done():
                verdict.set_exception(error)
            return
        if not verdict.done():
            verdict.set_result(found)

    async def _here(self, path: Path) -> _Verdict:
        return await self._inline.submit(work.verify_video, str(path), self._depth)

    def close(self) -> None:
        """Stop the workers at once."""
        self._waiting.clear()
        for task in self._away:
            task.cancel()
        if self._workers is not None:
            self._workers.close()
