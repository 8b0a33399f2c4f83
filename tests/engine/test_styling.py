"""Shots: where keyframes are made, and how a look goes on in what a keyframe does not show."""

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from batchmod.engine import enlarge, metrics
from batchmod.engine.enlarge import Reduced
from batchmod.engine.keyframes import Edited, Painted
from batchmod.engine.modes import MODES
from batchmod.engine.moments import Moment, moments
from batchmod.engine.rekey import restyled
from batchmod.engine.shots import CutDetector
from batchmod.engine.styling import FrameByFrame, Makers, ShotByShot
from tests.engine.pictures import Rgb, demo_frames, hatched, noise, panning

FLEX = MODES["flex_3"]


def _negative(rgb: Rgb, strength: float) -> Rgb:
    return np.asarray(rgb + (255.0 - 2.0 * rgb) * strength, np.uint8)


def _grey(rgb: Rgb) -> Rgb:
    return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.uint8, copy=False)


def _dim(rgb: Rgb) -> Rgb:
    return np.asarray(rgb * 0.25, np.uint8)


class _Edits:
    """Edited frames by number, and a record of what was asked for."""

    def __init__(self, edits: dict[int, Rgb]) -> None:
        self._edits = edits
        self.asked: list[Moment] = []

    def edited(self, frame: Rgb, moment: Moment, prompt: str | None) -> Edited | None:  # noqa: ARG002 - the face
        self.asked.append(moment)
        picture = self._edits.get(moment.frame)
        return None if picture is None else Edited(picture=picture, name=f"edit {moment.frame}")


def _timed(frames: list[Rgb]) -> Iterator[tuple[Rgb, Moment]]:
    """Frames at 10 a second."""
    return moments((frame, number / 10) for number, frame in enumerate(frames))


def _run(styling: ShotByShot, frames: list[Rgb]) -> list[Rgb]:
    return [styling.step(frame, moment) for frame, moment in _timed(frames)]


def _looking() -> ShotByShot:
    return ShotByShot(Makers(first=Painted(_negative, FLEX)), FLEX)


def _given(edits: dict[int, Rgb], **makers: Any) -> ShotByShot:
    return ShotByShot(Makers(first=_Edits(edits), **makers), FLEX)


def test_a_cut_is_found_and_motion_is_none() -> None:
    shots = [*demo_frames(24, 160, 90), *panning(6, 160, 90, speed=4), *demo_frames(3, 160, 90)]
    detector = CutDetector()

    assert [number for number, frame in enumerate(shots) if detector.is_cut(frame)] == [24, 30]


@pytest.mark.parametrize("light", [_grey, _dim], ids=["grey", "dim"])
def test_a_cut_is_found_without_colours_and_in_the_dark(light: Callable[[Rgb], Rgb]) -> None:
    shots = [*demo_frames(3, 160, 90), *panning(3, 160, 90, speed=4), *demo_frames(3, 160, 90)]
    detector = CutDetector()

    assert [number for number, frame in enumerate(shots) if detector.is_cut(light(frame))] == [3, 6]


def test_a_flash_and_a_fade_are_no_cut() -> None:
    frame = demo_frames(1, 160, 90)[0]
    fade = [np.asarray(frame * (1 - k / 12), np.uint8) for k in range(12)]
    flash = [frame, np.asarray(np.minimum(frame + 90.0, 255), np.uint8), frame]
    detector = CutDetector()

    assert not any(detector.is_cut(one) for one in (*flash, *fade))


def test_each_shot_gets_the_look() -> None:
    shots = [*demo_frames(3, 128, 72), *panning(3, 128, 72)]
    clip = _run(_looking(), shots)

    assert np.array_equal(clip[3], _negative(shots[3], FLEX.look_strength))


def test_new_content_within_a_shot_gets_the_look() -> None:
    frames = panning(24, 128, 72, speed=4)
    wanted = _negative(frames[-1], FLEX.look_strength)
    looked = _run(_looking(), frames)
    given = _run(_given({0: _negative(frames[0], FLEX.look_strength)}), frames)

    assert metrics.structure(looked[-1][:, 64:], wanted[:, 64:]) > 0.8
    assert metrics.structure(given[-1][:, 64:], wanted[:, 64:]) < metrics.structure(looked[-1][:, 64:], wanted[:, 64:])


def test_another_shot_borrows_the_colours_of_the_given_frame() -> None:
    frames = demo_frames(2, 128, 72)
    other = np.ascontiguousarray(frames[1][:, ::-1])
    shots_styled = _given({0: hatched(frames[0])})
    made = _run(shots_styled, [*frames, noise(128, 72), other])[-1]

    wanted = metrics.style_distance(hatched(other), hatched(frames[0])).colour
    assert metrics.style_distance(made, hatched(frames[0])).colour < 3 * wanted + 5
    assert "shot 2 (from 0.20 s) styled after shot 1, shot 3 (from 0.30 s)" in shots_styled.warnings()[0]


def test_colours_that_the_given_frame_does_not_show_are_moved_as_the_others_are() -> None:
    bright = np.asarray(128 + demo_frames(1, 128, 72)[0] / 2, np.uint8)
    dark = np.asarray(noise(128, 72, sigma=4) / 2, np.uint8)
    made = restyled(bright, 255 - bright, dark)

    assert metrics.psnr(made, 255 - dark) > 18


def test_a_style_without_colours_lends_none() -> None:
    frame = demo_frames(1, 128, 72)[0]
    grey = np.repeat(frame[..., 1:2], 3, -1)
    made = restyled(frame, grey, noise(128, 72, sigma=4)).astype(float)

    assert np.abs(made.max(-1) - made.min(-1)).mean() < 12


def test_a_warning_names_few_cuts_of_many() -> None:
    shots = [
        noise(64, 36, seed=k, sigma=1 + 4 * (k % 2)) if k % 2 else 255 * (noise(64, 36, seed=k) // 200)
        for k in range(8)
    ]
    shots_styled = _given({0: shots[0]})
    _run(shots_styled, shots)

    assert shots_styled.warnings()[0].count(",") >= 4
    assert "and 2 more" in shots_styled.warnings()[0]


def test_a_large_frame_is_styled_smaller_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enlarge, "LARGEST", 64 * 36)
    large, small = demo_frames(1, 192, 108)[0], demo_frames(1, 64, 36)[0]
    sizes: list[tuple[int, ...]] = []

    def paint(rgb: Rgb, strength: float) -> Rgb:
        sizes.append(rgb.shape)
        return _negative(rgb, strength)

    reduced = Reduced(FrameByFrame(paint, FLEX))

    here = next(_timed([small]))[1]

    assert reduced.step(small, here).shape == small.shape
    assert reduced.warnings() == ()
    assert reduced.step(large, here).shape == large.shape
    assert sizes == [(36, 64, 3)] * 2
    assert "192x108" in reduced.warnings()[0]
