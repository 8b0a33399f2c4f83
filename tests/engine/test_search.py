"""The parts of the search, against slow and obvious ones."""

import numpy as np
import pytest
from numpy.typing import NDArray

from batchmod.engine.exemplar import Exemplar, Guess, Settings
from batchmod.engine.modes import MODES
from batchmod.engine.nearest import grid_positions, index_patches
from batchmod.engine.patch import CHANNELS, NOTHING, STEP, Features, Field, Weights, packed, vote
from batchmod.engine.raster import Points, Rgb, between, doubled, own_positions
from tests.engine.pictures import noise

EQUAL = Weights(style=1.0, guide=1.0, edge=1.0, guide_blur=0.0)


def _patch(features: Features, x: int, y: int, side: int) -> NDArray[np.int64]:
    picture = features.values.reshape(features.height + side - 1, features.width + side - 1, CHANNELS)
    return picture[y : y + side, x : x + side].astype(np.int64)


def test_packing_scales_by_the_weights() -> None:
    style, source = noise(9, 7), noise(9, 7, seed=1)
    features = packed(style, source, Weights(style=0.5, guide=1.0, edge=0.0, guide_blur=0.0), 5)
    centre = _patch(features, 4, 3, 5)[2, 2]

    assert centre[3:6].tolist() == source[3, 4].tolist()
    assert np.abs(centre[:3] - style[3, 4] / 2).max() <= 0.5
    assert centre[6:].tolist() == [0, 0]


@pytest.mark.parametrize("side", [5, 7])
def test_the_tree_finds_a_patch_that_is_there(side: int) -> None:
    features = packed(noise(64, 48), noise(64, 48, seed=1), EQUAL, side)
    index = index_patches(features, side, 4)
    places = grid_positions(64, 48)

    assert np.mean((index.find(features, places, 2)[:, 0] == places).all(-1)) > 0.98


def test_similar_patches_are_similar_and_apart() -> None:
    features = packed(noise(64, 48), noise(64, 48, seed=1), EQUAL, 5)
    index = index_patches(features, 5, 4)
    rng = np.random.default_rng(0)
    closer = 0
    for row, column in rng.integers(0, (24, 32), (40, 2)):
        x, y = column * STEP, row * STEP
        others = [other for other in index.similar[row, column] if other[0] != NOTHING]
        assert others
        assert all(max(abs(other[0] - x), abs(other[1] - y)) >= 4 for other in others)
        own = _patch(features, x, y, 5)
        anywhere = _patch(features, int(rng.integers(64)), int(rng.integers(48)), 5)
        distance = np.square(own - _patch(features, others[0][0], others[0][1], 5)).sum()
        closer += distance < np.square(own - anywhere).sum()
    assert closer > 36


def _halfway(style: Rgb) -> NDArray[np.float64]:
    """The picture half a pixel to the right and down, without its border."""
    left, right = style[:, 4:-5] / 4.0, style[:, 5:-4] / 4.0
    return left[4:-5] + right[4:-5] + left[5:-4] + right[5:-4]


def _laid(style: Rgb, points: Points, field: Field) -> Rgb:
    twice = doubled(style)
    output = between(twice, points)
    vote(style, twice, field, np.ascontiguousarray(points[::STEP, ::STEP]), np.ones(9, np.float32), 1.0, output)
    return output


def test_patches_that_follow_the_flow_are_sampled_between_pixels() -> None:
    style = noise(40, 30, sigma=3)
    points = own_positions(30, 40) + np.float32(0.5)
    field = np.rint(points[::STEP, ::STEP]).astype(np.int32)

    assert np.abs(_laid(style, points, field)[4:-5, 4:-5] - _halfway(style)).mean() < 2


def test_beside_a_patch_that_does_not_follow_the_flow_patches_are_averaged() -> None:
    style = noise(40, 30, sigma=3)
    points = own_positions(30, 40) + np.float32(0.5)
    field = np.rint(points[::STEP, ::STEP]).astype(np.int32)
    field[7, 10] = (5, 5)
    away = np.abs(_laid(style, points, field).astype(int) - between(doubled(style), points)).max(-1)
    y, x = np.nonzero(away > 1)

    assert away[14, 20] > 1
    assert 12 <= y.min() <= y.max() <= 16
    assert 18 <= x.min() <= x.max() <= 22


def test_a_lost_patch_is_found_again() -> None:
    key, style = noise(64, 48), noise(64, 48, seed=1)
    exemplar = Exemplar(key, style, Settings(weights=MODES["flex_3"].weights))
    moved = np.roll(key, 10, 1), np.roll(style, 10, 1)
    unknown = np.zeros((48, 64), np.float32)
    half = Guess(style=moved[1], source=moved[0], points=own_positions(48, 64), confidence=unknown).halved()
    start = np.rint(half.points[::STEP, ::STEP]).astype(np.int32)
    found = exemplar.search_coarse(half, start)
    offsets = found - np.rint(half.points[::STEP, ::STEP]).astype(np.int32)

    assert np.median(offsets[2:-2, 6:-2, 0]) == -5
    assert np.mean(np.abs(offsets[2:-2, 6:-2] - (-5, 0)).max(-1) <= 1) > 0.8
