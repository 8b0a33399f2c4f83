"""A given first frame of another size or framing lies on the clip's first frame afterwards."""

import re

import cv2
import numpy as np
import pytest

from batchmod.engine import looks, metrics
from batchmod.engine.fitting import fitted, laid_on
from tests.engine.pictures import Rgb, demo_frames, noise


def _toned(rgb: Rgb) -> Rgb:
    """A look with the edges of its source."""
    smooth = cv2.bilateralFilter(rgb, 9, 40, 7)
    return np.ascontiguousarray(255 - smooth[..., ::-1] // 2, np.uint8)


def _key() -> Rgb:
    return demo_frames(1, 480, 270)[0]


def test_a_picture_of_the_clips_size_is_taken_as_it_is() -> None:
    style = _toned(_key())

    made = fitted(style, _key())

    assert made.picture is style
    assert made.how == ""


def test_a_larger_picture_is_only_made_smaller() -> None:
    style = _toned(_key())
    large = cv2.resize(style, (960, 540), interpolation=cv2.INTER_CUBIC).astype(np.uint8)

    made = fitted(large, _key())

    assert metrics.psnr(made.picture, style) > 35
    assert made.how == "resized"


def test_a_zoomed_and_squeezed_picture_is_put_back() -> None:
    style = _toned(_key())
    zoom = np.array([[1.06, 0, -14], [0, 1.04, -9]], np.float32)
    moved = cv2.warpAffine(style, zoom, (480, 270), borderMode=cv2.BORDER_REFLECT)
    square = cv2.resize(moved, (640, 640), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    inner = (slice(20, -20), slice(30, -30))
    plain = cv2.resize(square, (480, 270), interpolation=cv2.INTER_AREA).astype(np.uint8)

    made = fitted(square, _key())

    assert metrics.psnr(made.picture[inner], style[inner]) > metrics.psnr(plain[inner], style[inner]) + 6
    assert re.fullmatch(r"stretched and aligned by its edges \(moved by \d px, scaled by 0\.9\d\)", made.how)


def test_what_a_cropped_picture_lacks_gets_its_colours() -> None:
    style = _toned(_key())
    cropped = np.ascontiguousarray(style[:, 60:420])
    fit = fitted(cropped, _key())
    made = fit.picture

    assert fit.how.startswith("laid on the middle")
    assert metrics.psnr(made[:, 80:400], style[:, 80:400]) > 25
    assert np.abs(made.astype(float) - style)[:, :50].mean() < 15


@pytest.mark.parametrize("size", [(40, 30), (300, 200), (7, 90), (1, 1), (3000, 2)])
def test_an_unrelated_or_empty_picture_only_fits(size: tuple[int, int]) -> None:
    for picture in (noise(*size), np.zeros((size[1], size[0], 3), np.uint8)):
        for key in (_key(), np.zeros((11, 17, 3), np.uint8)):
            assert fitted(picture, key).picture.shape == key.shape


@pytest.mark.parametrize("look", ["oil", "clay", "stained_glass", "pencil", "sepia", "cel"])
def test_a_look_lies_where_it_was_drawn(look: str) -> None:
    style = next(one for one in looks.LOOKS if one.name == look).apply(_key(), 0.9)
    as_it_is, beside = laid_on(style, _key())

    assert beside == 0
    assert np.array_equal(as_it_is, style)


@pytest.mark.parametrize("look", ["oil", "pencil", "sepia"])
def test_a_picture_beside_its_frame_is_moved_onto_it(look: str) -> None:
    style = next(one for one in looks.LOOKS if one.name == look).apply(_key(), 0.9)
    zoomed = np.array([[1.02, 0, -9], [0, 1.02, 3]], np.float32)
    moved = cv2.warpAffine(style, zoomed, style.shape[1::-1], borderMode=cv2.BORDER_REFLECT).astype(np.uint8)
    onto, beside = laid_on(moved, _key())

    assert 7 < beside < 14
    assert metrics.psnr(onto, style) > metrics.psnr(moved, style) + 3


def test_nobody_can_say_where_an_unrelated_picture_lies() -> None:
    assert laid_on(noise(480, 270), _key())[1] == 0
    assert laid_on(np.zeros((270, 480, 3), np.uint8), _key())[1] == 0
