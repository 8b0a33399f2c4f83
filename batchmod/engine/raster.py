"""The picture operations the engine is made of: OpenCV's, with types.

Pictures are `height x width` or `height x width x channels`; positions are (x, y) in pixels, 0 at the centre of
the first pixel. Everything outside a picture repeats its border.
"""

from functools import lru_cache
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
"""`height x width x 3`."""
Gray = NDArray[np.uint8]
"""`height x width`."""
Floats = NDArray[np.float32]
"""`height x width`, or with channels."""
Points = NDArray[np.float32]
"""`height x width x 2`: a position, or an offset, per pixel."""
Mask = NDArray[np.bool_]
"""`height x width`."""

_Scalar = TypeVar("_Scalar", np.uint8, np.float32)

LINEAR = cv2.INTER_LINEAR
CUBIC = cv2.INTER_CUBIC
LANCZOS = cv2.INTER_LANCZOS4
NEAREST = cv2.INTER_NEAREST

_COARSE_SIGMA = 4.0
"""Pixels of blur from which on a quarter of the size shows all that is left."""

REFERENCE_HEIGHT = 288
"""The short side at which the engine's radii were tuned; see `unit`."""


def unit(picture: NDArray[_Scalar]) -> float:
    """The length, in pixels, that is one pixel in a picture of the reference size."""
    return float(min(picture.shape[:2]) / REFERENCE_HEIGHT)


def luma(rgb: Rgb) -> Gray:
    """The BT.601 luma of a picture."""
    return cast(Gray, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))


def blurred(picture: NDArray[_Scalar], sigma: float) -> NDArray[_Scalar]:
    """A Gaussian blur of `sigma` pixels."""
    return cast(NDArray[_Scalar], cv2.GaussianBlur(picture, (0, 0), sigma))


def box_mean(picture: NDArray[_Scalar], side: int) -> NDArray[_Scalar]:
    """The mean over a square of `side` pixels around each pixel."""
    return cast(NDArray[_Scalar], cv2.blur(picture, (side, side)))


def smoothed(rgb: Rgb, sigma: float, tones: float) -> Rgb:
    """A bilateral blur of `sigma` pixels, which keeps edges stronger than `tones` levels; computed smaller."""
    height, width = rgb.shape[:2]
    factor = 2 if sigma < _COARSE_SIGMA else 4
    small = shrunk(rgb, -(-width // factor), -(-height // factor))
    return stretched(cast(Rgb, cv2.bilateralFilter(small, 0, tones, sigma / factor)), width, height)


def eroded(mask: Mask) -> Mask:
    """Where all of a pixel's 3x3 surrounding lies in the mask."""
    return cast(Mask, cv2.erode(mask.view(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_))


def sampled(picture: NDArray[_Scalar], at: Points, how: int = LINEAR) -> NDArray[_Scalar]:
    """The picture's values at the positions `at`."""
    # The second map is None, as its type does not allow: with an empty one OpenCV 5.0 reads wrong places.
    return cast(
        NDArray[_Scalar],
        cv2.remap(picture, at, None, how, borderMode=cv2.BORDER_REPLICATE),  # type: ignore[call-overload]
    )


def doubled(rgb: Rgb) -> Rgb:
    """The picture at twice its size, for `between`."""
    height, width = rgb.shape[:2]
    return stretched(rgb, width * 2, height * 2, LANCZOS)


def between(twice: Rgb, at: Points) -> Rgb:
    """A picture's values at the positions `at`, from the picture `doubled`: as sharp as bicubic, at half the time."""
    # Pixel centres of the doubled picture lie a quarter pixel off.
    return sampled(twice, cast(Points, cv2.addWeighted(at, 2, at, 0, 0.5)))


def shrunk(picture: NDArray[_Scalar], width: int, height: int) -> NDArray[_Scalar]:
    """The picture at a smaller size; each pixel the mean of those it covers."""
    return cast(NDArray[_Scalar], cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))


def stretched(picture: NDArray[_Scalar], width: int, height: int, how: int = LINEAR) -> NDArray[_Scalar]:
    """The picture at a larger size."""
    return cast(NDArray[_Scalar], cv2.resize(picture, (width, height), interpolation=how))


def resized(picture: NDArray[_Scalar], width: int, height: int) -> NDArray[_Scalar]:
    """The picture at any size, without aliasing and as sharp as it can be."""
    if picture.shape[:2] == (height, width):
        return picture
    smaller = width * height < picture.shape[0] * picture.shape[1]
    return shrunk(picture, width, height) if smaller else stretched(picture, width, height, LANCZOS)


def padded(picture: NDArray[_Scalar], border: int) -> NDArray[_Scalar]:
    """The picture with `border` pixels more on each side."""
    sides = (border, border, border, border)
    return cast(NDArray[_Scalar], cv2.copyMakeBorder(picture, *sides, cv2.BORDER_REPLICATE))


@lru_cache(maxsize=16)
def own_positions(height: int, width: int) -> Points:
    """Each pixel's own position; not to be written to."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    points = np.dstack([x, y])
    points.flags.writeable = False
    return points


def inside(points: Points, width: int, height: int) -> Points:
    """The positions, clipped to a picture of the given size."""
    limit = np.array([width - 1, height - 1], np.float32)
    return cast(Points, np.clip(points, 0, limit))


def length(vectors: Points) -> Floats:
    """The Euclidean length of each vector, in pixels."""
    return cast(Floats, cv2.magnitude(vectors[..., 0], vectors[..., 1]))


def to_bytes(values: Floats) -> Rgb:
    """Levels rounded and clipped to 0..255."""
    return cast(Rgb, np.clip(values + 0.5, 0, 255).astype(np.uint8))
