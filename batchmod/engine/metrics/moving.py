"""Judges motion: flicker against the source's motion, and whether the output moves as the source does."""

from dataclasses import dataclass

import cv2
import numpy as np

from batchmod.engine.flow import FlowEstimator
from batchmod.engine.metrics.motion import moved_difference
from batchmod.engine.metrics.source import LONG_STEP, Step
from batchmod.engine.raster import Gray, Rgb, length, luma

_RESTLESS = 0.5
"""Levels; a source steadier than this is taken to be this unsteady, so that no ratio explodes."""
_STANDING = 0.5
"""Pixels of motion below which the two flows cannot be told apart from noise."""


class _Mean:
    """A mean over values that come one by one."""

    def __init__(self) -> None:
        self._total, self._count = 0.0, 0

    def add(self, value: float) -> None:
        self._total += value
        self._count += 1

    def value(self) -> float | None:
        return self._total / self._count if self._count else None


@dataclass(frozen=True, kw_only=True, slots=True)
class WarpErrors:
    """Mean colour differences, in levels, to an earlier output frame moved with the source; None for short clips."""

    short: float | None
    """To the frame before: flicker."""
    long: float | None
    """To the frame ten before: texture that crawls or slowly changes."""
    source: float | None
    """The source's own to the frame before: light, noise and flow errors; no output can be expected to be below."""

    @property
    def flicker(self) -> float | None:
        """`short` as a multiple of the source's own: 1 as steady as the source, 3 visibly restless."""
        if self.short is None or self.source is None:
            return None
        return self.short / max(self.source, _RESTLESS)


class WarpErrorMeter:
    """Warp error over 1 and 10 frames; see `warp_error` for what it is."""

    def __init__(self) -> None:
        self._short, self._long, self._source = _Mean(), _Mean(), _Mean()
        self._before: tuple[Rgb, Rgb] | None = None
        self._anchor: Rgb | None = None

    def add(self, step: Step, output: Rgb) -> None:
        """Judge one output frame of the working size."""
        if step.motion is not None and step.motion.trusted.any() and self._before is not None:
            source, before = self._before
            self._short.add(moved_difference(output, before, step.motion))
            self._source.add(moved_difference(step.frame, source, step.motion))
        if step.long_motion is not None and step.long_motion.trusted.any() and self._anchor is not None:
            self._long.add(moved_difference(output, self._anchor, step.long_motion))
        self._before = (step.frame, output)
        if step.number % LONG_STEP == 0:
            self._anchor = output

    def result(self) -> WarpErrors:
        """The means so far."""
        return WarpErrors(short=self._short.value(), long=self._long.value(), source=self._source.value())


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionAgreement:
    """How far the output moves as the source does, where the source's flow can be trusted; None for one frame."""

    error: float | None
    """Mean endpoint error between the two flows (Baker et al. 2011), in pixels of the working size; 0 at best."""
    agreement: float | None
    """0..1: 1 - |difference| / (|one| + |other| + 0.5 px), summed over the clip: 1 the same motion, 0 none in common.

    It does not depend on speed and size as `error` does. A look with strong texture of its own misleads the flow
    of its output somewhat; a filter that is drawn on each frame anew reaches .5 to .8.
    """


class MotionMeter:
    """Compares the flow of the output with the source's, at every `every`-th frame."""

    def __init__(self, every: int = 4) -> None:
        self._every = every
        self._flow = FlowEstimator()
        self._before: Gray | None = None
        self._pixels = 0
        self._apart = self._together = 0.0

    def add(self, step: Step, output: Rgb) -> None:
        """Judge one output frame of the working size."""
        before, self._before = self._before, luma(output)
        if step.motion is None or before is None or step.number % self._every != 1 % self._every:
            return
        flow = self._flow.flow(self._before, before)
        theirs, trusted = step.motion.backward, step.motion.trusted
        self._pixels += int(trusted.sum())
        self._apart += float(length(flow - theirs)[trusted].sum(dtype=np.float64))
        self._together += float(cv2.add(length(flow), length(theirs))[trusted].sum(dtype=np.float64))

    def result(self) -> MotionAgreement:
        """The agreement so far."""
        if not self._pixels:
            return MotionAgreement(error=None, agreement=None)
        share = self._apart / (self._together + _STANDING * self._pixels)
        return MotionAgreement(error=self._apart / self._pixels, agreement=1 - share)
