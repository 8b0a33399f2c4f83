"""A frame that was styled smaller gets back the source's edges, and keeps its own strokes."""

import cv2
import numpy as np
import pytest

from batchmod.engine import enlarge, metrics
from batchmod.engine.enlarge import enlarged, working_size
from tests.engine.pictures import Rgb, demo_frames, hatched, with_hat


def _halved(rgb: Rgb) -> Rgb:
    height, width = rgb.shape[:2]
    return np.asarray(cv2.resize(rgb, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)


def _plain(rgb: Rgb) -> Rgb:
    height, width = rgb.shape[:2]
    return np.asarray(cv2.resize(rgb, (width * 2, height * 2), interpolation=cv2.INTER_CUBIC), np.uint8)


def _source() -> Rgb:
    return demo_frames(1, 480, 270)[0]


def _graded(rgb: Rgb) -> Rgb:
    return np.asarray(rgb * (0.9, 0.7, 0.4) + (20, 10, 0), np.uint8)


@pytest.mark.parametrize(("edit", "gain"), [(_graded, 6), (with_hat, 4)])
def test_what_follows_the_source_gets_its_detail_back(edit: object, gain: float) -> None:
    assert callable(edit)
    source, wanted = _source(), edit(_source())
    made = enlarged(_halved(wanted), _halved(source), source)

    assert metrics.psnr(made, wanted) > metrics.psnr(_plain(_halved(wanted)), wanted) + gain


def test_strokes_of_the_style_are_left_alone() -> None:
    source = _source()
    wanted = hatched(source)
    made, plain = enlarged(_halved(wanted), _halved(source), source), _plain(_halved(wanted))

    assert metrics.psnr(made, wanted) > metrics.psnr(plain, wanted) - 0.2
    assert np.abs(made.astype(float) - plain).mean() < 6


def test_a_flat_style_stays_flat() -> None:
    source = _source()
    flat = np.full((135, 240, 3), 90, np.uint8)

    assert np.array_equal(enlarged(flat, _halved(source), source), np.full_like(source, 90))


def test_bands_leave_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    source = _source()
    whole = enlarged(_halved(_graded(source)), _halved(source), source)
    monkeypatch.setattr(enlarge, "_BAND_PIXELS", 480 * 7)

    assert np.array_equal(enlarged(_halved(_graded(source)), _halved(source), source), whole)


@pytest.mark.parametrize(
    ("size", "worked"),
    [
        ((1920, 1080), (1920, 1080)),
        ((3840, 2160), (1920, 1080)),
        ((641, 361), (641, 361)),
        ((3_000_000, 1), (2494153, 1)),
    ],
)
def test_large_frames_are_styled_at_two_megapixels(size: tuple[int, int], worked: tuple[int, int]) -> None:
    assert working_size(*size) == worked
