"""Edited frames find their place in a clip by shot, frame or time, and by the names of their files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batchmod.engine.edits import Keyframe, keyframe_folder
from batchmod.engine.moments import Moment, Reason, moments
from batchmod.errors import MediaError


def _folder(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).touch()
    return path


def _moments(*times: float) -> list[Moment]:
    return [moment for _, moment in moments((np.zeros((1, 1, 3), np.uint8), time) for time in times)]


def test_a_folder_of_edited_frames_is_read_by_its_names(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "shot-02.png", "frame-000123.JPG", "t-3.20s.webp", "T-4s.png", ".DS_Store")

    assert set(keyframe_folder(folder)) == {
        Keyframe(path=tmp_path / "shot-02.png", shot=2),
        Keyframe(path=tmp_path / "frame-000123.JPG", frame=123),
        Keyframe(path=tmp_path / "t-3.20s.webp", at_s=3.2),
        Keyframe(path=tmp_path / "T-4s.png", at_s=4.0),
    }


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["shot-2.png", "notes.txt"], "notes.txt is no name"),
        (["shot-0.png"], "shot-0.png is no name"),
        (["frame-1.gif", "t-3.2.png"], "frame-1.gif, t-3.2.png are no name"),
        ([f"{number}.png" for number in range(9)], "4.png, … are no name"),
        ([], "no edited frame in it"),
        (["shot-02.png", "shot-2.jpg", "shot-3.jpg"], "shot-02.png, shot-2.jpg are for the same place"),
        (["t-3.2s.png", "t-3.20s.png"], "for the same place"),
    ],
)
def test_other_names_are_refused_with_words(tmp_path: Path, names: list[str], said: str) -> None:
    with pytest.raises(MediaError) as caught:
        keyframe_folder(_folder(tmp_path, *names))

    assert caught.value.slug == "bad_keyframes"
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_folder_within_the_folder_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "shot-01.png").mkdir()

    with pytest.raises(MediaError, match=r"shot-01\.png is no name"):
        keyframe_folder(tmp_path)


@pytest.mark.parametrize(
    "place", [{}, {"shot": 1, "at_s": 0.0}, {"shot": 0}, {"frame": -1}, {"at_s": -0.1}, {"frame": 0, "shot": 1}]
)
def test_a_keyframe_has_one_place(place: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"a\.png"):
        Keyframe(path=Path("a.png"), **place)


def test_a_time_means_the_frame_nearest_to_it() -> None:
    uneven = _moments(7.0, 7.1, 7.5, 7.6)
    nearest = {
        at_s: [moment.frame for moment in uneven if Keyframe(path=Path(), at_s=at_s).belongs_to(moment)]
        for at_s in (0.0, 0.04, 0.06, 0.29, 0.31, 0.6, 0.7, 0.8)
    }

    assert nearest == {0.0: [0], 0.04: [0], 0.06: [1], 0.29: [1], 0.31: [2], 0.6: [3], 0.7: [3], 0.8: []}


def test_times_count_from_the_first_frame() -> None:
    assert [round(moment.time_s, 6) for moment in _moments(10.0, 10.4, 10.5)] == [0.0, 0.4, 0.5]


def test_a_clip_of_one_frame_has_a_moment() -> None:
    assert Keyframe(path=Path(), at_s=0.0).belongs_to(_moments(3.0)[0])
    assert _moments() == []


def test_a_shots_keyframe_belongs_to_its_first_frame() -> None:
    keyframe = Keyframe(path=Path(), shot=2)
    here = Moment(frame=5, time_s=0.5, from_s=0.45, until_s=0.55, shot=2, reason=Reason.SHOT)

    assert keyframe.belongs_to(here)
    assert not keyframe.belongs_to(replace(here, reason=Reason.PASSING))
    assert not keyframe.belongs_to(replace(here, shot=1))
