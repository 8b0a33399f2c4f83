"""Modifies a clip: chooses how it is styled, reads its frames and writes the result."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from batchmod import media
from batchmod.engine import looks
from batchmod.engine.ahead import Ahead
from batchmod.engine.edits import Keyframe
from batchmod.engine.enlarge import Reduced, reduced
from batchmod.engine.keyframes import Given, Painted
from batchmod.engine.modes import MODES, Mode
from batchmod.engine.moments import Moment, moments
from batchmod.engine.raster import Rgb, resized
from batchmod.engine.styling import FrameByFrame, Makers, ShotByShot, Styling
from batchmod.errors import MediaError

_PATCH = 5
_LATTICE_PATCH = 7
"""Side of a patch, in pixels, for looks made of cells: a smaller one does not see a whole cell."""

_BITS = 8
"""Of a colour of a pixel, as the engine computes and writes them."""

_one_at_a_time = threading.Lock()
"""Numba's simplest threading layer ends the process when two threads enter it at once."""

Progress = Callable[[int, int | None], None]
"""Called after each frame with the frames done and, where known, the frames there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Modified:
    """What was made."""

    frames: int
    look: str | None
    """Name of the look found in the prompt; None where a first frame led, or modifiers stood alone."""
    warnings: tuple[str, ...]


def modify(
    source: Path,
    target: Path,
    *,
    mode: str,
    prompt: str | None,
    first_frame: Path | None,
    keyframes: Sequence[Keyframe] = (),
    progress: Progress | None = None,
) -> Modified:
    """Write the modified clip to `target`; one clip at a time in a process.

    Edited frames lead where there are some, and the prompt is looked at only for shots without one; else it must
    name a look or a modifier, and what it asks for beyond them is said in a warning.
    Raises MediaError: no_look, or what reading `source` and the edited frames raises; KeyError for an unknown mode.
    """
    asked, given = _asked(prompt, first_frame, keyframes)
    clip = _Clip(source)
    styling = _after(clip, given, asked, MODES[mode], prompt) if given else _looking(asked, MODES[mode])
    frames = 0
    with _one_at_a_time, media.VideoWriter(target, like=source) as writer:
        for frame, moment in clip.read():
            writer.write(styling.step(frame.rgb, moment), frame.pts)
            frames += 1
            if progress:
                progress(frames, clip.frames)
    if not frames:
        raise MediaError(f"{source}: no frame could be read; check that the file plays", slug="broken_video")
    leader = "the first frame" if first_frame else "the edited frame of each shot"
    about_input = (*given.warnings(), *asked.led(leader)) if given else asked.warnings()
    return Modified(
        frames=frames,
        look=asked.look.name if asked.look and not given else None,
        warnings=(*about_input, *styling.warnings(), *clip.warnings()),
    )


def _asked(
    prompt: str | None, first_frame: Path | None, keyframes: Sequence[Keyframe]
) -> tuple[looks.Understanding, Given | None]:
    """What the prompt and the edited frames ask for; every picture is read once, so that a bad one is told early."""
    if not first_frame and not keyframes:
        return _understood(prompt), None
    for picture in (first_frame, *(keyframe.path for keyframe in keyframes)):
        if picture:
            media.probe_image(picture)
    return looks.understand(prompt or ""), Given(keyframes, media.read_image, first_frame=first_frame)


class _Clip:
    """A clip's frames with their moments, all of the first one's size."""

    def __init__(self, source: Path) -> None:
        stored = media.clip_facts(source)
        facts = stored.video
        self.frames = facts.frames
        self.size = (facts.width, facts.height)
        self._source = source
        self._changes = False
        self._depth = _depth_lost(stored.bits, hdr=stored.hdr)

    def read(self) -> Iterator[tuple[media.Frame, Moment]]:
        """The frames from the first on, however often it is called."""
        return moments((self._of_one_size(frame), frame.at_s) for frame in media.read_frames(self._source))

    def small(self) -> Iterator[tuple[Rgb, Moment]]:
        """The same at the size at which they are styled."""
        return ((reduced(frame.rgb), moment) for frame, moment in self.read())

    def warnings(self) -> tuple[str, ...]:
        """What of the clip is not as it was: how deep its colours are, and sizes that changed on the way."""
        if not self._changes:
            return self._depth
        width, height = self.size
        return (
            *self._depth,
            f"the clip changes its size on the way: all frames were made {width}x{height}, like the first",
        )

    def _of_one_size(self, frame: media.Frame) -> media.Frame:
        width, height = self.size
        if frame.rgb.shape[:2] == (height, width):
            return frame
        self._changes = True
        return replace(frame, rgb=resized(frame.rgb, width, height))


def _depth_lost(bits: int, *, hdr: bool) -> tuple[str, ...]:
    if hdr:
        return ("the clip is HDR, which is made as it is into eight-bit SDR and looks flat: convert it to SDR first",)
    return (f"the clip has {bits} bits a colour: the output has 8",) if bits > _BITS else ()


def _understood(prompt: str | None) -> looks.Understanding:
    """What a prompt asks for, where that is something the engine can do."""
    there_are = (
        f"the looks are: {', '.join(looks.names())}; light and colour: "
        f"{', '.join(modifier.name for modifier in looks.MODIFIERS)}, or colours such as 'in teal and orange'; "
        "`batchmod looks` lists their words"
    )
    if not prompt:
        raise MediaError(
            f"the embedded engine needs a first frame, or a prompt that names a look; {there_are}", slug="no_look"
        )
    asked = looks.understand(prompt)
    if not asked:
        raise MediaError(
            f"the prompt {prompt!r} names no look and no change of light or colour that the embedded engine has; "
            f"name one, or give a first frame; {there_are}",
            slug="no_look",
        )
    return asked


def _looking(asked: looks.Understanding, mode: Mode) -> Styling:
    """What only changes colours goes frame by frame; a look by keyframes."""
    if asked.pure_colour:
        return FrameByFrame(asked.apply, mode)
    return Reduced(ShotByShot(Makers(first=_painted(asked, mode)), mode))


def _after(clip: _Clip, given: Given, asked: looks.Understanding, mode: Mode, prompt: str | None) -> Styling:
    """The edited frames, and for shots without one the look that the prompt names."""
    makers = Makers(
        first=given,
        otherwise=_painted(asked, mode) if asked.look else None,
        prompt=prompt,
        ahead=Ahead(clip.small, given) if given.later else None,
        clip_size=clip.size,
    )
    return Reduced(ShotByShot(makers, mode))


def _painted(asked: looks.Understanding, mode: Mode) -> Painted:
    name = f"the look '{asked.look.name}'" if asked.look else "the look of the prompt"
    return Painted(asked.apply, mode, name=name, patch=_LATTICE_PATCH if asked.lattice else _PATCH)
