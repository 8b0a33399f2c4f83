"""Judges whether the style is kept over the clip: distance, sharpness and drift."""

from dataclasses import dataclass

import numpy as np

from batchmod.engine.metrics.pictures import Style, laplacian_variance
from batchmod.engine.metrics.source import Step
from batchmod.engine.metrics.timeline import Timeline, early_and_late
from batchmod.engine.raster import Rgb

_SMALLEST_SIDE = 16
_NOISE = 0.25
"""Levels of texture distance that a style keeps to itself when it is sampled elsewhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StyleOverTime:
    """The distance to a reference picture, and its course; None where frames are below 16 pixels a side."""

    texture: float | None
    """Mean over the clip's frames after the first, in levels; see `StyleDistance`."""
    colour: float | None
    sharpness: float | None
    """Power of the finest detail as a share of the reference's, over the same frames: 1 as sharp."""
    drift: float | None
    """Texture distance of the last fifth of the clip, as a multiple of that near its beginning: 1 none."""
    timeline: tuple[tuple[int, float], ...]
    """(frame number, texture distance), at most 128 evenly spaced points."""


class StyleMeter:
    """Compares frames with a reference picture; without one, with the output's own first frame."""

    def __init__(self, reference: Rgb | None = None, every: int = 4) -> None:
        self._given = reference
        self._style: Style | None = None
        self._detail = 0.0
        self._texture, self._colour, self._sharpness = Timeline(every), Timeline(every), Timeline(every)

    def add(self, step: Step, output: Rgb) -> None:
        """Judge one output frame of the working size."""
        if min(output.shape[:2]) < _SMALLEST_SIDE:
            return
        if self._style is None:
            reference = output if self._given is None else step.fitted(self._given)
            self._style, self._detail = Style(reference), max(laplacian_variance(reference), 1e-6)
        if not self._texture.wants(step.number):
            return
        distance = self._style.distance(output)
        self._texture.add(step.number, distance.texture)
        self._colour.add(step.number, distance.colour)
        self._sharpness.add(step.number, laplacian_variance(output) / self._detail)

    def result(self) -> StyleOverTime:
        """The course so far."""
        ends = early_and_late(self._texture.points)
        return StyleOverTime(
            texture=_mean_after_first(self._texture),
            colour=_mean_after_first(self._colour),
            sharpness=_mean_after_first(self._sharpness),
            drift=None if ends is None else (ends[1] + _NOISE) / (ends[0] + _NOISE),
            timeline=self._texture.points,
        )


def _mean_after_first(timeline: Timeline) -> float | None:
    """The first frame is the reference itself, or nearly; it stands alone only in clips of one frame."""
    values = [value for _, value in timeline.points]
    return float(np.mean(values[1:] or values)) if values else None
