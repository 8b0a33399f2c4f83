"""Judges single pictures: fidelity, structure, sharpness, and the distance to a style."""

from dataclasses import dataclass
from typing import Final, cast

import cv2
import numpy as np

from batchmod.engine.raster import Floats, Rgb, luma, shrunk

_PATCH = 7
_PATCHES = 4000
_DIRECTIONS = 48
_CONTRAST_FLOOR = 58.5
"""SSIM's constant (0.03 x 255)^2: contrast below it is noise."""


def psnr(picture: Rgb, reference: Rgb) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal pictures. Above 40 a difference is hard to see."""
    error = np.square(picture.astype(np.float32) - reference.astype(np.float32)).mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def structure(picture: Rgb, source: Rgb) -> float:
    """SSIM's contrast-structure term (Wang et al. 2004) of the luma: 1 the same shapes, 0 unrelated ones, -1 at worst.

    It ignores light and colour, and reads fine texture of a look as other structure.
    """
    a, b = luma(picture).astype(np.float32), luma(source).astype(np.float32)
    mean_a, mean_b = _window(a), _window(b)
    variances = np.maximum(_window(a * a) - mean_a**2, 0) + np.maximum(_window(b * b) - mean_b**2, 0)
    covariance = _window(a * b) - mean_a * mean_b
    return float(((2 * covariance + _CONTRAST_FLOOR) / (variances + _CONTRAST_FLOOR)).mean())


def sharpness(picture: Rgb, reference: Rgb) -> float:
    """Variance of the Laplacian of the luma (Pertuz et al. 2013), as a share of the reference's; noise raises it."""
    return laplacian_variance(picture) / max(laplacian_variance(reference), 1e-6)


def laplacian_variance(picture: Rgb) -> float:
    """The power of a picture's finest luma detail, in squared levels."""
    return float(cv2.Laplacian(luma(picture).astype(np.float32), cv2.CV_32F).var())


@dataclass(frozen=True, kw_only=True, slots=True)
class StyleDistance:
    """Sliced Wasserstein distances (Rabin et al. 2011), in levels; 0 is the style itself."""

    texture: float
    """Of 7x7 patches without their mean, at full and half size. Blur raises it, and so does other texture."""
    colour: float
    """Of pixels' colours. Other content raises it as well."""


class Style:
    """A picture whose texture and colours others are compared with, wherever they stand; sides of 16 px or more."""

    def __init__(self, picture: Rgb) -> None:
        self.distributions: Final = _distributions(picture)
        """Sorted projections of its patches and of its colours, at full and at half size."""

    def distance(self, picture: Rgb) -> StyleDistance:
        """How far a picture is from the style."""
        return self.apart(Style(picture))

    def apart(self, other: "Style") -> StyleDistance:
        """How far two styles are from each other."""
        pairs = zip(other.distributions, self.distributions, strict=True)
        texture, colour, texture_half, colour_half = (float(np.abs(a - b).mean()) for a, b in pairs)
        return StyleDistance(texture=(texture + texture_half) / 2, colour=(colour + colour_half) / 2)


def style_distance(picture: Rgb, style: Rgb) -> StyleDistance:
    """How far a picture's texture and colours are from another's; sides of 16 px or more."""
    return Style(style).distance(picture)


def _window(values: Floats) -> Floats:
    return cv2.GaussianBlur(values, (11, 11), 1.5).astype(np.float32, copy=False)


def _distributions(picture: Rgb) -> list[Floats]:
    """Sorted projections of patches and of colours, at full and at half size."""
    half = shrunk(picture, picture.shape[1] // 2, picture.shape[0] // 2)
    return [one for size in (picture, half) for one in (_texture(size), _colours(size))]


def _directions(dimensions: int, count: int) -> Floats:
    vectors = np.random.default_rng(0).normal(size=(dimensions, count))
    return cast(Floats, (vectors / np.linalg.norm(vectors, axis=0)).astype(np.float32))


def _texture(picture: Rgb) -> Floats:
    patches = np.lib.stride_tricks.sliding_window_view(picture, (_PATCH, _PATCH), axis=(0, 1))
    chosen = np.random.default_rng(1).integers(0, patches.shape[:2], (_PATCHES, 2))
    values = patches[chosen[:, 0], chosen[:, 1]].astype(np.float32).reshape(_PATCHES, 3, -1)
    values -= values.mean(-1, keepdims=True)
    return cast(Floats, np.sort(values.reshape(_PATCHES, -1) @ _directions(3 * _PATCH**2, _DIRECTIONS), 0))


def _colours(picture: Rgb) -> Floats:
    pixels = picture.reshape(-1, 3)
    chosen = np.random.default_rng(1).integers(0, len(pixels), _PATCHES)
    return np.sort(pixels[chosen].astype(np.float32) @ _directions(3, _DIRECTIONS // 3), 0)
