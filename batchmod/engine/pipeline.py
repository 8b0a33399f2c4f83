"""Modifies a clip: chooses how it is styled, reads its frames and writes the result."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from batchmod import media
from batchmod.engine import looks
from batchmod.engine.modes import MODES, Mode
from batchmod.engine.styling import FrameByFrame, Given, Painted, Reduced, ShotByShot, Styling
from batchmod.errors import MediaError

_PATCH = 5
_LATTICE_PATCH = 7
"""Side of a patch, in pixels, for looks made of cells: a smaller one does not see a whole cell."""

_one_at_a_time = threading.Lock()
"""Numba's simplest threading layer ends the process when two threads enter it at once."""

Progress = Callable[[int, int | None], None]
"""Called after each frame with the frames done and, where known, the frames there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Modified:
    """What was made."""

    frames: int
    look: str | None
    """Name of the look found in the prompt; None where a first frame led."""
    warnings: tuple[str, ...]


def modify(
    source: Path,
    target: Path,
    *,
    mode: str,
    prompt: str | None,
    first_frame: Path | None,
    progress: Progress | None = None,
) -> Modified:
    """Write the modified clip to `target`; one clip at a time in a process.

    A first frame leads where there is one, and the prompt is not looked at; else the prompt must name a look.
    Raises MediaError: no_look, or what reading `source` and `first_frame` raises; KeyError for an unknown mode.
    """
    look = None if first_frame else _look(prompt)
    styling = _styling(first_frame, look, MODES[mode])
    total = media.probe_video(source).frames
    frames = 0
    with _one_at_a_time, media.VideoWriter(target, like=source) as writer:
        for frame in media.read_frames(source):
            writer.write(styling.step(frame.rgb), frame.pts)
            frames += 1
            if progress:
                progress(frames, total)
    if not frames:
        raise MediaError(f"{source}: no frame could be read; check that the file plays", slug="broken_video")
    return Modified(frames=frames, look=look.name if look else None, warnings=styling.warnings())


def _look(prompt: str | None) -> looks.Look:
    """The look a prompt names."""
    there_are = f"the looks are: {', '.join(looks.names())}"
    if not prompt:
        raise MediaError(
            f"the embedded engine needs a first frame, or a prompt that names a look; {there_are}", slug="no_look"
        )
    look = looks.find(prompt)
    if look is None:
        raise MediaError(
            f"the prompt {prompt!r} names no look that the embedded engine has; name one, or give a first frame; "
            f"{there_are}",
            slug="no_look",
        )
    return look


def _styling(first_frame: Path | None, look: looks.Look | None, mode: Mode) -> Styling:
    """A first frame leads; a look that only changes colours goes frame by frame; another by keyframes."""
    if look is None:
        assert first_frame is not None
        return Reduced(ShotByShot(Given(media.read_image(first_frame)), mode))
    if look.pure_colour:
        return FrameByFrame(look.apply, mode)
    patch = _LATTICE_PATCH if look.lattice else _PATCH
    return Reduced(ShotByShot(Painted(look.apply, mode), mode, patch=patch))
