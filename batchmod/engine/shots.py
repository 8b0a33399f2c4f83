"""Finds scene cuts while frames go by, and shots that come back."""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from batchmod.engine.flow import FlowEstimator, along
from batchmod.engine.raster import Floats, Gray, Rgb, luma, resized, sampled

_HISTOGRAM_DROP = 0.35
"""Cuts measured at .37 and more, frames of one shot at .14 and less."""
_RESIDUAL = 12.0
"""In levels; cuts measured at 32.6 and more, frames of one shot at 9.8 and less."""
_SIZE = (160, 90)
_HISTOGRAM_SIZE = (64, 36)
_HISTOGRAM_BINS = (8, 6, 6)


@dataclass(frozen=True, kw_only=True, slots=True)
class Glance:
    """What is kept of a frame to compare another one with."""

    colours: Floats
    tones: Gray

    @classmethod
    def of(cls, frame: Rgb) -> "Glance":
        """A frame's histogram in Lab and its small luma."""
        return cls(colours=_histogram(frame), tones=luma(resized(frame, *_SIZE)))

    def colours_shared(self, other: "Glance") -> float:
        """1 for the same histogram, 0 for histograms without anything in common."""
        return float(np.minimum(self.colours, other.colours).sum())


class CutDetector:
    """Tells the first frame of each new shot; feed it every frame in order."""

    def __init__(self) -> None:
        self._flow = FlowEstimator()
        self._before: Glance | None = None

    def is_cut(self, frame: Rgb) -> bool:
        """Whether the frame begins a new shot: other colours, and no motion explains it."""
        now = Glance.of(frame)
        before, self._before = self._before, now
        if before is None or 1 - now.colours_shared(before) <= _HISTOGRAM_DROP:
            return False
        return _residual(self._flow, now, before) > _RESIDUAL


def alike(first: Glance, second: Glance) -> bool:
    """Whether two frames may be of one shot: like colours, and a motion that explains the rest."""
    if 1 - first.colours_shared(second) > _HISTOGRAM_DROP:
        return False
    return _residual(FlowEstimator(), first, second) <= _RESIDUAL


def _residual(flow: FlowEstimator, now: Glance, before: Glance) -> float:
    """Mean difference, in levels, that is left when motion is undone."""
    moved = sampled(before.tones, along(flow.flow(now.tones, before.tones)))
    return float(cv2.absdiff(moved, now.tones).mean())


def _histogram(frame: Rgb) -> Floats:
    lab = cv2.cvtColor(resized(frame, *_HISTOGRAM_SIZE), cv2.COLOR_RGB2LAB)
    counts = cv2.calcHist([lab], [0, 1, 2], None, list(_HISTOGRAM_BINS), [0, 256] * 3).astype(np.float32)
    return cast(Floats, counts / counts.sum())
