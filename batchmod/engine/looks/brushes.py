"""The tools the looks share: noise, smoothing, ink lines. Pictures are HxWx3 float32 RGB in 0..1."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from batchmod.engine.raster import own_positions, sampled

Picture = NDArray[np.float32]
"""HxWx3 RGB, 0..1."""

Plane = NDArray[np.float32]
"""HxW, 0..1 unless said otherwise."""

Field = NDArray[np.float32]
"""HxWx2 unit vectors (x, y); only their axis counts, not their sign."""

_QUADRANTS: Final = ((0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (0.0, 0.5), (1.0, 0.5), (0.0, 1.0), (0.5, 1.0), (1.0, 1.0))
_KUWAHARA_POWER: Final = 4.0
_PALETTE_ROUNDS: Final = 8
_WIDE_BLUR: Final = 4.0


def floats(values: ArrayLike) -> Picture:
    """The values as float32, not copied where they already are."""
    return np.asarray(values, np.float32)


def clipped(values: ArrayLike) -> Picture:
    """The values within 0..1, as float32."""
    return floats(np.clip(values, 0, 1))


def rgb(red: float, green: float, blue: float) -> NDArray[np.float32]:
    """A colour, or a factor for each channel."""
    return np.array((red, green, blue), np.float32)


def luma(picture: Picture) -> Plane:
    """Rec. 601 luma."""
    return floats(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))


def tinted(plane: Plane, dark: tuple[float, float, float], light: tuple[float, float, float]) -> Picture:
    """The plane as a ramp from one colour to another."""
    low, high = rgb(*dark), rgb(*light)
    return plane[..., None] * (high - low) + low


def saturated(picture: Picture, factor: float) -> Picture:
    """Chroma times `factor`, luma kept."""
    grey = luma(picture)[..., None]
    return clipped(grey + (picture - grey) * np.float32(factor))


def blurred(plane: Plane, sigma: float) -> Plane:
    """A Gaussian blur of a plane or a picture; a wide one is computed at a smaller size, where it looks the same."""
    factor = int(sigma / _WIDE_BLUR)
    height, width = plane.shape[:2]
    if factor > 1 and min(height, width) > factor * factor:
        small = cv2.resize(plane, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
        return floats(cv2.resize(blurred(floats(small), sigma / factor), (width, height)))
    return floats(cv2.GaussianBlur(plane, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_REFLECT))


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
    return _normal(floats(cv2.resize(lines, (width, height), interpolation=cv2.INTER_CUBIC)))


def _normal(plane: Plane) -> Plane:
    return floats((plane - plane.mean()) / max(float(plane.std()), 1e-6))


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
    return floats(total / np.maximum(weights, 1e-20)[..., None])


def _box(plane: Plane, side: int, anchor: tuple[int, int]) -> Plane:
    return floats(cv2.boxFilter(plane, -1, (side, side), anchor=anchor, borderType=cv2.BORDER_REFLECT))


def missed(broad: Picture, fine: Picture, size: float) -> Plane:
    """Where broad strokes miss what a fine brush would show, eyes or spokes: a share, HxWx1 (Hertzmann 1998)."""
    lost = blurred(floats(np.abs(luma(fine) - luma(broad))), 1.5 * size)
    return smoothstep(0.02, 0.07, lost)[..., None]


def tangents(plane: Plane, sigma: float, *, calm: float = 0.0) -> Field:
    """Unit vectors along the edges: the minor eigenvector of the structure tensor smoothed by `sigma`.

    `calm` adds that share of a tensor smoothed four times wider, so that flat areas follow their surroundings.
    """
    xx, yy, xy = _tensor(plane, sigma)
    if calm:
        wide = _tensor(plane, 4 * sigma)
        xx, yy, xy = xx + calm * wide[0], yy + calm * wide[1], xy + calm * wide[2]
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.float32(np.pi / 2)
    return np.dstack([np.cos(angle), np.sin(angle)])


def coherence(plane: Plane, sigma: float) -> Plane:
    """How much the edges around a pixel agree on one direction: 1 at an outline, near 0 in foliage."""
    xx, yy, xy = _tensor(plane, sigma)
    return floats(np.sqrt((xx - yy) ** 2 + 4 * xy * xy) / (xx + yy + 1e-5))


def _tensor(plane: Plane, sigma: float) -> tuple[Plane, Plane, Plane]:
    right = cv2.Sobel(plane, cv2.CV_32F, 1, 0)
    down = cv2.Sobel(plane, cv2.CV_32F, 0, 1)
    return blurred(right * right, sigma), blurred(down * down, sigma), blurred(right * down, sigma)


def along(plane: Plane, field: Field, reach: float, *, stride: float = 1.0) -> Plane:
    """The mean along the field, `reach` px to each side: line integral convolution (Cabral, Leedom 1993)."""
    height, width = field.shape[:2]
    grid = own_positions(height, width)
    steps, stride = max(1, round(reach / max(stride, 1))), max(stride, 1.0)
    total = plane.copy()
    for sign in (1, -1):
        place, step = grid, np.float32(sign) * field
        for _ in range(steps):
            place = place + np.float32(stride) * step
            total += sampled(plane, place)
            onward = sampled(field, place, cv2.INTER_NEAREST)
            # An axis has no sign: go on the way we came.
            back = onward[..., 0] * step[..., 0] + onward[..., 1] * step[..., 1] < 0
            step = np.where(back[..., None], -onward, onward)
    return floats(total / np.float32(2 * steps + 1))


def ink(plane: Plane, size: float, *, threshold: float = 0.004, hardness: float = 90.0) -> Plane:
    """Coverage 0..1 of drawn lines on the dark side of edges, `size` px wide.

    Flow-based difference of Gaussians (Kang et al. 2007) with the soft threshold of Winnemoeller 2012.
    """
    sigma = max(0.6, 0.9 * size)
    difference = blurred(plane, sigma) - np.float32(0.99) * blurred(plane, 1.6 * sigma)
    difference -= np.float32(0.01) * blurred(plane, 1.6 * sigma)
    smooth = along(difference, tangents(plane, 2.0 * size), 2 * size, stride=size / 2)
    # Foliage has edges everywhere and outlines nowhere: draw there with a lighter hand.
    outline = 0.3 + 0.7 * smoothstep(0.15, 0.6, coherence(plane, 3.0 * size))
    return clipped(np.tanh((-smooth * outline - threshold) * hardness))


def wobbled(picture: Picture, *, seed: int, scale: float, reach: float) -> Picture:
    """The picture bent by smooth noise, as a hand bends an outline; `reach` px is one deviation."""
    height, width = picture.shape[:2]
    bends = [noise((height, width), seed=seed + axis, scale=scale, octaves=2) for axis in (0, 1)]
    return sampled(picture, own_positions(height, width) + np.float32(reach) * np.dstack(bends))


def vignette(shape: tuple[int, int], force: float) -> Plane:
    """A factor that falls from 1 in the middle to 1 - `force` in the corners."""
    height, width = shape
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return floats(1 - force * ((across * across + down * down) / 2) ** 1.2)


def smoothstep(low: float, high: float, plane: Plane) -> Plane:
    """0 below `low`, 1 above `high`, smooth between."""
    t = clipped((plane - low) / (high - low))
    return floats(t * t * (3 - 2 * t))


def stepped(plane: Plane, tones: int, softness: float) -> Plane:
    """The plane in `tones` flat steps over 0..1; `softness` 0..1 is the share of each step that is a ramp."""
    scaled = clipped(plane) * (tones - 1)
    whole = np.floor(scaled)
    ramp = clipped((scaled - whole - 0.5) / max(softness, 0.02) + 0.5)
    return floats((whole + ramp) / (tones - 1))


def palette(picture: Picture, colours: int) -> Picture:
    """The picture's own most useful colours, `colours` x 3: k-means from evenly spaced luma ranks."""
    pixels = picture.reshape(-1, 3)
    ranks = np.linspace(0, len(pixels) - 1, colours).round().astype(int)
    centres = pixels[np.argsort(luma(picture).ravel(), kind="stable")[ranks]].copy()
    for _ in range(_PALETTE_ROUNDS):
        owner = nearest_colour(pixels, centres)
        number = np.bincount(owner, minlength=colours)[:, None]
        sums = np.stack([np.bincount(owner, pixels[:, channel], colours) for channel in range(3)], axis=1)
        centres = floats(np.where(number > 0, sums / np.maximum(number, 1), centres))
    return floats(centres)


def nearest_colour(pixels: Picture, centres: Picture) -> NDArray[np.intp]:
    """For every row of `pixels` (n x 3) the index of the nearest of `centres`."""
    distance: Plane = (centres * centres).sum(axis=1) - 2 * (pixels @ centres.T)
    nearest: NDArray[np.intp] = np.argmin(distance, axis=1)
    return nearest
