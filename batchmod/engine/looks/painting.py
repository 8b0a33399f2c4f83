"""Looks of paint and matter: watercolour, oil, cel, comic, clay."""

import cv2
import numpy as np

from batchmod.engine.looks.brushes import (
    Picture,
    Plane,
    along,
    blurred,
    ink,
    kuwahara,
    luma,
    noise,
    saturated,
    smoothstep,
    stepped,
    tangents,
    wobbled,
)


def watercolour(picture: Picture, size: float) -> Picture:
    """Thin washes on rough paper: light, bleeding outlines, pigment that gathers at edges and in the grain."""
    wet = wobbled(picture, seed=61, scale=14 * size, reach=0.9 * size)
    wash = saturated(kuwahara(kuwahara(wet, 4 * size), 3 * size), 1.35)
    wash = 1 - (1 - wash) * np.float32(0.86)
    shape = wash.shape[:2]
    edges = smoothstep(0.05, 0.6, _slope(luma(wash), 0.8 * size))
    blooms = noise(shape, seed=62, scale=60 * size, octaves=3)
    grain = noise(shape, seed=63, scale=3 * size)
    density = np.clip(1 + 0.13 * blooms + 0.10 * grain + 0.75 * edges, 0.4, 2.2)
    # Beer-Lambert: a thicker layer of the same pigment multiplies its absorbance.
    painted = np.clip(wash, 0.02, 1) ** density[..., None]
    paper = np.float32([0.995, 0.985, 0.96]) * (1 + 0.012 * grain)[..., None]
    return np.clip(painted * paper, 0, 1)


def _slope(plane: Plane, sigma: float) -> Plane:
    """Steepness of a plane after a blur; 1 is a hard edge from black to white at that blur."""
    smooth = blurred(plane, sigma)
    steep = cv2.magnitude(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    return (steep * np.float32(max(sigma, 0.3) / 3.2)).astype(np.float32, copy=False)


def oil(picture: Picture, size: float) -> Picture:
    """Thick strokes that follow the forms, with the relief of bristles under a raking light."""
    base = kuwahara(kuwahara(picture, 3.5 * size), 5 * size)
    field = tangents(luma(base), 4 * size)
    steps = max(2, round(7 * size))
    dabs = noise(base.shape[:2], seed=71, scale=5 * size, octaves=2)
    bristles = along(noise(base.shape[:2], seed=72, scale=1.6 * size, octaves=2), field, steps)
    bristles /= max(float(bristles.std()), 1e-6)
    patches = along(dabs, field, steps)
    patches /= max(float(patches.std()), 1e-6)
    relief = blurred(bristles, 0.6 * size) + 0.6 * patches
    light = relief - _shifted(relief, max(1, round(size)))
    light /= max(float(light.std()), 1e-6)
    colour = saturated(along(base, field, max(1, steps // 2)), 1.35)
    return np.clip(colour * (1 + 0.055 * patches[..., None]) + 0.05 * light[..., None], 0, 1)


def _shifted(plane: Plane, by: int) -> Plane:
    return cv2.copyMakeBorder(plane, by, 0, by, 0, cv2.BORDER_REPLICATE)[:-by, :-by].astype(np.float32, copy=False)


def cel(picture: Picture, size: float) -> Picture:
    """Animation cels: few flat tones with clean borders, strong colour, dark outlines."""
    flat = kuwahara(kuwahara(picture, 2.5 * size), 2 * size)
    lab = cv2.cvtColor(flat, cv2.COLOR_RGB2LAB)
    tone = np.clip(lab[..., 0] / 100 * 1.06 + 0.02, 0, 1)
    lab[..., 0] = 100 * (0.8 * stepped(blurred(tone, 0.8 * size), 6, 0.18) + 0.2 * tone)
    lab[..., 1:] *= 1.45
    colour = np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), 0, 1)
    lines = ink(luma(flat), 1.05 * size, threshold=0.005, hardness=110)
    return colour * (1 - 0.88 * lines[..., None])


def comic(picture: Picture, size: float) -> Picture:
    """A printed comic page: dots for tones (Ben Day), flat bright ink, heavy black outlines."""
    flat = saturated(kuwahara(kuwahara(picture, 3 * size), 2 * size), 1.6)
    bright = np.clip(flat, 0, 1) ** np.float32(0.8)
    tone = luma(bright)
    poster = np.clip(bright * (stepped(tone, 5, 0.2) / np.maximum(tone, 0.05))[..., None], 0, 1)
    dots = _dots(1 - tone, 5.0 * size)
    light = 1 - (1 - poster) * np.float32(0.42)
    page = light + (poster * np.float32(0.92) - light) * dots[..., None]
    lines = np.maximum(ink(luma(flat), 1.35 * size, threshold=0.006, hardness=120), smoothstep(0.90, 0.96, 1 - tone))
    return page * (1 - 0.94 * lines[..., None])


def _dots(dark: Plane, cell: float) -> Plane:
    """A 45 degree screen: dots that cover about as much of the page as the tone is dark."""
    cell = max(cell, 2.5)
    height, width = dark.shape
    down = np.arange(height, dtype=np.float32)[:, None]
    across = np.arange(width, dtype=np.float32)[None, :]
    u, v = (across + down) / np.float32(cell * 1.4142), (across - down) / np.float32(cell * 1.4142)
    distance = np.hypot(u - np.round(u), v - np.round(v))
    radius = np.sqrt(np.clip(dark, 0, 1)) * 0.68
    return np.clip((radius - distance) * cell * 0.9 + 0.5, 0, 1)


def clay(picture: Picture, size: float) -> Picture:
    """Plasticine: rounded flat forms, pressed-in finger marks, one soft lamp from the upper left."""
    flat = kuwahara(kuwahara(picture, 5 * size), 5 * size)
    grey = luma(flat)
    shape = grey.shape
    prints = 0.010 * noise(shape, seed=81, scale=9 * size, octaves=2) + 0.004 * noise(shape, seed=82, scale=3 * size)
    height = blurred(grey, 2.2 * size) * 0.9 + prints
    slope_x, slope_y = (cv2.Sobel(height, cv2.CV_32F, *axes) * np.float32(size) for axes in ((1, 0), (0, 1)))
    lamp = (1 - 1.6 * (slope_x + slope_y)) / np.sqrt(1 + 2 * (slope_x**2 + slope_y**2))
    shine = np.clip(lamp - 1.12, 0, 1)
    colour = saturated(flat, 1.3) * np.float32(0.93) + np.float32(0.03)
    return np.clip(colour * np.clip(lamp, 0.45, 1.5)[..., None] + 0.5 * shine[..., None], 0, 1)
