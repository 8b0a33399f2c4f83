"""The edited frames a user gives for a clip, and the file names that say where in the clip they belong."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchmod.engine.moments import Moment, Reason
from batchmod.errors import MediaError

_PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
_NAME: Final = re.compile(r"shot-(?P<shot>\d+)|frame-(?P<frame>\d+)|t-(?P<at_s>\d+(?:\.\d+)?)s", re.IGNORECASE)
_EXAMPLES: Final = "shot-02.png (the second shot), frame-000123.png (counted from 0) or t-3.20s.png (seconds)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Keyframe:
    """An edited frame and the frame it was made from: exactly one of time, shot and frame, else ValueError.

    A shot's keyframe shows its first frame; a time means the frame nearest to it.
    """

    path: Path
    at_s: float | None = None
    """Seconds since the clip's first frame."""
    shot: int | None = None
    """From 1."""
    frame: int | None = None
    """From 0."""

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.at_s, self.shot, self.frame)) != 1:
            raise ValueError(f"{self.path}: a keyframe has one of at_s, shot and frame")
        if (self.shot is not None and self.shot < 1) or min(self.at_s or 0, self.frame or 0) < 0:
            raise ValueError(f"{self.path}: shots count from 1; times and frames are not below 0")

    def belongs_to(self, moment: Moment) -> bool:
        """Whether it was made from the frame of this moment."""
        if self.shot is not None:
            return moment.reason is Reason.SHOT and moment.shot == self.shot
        if self.frame is not None:
            return moment.frame == self.frame
        assert self.at_s is not None
        return moment.from_s <= self.at_s < moment.until_s

    def place(self) -> str:
        """Where it belongs, in words."""
        if self.shot is not None:
            return f"shot {self.shot}"
        return f"frame {self.frame}" if self.frame is not None else f"{self.at_s:.2f} s"


def keyframe_folder(folder: Path) -> tuple[Keyframe, ...]:
    """The edited frames in a folder, by name: `shot-02.png`, `frame-000123.png`, `t-3.20s.png`.

    PNG, JPEG, WebP, BMP and TIFF; hidden files are passed over. Raises MediaError(bad_keyframes), which tells
    every other name and every place that is given twice; OSError where the folder cannot be read.
    """
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    found = [keyframe for path in files if (keyframe := _named(path))]
    known = {keyframe.path for keyframe in found}
    strange = [path.name for path in files if path not in known]
    if strange:
        raise _refused(folder, f"{_listed(strange)} no name of an edited frame; call the files {_EXAMPLES}")
    if not found:
        raise _refused(folder, f"there is no edited frame in it; call the files {_EXAMPLES}")
    places = [(keyframe.at_s, keyframe.shot, keyframe.frame) for keyframe in found]
    twice = [keyframe.path.name for keyframe, place in zip(found, places, strict=True) if places.count(place) > 1]
    if twice:
        raise _refused(folder, f"{', '.join(twice)} are for the same place; keep one of them")
    return tuple(found)


def _named(path: Path) -> Keyframe | None:
    """The keyframe that a file is by its name; None where the name says nothing."""
    match = _NAME.fullmatch(path.stem)
    if match is None or path.suffix.lower() not in _PICTURES or not path.is_file():
        return None
    shot, frame, at_s = match.group("shot", "frame", "at_s")
    if shot is not None:
        return Keyframe(path=path, shot=int(shot)) if int(shot) else None
    return Keyframe(path=path, frame=int(frame)) if frame is not None else Keyframe(path=path, at_s=float(at_s))


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")  # noqa: PLR2004 - enough to see the mistake
    return f"{shown} {'is' if len(names) == 1 else 'are'}"


def _refused(folder: Path, reason: str) -> MediaError:
    return MediaError(f"{folder}: {reason}", slug="bad_keyframes")
