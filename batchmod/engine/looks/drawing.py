"""Looks drawn with lines: pencil, charcoal, ink, engraving, blueprint, neon."""

import numpy as np

from batchmod.engine.looks.brushes import (
    Picture,
    Plane,
    blurred,
    clipped,
    floats,
    ink,
    kuwahara,
    luma,
    missed,
    noise,
    rgb,
    smoothstep,
    strokes,
    tinted,
)


def pencil(picture: Picture, size: float) -> Picture:
    """Graphite on paper: outlines, and three directions of hatching that fill in as it gets darker."""
    grey = luma(kuwahara(picture, 1.5 * size))
    shape = grey.shape
    dark = 1 - grey
    shade = 0.35 * dark**2
    for seed, degrees, start in ((11, 45.0, 0.25), (12, 15.0, 0.5), (13, -40.0, 0.7)):
        strength = smoothstep(start, start + 0.45, dark)
        shade += strength * np.clip(0.16 + 0.16 * strokes(shape, seed=seed, size=size, degrees=degrees), 0, 0.6)
    lines = ink(grey, size, threshold=0.003, hardness=70)
    grain = 0.02 * noise(shape, seed=14, scale=3 * size)
    value = 1 - np.clip(shade, 0, 0.85) - 0.65 * lines + grain
    return tinted(clipped(value), (0.13, 0.13, 0.15), (0.99, 0.975, 0.94))


def charcoal(picture: Picture, size: float) -> Picture:
    """Broad soft blacks that catch the grain of the paper, smudged, drawn over with the stick's edge."""
    broad, fine = kuwahara(picture, 3 * size), kuwahara(picture, 1.2 * size)
    grey = luma(fine)
    edge = np.clip(1.5 * (blurred(grey, 0.7 * size) - blurred(grey, 5 * size)), -0.3, 0.2)
    tone = smoothstep(0.05, 0.85, blurred(luma(broad), size) + edge)
    paper = noise(grey.shape, seed=21, scale=3.5 * size)
    rubbed = strokes(grey.shape, seed=22, size=2.2 * size, degrees=60.0)
    dark = (1 - tone) ** 1.2 * 0.95
    grain = (1 - 0.6 * missed(blurred(broad, 2 * size), fine, size)[..., 0]) * (0.30 * paper + 0.16 * rubbed)
    coverage = clipped(dark + dark * (1.25 - dark) * grain)
    lines = ink(luma(kuwahara(picture, 2 * size)), 1.4 * size, threshold=0.005, hardness=55)
    drawn = np.maximum(coverage, 0.9 * lines * clipped(0.9 + 0.25 * paper))
    return tinted(1 - drawn, (0.07, 0.065, 0.065), (0.95, 0.93, 0.89))


def pen(picture: Picture, size: float) -> Picture:
    """Pen and ink: black outlines, solid shadows, cross-hatching between, white paper."""
    grey = luma(kuwahara(picture, 2 * size))
    dark = 1 - grey
    lines = ink(grey, 1.1 * size, threshold=0.003, hardness=160)
    black = lines
    for degrees, start in ((45.0, 0.42), (-45.0, 0.60), (0.0, 0.74)):
        black = np.maximum(black, _hatch(dark, size, degrees=degrees, start=start))
    black = np.maximum(black, smoothstep(0.84, 0.90, dark))
    return tinted(1 - black, (0.05, 0.05, 0.07), (0.985, 0.98, 0.96))


def _hatch(dark: Plane, size: float, *, degrees: float, start: float) -> Plane:
    """Parallel lines, thicker where the picture is darker, none where it is lighter than `start`."""
    phase = _ruler(dark.shape, degrees) / (4.0 * size) + 0.12 * noise(dark.shape, seed=31, scale=24 * size)
    wave = np.abs(phase - np.round(phase)) * 2
    width = np.clip((dark - start) * 1.6, 0, 0.55)
    return floats(clipped((width - wave) * 2.2 * size + 0.5) * (width > 0))


def _ruler(shape: tuple[int, ...], degrees: float) -> Plane:
    """The distance in pixels of every pixel along one direction."""
    angle = np.radians(degrees)
    down = np.arange(shape[0], dtype=np.float32)[:, None]
    across = np.arange(shape[1], dtype=np.float32)[None, :]
    return across * np.float32(np.cos(angle)) + down * np.float32(np.sin(angle))


def engraving(picture: Picture, size: float) -> Picture:
    """A copperplate: swelling lines that bend over the forms, as on old book pages and banknotes."""
    grey = luma(kuwahara(picture, 1.5 * size))
    form = blurred(grey, 5 * size)
    phase = (_ruler(grey.shape, 80.0) + 14 * size * form) / (3.6 * size)
    wave = np.abs(phase - np.round(phase)) * 2
    width = np.clip(1.08 - 1.15 * grey**0.8, 0.02, 0.95)
    black = clipped((width - wave) * 1.9 * size + 0.5)
    black = np.maximum(black, 0.9 * ink(grey, size, threshold=0.004, hardness=120))
    return tinted(1 - black, (0.12, 0.10, 0.09), (0.955, 0.925, 0.85))


def blueprint(picture: Picture, size: float) -> Picture:
    """White construction lines and a faint grid on blue tracing paper."""
    grey = luma(kuwahara(picture, 2 * size))
    lines = np.maximum(ink(grey, size, threshold=0.004, hardness=130), ink(1 - grey, size, hardness=40) * 0.35)
    hatch = _hatch(grey, 1.3 * size, degrees=45.0, start=0.55) * 0.22
    paper = 0.10 * grey + 0.012 * noise(grey.shape, seed=51, scale=6 * size)
    value = clipped(np.maximum(lines, hatch) + paper + _grid(grey.shape, size))
    return tinted(value, (0.035, 0.17, 0.42), (0.93, 0.97, 1.0))


def _grid(shape: tuple[int, ...], size: float) -> Plane:
    """Thin lines every 12 units, stronger every 60."""
    lines = np.zeros(shape, np.float32)
    for spacing, force in ((12 * size, 0.07), (60 * size, 0.12)):
        for degrees in (0.0, 90.0):
            phase = _ruler(shape, degrees) / np.float32(spacing)
            near = np.abs(phase - np.round(phase)) * spacing
            lines = np.maximum(lines, force * clipped(size * 0.5 + 0.5 - near))
    return lines


def neon(picture: Picture, size: float) -> Picture:
    """Glowing tubes along the outlines, magenta to cyan, over a dim violet room."""
    flat = kuwahara(picture, 2.5 * size)
    grey = luma(flat)
    lines = np.maximum(ink(grey, 1.1 * size, threshold=0.007, hardness=80), ink(1 - grey, size, threshold=0.012))
    glow = 0.9 * blurred(lines, 3 * size) + 0.8 * blurred(lines, 9 * size)
    across = np.linspace(0, 1, grey.shape[1], dtype=np.float32)[None, :]
    mix = clipped(across + 0.25 * (blurred(grey, 12 * size) - 0.5))
    colour = tinted(np.broadcast_to(mix, grey.shape), (1.0, 0.10, 0.62), (0.0, 0.85, 1.0))
    room = flat * rgb(0.30, 0.20, 0.42) + rgb(0.02, 0.01, 0.06)
    white = np.float32(0.55) * (lines**2)[..., None]
    return clipped(room + (glow + 0.7 * lines)[..., None] * colour + white)
