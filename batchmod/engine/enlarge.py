"""Styles large frames at a smaller size, and enlarges the result along the source's own edges."""

import cv2
import numpy as np

from batchmod.engine.moments import Moment
from batchmod.engine.raster import Floats, Rgb, blurred, box_mean, luma, resized
from batchmod.engine.styling import Styling

LARGEST = 1920 * 1080
"""Pixels of the largest frame that is styled at its own size; it takes some seconds and 0.9 GB on one core."""
_WINDOW = 7
"""Side, in pixels of the small frame, of the window in which the style's answer to the source is measured."""
_FLAT = 30.0
"""Variance, in squared levels, that a source must well exceed before its detail is believed to matter."""
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

    Plain enlargement, plus the source's lost luma detail times the slope with which the style follows the source
    around each pixel: guided upsampling (Kopf et al. 2007; He, Sun and Tang 2010) that leaves alone what the style
    has of its own. Where the style ignores the source, it is plain.
    """
    height, width = source.shape[:2]
    slope = _slope(styled, small)
    tones = luma(small)
    output = np.empty_like(source)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        part = slice(top, min(top + rows, height))
        shape = (width, part.stop - part.start)
        place = _placement(small.shape[1] / width, small.shape[0] / height, top)
        lost = luma(source[part]).astype(np.float32) - _seen(tones, place, shape)
        gain = lost[..., None] * _seen(slope, place, shape, cv2.INTER_LINEAR)
        output[part] = np.clip(_seen(styled, place, shape) + gain + 0.5, 0, 255)
    return output


def _slope(styled: Rgb, small: Rgb) -> Floats:
    """Change of the style per change of the source's luma, per channel, around each pixel."""
    k, s = luma(small).astype(np.float32), styled.astype(np.float32)
    mean_k, mean_s = box_mean(k, _WINDOW), box_mean(s, _WINDOW)
    variance = box_mean(k * k, _WINDOW) - mean_k * mean_k
    both = box_mean(s * k[..., None], _WINDOW) - mean_s * mean_k[..., None]
    return blurred(np.clip(both / (variance + _FLAT)[..., None], -2, 2), _WINDOW / 4)


def _placement(across: float, down: float, top: int) -> Floats:
    """The map from a band's pixels, the first of them in row `top`, to a small picture."""
    return np.array([[across, 0, (across - 1) / 2], [0, down, down * top + (down - 1) / 2]], np.float32)


def _seen(picture: Floats | Rgb, place: Floats, shape: tuple[int, int], how: int = cv2.INTER_CUBIC) -> Floats:
    moved = cv2.warpAffine(picture, place, shape, flags=how | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
    return moved.astype(np.float32, copy=False)


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
