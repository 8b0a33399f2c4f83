"""The source's side of every comparison: its frames at the working size, and how they moved."""

from dataclasses import dataclass

import cv2
import numpy as np

from batchmod.engine.flow import FlowEstimator, Motion
from batchmod.engine.raster import Gray, Rgb, luma, resized

WORKING_PIXELS = 640 * 360
"""Pixels of the largest picture that is compared as it is."""
LONG_STEP = 10
"""Frames between those that are compared for slow changes."""


def working_size(width: int, height: int, largest: int) -> tuple[int, int]:
    """The size, of the same shape and at most `largest` pixels, at which a clip is judged."""
    factor = min(1.0, (largest / (width * height)) ** 0.5)
    return max(1, int(width * factor)), max(1, int(height * factor))


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One frame of the source at the working size, and how it moved; None where there is nothing to compare with."""

    number: int
    """Counts from 0."""
    frame: Rgb
    change: float
    """Mean absolute difference to the frame before, in levels, without any motion compensation."""
    motion: Motion | None
    """Since the frame before."""
    long_motion: Motion | None
    """Since ten frames before, at every tenth frame."""

    def fitted(self, picture: Rgb) -> Rgb:
        """A picture of any size at the working size; another shape is stretched."""
        return resized(picture, self.frame.shape[1], self.frame.shape[0])


class SourceTrack:
    """Follows the source, frame by frame; several outputs can be judged against one track."""

    def __init__(self, largest: int = WORKING_PIXELS) -> None:
        self._largest = largest
        self._flow = FlowEstimator()
        self._size: tuple[int, int] | None = None
        self._number = 0
        self._before: Rgb | None = None
        self._tones: Gray | None = None
        self._anchor: Gray | None = None

    def advance(self, source: Rgb) -> Step:
        """The next frame's step."""
        self._size = self._size or working_size(source.shape[1], source.shape[0], self._largest)
        frame = resized(source, *self._size)
        tones, number = luma(frame), self._number
        step = Step(
            number=number,
            frame=frame,
            change=0.0 if self._before is None else mean_difference(frame, self._before),
            motion=None if self._tones is None else self._flow.motion(tones, self._tones),
            long_motion=self._long_motion(tones, number),
        )
        self._number, self._before, self._tones = number + 1, frame, tones
        return step

    def _long_motion(self, tones: Gray, number: int) -> Motion | None:
        if number % LONG_STEP:
            return None
        anchor, self._anchor = self._anchor, tones
        return None if anchor is None else self._flow.motion(tones, anchor)


def mean_difference(picture: Rgb, other: Rgb) -> float:
    """Mean absolute difference of two pictures of one size, in levels."""
    return float(np.mean(cv2.absdiff(picture, other)))
