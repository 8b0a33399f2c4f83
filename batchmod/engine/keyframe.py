"""Fits a given first frame of another size or framing to the clip's."""

import cv2
import numpy as np

from batchmod.engine.raster import Floats, Rgb, blurred, luma, resized

_ALIGNED = 0.6
"""Correlation of the edges below which an alignment is not believed."""
_SAME_ASPECT = 0.1
"""Relative difference of the aspect ratios up to which stretching does no visible harm."""
_WORKING_SIDE = 512
_Matrix = Floats


def fitted(picture: Rgb, key: Rgb) -> Rgb:
    """The picture at the key's size, moved so that its edges lie on the key's.

    A picture of the key's size is taken as it is. Picture generators return other sizes, stretch, crop and
    zoom; an affine map found by ECC (Evangelidis and Psarakis 2008) undoes that, and is used only where the
    edges then agree.
    """
    if picture.shape == key.shape:
        return picture
    height, width = key.shape[:2]
    plain = [resized(picture, width, height), _cropped(picture, width, height)]
    found = [(*_alignment(key, one), one) for one in plain]
    correlation, matrix, best = max(found, key=lambda one: one[0])
    if correlation > _ALIGNED:
        return _moved(best, matrix)
    stretch = abs(picture.shape[1] * height / (picture.shape[0] * width) - 1)
    return plain[0] if stretch <= _SAME_ASPECT else plain[1]


def _cropped(picture: Rgb, width: int, height: int) -> Rgb:
    """The middle of a picture, scaled without stretching it."""
    scale = max(width / picture.shape[1], height / picture.shape[0])
    large = resized(picture, max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale)))
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return np.ascontiguousarray(large[top : top + height, left : left + width])


def _alignment(key: Rgb, picture: Rgb) -> tuple[float, _Matrix]:
    """How well the edges of two pictures of one size agree (up to 1), and the affine map from key to picture."""
    scale = min(1.0, _WORKING_SIDE / max(key.shape[:2]))
    width, height = (max(1, round(side * scale)) for side in (key.shape[1], key.shape[0]))
    start = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 80, 1e-5)
    template, moving = (_edges(resized(one, width, height)) for one in (key, picture))
    try:
        correlation, matrix = cv2.findTransformECC(
            template,
            moving,
            start,
            cv2.MOTION_AFFINE,
            criteria,
            None,
            5,  # type: ignore[call-overload]
        )
    except cv2.error:  # it does not converge on pictures without edges, or without any in common
        return 0.0, start
    matrix = np.asarray(matrix, np.float32)
    matrix[:, 2] /= scale
    return float(correlation), matrix


def _edges(rgb: Rgb) -> Floats:
    """Edge strength, its range compressed so that a look's hard outlines do not outweigh everything else."""
    tones = blurred(luma(rgb), 2).astype(np.float32)
    strength = cv2.magnitude(cv2.Sobel(tones, cv2.CV_32F, 1, 0), cv2.Sobel(tones, cv2.CV_32F, 0, 1))
    return np.sqrt(strength / max(float(strength.mean()), 1e-6)).astype(np.float32)


def _moved(picture: Rgb, matrix: _Matrix) -> Rgb:
    height, width = picture.shape[:2]
    moved = cv2.warpAffine(
        picture, matrix, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
    )
    return moved.astype(np.uint8, copy=False)
