"""The judges are judged."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from batchmod.engine import metrics
from batchmod.engine.raster import CUBIC, Rgb, blurred, stretched
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


def _judged(frames: Sequence[Rgb], output: Sequence[Rgb], reference: Rgb | None = None) -> metrics.Quality:
    meter = metrics.QualityMeter(reference)
    for pair in zip(frames, output, strict=True):
        meter.add(*pair)
    return meter.result()


def test_a_clip_is_as_steady_as_itself_and_moves_as_it_does() -> None:
    frames = panning(25, 96, 64)
    quality = _judged(frames, frames, frames[0])

    assert quality.frames == 25
    assert quality.warp.short == quality.warp.source
    assert quality.warp.flicker is not None
    assert quality.warp.flicker <= 1
    assert quality.warp.long is not None
    assert (quality.motion.error, quality.motion.agreement) == (0, 1)
    assert quality.first_frame == 100
    assert quality.structure is not None
    assert quality.structure > 0.999
    assert quality.style.drift is not None
    assert (quality.stillness.black, quality.stillness.frozen, quality.same_shape) == (0, 0, True)


def test_warp_errors_of_the_meter_are_those_of_the_clip() -> None:
    frames = demo_frames(12)
    output = [hatched(frame) for frame in frames]
    found = _judged(frames, output).warp.short

    assert found == pytest.approx(metrics.warp_error(output, metrics.motions(frames)))


def test_flicker_and_other_motion_are_told_apart() -> None:
    frames = panning(13, 96, 64, speed=2)
    flickering = [np.asarray(frame // 2 + 40 * (k % 2), np.uint8) for k, frame in enumerate(frames)]
    backwards = _judged(frames, frames[::-1])
    restless = _judged(frames, flickering)

    assert restless.warp.flicker is not None
    assert restless.warp.flicker > 10
    assert restless.motion.agreement is not None
    assert restless.motion.agreement > 0.6
    assert backwards.motion.agreement is not None
    assert backwards.motion.agreement < 0.3
    assert backwards.motion.error is not None
    assert backwards.motion.error == pytest.approx(4, abs=0.4)


def test_slow_change_shows_over_ten_frames_only() -> None:
    frames = [noise(96, 64)] * 21
    fading = [np.asarray(frame // 2 + 3 * k, np.uint8) for k, frame in enumerate(frames)]
    warp = _judged(frames, fading).warp

    assert warp.short == pytest.approx(3, abs=0.01)
    assert warp.long == pytest.approx(30, abs=0.01)


def test_drift_is_seen_in_a_clip_that_slowly_loses_its_texture() -> None:
    frames = [*demo_frames(6)] * 8
    style = hatched(frames[0])
    losing = _judged(frames, [blurred(style, 0.3 + 0.04 * k) for k in range(48)], style).style
    keeping = _judged(frames, [blurred(style, 0.8)] * 48, style).style

    assert keeping.drift == pytest.approx(1)
    assert losing.drift is not None
    assert losing.drift > 1.4
    assert losing.timeline[-1][1] > losing.timeline[1][1]
    assert losing.sharpness is not None
    assert losing.sharpness < 0.6


def test_black_and_frozen_frames_are_counted_unless_the_source_is_so_too() -> None:
    moving = panning(9, 96, 64, speed=3)
    black = np.zeros((64, 96, 3), np.uint8)
    source = [*moving, black, black]
    output = [moving[0], moving[1], moving[1], moving[1], black, moving[5], moving[6], moving[6], black, black, black]
    found = _judged(source, output).stillness

    assert (found.black, found.frozen, found.longest_frozen) == (2, 3, 2)


def test_an_output_of_another_size_is_judged_at_the_sources() -> None:
    frames = demo_frames(8)
    larger = [stretched(frame, 512, 288, CUBIC) for frame in frames]
    quality = _judged(frames, larger, frames[0])
    square = _judged(frames, [stretched(frame, 256, 256) for frame in frames])

    assert quality.same_shape
    assert quality.structure is not None
    assert quality.structure > 0.97
    assert quality.motion.agreement is not None
    assert quality.motion.agreement > 0.8
    assert quality.first_frame is not None
    assert quality.first_frame > 35
    assert not square.same_shape


def test_a_large_clip_is_judged_small() -> None:
    track = metrics.SourceTrack(largest=64 * 36)
    step = track.advance(noise(640, 360))

    assert step.frame.shape == (36, 64, 3)
    assert step.fitted(noise(320, 180)).shape == (36, 64, 3)


@pytest.mark.parametrize(("width", "height"), [(96, 64), (8, 8), (1, 1), (3, 40)])
def test_one_frame_of_any_size_gives_a_result(width: int, height: int) -> None:
    quality = _judged([noise(width, height)], [noise(width, height)])

    assert (quality.frames, quality.warp.short, quality.warp.flicker, quality.motion.error) == (1, None, None, None)
    assert (quality.style.texture is None) == (min(width, height) < 16)


def test_nothing_gives_a_result_too() -> None:
    quality = metrics.QualityMeter().result()

    assert (quality.frames, quality.structure, quality.style.timeline) == (0, None, ())


def test_memory_does_not_grow_with_the_clip() -> None:
    timeline = metrics.Timeline(4)
    for number in range(100_000):
        timeline.add(number, float(number))
    numbers = [number for number, _ in timeline.points]

    assert 64 <= len(numbers) <= 128
    assert {b - a for a, b in pairwise(numbers)} == {1024}


def _clip(rate: int, seconds: float) -> list[metrics.Timed]:
    """Frames whose grey level is their time in hundredths of a second."""
    times = [Fraction(k, rate) for k in range(int(seconds * rate))]
    return [metrics.Timed(seconds=time, rgb=np.full((1, 1, 3), int(time * 100), np.uint8)) for time in times]


@pytest.mark.parametrize(
    ("rate", "other", "pairs"), [(25, 25, 50), (24, 30, 48), (30, 24, 48), (30, 15, 30), (8, 24, 16)]
)
def test_clips_of_other_rates_are_paired_by_time(rate: int, other: int, pairs: int) -> None:
    found = list(metrics.paired(_clip(rate, 2), _clip(other, 2)))
    apart = [abs(int(pair.source[0, 0, 0]) - int(pair.output[0, 0, 0])) for pair in found]

    assert len(found) == pairs
    assert max(apart) <= 100 / (2 * min(rate, other)) + 1
    assert len({int(pair.source[0, 0, 0]) for pair in found}) == pairs


def test_pairs_count_from_each_clips_first_frame_and_end_with_the_shorter() -> None:
    late = [metrics.Timed(seconds=frame.seconds + 7, rgb=frame.rgb) for frame in _clip(25, 1)]

    assert len(list(metrics.paired(late, _clip(25, 2)))) == 25
    assert len(list(metrics.paired(_clip(25, 2), late))) == 25
    assert not list(metrics.paired([], late))
    assert not list(metrics.paired(late, []))
    assert len(list(metrics.paired(late[:1], _clip(25, 2)))) == 1
