"""The steps that are done in one pass, against the same in many, slow and obvious ones."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from batchmod.engine import fused, raster
from batchmod.engine.flow import FlowEstimator
from batchmod.engine.raster import Floats, Points, Rgb, own_positions
from tests.engine.pictures import demo_frames, hatched, noise

_FRAMES = demo_frames(9, 96, 54)
_TONES = [raster.luma(frame) for frame in _FRAMES]
_BACKWARD = FlowEstimator().flow(_TONES[8], _TONES[0])
_FORWARD = FlowEstimator().flow(_TONES[0], _TONES[8])
_OWN = own_positions(54, 96)


def _random(seed: int, *, high: float = 1.0, channels: int = 0) -> Floats:
    shape = (54, 96, channels) if channels else (54, 96)
    return raster.blurred((np.random.default_rng(seed).random(shape) * high).astype(np.float32), 1)


def _levels(values: NDArray[Any]) -> Rgb:
    return np.asarray(np.clip(values + 0.5, 0, 255), np.uint8)


def _apart(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float(np.abs(first.astype(float) - second).max())


def test_flows_agree_where_one_undoes_the_other() -> None:
    there = _OWN + _BACKWARD
    back = raster.sampled(_FORWARD, there)
    gap = np.square(_BACKWARD + back).sum(-1)
    within = ((there >= 0) & (there <= (95, 53))).all(-1)
    agree = within & (gap < 0.01 * (np.square(_BACKWARD) + np.square(back)).sum(-1) + 0.5)

    assert 0.3 < agree.mean() < 0.99
    assert np.mean(agree != fused.agreeing(_BACKWARD, _FORWARD)) < 0.002


def test_a_map_is_carried_as_it_is_sampled() -> None:
    points, confidence = _OWN + _FORWARD, _random(1)
    sure = _random(2) > 0.5
    moved, held = fused.carried(points, confidence, _BACKWARD, sure)

    # OpenCV samples at 32nds of a pixel.
    assert _apart(moved, raster.sampled(points, _OWN + _BACKWARD)) < 0.3
    assert _apart(held, raster.sampled(confidence, _OWN + _BACKWARD) * sure) < 0.05


def _found() -> Points:
    return (_OWN + np.random.default_rng(3).normal(size=(54, 96, 2)) * 4).astype(np.float32)


def test_a_map_is_anchored_by_small_drifts_and_great_gains() -> None:
    held, before, after, found = _random(4), _random(5, high=20), _random(6, high=20), _found()
    drift = (after < before - 0.3) & (raster.length(found - _OWN) < 6)
    returned = (after < before * 0.5 - 2) & (held < 0.3)
    wanted = np.maximum(drift * 0.5, returned)

    assert np.array_equal(fused.anchoring(_OWN, held, found, before, after), wanted.astype(np.float32))


def test_a_map_settles_between_the_carried_and_the_found() -> None:
    held, before, after, found = _random(4), _random(5, high=40), _random(6, high=40), _found()
    wanted = (_random(7) > 0.55).astype(np.float32)
    share = raster.blurred(wanted, 2)
    level = before + (after - before) * share
    sure = np.maximum(held, 0.7 * wanted * (after < 6))
    likeness = np.clip(np.exp(-np.maximum(level - 10, 0) / 12), 0.2, 1)
    points, mismatch, geometric, confidence = fused.settled(_OWN, held, found, before, after, wanted, share)

    assert _apart(points, np.clip(_OWN + (found - _OWN) * share[..., None], 0, (95, 53))) < 1e-3
    assert _apart(mismatch, level) < 1e-4
    assert _apart(geometric, np.minimum(1, sure + 0.02)) < 1e-5
    assert _apart(confidence, np.minimum(1, sure * likeness + 0.02)) < 1e-5


def test_shares_of_the_unknown() -> None:
    confidence, mismatch, density = _random(8), _random(9, high=30), _random(10)
    unexplained = np.clip(1 - 3 * confidence, 0, 1) * np.clip((mismatch - 6) / 10, 0, 1)
    missing = np.maximum(np.clip((0.7 - confidence) * 2.5, 0, 1), np.clip((0.75 - density) * 4, 0, 1))

    assert _apart(fused.unexplained(confidence, mismatch), unexplained) < 1e-5
    assert _apart(fused.missing(confidence, density), missing) < 1e-5


def test_what_is_expected_is_the_last_output_the_keyframe_or_the_colour_table() -> None:
    moved, style, points = hatched(_FRAMES[1]), hatched(_FRAMES[0]), _OWN + _BACKWARD
    painted = raster.blurred(noise(24, 14), 2).astype(np.float32)
    trusted, unknown = np.clip(_random(11, high=2), 0, 1), _random(12)
    pulled = raster.sampled(style.astype(np.float32), points, raster.CUBIC)
    pulled = np.clip(pulled, 0, 255)
    pulled += (raster.stretched(painted, 96, 54) - pulled) * unknown[..., None]
    wanted = _levels(pulled + (moved - pulled) * trusted[..., None])
    found = fused.expected(moved, trusted, style, points, painted, unknown)

    assert np.abs(found.astype(float) - wanted).mean() < 0.5
    assert np.percentile(np.abs(found.astype(float) - wanted), 99) <= 4


def test_pictures_are_changed_pixel_by_pixel() -> None:
    picture, beyond, slope = _FRAMES[0], _random(13, high=40, channels=3) - 20, _random(14, channels=3)
    sure, gain, wanted = _random(15), _random(16), _random(17, high=90)
    smooth = raster.blurred(picture.astype(np.float32), 2)
    firm = np.sign(beyond) * np.maximum(np.abs(beyond) - 3, 0)
    change = firm + (beyond - firm) * sure[..., None]
    answer = picture + slope * change * (gain * (0.35 + 0.65 * sure))[..., None]
    detail = picture - smooth
    raised = picture + detail * (np.sqrt((wanted + 4) / (gain + 4)).clip(1, 2.2) - 1)[..., None]
    bands = 0.5 * (sure - gain) + 0.25 * (gain - wanted) + 0.75 * wanted
    shares = np.array([0.5, 0.25, 0.75], np.float32)

    assert _apart(fused.answered(picture, beyond, slope, sure, gain), _levels(answer)) <= 1
    assert _apart(fused.sharpened(picture, smooth, wanted, gain), _levels(raised)) <= 1
    assert _apart(fused.amplified(picture, smooth, 0.6), _levels(picture + 0.6 * detail)) <= 1
    lit = fused.lit(picture, sure, gain, wanted, gain, shares)
    assert _apart(lit, _levels(picture + ((1 - gain) * bands)[..., None])) <= 1


def test_a_colour_table_is_read_between_its_bins() -> None:
    axis = np.arange(16, dtype=np.float32) * 16 + 8
    table = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)

    assert _apart(fused.looked_up(_FRAMES[0], table), np.clip(_FRAMES[0], 8, 248)) < 0.1


def test_bytes_are_interleaved_with_their_border() -> None:
    style, tones = hatched(_FRAMES[0]), _TONES[0]
    smooth = raster.blurred(tones, 3)
    scales = np.array([0.8, 0.9, 0.7], np.float32)
    edges = np.clip(2 * (tones.astype(int) - smooth) + 128, 0, 255).astype(np.uint8)
    channels = [(style, 0.8), (_FRAMES[0], 0.9), (edges[..., None], 0.7), (np.zeros((54, 96, 1), np.uint8), 1.0)]
    wanted = np.concatenate([cv2.convertScaleAbs(one, alpha=by).reshape(54, 96, -1) for one, by in channels], -1)
    found = fused.interleaved(style, _FRAMES[0], tones, smooth, scales, 2)

    assert _apart(found, np.pad(wanted, ((2, 2), (2, 2), (0, 0)), mode="edge")) <= 1
