"""What is done to a synthesised frame: lost contrast, live detail of the source, and the mode's mixing."""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from batchmod.engine.fused import amplified, answered, lit, sharpened
from batchmod.engine.modes import Shares
from batchmod.engine.raster import Floats, Rgb, blurred, box_mean, luma, unit

_RESIDUAL = 0.8
"""How much of what the source does beyond the keyframe is handed on."""


def texture_energy(rgb: Rgb) -> Floats:
    """The local power of a picture's fine luma detail, in squared levels."""
    tones = luma(rgb).astype(np.float32)
    fine = cv2.subtract(tones, blurred(tones, 2), tones)
    return blurred(cast(Floats, cv2.multiply(fine, fine, fine)), 4)


def restored(rgb: Rgb, wanted: Floats) -> Rgb:
    """The picture with its fine detail raised, at most 2.2 times, to the energy it is wanted to have."""
    return sharpened(rgb, blurred(rgb.astype(np.float32), 2), wanted, texture_energy(rgb))


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """How the styled keyframe answers to changes of the source, locally."""

    slope: Floats
    """Change of the style per change of the source, per channel, -1.5..1.8."""
    explained: Floats
    """0..1: how well such a line describes the edit here; 1 where nothing was edited."""

    @classmethod
    def of(cls, key: Rgb, style: Rgb) -> "Response":
        """Fit a line from key to style in a window around each pixel."""
        k, s = key.astype(np.float32), style.astype(np.float32)
        side = max(5, min(k.shape[:2]) // 24) | 1
        mean_k, mean_s = box_mean(k, side), box_mean(s, side)
        variance_k = box_mean(k * k, side) - mean_k * mean_k
        variance_s = box_mean(s * s, side) - mean_s * mean_s
        both = box_mean(k * s, side) - mean_k * mean_s
        # Where the source is flat nothing can be measured; a slope of 0.4 is assumed.
        slope = np.clip((both + 0.4 * 60) / (variance_k + 60), -1.5, 1.8)
        fit = np.clip((both * both / ((variance_k + 8) * (variance_s + 8))).mean(-1), 0, 1)
        unchanged = np.exp(-np.square(box_mean(np.abs(k - s), side).mean(-1) / 6))
        explained = np.maximum(np.square(fit), unchanged)
        return cls(slope=blurred(slope, side / 3), explained=blurred(explained, side / 3))


def with_live_detail(rgb: Rgb, beyond: Floats, slope: Floats, explained: Floats, trust: Floats) -> Rgb:
    """Add what the source does `beyond` the warped keyframe: a mouth, a blink, a change of light.

    Where the edit follows the source the difference is taken as it is; elsewhere only what exceeds 3 levels,
    and less of it. `slope` and `explained` are a `Response` seen from this frame; `trust` is the
    correspondence's, 0..1.
    """
    gain = blurred(np.minimum(np.float32(_RESIDUAL), trust * np.float32(1.5 * _RESIDUAL)), 2)
    return answered(rgb, beyond, slope, explained, gain)


def edit_mask(key: Rgb, style: Rgb) -> Floats:
    """1 where the edit is far stronger than the frame's typical edit (a hat), 0 for a look all over."""
    size = unit(key)
    k, s = blurred(key.astype(np.float32), 3 * size), blurred(style.astype(np.float32), 3 * size)
    change = np.abs(k - s).mean(-1)
    local = np.clip((change - 2.5 * np.median(change) - 12) / 18, 0, 1)
    return blurred(local.astype(np.float32), 2 * size)


def mixed(rgb: Rgb, source: Rgb, shares: Shares, texture: float, edited: Floats) -> Rgb:
    """The picture with the mode's shares of the source's luma, or with its own texture amplified.

    Chroma stays the picture's. Where `edited` is 1 the source is kept out, so that an added object stays solid.
    """
    if not shares and not texture:
        return rgb
    size = unit(rgb)
    if shares:
        # The bands of the difference are the differences of the bands.
        difference = cast(Floats, cv2.subtract(luma(source), luma(rgb), dtype=cv2.CV_32F))
        coarse, low = blurred(difference, 1.5 * size), blurred(difference, 6 * size)
        rgb = lit(rgb, difference, coarse, low, edited, np.array([shares.fine, shares.middle, shares.low], np.float32))
    if texture:
        rgb = amplified(rgb, blurred(rgb.astype(np.float32), 2.5 * size), texture)
    return rgb
