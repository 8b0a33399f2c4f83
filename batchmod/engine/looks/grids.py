"""Looks on a regular grid: pixel art, knitting, cross-stitch."""

from typing import Final

import cv2
import numpy as np

from batchmod.engine.looks.brushes import (
    Picture,
    Plane,
    clipped,
    floats,
    kuwahara,
    luma,
    nearest_colour,
    noise,
    palette,
    rgb,
    saturated,
)

_BAYER: Final = floats([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 - np.float32(15 / 32)
_PIXEL_COLOURS: Final = 22
_THREAD_COLOURS: Final = 28
_THREAD_REACH: Final = 0.90
"""How far a thread goes towards the corners of its cell, which are at 1."""


def pixel_art(picture: Picture, size: float) -> Picture:
    """Big square pixels of few colours, with the ordered dither of old consoles."""
    height, width = picture.shape[:2]
    cell = max(2.0, 4 * size)
    small = _shrunk(saturated(picture, 1.3), round(height / cell), round(width / cell))
    small = clipped((small - 0.5) * np.float32(1.12) + 0.52)
    rows, columns = small.shape[:2]
    dither = np.tile(_BAYER, (rows // 4 + 1, columns // 4 + 1))[:rows, :columns, None] * np.float32(0.10)
    few = _repainted(floats(small + dither), palette(small, _PIXEL_COLOURS))
    return floats(cv2.resize(few, (width, height), interpolation=cv2.INTER_NEAREST))


def knit(picture: Picture, size: float) -> Picture:
    """Stocking stitch: rows of V-shaped loops of wool, each loop of one colour, with twisted yarn."""
    height, width = picture.shape[:2]
    across, down = max(4.0, 8.0 * size), max(3.0, 6.4 * size)
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None, :]
    u = x / across
    arm = np.abs(u - np.floor(u) - 0.5) * 2
    v = y / down - 0.75 * (1 - arm)
    row, column = np.floor(v), np.broadcast_to(np.floor(u), v.shape)
    loop_y = np.clip((row + 0.5 + 0.375) * down, 0, height - 1).astype(np.float32)
    loop_x = np.clip((column + 0.5) * across, 0, width - 1).astype(np.float32)
    wool = saturated(_shrunk_in_place(kuwahara(picture, 2 * size), across, down), 1.2)
    colour = cv2.remap(wool, loop_x, loop_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    side = 1 - np.abs(v - row - 0.5) * 2
    middle = 1 - np.abs(arm - 0.55) * 1.6
    round_wool = np.sqrt(clipped(side * 1.15)) * np.sqrt(np.clip(middle * 1.1, 0.03, 1))
    twist = 1 + 0.09 * np.sin(2 * np.pi * (1.7 * (v - row) + 2.3 * arm))
    fuzz = 1 + 0.05 * noise((height, width), seed=101, scale=1.6 * size, octaves=2)
    return clipped(colour * ((0.42 + 0.98 * round_wool) * twist * fuzz)[..., None])


def _shrunk_in_place(picture: Picture, across: float, down: float) -> Picture:
    """Each pixel the mean of a loop around it, so that a loop takes one even colour."""
    side = max(1, round(across)), max(1, round(down))
    return floats(cv2.blur(picture, side, borderType=cv2.BORDER_REFLECT))


def cross_stitch(picture: Picture, size: float) -> Picture:
    """Crosses of embroidery thread on cream cloth, a limited set of thread colours, holes between."""
    height, width = picture.shape[:2]
    cell = max(4.0, 6.4 * size)
    rows, columns = max(2, round(height / cell)), max(2, round(width / cell))
    threads = _shrunk(saturated(kuwahara(picture, 1.5 * size), 1.3), rows, columns)
    threads = _repainted(threads, palette(threads, _THREAD_COLOURS))
    colour = cv2.resize(threads, (width, height), interpolation=cv2.INTER_NEAREST)
    down = (np.arange(height, dtype=np.float32)[:, None] + 0.5) * np.float32(rows / height) % 1 - 0.5
    across = (np.arange(width, dtype=np.float32)[None, :] + 0.5) * np.float32(columns / width) % 1 - 0.5
    upper, lower = _thread(down - across, down + across), _thread(down + across, down - across)
    hole = clipped(1.6 - 7 * np.hypot(0.5 - np.abs(down), 0.5 - np.abs(across)))
    cloth = rgb(0.93, 0.90, 0.83) * (0.50 + 0.60 * luma(picture) - 0.45 * hole)[..., None]
    woven = 1 + 0.05 * noise((height, width), seed=102, scale=1.5 * size, octaves=2)
    below = cloth + (colour * np.float32(0.80) - cloth) * (lower > 0)[..., None]
    shade = np.where(upper > 0, 0.72 + 0.38 * upper, 0.62 + 0.38 * lower)
    stitched = np.where((upper > 0)[..., None], colour, below)
    shade = np.where((upper > 0) | (lower > 0), shade, 1.0)
    return clipped(stitched * (shade * woven)[..., None])


def _repainted(picture: Picture, colours: Picture) -> Picture:
    """Every pixel in the nearest of `colours`."""
    return colours[nearest_colour(picture.reshape(-1, 3), colours)].reshape(picture.shape)


def _thread(offset: Plane, reach: Plane) -> Plane:
    """The height of a round thread: 1 on its middle line, 0 beside it and beyond its ends."""
    body = clipped(1 - (np.abs(offset) / 0.37) ** 2)
    return floats(np.sqrt(body) * (np.abs(reach) < _THREAD_REACH))


def _shrunk(picture: Picture, rows: int, columns: int) -> Picture:
    return cv2.resize(picture, (max(2, columns), max(2, rows)), interpolation=cv2.INTER_AREA).astype(
        np.float32, copy=False
    )
