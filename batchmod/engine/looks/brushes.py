"""The tools the looks share: noise, smoothing, ink lines. Pictures are HxWx3 float32 RGB in 0..1."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
"""HxWx3 RGB, 0..1."""

Plane = NDArray[np.float32]
"""HxW, 0..1 unless said otherwise."""

_QUADRANTS: Final = ((0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (0.0, 0.5), (1.0, 0.5), (0.0, 1.0), (0.5, 1.0), (1.0, 1.0))
_KUWAHARA_POWER: Final = 4.0


def luma(picture: Picture) -> Plane:
    """Rec. 601 luma."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32, copy=False)


def tinted(plane: Plane, dark: tuple[float, float, float], light: tuple[float, float, float]) -> Picture:
    """The plane as a ramp from one colour to another."""
    low, high = np.float32(dark), np.float32(light)
    return plane[..., None] * (high - low) + low


def saturated(picture: Picture, factor: float) -> Picture:
    """Chroma times `factor`, luma kept."""
    grey = luma(picture)[..., None]
    return np.clip(grey + (picture - grey) * np.float32(factor), 0, 1)


def blurred(plane: Plane, sigma: float) -> Plane:
    """A Gaussian blur of a plane or a picture."""
    return cv2.GaussianBlur(plane, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_REFLECT).astype(
        np.float32, copy=False
    )


def noise(shape: tuple[int, int], *, seed: int, scale: float, octaves: int = 4) -> Plane:
    """Smooth noise of mean 0 and deviation 1 whose largest spots are `scale` pixels wide."""
    height, width = shape
    random = np.random.default_rng((seed, height, width))
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        step = max(1.0, scale / 2**octave)
        grid = random.normal(size=(int(height / step) + 3, int(width / step) + 3)).astype(np.float32)
        total += 0.6**octave * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return _normal(total)


def strokes(shape: tuple[int, int], *, seed: int, size: float, degrees: float, length: int = 17) -> Plane:
    """Straight pencil strokes of one direction: mean 0, deviation 1; `size` 1 is a stroke about 1 px wide."""
    height, width = shape
    grid = max(8, round(height / size)), max(8, round(width / size))
    grain = np.random.default_rng((seed, height, width)).normal(size=grid).astype(np.float32)
    kernel = np.zeros((length, length), np.float32)
    middle, reach = length // 2, (length // 2) * np.array([np.cos(np.radians(degrees)), -np.sin(np.radians(degrees))])
    start, end = np.round(middle - reach).astype(int), np.round(middle + reach).astype(int)
    cv2.line(kernel, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), 1.0, 1, cv2.LINE_AA)
    lines = cv2.filter2D(grain, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    return _normal(cv2.resize(lines, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32, copy=False))


def _normal(plane: Plane) -> Plane:
    return ((plane - plane.mean()) / max(float(plane.std()), 1e-6)).astype(np.float32, copy=False)


def kuwahara(picture: Picture, radius: float) -> Picture:
    """Flat patches with kept edges: the mean of the calmest of eight neighbouring windows, softly chosen.

    Kuwahara 1976 with the soft weights of Papari et al. 2007.
    """
    side = max(1, round(radius)) + 1
    grey = luma(picture)
    total = np.zeros_like(picture)
    weights = np.zeros_like(grey)
    for across, down in _QUADRANTS:
        anchor = round(across * (side - 1)), round(down * (side - 1))
        mean = _box(grey, side, anchor)
        weight = (np.maximum(_box(grey * grey, side, anchor) - mean * mean, 0) + 1e-4) ** -_KUWAHARA_POWER
        weight /= 1e4**_KUWAHARA_POWER
        total += _box(picture, side, anchor) * weight[..., None]
        weights += weight
    return total / np.maximum(weights, 1e-20)[..., None]


def _box(plane: Plane, side: int, anchor: tuple[int, int]) -> Plane:
    return cv2.boxFilter(plane, -1, (side, side), anchor=anchor, borderType=cv2.BORDER_REFLECT).astype(
        np.float32, copy=False
    )


def tangents(plane: Plane, sigma: float) -> tuple[Plane, Plane]:
    """Unit vectors along the edges: the minor eigenvector of the structure tensor smoothed by `sigma`."""
    right = cv2.Sobel(plane, cv2.CV_32F, 1, 0)
    down = cv2.Sobel(plane, cv2.CV_32F, 0, 1)
    xx, yy, xy = (blurred(product, sigma) for product in (right * right, down * down, right * down))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.float32(np.pi / 2)
    return np.cos(angle), np.sin(angle)


def along(plane: Plane, field: tuple[Plane, Plane], steps: int) -> Plane:
    """The mean along the field, `steps` pixels to each side: line integral convolution (Cabral, Leedom 1993)."""
    height, width = field[0].shape
    grid_x, grid_y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    total = plane.copy()
    for sign in (1, -1):
        x, y = grid_x.copy(), grid_y.copy()
        step_x, step_y = sign * field[0], sign * field[1]
        for _ in range(steps):
            x, y = x + step_x, y + step_y
            total += cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            next_x = cv2.remap(field[0], x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
            next_y = cv2.remap(field[1], x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
            # An eigenvector has no sign: go on the way we came.
            onward = np.where(next_x * step_x + next_y * step_y < 0, np.float32(-1), np.float32(1))
            step_x, step_y = next_x * onward, next_y * onward
    return (total / np.float32(2 * steps + 1)).astype(np.float32, copy=False)


def ink(plane: Plane, size: float, *, threshold: float = 0.004, hardness: float = 90.0) -> Plane:
    """Coverage 0..1 of drawn lines on the dark side of edges, `size` px wide.

    Flow-based difference of Gaussians (Kang et al. 2007) with the soft threshold of Winnemoeller 2012.
    """
    sigma = max(0.6, 0.9 * size)
    difference = blurred(plane, sigma) - np.float32(0.99) * blurred(plane, 1.6 * sigma)
    difference -= np.float32(0.01) * blurred(plane, 1.6 * sigma)
    smooth = along(difference, tangents(plane, 2.0 * size), max(1, round(2 * size)))
    return np.clip(np.tanh((-smooth - threshold) * hardness), 0, 1)


def wobbled(picture: Picture, *, seed: int, scale: float, reach: float) -> Picture:
    """The picture bent by smooth noise, as a hand bends an outline; `reach` px is one deviation."""
    height, width = picture.shape[:2]
    grid_x, grid_y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x = grid_x + reach * noise((height, width), seed=seed, scale=scale, octaves=2)
    y = grid_y + reach * noise((height, width), seed=seed + 1, scale=scale, octaves=2)
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT).astype(np.float32, copy=False)


def vignette(shape: tuple[int, int], force: float) -> Plane:
    """A factor that falls from 1 in the middle to 1 - `force` in the corners."""
    height, width = shape
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return 1 - np.float32(force) * ((across * across + down * down) / 2) ** np.float32(1.2)


def smoothstep(low: float, high: float, plane: Plane) -> Plane:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((plane - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def stepped(plane: Plane, tones: int, softness: float) -> Plane:
    """The plane in `tones` flat steps over 0..1; `softness` 0..1 is the share of each step that is a ramp."""
    scaled = np.clip(plane, 0, 1) * (tones - 1)
    whole = np.floor(scaled)
    ramp = np.clip((scaled - whole - 0.5) / max(softness, 0.02) + 0.5, 0, 1)
    return ((whole + ramp) / (tones - 1)).astype(np.float32, copy=False)
