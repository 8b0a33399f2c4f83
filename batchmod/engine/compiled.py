"""Compiles the engine's kernels with Numba and keeps the machine code between runs.

The code is kept in `$NUMBA_CACHE_DIR`, else in batchmod's own cache folder. Where no folder can be written
every process compiles anew, which costs some seconds.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import cv2

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _cache_home() -> Path:
    """`$BATCHMOD_HOME/cache`, else `$XDG_CACHE_HOME`, else `~/.cache`; RuntimeError without a home."""
    if own := os.environ.get("BATCHMOD_HOME"):
        return Path(own) / "cache"
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared)
    return Path.home() / ".cache"


def _prepare_cache() -> bool:
    """Name a folder for machine code that can be written; False where there is none."""
    try:
        folder = Path(os.environ.get("NUMBA_CACHE_DIR") or _cache_home() / "batchmod" / "numba")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return False
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return True


# Numba reads the variable when it is imported, so this must come first.
CACHED = _prepare_cache()

import numba  # noqa: E402 - see above

prange = numba.prange
"""A range whose turns run in parallel; the turns must not depend on each other."""


def kernel(function: _Function) -> _Function:
    """Compile a function whose `prange` loops run in parallel."""
    return cast(_Function, numba.njit(function, parallel=True, fastmath=True, cache=CACHED))


def serial(function: _Function) -> _Function:
    """Compile a function that runs in one thread."""
    return cast(_Function, numba.njit(function, fastmath=True, cache=CACHED))


def inlined(function: _Function) -> _Function:
    """Compile a function into the body of each kernel that calls it."""
    return cast(_Function, numba.njit(function, fastmath=True, inline="always"))


def use_threads(count: int) -> None:
    """Let this process's kernels, and OpenCV, run in `count` threads; results do not depend on it."""
    numba.set_num_threads(min(count, cores()))
    cv2.setNumThreads(min(count, cores()))


def cores() -> int:
    """The threads that Numba was started with."""
    return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


# OpenCV would take all cores, even where several processes share them, one each.
use_threads(cores())
