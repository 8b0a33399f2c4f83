"""Where edited frames come from: the door for anything that edits single frames, and what stands behind it now."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from batchmod.engine.edits import Keyframe
from batchmod.engine.modes import Mode
from batchmod.engine.moments import Moment, Reason
from batchmod.engine.raster import Rgb

Paint = Callable[[NDArray[np.uint8], float], NDArray[np.uint8]]
"""A look: a picture and a strength of 0..1 in, the styled picture out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Edited:
    """An edited frame, of any size, and what it is called in warnings."""

    picture: Rgb
    name: str
    drawn: bool = False
    """Drawn by ourselves on the very frame, so that it need not be looked at whether it lies on it."""
    patch: int = 5
    """Side, in pixels, of the patches it is taken apart into: 7 for looks made of larger cells."""


class Keyframes(Protocol):
    """A maker of edited frames: asked for every frame of a clip, in order.

    To answer with None is always right. An answer where `moment.reason` is SHOT or PASSING replaces the whole
    picture from this frame on; where it is CONTENT, only the parts that were not seen before. A clip with given
    edited frames may be read ahead, so a moment may be asked about twice.
    """

    def edited(self, frame: Rgb, moment: Moment, prompt: str | None) -> Edited | None:
        """The frame, edited as the prompt says, or None."""
        ...


class Painted:
    """Draws a look on each shot's first frame, and on new content."""

    def __init__(self, paint: Paint, mode: Mode, *, name: str = "a look", patch: int = 5) -> None:
        self._paint = paint
        self._strength = mode.look_strength
        self._name = name
        self._patch = patch

    def edited(self, frame: Rgb, moment: Moment, prompt: str | None) -> Edited | None:  # noqa: ARG002 - it chose `paint`
        """The frame with the look, wherever a keyframe is needed."""
        if moment.reason is Reason.PASSING:
            return None
        return Edited(picture=self._paint(frame, self._strength), name=self._name, drawn=True, patch=self._patch)


class Given:
    """Hands out the edited frames that a user gave, where they belong; the first that fits a moment wins."""

    def __init__(
        self, keyframes: Sequence[Keyframe], read: Callable[[Path], Rgb], *, first_frame: Path | None = None
    ) -> None:
        first = (Keyframe(path=first_frame, frame=0),) if first_frame else ()
        self._keyframes = (*first, *keyframes)
        self._first_frame = first_frame
        self._read = read
        self.later = any(keyframe.frame != 0 for keyframe in self._keyframes)
        """Whether there are any beyond the clip's first frame."""
        self._used: set[Keyframe] = set()
        self._last: Moment | None = None

    def edited(self, frame: Rgb, moment: Moment, prompt: str | None) -> Edited | None:  # noqa: ARG002 - nothing is edited here
        """The edited frame for this very moment."""
        self._last = moment
        found = next((keyframe for keyframe in self._keyframes if keyframe.belongs_to(moment)), None)
        if found is None:
            return None
        self._used.add(found)
        return Edited(picture=self._read(found.path), name=self._name(found))

    def warnings(self) -> tuple[str, ...]:
        """Which edited frames found no place, once the clip has gone by."""
        last = self._last
        unused = [keyframe for keyframe in self._keyframes if keyframe not in self._used]
        if last is None or not unused:
            return ()
        named = ", ".join(f"{keyframe.path.name} ({keyframe.place()})" for keyframe in unused)
        warning = (
            f"not used, as no such place is in the clip or another edited frame is there: {named}; "
            f"the clip has {last.shot} shot(s), {last.frame + 1} frames, and ends at {last.time_s:.2f} s"
        )
        return (warning,)

    def _name(self, keyframe: Keyframe) -> str:
        return "the first frame" if keyframe.path == self._first_frame else f"the keyframe {keyframe.path.name}"
