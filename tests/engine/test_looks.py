"""A look changes a picture as it promises."""

from itertools import combinations, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from batchmod import media
from batchmod.engine import looks, raster
from batchmod.engine.looks import words

Rgb = NDArray[np.uint8]
CLIP = Path(__file__).parents[2] / "manifests" / "demo" / "bunny.mp4"
ALL = pytest.mark.parametrize("look", looks.LOOKS, ids=looks.names())


@pytest.fixture(scope="module")
def frame() -> Rgb:
    return media.first_frame(CLIP)


@pytest.fixture(scope="module")
def drawn(frame: Rgb) -> dict[str, Rgb]:
    return {look.name: look.apply(frame, 1.0) for look in looks.LOOKS}


def difference(one: Rgb, other: Rgb) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def residue(source: Rgb, output: Rgb) -> float:
    """Levels left unexplained by the best 16x16x16 colour table from source to output."""
    levels = source.astype(np.int64) >> 4
    entry = (levels[..., 0] << 8 | levels[..., 1] << 4 | levels[..., 2]).ravel()
    number = np.maximum(np.bincount(entry, minlength=4096), 1)
    values = output.reshape(-1, 3).astype(float)
    table = np.stack([np.bincount(entry, values[:, channel], 4096) for channel in range(3)], axis=1) / number[:, None]
    return float(np.abs(values - table[entry]).mean())


def test_two_looks_cannot_share_a_phrase() -> None:
    with pytest.raises(ValueError, match="means both"):
        words.phrase_index({"one": ("oil painting",), "two": ("Oil-Paintings",)})


def test_there_are_at_least_sixteen_looks_of_distinct_names() -> None:
    assert len(looks.names()) == len(set(looks.names())) >= 16


def test_at_least_ten_looks_are_more_than_a_colour_table(frame: Rgb, drawn: dict[str, Rgb]) -> None:
    grain = residue(frame, frame)
    textured = [name for name, output in drawn.items() if residue(frame, output) > 3 * grain]

    assert len(textured) >= 10


def test_what_calls_itself_pure_colour_has_little_residue_and_the_others_much(
    frame: Rgb, drawn: dict[str, Rgb]
) -> None:
    pure = {look.name: residue(frame, drawn[look.name]) for look in looks.LOOKS if look.pure_colour}
    drawn_ = {look.name: residue(frame, drawn[look.name]) for look in looks.LOOKS if not look.pure_colour}

    assert max(pure.values()) < min(drawn_.values())


def test_any_two_looks_differ_clearly(drawn: dict[str, Rgb]) -> None:
    close = {(a, b): difference(drawn[a], drawn[b]) for a, b in combinations(drawn, 2)}

    assert min(close.values()) > 12, min(close, key=lambda pair: close[pair])


@ALL
def test_strength_only_ever_adds(look: looks.Look, frame: Rgb) -> None:
    forces = [difference(look.apply(frame, strength), frame) for strength in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]

    assert forces[0] == 0
    assert all(weaker < stronger for weaker, stronger in pairwise(forces))


@ALL
def test_two_fifths_of_strength_is_seen_all_over_the_picture(look: looks.Look, frame: Rgb) -> None:
    change = np.abs(look.apply(frame, 0.4).astype(int) - frame).mean(axis=-1).astype(np.float32)
    tiles = cv2.resize(change, (4, 3), interpolation=cv2.INTER_AREA)

    assert tiles.min() > 2.5
    assert tiles.mean() > 8


@ALL
@pytest.mark.parametrize(("width", "height"), [(16, 12), (17, 31), (64, 36), (90, 160)])
def test_every_size_is_drawn_the_same_way_twice(look: looks.Look, frame: Rgb, width: int, height: int) -> None:
    picture = np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    before = picture.copy()

    output = look.apply(picture, 0.8)

    assert (height, width, 3) == output.shape
    assert np.uint8 == output.dtype
    assert np.array_equal(output, look.apply(picture, 0.8))
    assert np.array_equal(before, picture)


@ALL
@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_picture_is_no_trouble(look: looks.Look, level: int) -> None:
    output = look.apply(np.full((48, 64, 3), level, np.uint8), 1.0)

    assert output.shape == (48, 64, 3)


@ALL
def test_no_look_drowns_the_picture_in_black_or_white(look: looks.Look, drawn: dict[str, Rgb]) -> None:
    grey = drawn[look.name].mean(axis=-1)

    assert 40 < grey.mean() < 215
    assert grey.std() > 20


@ALL
def test_strokes_grow_with_the_picture(look: looks.Look, frame: Rgb, drawn: dict[str, Rgb]) -> None:
    height, width = frame.shape[:2]
    big = np.asarray(cv2.resize(frame, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC), np.uint8)
    small_again = cv2.resize(look.apply(big, 1.0), (width, height), interpolation=cv2.INTER_AREA)
    blurred = [cv2.GaussianBlur(picture, (0, 0), 8) for picture in (small_again, drawn[look.name])]

    assert difference(np.asarray(blurred[0], np.uint8), np.asarray(blurred[1], np.uint8)) < 14


def _face(width: int, height: int) -> tuple[Rgb, NDArray[np.bool_]]:
    """A small round face, and where its eyes are."""
    unit = height / 288
    picture = np.full((height, width, 3), (120, 130, 145), np.uint8)
    middle = np.array([width / 2, height / 2])
    cv2.circle(picture, tuple(middle.astype(int)), round(34 * unit), (225, 180, 150), -1, cv2.LINE_AA)
    eyes = np.zeros((height, width), np.uint8)
    for side in (-12, 12):
        place = tuple((middle + np.array([side, -7]) * unit).astype(int))
        cv2.ellipse(eyes, place, (round(4.5 * unit), round(2 * unit)), 0, 0, 360, 255, -1)
    picture[eyes > 0] = (60, 35, 30)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), unit), np.uint8), eyes > 0


@pytest.mark.parametrize("name", ["oil", "clay", "watercolour", "charcoal", "cel", "pencil", "ink"])
@pytest.mark.parametrize(("width", "height"), [(256, 144), (640, 360)])
def test_a_small_face_keeps_its_eyes(name: str, width: int, height: int) -> None:
    face, eyes = _face(width, height)
    skin = cv2.dilate(eyes.astype(np.uint8), np.ones((height // 20,) * 2, np.uint8)) - eyes.astype(np.uint8) > 0
    drawn = next(look for look in looks.LOOKS if look.name == name).apply(face, 0.92)
    contrasts = [float(tones[skin].mean() - tones[eyes].mean()) for tones in (raster.luma(face), raster.luma(drawn))]

    assert contrasts[1] > 0.4 * contrasts[0]


@pytest.mark.slow
@ALL
def test_full_hd_is_drawn(look: looks.Look, frame: Rgb) -> None:
    picture = np.asarray(cv2.resize(frame, (1920, 1080), interpolation=cv2.INTER_CUBIC), np.uint8)

    assert look.apply(picture, 1.0).shape == (1080, 1920, 3)
