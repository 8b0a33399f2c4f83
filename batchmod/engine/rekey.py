"""Styles the first frame of a new shot after another shot's keyframe ("Image analogies", Hertzmann et al. 2001)."""

import numpy as np

from batchmod.engine.exemplar import Exemplar, Guess, Settings, on_grid
from batchmod.engine.patch import Field, Weights
from batchmod.engine.raster import (
    NEAREST,
    Floats,
    Rgb,
    blurred,
    own_positions,
    smoothed,
    stretched,
    to_bytes,
    unit,
)

_ROUNDS = 4
_SETTINGS = Settings(
    weights=Weights(style=0.6, guide=1.0, edge=0.7, guide_blur=0.0), anchor=0.0, loose_anchor=0.0, patch=7
)
"""Without a position to keep to; larger patches, since neighbours must agree by their content alone."""
_KEPT_EDGE = 30.0
"""Levels; weaker edges of the frame are not drawn where no patch has them."""
_LUMA = (0.299, 0.587, 0.114)
_DOUBT = 7.0
"""Standard deviation, in levels, that a colour must have in the key before its change tells anything."""


def restyled(key: Rgb, style: Rgb, frame: Rgb) -> Rgb:
    """`frame` in the style of another picture pair: its colours, and texture where similar texture is found.

    Where nothing similar is found, the patches' colours are moved as the style moves colours on the whole.
    """
    exemplar = Exemplar(key, style, _SETTINGS)
    picture = to_bytes(exemplar.palette.exact(frame))
    height, width = frame.shape[:2]
    points = own_positions(height, width)
    confidence: Floats = np.zeros((height, width), np.float32)
    coarse: Field | None = None
    field: Field | None = None
    for _ in range(_ROUNDS):
        guess = Guess(style=picture, source=frame, points=points, confidence=confidence)
        half = guess.halved()
        start = on_grid(half.points).astype(np.int32) if coarse is None else coarse
        coarse = exemplar.search_coarse(half, start)
        field = exemplar.search_fine(guess, _doubled(coarse, points))
        picture = exemplar.voted(field, points)
    assert field is not None
    seen = blurred(exemplar.matched(field, points), 2 * unit(frame))
    beyond = smoothed(frame, 3 * unit(frame), _KEPT_EDGE).astype(np.float32) - seen
    return to_bytes((picture + beyond @ _grade(key, style)).astype(np.float32, copy=False))


def _grade(key: Rgb, style: Rgb) -> Floats:
    """How the style moves colours on the whole: a 3x3 matrix, from a change of the source to that of the style.

    Linear regression; what hardly varies in the key is taken to stay, its colour as far as the style has any.
    """
    k, s = (picture.reshape(-1, 3).astype(np.float64) for picture in (key, style))
    k, s = k - k.mean(0), s - s.mean(0)
    grey = np.outer(_LUMA, np.ones(3))
    colour = np.eye(3) - grey
    kept = min(1.0, (float((s @ colour).std()) + 1) / (float((k @ colour).std()) + 1))
    doubt = len(k) * _DOUBT**2
    both = k.T @ s + doubt * (grey + kept * colour)
    return np.linalg.solve(k.T @ k + doubt * np.eye(3), both).astype(np.float32)


def _doubled(coarse: Field, points: Floats) -> Field:
    """A field of half-size patches as the start for full-size ones."""
    rows, columns = on_grid(points).shape[:2]
    height, width = points.shape[:2]
    larger = stretched(coarse.astype(np.float32), columns, rows, NEAREST) * 2
    return np.clip(larger, 0, np.array([width - 1, height - 1], np.float32)).astype(np.int32)
