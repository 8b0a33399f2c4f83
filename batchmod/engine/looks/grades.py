"""Modifiers of tone and colour: warmer, darker, muted, black and white, faded, foggy, and the like."""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from batchmod.engine.looks.brushes import (
    Picture,
    blurred,
    clipped,
    floats,
    luma,
    rgb,
    saturated,
    smoothstep,
    vignette,
)

Grade = Callable[[Picture], Picture]
"""Draws a modifier at its fullest on HxWx3 RGB in 0..1."""

_MIDDLE: Final = 0.45
"""The tone that contrast turns around."""
_REFERENCE_HEIGHT: Final = 288


def warmer(picture: Picture) -> Picture:
    """As under a lamp: red up, blue down, lightness kept."""
    return _balanced(picture, rgb(1.16, 1.0, 0.75))


def cooler(picture: Picture) -> Picture:
    """As in the shade of a clear sky: blue up, red down, lightness kept."""
    return _balanced(picture, rgb(0.79, 0.985, 1.24))


def _balanced(picture: Picture, factors: Picture) -> Picture:
    """Channels times factors; what that does to the luma is taken back, and greys at the ends move too."""
    # The ends of the scale have no room for a factor: a lift of the middle greys carries black and white along.
    cast = picture * factors + (factors - 1) * np.float32(0.10)
    change = (luma(cast) - luma(picture))[..., None]
    return clipped(cast - change)


def brighter(picture: Picture) -> Picture:
    """About one stop more light, highlights held back."""
    return floats(1 - (1 - clipped(picture)) ** np.float32(1.75)) * np.float32(0.94) + np.float32(0.06)


def darker(picture: Picture) -> Picture:
    """About one stop less light, with the shadows still open."""
    return clipped(picture) ** np.float32(1.35) * np.float32(0.68)


def high_key(picture: Picture) -> Picture:
    """Nearly no shadows: airy, light and a little pale."""
    lifted = 1 - (1 - saturated(picture, 0.85)) ** np.float32(2.1)
    return clipped(0.22 + 0.80 * lifted)


def low_key(picture: Picture) -> Picture:
    """Deep shadows around what is light."""
    dim = saturated(picture, 0.85) * (0.25 + 0.6 * smoothstep(0.10, 0.95, luma(picture)))[..., None]
    return clipped(dim * vignette(dim.shape[:2], 0.55)[..., None])


def more_contrast(picture: Picture) -> Picture:
    """A steep curve through the middle tones."""
    steep = smoothstep(-0.02, 0.98, clipped(_MIDDLE + (picture - _MIDDLE) * np.float32(1.35) + 0.03))
    return clipped(steep)


def less_contrast(picture: Picture) -> Picture:
    """A flat curve: soft shadows, no hard lights."""
    return clipped(0.5 + (picture - _MIDDLE) * np.float32(0.52))


def vivid(picture: Picture) -> Picture:
    """Strong colours with a little more contrast; what is already strong gains less."""
    lab = floats(cv2.cvtColor(picture, cv2.COLOR_RGB2LAB))
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    lab[..., 1:] *= (1 + 1.1 * np.exp(-chroma / 60))[..., None].astype(np.float32)
    lab[..., 0] = 50 + (lab[..., 0] - 50) * np.float32(1.12)
    return clipped(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))


def muted(picture: Picture) -> Picture:
    """Colours held back by two thirds, tones a little closer together."""
    return clipped(saturated(picture, 0.34) * np.float32(0.88) + np.float32(0.05))


def pastel(picture: Picture) -> Picture:
    """Light, milky colours."""
    soft = saturated(clipped(picture) ** np.float32(0.8), 0.85)
    return clipped(0.42 + 0.56 * soft)


def black_and_white(picture: Picture) -> Picture:
    """A black and white picture with a full range of greys."""
    grey = clipped(luma(picture))
    grey = 0.6 * grey + 0.4 * smoothstep(0.0, 1.0, grey)
    return floats(np.repeat(grey[..., None], 3, axis=2))


def faded(picture: Picture) -> Picture:
    """A colour print of the seventies left in the sun: blacks lifted and brownish, whites cream, blues gone."""
    pale = saturated(picture, 0.62) * rgb(1.04, 0.97, 0.80)
    return clipped(rgb(0.17, 0.12, 0.10) + pale * rgb(0.80, 0.78, 0.68) * np.float32(1.02))


def foggy(picture: Picture) -> Picture:
    """A veil of mist, thicker towards the top of the picture, where landscapes are far away."""
    height, width = picture.shape[:2]
    scale = min(height, width) / _REFERENCE_HEIGHT
    soft = 0.6 * picture + 0.4 * blurred(picture, 3 * scale)
    pale = saturated(floats(soft), 0.45)
    up = np.linspace(1, 0, height, dtype=np.float32)[:, None, None]
    veil = 0.36 + 0.42 * smoothstep(0.05, 0.95, floats(up))
    mist = rgb(0.80, 0.82, 0.84) + 0.10 * blurred(picture, 12 * scale)
    return clipped(pale + (mist - pale) * veil)
