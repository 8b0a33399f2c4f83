"""Shots are styled after the edited frames they were given, wherever these stand."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from batchmod import media
from batchmod.engine import metrics, pipeline
from batchmod.engine.ahead import Ahead
from batchmod.engine.edits import Keyframe, keyframe_folder
from batchmod.engine.keyframes import Edited
from batchmod.engine.modes import MODES
from batchmod.engine.moments import Moment, Reason, moments
from batchmod.engine.styling import Makers, ShotByShot
from batchmod.errors import MediaError
from tests.engine.pictures import Rgb, demo_frames, noise, write_clip

FLEX = MODES["flex_3"]
SIZE = (128, 72)


def _here() -> list[Rgb]:
    return list(demo_frames(16, *SIZE))


def _there(count: int = 8) -> list[Rgb]:
    """A shot of something else: the same clip, mirrored and in other colours."""
    return [np.ascontiguousarray(255 - frame[:, ::-1, ::-1]) for frame in demo_frames(count, *SIZE)]


def _inked(rgb: Rgb) -> Rgb:
    """A style that nothing else makes: red and blue for dark and light."""
    tones = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None] / 255
    return np.asarray(tones * (30, 60, 250) + (1 - tones) * (240, 40, 20), np.uint8)


def _made(
    folder: Path, frames: list[Rgb], *keyframes: Keyframe, prompt: str | None = None, first: Path | None = None
) -> tuple[list[Rgb], tuple[str, ...]]:
    """The frames that come out, in flex_3, and what was said."""
    source = write_clip(folder / "in.mp4", frames)
    made = pipeline.modify(
        source, folder / "out.mp4", mode="flex_3", prompt=prompt, first_frame=first, keyframes=keyframes
    )
    return [frame.rgb for frame in media.read_frames(folder / "out.mp4")], made.warnings


def _picture(path: Path, rgb: Rgb) -> Path:
    media.write_png(path, rgb)
    return path


def test_each_shot_gets_its_own_edited_frame(tmp_path: Path) -> None:
    here, there = _here()[:6], _there(6)
    first = _picture(tmp_path / "first.png", _inked(here[0]))
    second = Keyframe(path=_picture(tmp_path / "second.png", _inked(there[0])[..., ::-1]), shot=2)
    out, warnings = _made(tmp_path, [*here, *there], second, first=first)

    assert warnings == ()
    assert metrics.psnr(out[0], _inked(here[0])) > 28
    assert metrics.psnr(out[6], _inked(there[0])[..., ::-1]) > 28
    assert metrics.psnr(out[9], _inked(there[3])[..., ::-1]) > 20


@pytest.mark.parametrize("place", [{"at_s": 0.52}, {"frame": 12}])
def test_a_later_frame_of_a_shot_styles_the_whole_shot(tmp_path: Path, place: dict[str, float]) -> None:
    here = _here()
    keyframe = Keyframe(path=_picture(tmp_path / "later.png", _inked(here[12])), **place)  # type: ignore[arg-type]
    out, warnings = _made(tmp_path, here, keyframe)

    assert warnings == ()
    assert metrics.psnr(out[12], _inked(here[12])) > 28
    for number in (0, 6, 15):
        assert metrics.psnr(out[number], _inked(here[number])) > 20


def test_a_later_frame_takes_over(tmp_path: Path) -> None:
    here = _here()
    first = _picture(tmp_path / "first.png", here[0])
    keyframe = Keyframe(path=_picture(tmp_path / "later.png", _inked(here[8])), frame=8)
    out, _ = _made(tmp_path, here, keyframe, first=first)

    assert metrics.psnr(out[7], here[7]) > 24
    assert metrics.psnr(out[9], _inked(here[9])) > 20


def test_a_shot_that_comes_back_goes_on_as_it_was(tmp_path: Path) -> None:
    here, there = _here(), _there(4)
    first = _picture(tmp_path / "first.png", _inked(here[0]))
    second = Keyframe(path=_picture(tmp_path / "second.png", there[0]), shot=2)
    out, warnings = _made(tmp_path, [*here[:6], *there, *here[8:12]], second, first=first)

    assert warnings == ()
    assert metrics.psnr(out[-1], _inked(here[11])) > 20


def test_a_shot_without_one_gets_the_look_of_the_prompt(tmp_path: Path) -> None:
    here, there = _here()[:4], _there(4)
    first = _picture(tmp_path / "first.png", _inked(here[0]))
    out, warnings = _made(tmp_path, [*here, *there], first=first, prompt="a pencil drawing")

    assert len(warnings) == 1
    assert "shot 2 (from 0.17 s) had no edited frame and got the look 'pencil' instead" in warnings[0]
    assert np.abs(out[5].max(-1).astype(float) - out[5].min(-1)).mean() < 25, "a pencil has no colours"


def test_a_shot_without_anything_borrows_and_says_so(tmp_path: Path) -> None:
    here, there = _here()[:4], _there(4)
    keyframe = Keyframe(path=_picture(tmp_path / "second.png", _inked(there[0])), shot=2)
    out, warnings = _made(tmp_path, [*here, *there], keyframe)

    assert len(warnings) == 1
    assert "shot 1 (from 0.00 s) styled after shot 2" in warnings[0]
    assert metrics.psnr(out[0], _inked(here[0])) > 12
    assert metrics.psnr(out[4], _inked(there[0])) > 28


def test_frames_that_find_no_place_are_told(tmp_path: Path) -> None:
    here = _here()[:4]
    picture = _picture(tmp_path / "late.png", here[0])
    double = _picture(tmp_path / "double.png", here[0])
    places = (Keyframe(path=picture, shot=3), Keyframe(path=picture, at_s=9.0), Keyframe(path=double, shot=1))
    _, warnings = _made(tmp_path, here, *places, first=_picture(tmp_path / "first.png", here[0]))

    assert len(warnings) == 1
    assert "late.png (shot 3), late.png (9.00 s), double.png (shot 1)" in warnings[0]
    assert "1 shot(s), 4 frames, and ends at 0.12 s" in warnings[0]


def test_a_clip_that_no_frame_fits_is_refused(tmp_path: Path) -> None:
    picture = _picture(tmp_path / "late.png", _here()[0])
    with pytest.raises(MediaError, match="none of the edited frames") as caught:
        _made(tmp_path, _here()[:3], Keyframe(path=picture, frame=99))

    assert caught.value.slug == "no_look"


def test_a_broken_edited_frame_is_told_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no picture")
    with pytest.raises(MediaError) as caught:
        _made(tmp_path, _here()[:3], Keyframe(path=tmp_path / "broken.png", frame=2), prompt="pencil")

    assert caught.value.slug == "not_an_image"
    assert not (tmp_path / "out.mp4").exists()


def test_a_fitted_frame_is_said(tmp_path: Path) -> None:
    here = _here()[:3]
    large = np.asarray(cv2.resize(_inked(here[0]), (300, 300), interpolation=cv2.INTER_CUBIC), np.uint8)
    _, warnings = _made(tmp_path, here, first=_picture(tmp_path / "first.png", large))

    assert warnings == ("the first frame is 300x300, the clip 128x72: it was stretched",)


def test_a_frame_beside_its_place_is_moved_and_said(tmp_path: Path) -> None:
    frames = list(demo_frames(2, 256, 144))
    beside = np.roll(frames[0], 9, axis=1)
    out, warnings = _made(tmp_path, frames, first=_picture(tmp_path / "first.png", beside))

    assert len(warnings) == 1
    assert re.match("the first frame lay up to (8|9|10|11) px beside the clip's: it was moved", warnings[0])
    assert metrics.psnr(out[0][:, 20:-20], frames[0][:, 20:-20]) > 24


def test_a_folder_is_a_maker_of_keyframes(tmp_path: Path) -> None:
    here, there = _here()[:6], _there(6)
    folder = tmp_path / "edits"
    folder.mkdir()
    for name, rgb in (("frame-000000", here[0]), ("t-0.12s", here[3]), ("shot-02", there[0])):
        _picture(folder / f"{name}.png", _inked(rgb))
    out, warnings = _made(tmp_path, [*here, *there], *keyframe_folder(folder))

    assert warnings == ()
    for number, rgb in ((0, here[0]), (3, here[3]), (6, there[0])):
        assert metrics.psnr(out[number], _inked(rgb)) > 28


class _Editor:
    """What a model would be: it edits what it is asked for, and says what that was."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, Reason, str | None]] = []

    def edited(self, frame: Rgb, moment: Moment, prompt: str | None) -> Edited | None:
        if moment.reason is Reason.PASSING:
            return None
        self.asked.append((moment.frame, moment.shot, moment.reason, prompt))
        return Edited(picture=_inked(frame), name="the edit")


def test_an_editor_is_asked_once_a_shot_and_for_new_content() -> None:
    editor = _Editor()
    shots = ShotByShot(Makers(first=editor, prompt="in red and blue"), FLEX)
    clip = [*_here()[:3], *[noise(*SIZE, seed=1)] * 8]
    clip[-1] = np.concatenate([clip[-1][:, :64], noise(64, 72, seed=2)], 1)
    out = [shots.step(frame, moment) for frame, moment in _timed(clip)()]

    assert editor.asked == [
        (0, 1, Reason.SHOT, "in red and blue"),
        (3, 2, Reason.SHOT, "in red and blue"),
        (10, 2, Reason.CONTENT, "in red and blue"),
    ]
    assert np.array_equal(out[3], _inked(clip[3]))


def _timed(frames: list[Rgb]) -> Callable[[], Iterator[tuple[Rgb, Moment]]]:
    return lambda: moments((frame, number / 10) for number, frame in enumerate(frames))


class _At:
    """Edited frames at certain frames, and how far it was asked."""

    def __init__(self, *frames: int) -> None:
        self._frames = frames
        self.last = -1

    def edited(self, frame: Rgb, moment: Moment, prompt: str | None) -> Edited | None:  # noqa: ARG002 - the face
        self.last = moment.frame
        return Edited(picture=frame, name=str(moment.frame)) if moment.frame in self._frames else None


def test_a_clip_is_read_ahead_only_to_the_next_keyframe() -> None:
    given = _At(3, 9)
    ahead = Ahead(_timed([*_here()[:6], *_there(6)]), given)

    for asked, found, shot, read in ((0, 3, 1, 3), (2, 3, 1, 3), (3, 9, 2, 9), (8, 9, 2, 9)):
        coming = ahead.after(asked)
        assert coming
        assert (coming.moment.frame, coming.moment.shot) == (found, shot)
        assert given.last == read
    assert ahead.after(9) is None
    assert ahead.after(10) is None
