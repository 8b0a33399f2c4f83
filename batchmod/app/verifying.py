"""Checks outputs before they count: in worker processes where there are many, so that nothing else waits for it."""

from pathlib import Path
from typing import Final, Literal

from batchmod import executors, work
from batchmod.errors import StoppedEarly
from batchmod.model import VideoFacts
from batchmod.providers.base import Executor

_MANY: Final = 24
"""Fewer are checked sooner than worker processes have started."""


class Checker:
    """Says whether a file is a whole video."""

    def __init__(self, depth: Literal["decode", "container"], *, outputs: int, engine: Executor) -> None:
        self._depth = depth
        self._engine = engine
        self._inline = executors.Inline()
        self._workers = executors.Processes(executors.cores()) if outputs >= _MANY else None

    async def verify(self, path: Path) -> VideoFacts | work.Refusal:
        """The facts of a whole video, or what is wrong with it."""
        if self._engine.is_elsewhere and self._engine.shares_files:
            try:
                return await self._engine.submit(work.verify_video, str(path), self._depth, reads=(str(path),))
            except (work.WorkerDied, StoppedEarly):
                pass
        if self._workers is not None:
            try:
                return await self._workers.submit(work.verify_video, str(path), self._depth)
            except work.WorkerDied:  # killed for its memory, say: here it is done all the same
                pass
        return await self._inline.submit(work.verify_video, str(path), self._depth)

    def close(self) -> None:
        """Stop the workers at once."""
        if self._workers is not None:
            self._workers.close()
