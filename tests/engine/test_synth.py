"""The synthesis: what it promises for any clip."""

from itertools import pairwise

import numpy as np
import pytest

from batchmod.engine import compiled, metrics
from batchmod.engine.modes import MODES
from batchmod.engine.synth import Synthesizer
from tests.engine.pictures import Rgb, carried, demo_frames, hatched, noise, panning, with_hat


def _spread(clip: list[Rgb]) -> float:
    return float(np.mean([np.abs(b.astype(float) - a).mean() for a, b in pairwise(clip)]))


def test_the_first_frame_of_flex_3_is_the_given_one_exactly() -> None:
    frames = demo_frames(2)
    style = hatched(frames[0])

    assert np.array_equal(carried(frames, style)[0], style)


def test_an_unedited_first_frame_gives_the_source_back() -> None:
    frames = demo_frames(16)
    clip = carried(frames, frames[0])

    assert min(metrics.psnr(*pair) for pair in zip(clip, frames, strict=True)) > 30
    assert np.mean([metrics.structure(*pair) for pair in zip(clip, frames, strict=True)]) > 0.95


def test_warp_error_is_half_that_of_a_filter_and_the_picture_stays_sharp() -> None:
    frames = demo_frames(24)
    motions = metrics.motions(frames)
    style = hatched(frames[0])
    filtered = [hatched(frame) for frame in frames]
    clip = carried(frames, style)
    sharpness = np.mean([metrics.sharpness(output, style) for output in clip[12:]])
    texture = np.mean([metrics.style_distance(output, style).texture for output in clip[12::4]])
    blurred = np.mean([metrics.style_distance(output, style).texture for output in _recursively_warped(frames, style)])

    assert metrics.warp_error(clip, motions) <= 0.5 * metrics.warp_error(filtered, motions)
    assert sharpness >= 0.5
    assert texture <= 0.5 * blurred


def _recursively_warped(frames: tuple[Rgb, ...], style: Rgb) -> list[Rgb]:
    """The cheap way to a low warp error: nothing but the last frame, moved on."""
    from batchmod.engine.flow import along
    from batchmod.engine.raster import sampled

    clip = [style]
    for motion in metrics.motions(frames):
        clip.append(sampled(clip[-1], along(motion.backward)))
    return clip[12::4]


def test_one_and_two_threads_give_the_same_frames() -> None:
    frames = demo_frames(6)
    style = hatched(frames[0])
    try:
        compiled.use_threads(1)
        alone = carried(frames, style, "flex_2")
        compiled.use_threads(2)
        together = carried(frames, style, "flex_2")
    finally:
        compiled.use_threads(compiled.cores())

    assert all(np.array_equal(*pair) for pair in zip(alone, together, strict=True))


@pytest.mark.parametrize("mode", ["adhere_1", "adhere_2", "flex_2"])
def test_a_local_edit_stays_solid(mode: str) -> None:
    frames = demo_frames(8)
    style = with_hat(frames[0])
    clip = carried(frames, style, mode)

    assert metrics.psnr(clip[0], style) >= 45
    height, width = style.shape[:2]
    for output in clip:
        hat = output[height // 3 - 8 : height // 3 + 8, width // 3 - 8 : width // 3 + 8].reshape(-1, 3)
        assert np.abs(np.median(hat, 0) - (220, 20, 30)).max() < 25


def test_a_panned_picture_takes_its_style_along() -> None:
    frames = panning(12, 96, 64)
    clip = carried(frames, 255 - frames[0])
    overlap = 255 - frames[-1][8:-8, 8:60]

    assert metrics.psnr(clip[-1][8:-8, 8:60], overlap) > 25


@pytest.mark.parametrize(
    ("width", "height"), [(16, 12), (17, 13), (31, 64), (129, 73), (40, 18), (8, 8), (5, 3), (1, 1), (2, 40)]
)
@pytest.mark.parametrize("mode", ["adhere_1", "reimagine_3"])
def test_any_size_goes_through(width: int, height: int, mode: str) -> None:
    frames = [noise(width, height, seed=seed) for seed in range(3)]
    clip = carried(frames, 255 - frames[0], mode)

    assert [output.shape for output in clip] == [(height, width, 3)] * 3
    assert all(output.dtype == np.uint8 for output in clip)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_constant_clip_stays_what_it_was_made(level: int) -> None:
    frames = [np.full((36, 64, 3), level, np.uint8)] * 4
    style = np.full((36, 64, 3), (200, 40, 90), np.uint8)
    clip = carried(frames, style)

    assert max(np.abs(output.astype(int) - style).max() for output in clip) <= 1


def test_a_clip_that_turns_black_stays_a_picture() -> None:
    frames = [*panning(3, 64, 36), *[np.zeros((36, 64, 3), np.uint8)] * 7]
    clip = carried(frames, 255 - frames[0])

    assert len(clip) == 10
    assert _spread(clip[8:]) < 6


def test_larger_patches_do_the_same_job() -> None:
    frames = demo_frames(5, 128, 72)
    style = hatched(frames[0])
    clip = carried(frames, style, patch=7)

    assert np.array_equal(clip[0], style)
    assert metrics.sharpness(clip[-1], style) > 0.4


@pytest.mark.slow
def test_style_does_not_drift_over_many_frames() -> None:
    there = demo_frames(40)
    frames = [*there, *there[-2:0:-1]] * 5
    style = hatched(frames[0])
    synthesizer = Synthesizer(frames[0], style, MODES["flex_3"])
    clip = [synthesizer.first(), *(synthesizer.step(frame) for frame in frames[1:])]
    period = len(frames) // 5
    returns = [metrics.psnr(clip[k * period], style) for k in range(1, 5)]
    late = [metrics.sharpness(output, style) for output in clip[-period::8]]

    assert min(returns) > 16
    assert returns[-1] > returns[0] - 0.7
    assert 0.4 < np.mean(late) < 0.9
