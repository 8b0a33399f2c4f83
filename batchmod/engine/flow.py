"""Optical flow between frames, and where it can be trusted."""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from batchmod.engine.fused import agreeing
from batchmod.engine.raster import Gray, Mask, Points, own_positions

_SMALLEST_SIDE = 16
"""Below this side, in pixels, DIS has no pyramid to work on and nothing is taken to move."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Motion:
    """How a frame moved: `backward` leads from the frame to the one before; `trusted` where both flows agree."""

    backward: Points
    trusted: Mask


def along(flow: Points) -> Points:
    """The positions a flow leads to."""
    return cast(Points, cv2.add(own_positions(*flow.shape[:2]), flow))


def agreement(backward: Points, forward: Points) -> Mask:
    """Pixels whose backward flow leads into the frame before and is undone by the forward flow.

    The test is that of Sundaram, Brox and Keutzer, "Dense point trajectories by GPU-accelerated large
    displacement optical flow", 2010.
    """
    return agreeing(backward, forward)


class FlowEstimator:
    """Dense inverse search (Kroeger et al. 2016) for the frames of one clip, all of one size.

    Each use has a DIS object of its own, never shared with another clip: one that was given an initial flow
    crashes the process when it later meets a larger frame.
    """

    def __init__(self) -> None:
        self._plain = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        # What only checks the plain flow may be rougher than it, and a good guess needs less work: the pictures
        # are as good, and each takes two thirds of the time.
        self._checking = _lighter(descents=12, stride=4)
        self._started = _lighter(descents=6, stride=3)

    def flow(self, start: Gray, end: Gray) -> Points:
        """The flow F with `start(x) ≈ end(x + F(x))`."""
        return _found(self._plain, start, end)

    def refined(self, start: Gray, end: Gray, guess: Points) -> Points:
        """The same, searched from `guess` on, which is left as it is."""
        if min(start.shape) < _SMALLEST_SIDE:
            return guess
        return cast(Points, self._started.calc(start, end, guess.copy()))

    def motion(self, now: Gray, before: Gray) -> Motion:
        """How `now` moved since `before`."""
        backward = self.flow(now, before)
        return Motion(backward=backward, trusted=agreement(backward, _found(self._checking, before, now)))


def _found(search: cv2.DISOpticalFlow, start: Gray, end: Gray) -> Points:
    if min(start.shape) < _SMALLEST_SIDE:
        return np.zeros((*start.shape, 2), np.float32)
    return cast(Points, search.calc(start, end, None))  # type: ignore[call-overload]


def _lighter(*, descents: int, stride: int) -> cv2.DISOpticalFlow:
    """The medium preset (25 descents, 3 px between patches, 5 rounds of refinement) with less work."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setGradientDescentIterations(descents)
    search.setVariationalRefinementIterations(3)
    search.setPatchStride(stride)
    return search
