"""The nine modes: their order is the order of closeness to the source."""

from itertools import pairwise

import numpy as np
import pytest

from batchmod import model
from batchmod.engine import metrics
from batchmod.engine.modes import MODES
from tests.engine.pictures import Rgb, carried, demo_frames, hatched


@pytest.fixture(scope="module")
def clips() -> dict[str, list[Rgb]]:
    frames = demo_frames(8)
    style = hatched(frames[0])
    return {name: carried(frames, style, name) for name in MODES}


def test_the_modes_are_those_of_the_product() -> None:
    assert tuple(MODES) == model.MODES


def test_structure_falls_from_each_mode_to_the_next(clips: dict[str, list[Rgb]]) -> None:
    frames = demo_frames(8)
    kept = [np.mean([metrics.structure(*pair) for pair in zip(clip, frames, strict=True)]) for clip in clips.values()]

    assert all(closer - freer > 0.005 for closer, freer in pairwise(kept)), kept
    assert kept[0] > 0.85
    assert kept[-1] < kept[5] - 0.03


def test_every_mode_changes_the_whole_picture(clips: dict[str, list[Rgb]]) -> None:
    frames = demo_frames(8)
    for name, clip in clips.items():
        for output, source in zip(clip, frames, strict=True):
            change = np.abs(output.astype(float) - source).mean(-1)
            tiles = change[:144, :256].reshape(9, 16, 16, 16).mean((1, 3))

            assert np.quantile(tiles, 0.05) > 5, name


def test_strength_of_a_look_rises_with_the_mode() -> None:
    strengths = [mode.look_strength for mode in MODES.values()]

    assert strengths == sorted(set(strengths))
    assert strengths[-1] == 1
