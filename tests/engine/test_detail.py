"""What is done to a frame after the synthesis."""

import cv2
import numpy as np

from batchmod.engine import detail, metrics
from batchmod.engine.modes import Shares
from batchmod.engine.palette import Palette
from batchmod.engine.raster import blurred, luma, to_bytes
from tests.engine.pictures import demo_frames, hatched, noise, with_hat

FULL = Shares(fine=1.0, middle=1.0, low=1.0)


def test_without_shares_a_frame_is_left_alone() -> None:
    picture = noise(32, 24)

    assert detail.mixed(picture, noise(32, 24, seed=1), Shares(), 0.0, np.zeros((24, 32), np.float32)) is picture


def test_full_shares_give_the_sources_luma() -> None:
    picture, source = noise(64, 48, sigma=6), demo_frames(1, 64, 48)[0]
    mixed = detail.mixed(picture, source, FULL, 0.0, np.zeros((48, 64), np.float32))

    assert np.median(np.abs(luma(mixed).astype(int) - luma(source))) <= 2
    assert np.abs(mixed.astype(int) - source).mean() > 10


def test_an_edited_place_keeps_the_source_out() -> None:
    picture, source = noise(64, 48), demo_frames(1, 64, 48)[0]
    mixed = detail.mixed(picture, source, FULL, 0.0, np.ones((48, 64), np.float32))

    assert metrics.psnr(mixed, picture) > 45


def test_a_hat_is_an_edit_and_a_look_is_none() -> None:
    key = demo_frames(1)[0]
    hat = detail.edit_mask(key, with_hat(key))

    assert hat[48, 85] > 0.95
    assert np.mean(hat > 0.1) < 0.12
    assert np.mean(detail.edit_mask(key, 255 - hatched(key)[..., ::-1])) < 0.05


def test_lost_contrast_comes_back() -> None:
    sharp = hatched(demo_frames(1)[0])
    soft = blurred(sharp, 0.8)
    restored = detail.restored(soft, detail.texture_energy(sharp))

    assert metrics.sharpness(soft, sharp) * 1.5 < metrics.sharpness(restored, sharp) < 1.2


def test_a_grade_follows_the_light_of_the_source() -> None:
    key = demo_frames(1)[0]
    style = np.asarray(key // 2 + 60, np.uint8)
    response = detail.Response.of(key, style)
    beyond = np.full(key.shape, 20, np.float32)
    trust = np.ones(key.shape[:2], np.float32)
    brighter = detail.with_live_detail(style, beyond, response.slope, response.explained, trust)

    assert 5 < np.median(brighter.astype(int) - style) < 11


def test_the_colour_table_learns_a_recolouring() -> None:
    key = demo_frames(1)[0]
    palette = Palette(key, np.ascontiguousarray(key[..., ::-1]), np.ones(key.shape[:2], np.float32))
    other = demo_frames(12)[-1]

    assert np.abs(palette.exact(other) - other[..., ::-1]).mean() < 14
    assert palette.coarse(other).shape == (36, 64, 3)


def test_the_colour_table_leaves_out_what_it_is_told_to() -> None:
    key = demo_frames(1)[0]
    style = key.copy()
    cv2.rectangle(style, (0, 0), (99, 143), (255, 0, 0), -1)
    weights = np.ones(key.shape[:2], np.float32)
    weights[:, :104] = 0
    red = to_bytes(Palette(key, style, weights).exact(key))

    assert np.abs(red[:, 110:].astype(int) - key[:, 110:]).mean() < 12
    assert np.abs(red[:, :90].astype(int) - (255, 0, 0)).mean() > 60
