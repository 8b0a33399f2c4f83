"""The judges are judged."""

import numpy as np

from batchmod.engine import metrics
from batchmod.engine.raster import blurred
from tests.engine.pictures import demo_frames, hatched, noise, panning


def test_a_frame_is_like_itself() -> None:
    frame = noise(64, 48)
    distance = metrics.style_distance(frame, frame)

    assert metrics.psnr(frame, frame) == float("inf")
    assert metrics.structure(frame, frame) > 0.999
    assert metrics.sharpness(frame, frame) == 1
    assert (distance.texture, distance.colour) == (0, 0)


def test_structure_ignores_light_and_sees_shapes() -> None:
    frame = demo_frames(1)[0]

    assert metrics.structure(np.asarray(frame // 2 + 100, np.uint8), frame) > 0.6
    assert metrics.structure(noise(256, 144), frame) < 0.2


def test_a_blurred_picture_is_less_sharp_and_less_like_the_style() -> None:
    style = hatched(demo_frames(1)[0])
    soft = blurred(style, 1.5)

    assert metrics.sharpness(soft, style) < 0.2
    assert metrics.style_distance(soft, style).texture > 3


def test_warp_error_sees_flicker_and_not_motion() -> None:
    frames = panning(6, 128, 72)
    motions = metrics.motions(frames)
    flickering = [np.asarray(frame // 2 + 60 * (k % 2), np.uint8) for k, frame in enumerate(frames)]

    assert metrics.warp_error(frames, motions) < 3
    assert metrics.warp_error(flickering, motions) > 50
