"""Machine code is kept between runs, where it can be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from batchmod.engine import compiled

_SYNTHESIS = """
import numpy as np
from batchmod.engine import nearest, patch
from batchmod.engine.modes import MODES
from batchmod.engine.synth import Synthesizer
frame = np.zeros((32, 48, 3), np.uint8)
Synthesizer(frame, frame, MODES["flex_3"]).step(frame)
kernels = [patch.vote, patch.search_kernel(5), nearest._project, nearest._query, nearest._build]
print(sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels))
"""


@pytest.mark.parametrize(
    ("variable", "folder"), [("BATCHMOD_HOME", "cache/batchmod/numba"), ("XDG_CACHE_HOME", "batchmod/numba")]
)
def test_the_cache_lies_where_the_user_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, folder: str
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setenv("BATCHMOD_HOME", "")
    monkeypatch.setenv(variable, str(tmp_path))

    assert compiled._prepare_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / folder)
    assert (tmp_path / folder).is_dir()


def test_a_cache_that_cannot_be_made_is_done_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setenv("BATCHMOD_HOME", str(tmp_path / "file"))

    assert not compiled._prepare_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == ""


def test_threads_are_never_more_than_there_are() -> None:
    compiled.use_threads(10_000)

    assert compiled.cores() >= 1


def test_opencv_takes_no_more_threads_than_the_kernels() -> None:
    code = "import cv2; from batchmod.engine import compiled; print(compiled.cores(), cv2.getNumThreads())"
    environment = {**os.environ, "NUMBA_NUM_THREADS": "1"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout

    assert found.split() == [b"1", b"1"]


@pytest.mark.slow
def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    misses = [
        int(subprocess.run([sys.executable, "-c", _SYNTHESIS], env=environment, capture_output=True, check=True).stdout)
        for _ in range(2)
    ]

    assert misses[0] > 0
    assert misses[1] == 0
