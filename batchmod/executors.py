"""Where work runs: inline (for tests and small things) or in a pool of processes that end with their parent."""

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import ModuleType
from typing import TypeVar

Result = TypeVar("Result")


class Inline:
    """Runs in a thread of this process."""

    async def submit(self, function: Callable[..., Result], *values: object) -> Result:
        """Run `function(*values)` in a thread."""
        return await asyncio.to_thread(function, *values)

    def close(self) -> None:
        """Nothing to stop."""


class Processes:
    """Runs in spawned processes: one per core, without our keys, gone when we are gone.

    Spawn, not fork: a forked worker would inherit the folder's lock and keep it after its owner was killed.
    """

    def __init__(self, count: int, *, drop_environment: Sequence[str] = (), nicer: int = 0) -> None:
        """`nicer`: by so much the workers give way to their parent, and to others (nice(2))."""
        self.count = count
        self._nicer = nicer
        self._drop = tuple(drop_environment)
        self._pool: ProcessPoolExecutor | None = None

    async def submit(self, function: Callable[..., Result], *values: object) -> Result:
        """Run `function(*values)` in a worker. One that dies takes what runs beside it along, nothing later."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                self.count, mp_context=context, initializer=_begin_worker, initargs=(self._drop, self._nicer)
            )
        pool = self._pool
        with _without(self._drop), _deaf(), _nameless():  # the workers start here, and keep what they start with
            running = asyncio.get_running_loop().run_in_executor(pool, function, *values)
        try:
            return await running
        except BrokenProcessPool:
            if self._pool is pool:
                self._pool = None
            raise

    def close(self) -> None:
        """Stop the workers at once."""
        if self._pool is None:
            return
        workers = list(self._pool._processes.values())  # noqa: SLF001 - there is no public way to stop them at once
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        self._pool = None


_environment = threading.RLock()


def environment() -> dict[str, str]:
    """This process's environment, whole: not as it is while workers of another thread's start without our keys."""
    with _environment:
        return dict(os.environ)


@contextmanager
def _without(names: Sequence[str]) -> Iterator[None]:
    """The environment without these variables, for as long as the block lasts."""
    with _environment:
        kept = {name: os.environ.pop(name) for name in names if name in os.environ}
        try:
            yield
        finally:
            os.environ.update(kept)


@contextmanager
def _nameless() -> Iterator[None]:
    """The program that runs us is not run again in the workers, which need nothing of it.

    A script that calls `run` without `if __name__ == "__main__":` would start itself in each of them.
    """
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


@contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C reaches nobody who starts while the block lasts: what is blocked is inherited.

    A worker says itself that it ignores it, but only after its first second, and a terminal tells them all.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _begin_worker(drop_environment: Sequence[str], nicer: int) -> None:
    """In a worker: leave Ctrl-C to the parent, forget the keys, end when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if nicer and hasattr(os, "nice"):
        os.nice(nicer)
    for name in drop_environment:
        os.environ.pop(name, None)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
