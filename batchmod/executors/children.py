"""Processes that we start: without our keys, deaf to Ctrl-C, gone when we are gone."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from types import ModuleType
from typing import Final

_BEHIND_ALL: Final = 19
"""Linux still gives a fiftieth of a busy core to what is as nice as that, unless it is to have only what is idle."""

_environment = threading.RLock()


def environment() -> dict[str, str]:
    """This process's environment, whole: not as it is while workers of another thread's start without our keys."""
    with _environment:
        return dict(os.environ)


@contextmanager
def starting(drop_environment: Sequence[str]) -> Iterator[None]:
    """What starts while the block lasts has none of these variables, hears no Ctrl-C, and runs no program of ours.

    Spawn, not fork: a forked worker would inherit the folder's lock and keep it after its owner was killed.
    """
    with _without(drop_environment), _deaf(), _nameless():
        yield


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


def begin(drop_environment: Sequence[str], nicer: int = 0) -> None:
    """In a process that we started: leave Ctrl-C to the parent, forget the keys, end when the parent ends.

    `nicer`: and step back behind what else this machine does, by 0 to 19; by 19 behind all of it.
    """
    if nicer and hasattr(os, "nice"):
        os.nice(nicer)
    if nicer >= _BEHIND_ALL and hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):  # forbidden to some, in containers
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in drop_environment:
        os.environ.pop(name, None)
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # there are as many of us as there are cores
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
