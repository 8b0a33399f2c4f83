"""Styles the first frame of a new shot after another shot's keyframe ("Image analogies", Hertzmann et al. 2001)."""

import numpy as np

from batchmod.engine.exemplar import Exemplar, Guess, Settings, on_grid
from batchmod.engine.patch import Field, Weights
from batchmod.engine.raster import NEAREST, Floats, Rgb, own_positions, stretched, to_bytes

_ROUNDS = 4
_SETTINGS = Settings(
    weights=Weights(style=0.6, guide=1.0, edge=0.7, guide_blur=0.0), anchor=0.0, loose_anchor=0.0, patch=7
)
"""Without a position to keep to; larger patches, since neighbours must agree by their content alone."""


def restyled(key: Rgb, style: Rgb, frame: Rgb) -> Rgb:
    """`frame` in the style of another picture pair: its colours, and texture where similar texture is found."""
    exemplar = Exemplar(key, style, _SETTINGS)
    picture = to_bytes(exemplar.palette.exact(frame))
    height, width = frame.shape[:2]
    points = own_positions(height, width)
    confidence: Floats = np.zeros((height, width), np.float32)
    coarse: Field | None = None
    for _ in range(_ROUNDS):
        guess = Guess(style=picture, source=frame, points=points, confidence=confidence)
        half = guess.halved()
        start = on_grid(half.points).astype(np.int32) if coarse is None else coarse
        coarse = exemplar.search_coarse(half, start)
        picture = exemplar.voted(exemplar.search_fine(guess, _doubled(coarse, points)), on_grid(points))
    return picture


def _doubled(coarse: Field, points: Floats) -> Field:
    """A field of half-size patches as the start for full-size ones."""
    rows, columns = on_grid(points).shape[:2]
    height, width = points.shape[:2]
    larger = stretched(coarse.astype(np.float32), columns, rows, NEAREST) * 2
    return np.clip(larger, 0, np.array([width - 1, height - 1], np.float32)).astype(np.int32)
