"""Fits an edited frame of another size or framing to the frame it was made from."""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from batchmod.engine.palette import Palette
from batchmod.engine.raster import Floats, Gray, Rgb, blurred, luma, resized, to_bytes, unit

_ALIGNED = 0.6
"""Correlation of the edges below which an alignment is not believed."""
_WORTH_MOVING = 0.035
"""Gain of correlation below which a picture stays where it is: a look's own edges shift the optimum a little."""
_SAME_ASPECT = 0.02
_HARMLESS_STRETCH = 0.1
"""Relative difference of the aspect ratios up to which stretching is hardly seen."""
_SEEN_SHIFT = 1.0
"""Pixels; a smaller shift is not worth a word."""
_SEEN_ZOOM = 0.005
_CLEARLY_BESIDE = 0.12
"""Gain of correlation from which a picture of the key's size is moved: drawn looks gained up to .11 where they lay,
and more than that when they were moved by 1 % of the picture's width."""
_LOOKS_OWN_SHIFT = 3.0
_LOOKS_OWN_SHARE = 0.007
_WORKING_SIDE = 512
_ECC_BLUR = 5
"""Side of the Gaussian window, in pixels."""
_EROSION = 2
"""Pixels at a picture's border that interpolation mixes with what lies outside."""

_Matrix = Floats
"""`2 x 3`: the affine map from a pixel of the key to its place in the picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """A picture of its key's size, and what was done to make it so, in words; "" where nothing was."""

    picture: Rgb
    how: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Placement:
    """A way to lay a picture over the key, and its name in words."""

    matrix: _Matrix
    how: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Alignment:
    correlation: float
    matrix: _Matrix
    start: _Placement


def fitted(picture: Rgb, key: Rgb) -> Fitted:
    """The picture at the key's size, moved so that its edges lie on the key's.

    A picture of the key's size is taken as it is. Picture generators return other sizes, stretch, crop and
    zoom; an affine map found by ECC (Evangelidis and Psarakis 2008) undoes that, and is used only where the
    edges then agree. Parts of the key that the picture does not show get the colours it gives to the others.
    """
    if picture.shape == key.shape:
        return Fitted(picture=picture, how="")
    height, width = key.shape[:2]
    starts = _placements(picture, width, height)
    best = max((_aligned(picture, key, start) for start in starts), key=lambda one: one.correlation)
    if best.correlation > _ALIGNED:
        how = best.start.how + _motion(best, width, height)
        return Fitted(picture=_placed(picture, key, best.matrix), how=how)
    stretch = abs(picture.shape[1] * height / (picture.shape[0] * width) - 1)
    plain = starts[0] if stretch <= _HARMLESS_STRETCH else starts[1]
    return Fitted(picture=_placed(picture, key, plain.matrix), how=plain.how)


def laid_on(picture: Rgb, key: Rgb) -> tuple[Rgb, float]:
    """A picture of the key's size moved so that its edges lie on the key's, and by how many pixels at most.

    0 where it lies on it already, or where nobody can say: then the picture is taken as it is. A look moves edges a
    little by itself, so that less than 3 px, or 0.7 % of the longer side, is no misplacement.
    """
    height, width = key.shape[:2]
    start = _Placement(matrix=_scaling(picture, width, height, (1.0, 1.0)), how="")
    found = _aligned(picture, key, start, worth=_CLEARLY_BESIDE)
    corners = np.array([(x, y, 1) for x in (0, width - 1) for y in (0, height - 1)], np.float32)
    moved = float(np.linalg.norm(corners @ (found.matrix - start.matrix).T, axis=1).max())
    if found.correlation <= _ALIGNED or moved <= max(_LOOKS_OWN_SHIFT, _LOOKS_OWN_SHARE * max(width, height)):
        return picture, 0.0
    return _placed(picture, key, found.matrix), moved


def _motion(found: _Alignment, width: int, height: int) -> str:
    """What an alignment changed of its start: how far the frame's centre went, in its pixels, and the zoom."""
    change = _composed(_inverse(found.start.matrix), found.matrix)
    centre = np.array([(width - 1) / 2, (height - 1) / 2, 1], np.float32)
    moved = float(np.hypot(*(change @ centre - centre[:2])))
    zoom = 1 / float(np.sqrt(abs(np.linalg.det(change[:, :2]))))
    if moved < _SEEN_SHIFT and abs(zoom - 1) < _SEEN_ZOOM:
        return ""
    return f" and aligned by its edges (moved by {moved:.0f} px, scaled by {zoom:.2f})"


def _placements(picture: Rgb, width: int, height: int) -> list[_Placement]:
    """How the picture may cover a frame: stretched, cropped to it, or showing only its middle."""
    across, down = picture.shape[1] / width, picture.shape[0] / height
    whole = _scaling(picture, width, height, (across, down))
    if abs(across / down - 1) <= _SAME_ASPECT:
        return [_Placement(matrix=whole, how="resized")]
    cropped = _scaling(picture, width, height, (min(across, down),) * 2)
    middle = _scaling(picture, width, height, (max(across, down),) * 2)
    return [
        _Placement(matrix=whole, how="stretched"),
        _Placement(matrix=cropped, how="cropped"),
        _Placement(matrix=middle, how="laid on the middle with its colours around it"),
    ]


def _scaling(picture: Rgb, width: int, height: int, scale: tuple[float, float]) -> _Matrix:
    """The map that scales about the centres; positions are pixel centres."""
    across, down = scale
    shift_x = (picture.shape[1] - 1) / 2 - across * (width - 1) / 2
    shift_y = (picture.shape[0] - 1) / 2 - down * (height - 1) / 2
    return np.array([[across, 0, shift_x], [0, down, shift_y]], np.float32)


def _aligned(picture: Rgb, key: Rgb, start: _Placement, *, worth: float = _WORTH_MOVING) -> _Alignment:
    """The best affine map near `start`, or `start` where no other gains `worth`; correlation 0 where there is none."""
    factor = max(1.0, max(key.shape[:2]) / _WORKING_SIDE)
    width, height = (max(1, round(side / factor)) for side in (key.shape[1], key.shape[0]))
    small = _scaled(start.matrix, factor)
    placed, inside = _warped(picture, small, width, height)
    change = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 80, 1e-5)
    template, moving = _edges(resized(key, width, height)), _edges(placed)
    mask = (inside > 0.5).astype(np.uint8)  # noqa: PLR2004 - more inside than out
    try:
        correlation, found = cv2.findTransformECC(
            template, moving, change, cv2.MOTION_AFFINE, criteria, mask, _ECC_BLUR
        )
    except cv2.error:  # it does not converge on pictures without edges, or without any in common
        return _Alignment(correlation=0.0, matrix=start.matrix, start=start)
    if correlation - _agreement(template, moving, mask) < worth:
        return _Alignment(correlation=correlation, matrix=start.matrix, start=start)
    matrix = _scaled(_composed(small, np.asarray(found, np.float32)), 1 / factor)
    return _Alignment(correlation=correlation, matrix=matrix, start=start)


def _agreement(template: Floats, moving: Floats, mask: Gray) -> float:
    """The correlation that ECC would report for two pictures as they lie."""
    first, second = (cv2.GaussianBlur(one, (_ECC_BLUR, _ECC_BLUR), 0) for one in (template, moving))
    return cv2.computeECC(first, second, mask)


def _scaled(matrix: _Matrix, factor: float) -> _Matrix:
    """The map for a key that is smaller by `factor`."""
    offset = (factor - 1) / 2
    return _composed(matrix, np.array([[factor, 0, offset], [0, factor, offset]], np.float32))


def _inverse(matrix: _Matrix) -> _Matrix:
    """The map that undoes another."""
    return cv2.invertAffineTransform(matrix).astype(np.float32, copy=False)


def _composed(outer: _Matrix, inner: _Matrix) -> _Matrix:
    """The map that first does `inner`, then `outer`."""
    matrix = outer[:, :2] @ inner
    matrix[:, 2] += outer[:, 2]
    return matrix.astype(np.float32, copy=False)


def _warped(picture: Rgb, matrix: _Matrix, width: int, height: int) -> tuple[Rgb, Floats]:
    """The picture seen through the map, and 1 where it covers the frame, 0 outside it."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale > 1:  # sampled more coarsely than its pixels lie, it would alias
        smaller = resized(picture, *(max(1, round(side / scale)) for side in (picture.shape[1], picture.shape[0])))
        across, down = smaller.shape[1] / picture.shape[1], smaller.shape[0] / picture.shape[0]
        shift = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2]], np.float32)
        picture, matrix = smaller, _composed(shift, matrix)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    size = (width, height)
    moved = cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    full = np.ones(picture.shape[:2], np.float32)
    inside = cv2.warpAffine(full, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return moved.astype(np.uint8, copy=False), inside.astype(np.float32, copy=False)


def _placed(picture: Rgb, key: Rgb, matrix: _Matrix) -> Rgb:
    """The picture through the map, completed with the colours that it gives to the key."""
    moved, inside = _warped(picture, matrix, key.shape[1], key.shape[0])
    if inside.min() > 0.99:  # noqa: PLR2004 - rounding
        return moved
    sure = cv2.erode(inside, np.ones((2 * _EROSION + 1,) * 2, np.uint8)).astype(np.float32)
    painted = Palette(key, moved, sure).exact(key)
    share = (blurred(sure, 2 * unit(key)) * (inside > 0.99))[..., None]  # noqa: PLR2004 - as above
    return to_bytes(painted + (moved - painted) * share)


def _edges(rgb: Rgb) -> Floats:
    """Edge strength, its range compressed so that a look's hard outlines do not outweigh everything else."""
    tones = blurred(luma(rgb), 2).astype(np.float32)
    strength = cv2.magnitude(cv2.Sobel(tones, cv2.CV_32F, 1, 0), cv2.Sobel(tones, cv2.CV_32F, 0, 1))
    return cast(Floats, np.sqrt(strength / max(float(strength.mean()), 1e-6)))
