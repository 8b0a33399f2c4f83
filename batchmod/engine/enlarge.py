"""Styles large frames at a smaller size, and enlarges the result along the source's own edges."""

import cv2
import numpy as np

from batchmod.engine.moments import Moment
from batchmod.engine.raster import CUBIC, Floats, Rgb, blurred, box_mean, luma, resized, stretched
from batchmod.engine.styling import Styling

LARGEST = 1920 * 1080
"""Pixels of the largest frame that is styled at its own size; it takes some seconds and 0.9 GB on one core."""
_WINDOW = 5
"""Side, in pixels of the small frame, of the window in which the style's answer to the source is measured."""
_FLAT = 10.0
_NOISE = 4.0
"""Variances, in squared levels: below them there is nothing to measure, only noise."""
_UNIT = 1024
"""A slope of 1 as a whole number."""
_BAND_PIXELS = 1 << 20
"""The large picture is made in bands of about so many pixels, so that it costs little memory beyond itself."""


def working_size(width: int, height: int) -> tuple[int, int]:
    """The width and height at which a frame is styled."""
    scale = float(np.sqrt(LARGEST / (width * height)))
    return (width, height) if scale >= 1 else (max(1, int(width * scale)), max(1, int(height * scale)))


def reduced(frame: Rgb) -> Rgb:
    """The frame at its working size; itself where that is its own."""
    return resized(frame, *working_size(frame.shape[1], frame.shape[0]))


def enlarged(styled: Rgb, small: Rgb, source: Rgb) -> Rgb:
    """`styled` at the size of `source`, sharpened by what `small`, the source at the styled size, has lost.

    Plain enlargement, plus the source's lost luma detail as far as the style answers to the source around each
    pixel: guided upsampling (Kopf et al. 2007; He, Sun and Tang 2010) that keeps what the style has of its own.
    """
    height, width = source.shape[:2]
    answer = cv2.resize((_answer(styled, small) * _UNIT).astype(np.int16), (width, height))
    plain, seen = stretched(styled, width, height, CUBIC), stretched(luma(small), width, height, CUBIC)
    output = np.empty_like(source)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        part = slice(top, top + rows)
        lost = cv2.subtract(luma(source[part]), seen[part], dtype=cv2.CV_16S)
        change = cv2.multiply(cv2.merge([lost] * 3), answer[part], scale=1 / _UNIT, dtype=cv2.CV_16S)
        output[part] = cv2.add(plain[part], change, dtype=cv2.CV_8U)
    return output


def _answer(styled: Rgb, small: Rgb) -> Floats:
    """Change of the style per change of the source's luma, -2..2 per channel; 0 where one does not explain the other.

    The slope of the line through a window's pixels, times the share of the style's variance that it explains.
    """
    k, s = luma(small).astype(np.float32), styled.astype(np.float32)
    mean_k, mean_s = box_mean(k, _WINDOW), box_mean(s, _WINDOW)
    variance_k = box_mean(k * k, _WINDOW) - mean_k * mean_k
    variance_s = box_mean(s * s, _WINDOW) - mean_s * mean_s
    both = box_mean(s * k[..., None], _WINDOW) - mean_s * mean_k[..., None]
    # Cauchy and Schwarz keep the explained share at or below 1.
    below = ((variance_k + _NOISE) * (variance_k + _FLAT))[..., None] * (variance_s + _NOISE)
    return blurred(np.clip(both * both * both / below, -2, 2).astype(np.float32, copy=False), _WINDOW / 4)


class Reduced:
    """Styles large frames at a smaller size, so that time and memory stay bounded."""

    def __init__(self, styling: Styling) -> None:
        self._styling = styling
        self._size: tuple[int, int] | None = None

    def step(self, frame: Rgb, moment: Moment) -> Rgb:
        """The styled frame, of the frame's size."""
        small = reduced(frame)
        styled = self._styling.step(small, moment)
        if small is frame:
            return styled
        self._size = (frame.shape[1], frame.shape[0])
        return enlarged(styled, small, frame)

    def warnings(self) -> tuple[str, ...]:
        """Those of the styling, and that the result is softer than the source."""
        if self._size is None:
            return self._styling.warnings()
        width, height = self._size
        softer = (
            f"frames of {width}x{height} are styled at {LARGEST / 1e6:.1f} megapixels and enlarged along the source's "
            "edges: strokes and texture of the style are softer than at full size"
        )
        return (*self._styling.warnings(), softer)
