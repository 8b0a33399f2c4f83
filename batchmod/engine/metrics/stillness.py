"""Counts frames that are black, and frames that stand still while the source moves."""

from dataclasses import dataclass

import numpy as np

from batchmod.engine.metrics.source import Step, mean_difference
from batchmod.engine.raster import Rgb, luma

_BLACK_LEVEL = 38
"""A pixel below it counts as black: 10 % of the range above video black, ffmpeg's `blackdetect`."""
_BLACK_SHARE = 0.98
"""Share of black pixels that makes a frame black, likewise."""
_STILL = 0.5
"""Mean difference, in levels, below which two encoded frames are one picture."""
_MOVING = 4.0
"""The source moves if it changes this many times as much as the output, and by more than encoding does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stillness:
    """Frames, counted."""

    black: int
    """Black where the source is not."""
    frozen: int
    """The same as the frame before, while the source moved, and not black."""
    longest_frozen: int
    """The most of them in a row."""


class StillnessMeter:
    """Finds black and frozen frames; a black or still source is no fault of its output."""

    def __init__(self) -> None:
        self._before: Rgb | None = None
        self._black = self._frozen = self._run = self._longest = 0

    def add(self, step: Step, output: Rgb) -> None:
        """Judge one output frame of the working size."""
        black = _is_black(output)
        self._black += black and not _is_black(step.frame)
        change = None if black or self._before is None else mean_difference(output, self._before)
        frozen = change is not None and _is_frozen(step.change, change)
        self._frozen += frozen
        self._run = self._run + 1 if frozen else 0
        self._longest = max(self._longest, self._run)
        self._before = output

    def result(self) -> Stillness:
        """The counts so far."""
        return Stillness(black=self._black, frozen=self._frozen, longest_frozen=self._longest)


def _is_black(picture: Rgb) -> bool:
    return float(np.mean(luma(picture) < _BLACK_LEVEL)) >= _BLACK_SHARE


def _is_frozen(source_change: float, change: float) -> bool:
    return change < _STILL and source_change > max(2 * _STILL, _MOVING * change)
