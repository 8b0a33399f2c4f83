"""What a result is judged by, without weights of any network; no single number means anything without the others.

Warp error alone is won by mush, sharpness alone by noise: read warp error with sharpness and style distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import cv2
import numpy as np

from batchmod.engine.flow import FlowEstimator, Motion, along
from batchmod.engine.raster import LANCZOS, Floats, Rgb, luma, sampled, shrunk

_PATCH = 7
_PATCHES = 4000
_DIRECTIONS = 48
_CONTRAST_FLOOR = 58.5
"""SSIM's constant (0.03 x 255)^2: contrast below it is noise."""


def motions(frames: Sequence[Rgb]) -> list[Motion]:
    """How each frame but the first moved since the one before."""
    estimator = FlowEstimator()
    tones = [luma(frame) for frame in frames]
    return [estimator.motion(now, before) for before, now in pairwise(tones)]


def warp_error(output: Sequence[Rgb], source_motions: Sequence[Motion]) -> float:
    """Mean colour difference, in levels, of each frame to the last one moved with the source; about 2 is the floor.

    Only where the source's flow can be trusted. `source_motions` are those of the source's frames.
    """
    errors = []
    for (before, now), motion in zip(pairwise(output), source_motions, strict=True):
        moved = sampled(before, along(motion.backward), LANCZOS)
        difference = cv2.absdiff(moved, now).mean(-1)
        errors.append(difference[motion.trusted].mean() if motion.trusted.any() else 0.0)
    return float(np.mean(errors))


def sharpness(picture: Rgb, reference: Rgb) -> float:
    """Variance of the Laplacian of the luma, as a share of the reference's."""
    return _laplacian_variance(picture) / max(_laplacian_variance(reference), 1e-6)


def structure(picture: Rgb, source: Rgb) -> float:
    """SSIM's contrast-structure term (Wang et al. 2004) of the luma: 1 the same shapes, 0 unrelated ones."""
    a, b = luma(picture).astype(np.float32), luma(source).astype(np.float32)
    mean_a, mean_b = _window(a), _window(b)
    variances = np.maximum(_window(a * a) - mean_a**2, 0) + np.maximum(_window(b * b) - mean_b**2, 0)
    covariance = _window(a * b) - mean_a * mean_b
    return float(((2 * covariance + _CONTRAST_FLOOR) / (variances + _CONTRAST_FLOOR)).mean())


def psnr(picture: Rgb, reference: Rgb) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal pictures."""
    error = np.square(picture.astype(np.float32) - reference.astype(np.float32)).mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


@dataclass(frozen=True, kw_only=True, slots=True)
class StyleDistance:
    """Sliced Wasserstein distances, in levels: of patches without their mean, and of colours."""

    texture: float
    colour: float


def style_distance(picture: Rgb, style: Rgb) -> StyleDistance:
    """How far a picture's texture and colours are from a style's, wherever they stand; sides of 16 px or more."""
    ours, theirs = _distributions(picture), _distributions(style)
    distances = [float(np.abs(a - b).mean()) for a, b in zip(ours, theirs, strict=True)]
    return StyleDistance(texture=(distances[0] + distances[2]) / 2, colour=(distances[1] + distances[3]) / 2)


def _laplacian_variance(picture: Rgb) -> float:
    return float(cv2.Laplacian(luma(picture).astype(np.float32), cv2.CV_32F).var())


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
