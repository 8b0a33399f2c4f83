"""Work in processes of this machine, each of which may die without taking another one along."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

from batchmod.executors import children
from batchmod.work import WorkerDied

Result = TypeVar("Result")


class Processes:
    """Runs in spawned processes: one per core, without our keys, gone when we are gone."""

    def __init__(self, count: int, *, drop_environment: Sequence[str] = (), nicer: int = 0) -> None:
        """`nicer`: by how much its work steps back behind what else this machine does: 0 to 19."""
        self.count = count
        self._hands = [_Hand(tuple(drop_environment), nicer=nicer) for _ in range(count)]
        self.is_elsewhere = False
        self.shares_files = True

    @property
    def width(self) -> int:
        """How many works are worth being begun at a time."""
        return self.count

    @property
    def workers(self) -> tuple[int, ...]:
        """The process ids of those that run."""
        return tuple(pid for hand in self._hands for pid in hand.workers)

    async def begin(self, folder: Path) -> None:
        """Nothing: a worker starts with its first work."""

    async def submit(self, function: Callable[..., Result], *values: object, reads: Sequence[str] = ()) -> Result:
        """Run `function(*values)` in a worker. Raises WorkerDied where that ends before its result is there."""
        del reads  # they are here
        hand = min(self._hands, key=lambda each: each.busy)
        return await hand.submit(function, *values)

    def close(self) -> None:
        """Stop the workers at once."""
        for hand in self._hands:
            hand.close()


class _Hand:
    """One worker: a pool of its own, since a pool breaks as a whole and nobody could say over which work."""

    def __init__(self, drop_environment: Sequence[str], *, nicer: int) -> None:
        self.busy = 0
        self._drop = tuple(drop_environment)
        self._nicer = nicer
        self._pool: ProcessPoolExecutor | None = None

    async def submit(self, function: Callable[..., Result], *values: object) -> Result:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                1, mp_context=context, initializer=children.begin, initargs=(self._drop, self._nicer)
            )
        pool = self._pool
        self.busy += 1
        try:
            with children.starting(self._drop):  # the worker starts here, and keeps what it starts with
                running = asyncio.get_running_loop().run_in_executor(pool, function, *values)
            return await running
        except BrokenProcessPool as error:
            if self._pool is pool:
                self._pool = None
            raise WorkerDied(str(error)) from error
        finally:
            self.busy -= 1

    @property
    def workers(self) -> tuple[int, ...]:
        return tuple(self._pool._processes or ()) if self._pool is not None else ()  # noqa: SLF001 - nor to name them

    def close(self) -> None:
        if self._pool is None:
            return
        workers = list(self._pool._processes.values())  # noqa: SLF001 - there is no public way to stop them at once
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        self._pool = None


def cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
