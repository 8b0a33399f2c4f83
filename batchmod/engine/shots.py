"""Finds scene cuts while frames go by, and shots that come back."""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from batchmod.engine.flow import FlowEstimator, along
from batchmod.engine.raster import Floats, Gray, Rgb, luma, resized, sampled

_CHANGE = 0.1
"""Share of the colours that must be others, lest a sweep over one scene is taken for a cut."""
_UNLIKE = (0.55, 0.35)
"""Correlation, once motion is undone, below which a frame begins a shot: the first, and the second times the share
of other colours. Cuts in colour, in grey and in the dark were measured .1 and more below it, frames of one shot, also
where a flash or the exposure changed all colours, .1 and more above it."""
_DIFFERENCE = 6.0
"""In levels, each frame's mean taken off: below it nothing can be compared, in the black before a fade or in fog."""
_OTHER_COLOURS = 0.35
_MOVED = 12.0
"""In levels; what motion leaves between frames of one view, measured at 9.8 and less."""
_NOISE = 4.0
"""A variance, in squared levels, that says nothing."""
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
        """Whether the frame begins a new shot: no motion and no change of light makes it of the one before."""
        now = Glance.of(frame)
        before, self._before = self._before, now
        if before is None:
            return False
        change = 1 - now.colours_shared(before)
        return change > _CHANGE and _unlike(_left(self._flow, now, before), change)


def alike(first: Glance, second: Glance) -> bool:
    """Whether two frames may show the same: like colours, and a motion that explains the rest."""
    change = 1 - first.colours_shared(second)
    if change > _OTHER_COLOURS:
        return False
    left = _left(FlowEstimator(), first, second)
    return left.difference <= _MOVED and not _unlike(left, change)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Left:
    """What is left between two frames when motion is undone, whatever light they were taken in."""

    difference: float
    """Mean, in levels."""
    likeness: float
    """Correlation, -1..1; 0 where one of them is even."""


def _unlike(left: _Left, change: float) -> bool:
    least, by_change = _UNLIKE
    return left.difference > _DIFFERENCE and left.likeness < least + by_change * change


def _left(flow: FlowEstimator, now: Glance, before: Glance) -> _Left:
    moved = sampled(before.tones, along(flow.flow(now.tones, before.tones)))
    first, second = (tones.astype(np.float32) - np.float32(tones.mean()) for tones in (now.tones, moved))
    spread = float(first.std() * second.std())
    return _Left(
        difference=float(cv2.absdiff(first, second).mean()), likeness=float((first * second).mean()) / (spread + _NOISE)
    )


def _histogram(frame: Rgb) -> Floats:
    lab = cv2.cvtColor(resized(frame, *_HISTOGRAM_SIZE), cv2.COLOR_RGB2LAB)
    counts = cv2.calcHist([lab], [0, 1, 2], None, list(_HISTOGRAM_BINS), [0, 256] * 3).astype(np.float32)
    return cast(Floats, counts / counts.sum())
