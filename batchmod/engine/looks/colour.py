"""Looks of colour and light alone: sepia, noir, night, golden hour, autumn, winter."""

import cv2
import numpy as np

from batchmod.engine.looks.brushes import (
    Picture,
    blurred,
    clipped,
    floats,
    luma,
    rgb,
    saturated,
    smoothstep,
    tinted,
    vignette,
)


def sepia(picture: Picture, _size: float) -> Picture:
    """An old brown print with faded blacks and dim corners."""
    grey = clipped((luma(picture) - 0.5) * 0.92 + 0.53)
    print_ = tinted(grey, (0.13, 0.075, 0.03), (1.0, 0.92, 0.74))
    return clipped(print_ * vignette(grey.shape, 0.42)[..., None])


def noir(picture: Picture, size: float) -> Picture:
    """Black and white with deep shadows, hard light and a slight bloom."""
    grey = clipped(picture @ rgb(0.45, 0.45, 0.10))
    grey = 0.75 * smoothstep(0.06, 0.86, grey) + 0.25 * grey
    bloom = blurred(clipped(grey - 0.7), 6 * size)
    value = clipped(grey * vignette(grey.shape, 0.6) + 0.5 * bloom)
    return tinted(value, (0.01, 0.01, 0.015), (0.97, 0.975, 0.98))


def night(picture: Picture, size: float) -> Picture:
    """Moonlight: blue and dim but readable, with warm light where the picture was brightest."""
    grey = luma(picture)
    dim = clipped(picture) ** np.float32(1.35) * np.float32(0.62)
    moon = tinted(luma(dim), (0.015, 0.03, 0.085), (0.52, 0.72, 1.12))
    lamps = smoothstep(0.72, 0.98, grey)
    glow = blurred(lamps, 8 * size)
    light = (0.22 * glow + 0.26 * lamps)[..., None] * rgb(1.0, 0.80, 0.46)
    return clipped(0.32 * dim * rgb(0.7, 0.85, 1.2) + 0.75 * moon + light)


def golden_hour(picture: Picture, size: float) -> Picture:
    """Low sun: warm light, long soft glow, shadows a little violet."""
    grey = luma(picture)
    light = smoothstep(0.15, 0.9, grey)[..., None]
    warm = picture * (rgb(0.98, 0.84, 0.88) * (1 - light) + rgb(1.24, 0.98, 0.56) * light)
    glow = blurred(clipped(grey - 0.45), 14 * size)
    across = np.linspace(1.25, 0.6, grey.shape[1], dtype=np.float32)[None, :]
    haze = clipped((1.5 * glow * across)[..., None] * rgb(1.0, 0.66, 0.28))
    # Screened, not added: a bright picture keeps its lights.
    return 1 - (1 - clipped(warm * np.float32(0.97))) * (1 - haze)


def autumn(picture: Picture, _size: float) -> Picture:
    """Leaves turned: greens go to orange and rust, the rest takes on their light."""
    hsv = floats(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV))
    hue = hsv[..., 0]
    leaf = floats(smoothstep(40, 62, hue) * (1 - smoothstep(150, 185, hue)) * smoothstep(0.12, 0.35, hsv[..., 1]))
    turned = hsv.copy()
    turned[..., 0] = np.clip(14 + (hue - 55) * 0.35, 6, 46)
    turned[..., 1] = clipped(hsv[..., 1] * 1.12)
    leaves = floats(cv2.cvtColor(turned, cv2.COLOR_HSV2RGB))
    warm = picture * rgb(1.12, 0.985, 0.78)
    return clipped(warm + (leaves - warm) * leaf[..., None])


def winter(picture: Picture, _size: float) -> Picture:
    """Frost: greens and light surfaces go white, colours pale, the light turns cold."""
    hsv = floats(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV))
    hue, grey = hsv[..., 0], luma(picture)
    plants = smoothstep(35, 60, hue) * (1 - smoothstep(160, 190, hue)) * smoothstep(0.12, 0.35, hsv[..., 1])
    snow = smoothstep(0.12, 0.62, grey) * (0.35 + 0.65 * plants)
    cold = saturated(picture, 0.45) * rgb(0.90, 0.98, 1.10)
    white = tinted(clipped(0.55 + 0.5 * grey), (0.50, 0.60, 0.74), (0.98, 0.99, 1.0))
    return clipped(cold + (white - cold) * snow[..., None])
