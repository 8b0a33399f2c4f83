"""Looks of paint and matter: watercolour, oil, cel, comic, clay."""

from typing import Final

import cv2
import numpy as np

from batchmod.engine.looks.brushes import (
    Picture,
    Plane,
    along,
    blurred,
    clipped,
    floats,
    ink,
    kuwahara,
    luma,
    missed,
    noise,
    rgb,
    saturated,
    smoothstep,
    stepped,
    tangents,
    wobbled,
)

_STEEPEST: Final = 0.35
"""Of clay: outlines are rounded, not cut."""


def watercolour(picture: Picture, size: float) -> Picture:
    """Thin washes on rough paper: light, bleeding outlines, pigment that gathers at edges and in the grain."""
    wet = wobbled(picture, seed=61, scale=12 * size, reach=1.1 * size)
    broad, fine = kuwahara(kuwahara(wet, 4 * size), 3 * size), kuwahara(wet, 1.5 * size)
    wash = saturated(broad + (fine - broad) * missed(broad, fine, size), 1.55)
    wash = 1 - (1 - wash) * np.float32(0.85)
    shape = wash.shape[:2]
    edges = smoothstep(0.05, 0.6, _slope(luma(wash), 0.8 * size))
    blooms = noise(shape, seed=62, scale=60 * size, octaves=3)
    grain = noise(shape, seed=63, scale=3 * size)
    density = np.clip(1 + 0.13 * blooms + 0.10 * grain + 0.75 * edges, 0.4, 2.2)
    # Beer-Lambert: a thicker layer of the same pigment multiplies its absorbance.
    painted = np.clip(wash, 0.02, 1) ** density[..., None]
    paper = rgb(0.995, 0.985, 0.96) * (1 + 0.012 * grain)[..., None]
    return clipped(painted * paper)


def _slope(plane: Plane, sigma: float) -> Plane:
    """Steepness of a plane after a blur; 1 is a hard edge from black to white at that blur."""
    smooth = blurred(plane, sigma)
    steep = cv2.magnitude(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    return floats(steep * (max(sigma, 0.3) / 3.2))


def oil(picture: Picture, size: float) -> Picture:
    """Thick strokes that follow the forms, with the relief of bristles under a raking light."""
    broad, fine = kuwahara(kuwahara(picture, 3.5 * size), 5 * size), kuwahara(picture, 1.5 * size)
    field = tangents(luma(broad), 4 * size, calm=0.6)
    shape = broad.shape[:2]
    dabs = noise(shape, seed=71, scale=5 * size, octaves=2)
    hairs = noise(shape, seed=72, scale=1.6 * size, octaves=2)
    pulled = along(np.dstack([dabs, hairs]), field, 7 * size, stride=size / 2)
    patches, bristles = np.moveaxis(pulled / pulled.std(axis=(0, 1)), -1, 0)
    relief = blurred(bristles, 0.6 * size) + 0.6 * patches
    light = relief - _shifted(relief, max(1, round(size)))
    light /= max(float(light.std()), 1e-6)
    laid = along(broad, field, 3.5 * size, stride=size / 2)
    close = along(fine, tangents(luma(fine), 1.5 * size, calm=0.6), 1.2 * size, stride=size / 2)
    close_by = missed(broad, fine, size)
    thick = 1 - 0.5 * close_by
    colour = saturated(laid + (close - laid) * close_by, 1.35)
    return clipped(colour * (1 + 0.055 * patches[..., None] * thick) + 0.05 * light[..., None] * thick)


def _shifted(plane: Plane, by: int) -> Plane:
    return floats(cv2.copyMakeBorder(plane, by, 0, by, 0, cv2.BORDER_REPLICATE)[:-by, :-by])


def cel(picture: Picture, size: float) -> Picture:
    """Animation cels: few flat tones with clean borders, strong colour, dark outlines."""
    flat = kuwahara(kuwahara(picture, 2.5 * size), 2 * size)
    lab = floats(cv2.cvtColor(flat, cv2.COLOR_RGB2LAB))
    tone = clipped(lab[..., 0] / 100 * 1.06 + 0.02)
    lab[..., 0] = 100 * (0.8 * stepped(blurred(tone, 0.8 * size), 6, 0.18) + 0.2 * tone)
    lab[..., 1:] *= np.float32(1.45)
    colour = clipped(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))
    lines = ink(luma(flat), 1.05 * size, threshold=0.005, hardness=110)
    return floats(colour * (1 - 0.88 * lines[..., None]))


def comic(picture: Picture, size: float) -> Picture:
    """A printed comic page: dots for tones (Ben Day), flat bright ink, heavy black outlines."""
    flat = saturated(kuwahara(kuwahara(picture, 3 * size), 2 * size), 1.75)
    bright = clipped(flat) ** np.float32(0.7)
    tone = luma(bright)
    poster = clipped(bright * (stepped(tone, 5, 0.2) / np.maximum(tone, 0.05))[..., None])
    dots = _dots(1 - tone, 5.0 * size)
    light = 1 - (1 - poster) * np.float32(0.36)
    page = light + (poster * np.float32(0.92) - light) * dots[..., None]
    lines = np.maximum(ink(luma(flat), 1.35 * size, threshold=0.006, hardness=120), smoothstep(0.90, 0.96, 1 - tone))
    return floats(page * (1 - 0.94 * lines[..., None]))


def _dots(dark: Plane, cell: float) -> Plane:
    """A 45 degree screen: dots that cover about as much of the page as the tone is dark."""
    cell = max(cell, 2.5)
    height, width = dark.shape
    down = np.arange(height, dtype=np.float32)[:, None]
    across = np.arange(width, dtype=np.float32)[None, :]
    u, v = (across + down) / np.float32(cell * 1.4142), (across - down) / np.float32(cell * 1.4142)
    distance = np.hypot(u - np.round(u), v - np.round(v))
    radius = np.sqrt(clipped(dark)) * 0.68
    return clipped((radius - distance) * cell * 0.9 + 0.5)


def clay(picture: Picture, size: float) -> Picture:
    """Plasticine: rounded flat forms, pressed-in finger marks, one soft lamp from the upper left."""
    broad, fine = kuwahara(kuwahara(picture, 5 * size), 5 * size), kuwahara(picture, 2 * size)
    pressed = (fine - broad) * missed(broad, fine, size)
    shape = broad.shape[:2]
    prints = 0.010 * noise(shape, seed=81, scale=9 * size, octaves=2) + 0.004 * noise(shape, seed=82, scale=3 * size)
    height = blurred(luma(broad + 0.5 * pressed), 2.2 * size) * 0.9 + prints
    slope_x, slope_y = (cv2.Sobel(height, cv2.CV_32F, *axes) * np.float32(size) for axes in ((1, 0), (0, 1)))
    steep = _STEEPEST * np.tanh(1.6 * (slope_x + slope_y) / _STEEPEST)
    lamp = (1 - steep) / np.sqrt(1 + 2 * (slope_x**2 + slope_y**2))
    shine = clipped(lamp - 1.12)
    colour = saturated(broad + pressed, 1.3) * np.float32(0.93) + np.float32(0.03)
    return clipped(colour * np.clip(lamp, 0.45, 1.5)[..., None] + 0.5 * shine[..., None])
