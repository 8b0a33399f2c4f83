"""The colour table: which colour the look gives to a colour of the source."""

import numpy as np
from numpy.typing import NDArray

from batchmod.engine.fused import looked_up
from batchmod.engine.raster import Floats, Rgb, blurred, resized, unit

_BINS = 16
_WIDTH = 256 // _BINS
_SIGMAS = (6.0, 3.0, 1.5, 0.7)
"""Blurs of the table, in bins, from what is known everywhere to what is known exactly."""
_TRUSTED_COUNT = 3.0
"""A finer blur overrides a coarser one as far as it rests on more pixels than this."""
_COARSER = 4

_Table = NDArray[np.float64]


def _blurred_table(table: _Table, sigma: float) -> _Table:
    """A Gaussian blur along the three colour axes; nothing lies outside."""
    bins = np.arange(_BINS)
    weights = np.exp(-np.square(bins[:, None] - bins) / (2 * sigma * sigma)) / (sigma * np.sqrt(2 * np.pi))
    blurred_: _Table = np.einsum("ai,bj,ck,ijk...->abc...", weights, weights, weights, table, optimize=True)
    return blurred_


def _counts(key: Rgb, style: Rgb, weights: Floats) -> _Table:
    """Per bin of the key's colours: the weighted sums of the style's colours, and of the weights."""
    r, g, b = (key.reshape(-1, 3) // _WIDTH).astype(np.int64).T
    bins = (r * _BINS + g) * _BINS + b
    values = np.column_stack([style.reshape(-1, 3), np.ones(len(bins))]) * weights.reshape(-1, 1)
    sums = np.zeros((_BINS**3, 4))
    for channel in range(4):
        sums[:, channel] = np.bincount(bins, values[:, channel], len(sums))
    return sums.reshape(_BINS, _BINS, _BINS, 4)


class Palette:
    """A 16x16x16 table from source to styled colour, learnt from one picture pair by normalised convolution.

    `weights` (`height x width`, 0..1) leaves out pixels that follow no rule, such as an added object.
    """

    def __init__(self, key: Rgb, style: Rgb, weights: Floats) -> None:
        sigma = 2 * unit(key)
        counts = _counts(blurred(key, sigma), blurred(style, sigma), weights)
        table: _Table | float = 0.0
        for k, width in enumerate(_SIGMAS):
            sums = _blurred_table(counts, width)
            mean = sums[..., :3] / np.maximum(sums[..., 3:], 1e-6)
            trust = sums[..., 3:] / (sums[..., 3:] + _TRUSTED_COUNT) if k else 1.0
            table = table * (1 - trust) + mean * trust
        self._table = np.asarray(table, np.float32)

    def coarse(self, rgb: Rgb) -> Floats:
        """The styled colours of a picture at a quarter of its size."""
        height, width = rgb.shape[:2]
        small = resized(rgb, max(8, width // _COARSER), max(8, height // _COARSER))
        return self.exact(small)

    def exact(self, rgb: Rgb) -> Floats:
        """The styled colour of each pixel, interpolated between the table's bins."""
        return looked_up(rgb, self._table)
