"""The colours a prompt can name, and the grade that brings a picture into some of them."""

from collections.abc import Mapping, Sequence
from typing import Final

import cv2
import numpy as np

from batchmod.engine.looks.brushes import Picture, Plane, clipped, floats

COLOURS: Final[Mapping[str, tuple[int, int, int]]] = {
    "black": (10, 10, 12),
    "white": (250, 250, 248),
    "grey": (128, 128, 130),
    "silver": (190, 194, 200),
    "red": (214, 30, 36),
    "crimson": (178, 16, 50),
    "burgundy": (110, 16, 40),
    "orange": (245, 130, 24),
    "coral": (250, 115, 90),
    "peach": (252, 186, 148),
    "amber": (250, 174, 20),
    "gold": (222, 172, 52),
    "yellow": (250, 220, 40),
    "beige": (222, 204, 172),
    "brown": (120, 74, 40),
    "olive": (118, 118, 34),
    "lime": (150, 220, 40),
    "green": (40, 150, 60),
    "emerald": (16, 140, 96),
    "mint": (160, 226, 190),
    "teal": (0, 120, 128),
    "turquoise": (48, 206, 200),
    "cyan": (20, 196, 232),
    "blue": (36, 84, 210),
    "navy": (20, 34, 92),
    "indigo": (66, 40, 150),
    "purple": (116, 40, 150),
    "violet": (136, 72, 206),
    "lavender": (190, 168, 230),
    "magenta": (222, 28, 150),
    "pink": (250, 140, 180),
}
"""Name → sRGB."""

SPELLINGS: Final[Mapping[str, str]] = {
    "gray": "grey",
    "scarlet": "red",
    "maroon": "burgundy",
    "golden": "gold",
    "cream": "beige",
    "aqua": "turquoise",
    "azure": "blue",
    "lilac": "lavender",
    "fuchsia": "magenta",
}
"""Other words for one of them."""

_TONE_REACH: Final = 26.0
_HUE_REACH: Final = 42.0
"""In units of CIELAB: how far from a colour, in lightness and in hue, a pixel still takes it on."""
_PULL: Final = 0.62
"""How far the picture's lightness goes to that of the colours."""
_OWN_RANGE: Final = 55.0
"""What remains of the picture's own range of lightness, 0..100, in each of several colours."""
_STRIP: Final = 128
"""Rows at a time, so that large frames with many colours fit into memory."""


def graded(picture: Picture, names: Sequence[str]) -> Picture:
    """The picture in these colours: each pixel takes the one nearest in tone and hue, softly; shading stays.

    One colour tints all tones. With several, dark tones go to the darkest and light ones to the lightest.
    """
    wanted = _lab_of(names)
    strips = [picture[row : row + _STRIP] for row in range(0, len(picture), _STRIP)]
    return np.concatenate([_graded_strip(strip, wanted) for strip in strips])


def _graded_strip(picture: Picture, wanted: Plane) -> Picture:
    lab = floats(cv2.cvtColor(picture, cv2.COLOR_RGB2LAB))
    shares = _shares(lab, wanted)
    target = floats(shares @ wanted)
    light = lab[..., 0]
    result = np.empty_like(lab)
    result[..., 0] = light + _PULL * _towards(light, target[..., 0], single=len(wanted) == 1)
    result[..., 1:] = target[..., 1:] * _room(result[..., 0], target[..., 0])[..., None]
    return clipped(cv2.cvtColor(result, cv2.COLOR_LAB2RGB))


def _lab_of(names: Sequence[str]) -> Plane:
    """CIELAB of each colour, n x 3, from dark to light."""
    colours = floats([[np.array(COLOURS[name]) / 255 for name in names]])
    lab = floats(cv2.cvtColor(colours, cv2.COLOR_RGB2LAB))[0]
    return floats(lab[np.argsort(lab[:, 0], kind="stable")])


def _shares(lab: Picture, wanted: Plane) -> Picture:
    """For each pixel the share of every colour; the shares of a pixel sum to 1."""
    tones = np.linspace(12, 88, len(wanted)) if len(wanted) > 1 else [50]
    distances = []
    for tone, (_, a, b) in zip(tones, wanted, strict=True):
        off = (lab[..., 0] - np.float32(tone)) / np.float32(_TONE_REACH)
        distances.append(off * off + np.hypot(lab[..., 1] - a, lab[..., 2] - b) / np.float32(_HUE_REACH))
    distance = np.stack(distances, axis=-1)
    weight = np.exp(distance.min(axis=-1, keepdims=True) - distance)
    return floats(weight / weight.sum(axis=-1, keepdims=True))


def _towards(light: Plane, target: Plane, *, single: bool) -> Plane:
    if single:
        return floats((target - 50) * np.float32(0.5) * np.sin(light / 100 * np.pi))
    return floats(target - light + (light - 50) * np.float32(_OWN_RANGE / 100))


def _room(light: Plane, target: Plane) -> Plane:
    """The share of a colour's chroma that fits at a lightness: none in black and white."""
    below = light / np.maximum(target, 1)
    above = (100 - light) / np.maximum(100 - target, 1)
    return floats(np.clip(np.minimum(below, above), 0, 1) ** np.float32(0.7))
