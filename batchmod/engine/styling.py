"""Styles a clip frame by frame and shot by shot; arrays only."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from batchmod.engine.keyframe import fitted
from batchmod.engine.modes import Mode
from batchmod.engine.raster import Rgb, resized
from batchmod.engine.rekey import restyled
from batchmod.engine.shots import CutDetector
from batchmod.engine.synth import Synthesizer

_NEW_CONTENT = 0.02
"""Share of the picture that must be new before a shot gets a new keyframe."""
_SHORTEST = 6
"""Frames between two keyframes of a shot."""
LARGEST = 1920 * 1080
"""Pixels of the largest frame that is styled at its own size; it takes some seconds and 0.9 GB on one core."""
_NAMED_CUTS = 5
"""A warning names no more frames than this."""

Paint = Callable[[NDArray[np.uint8], float], NDArray[np.uint8]]
"""A look: a picture and a strength of 0..1 in, the styled picture out."""


class Styling(Protocol):
    """Styles a clip's frames, given in order."""

    def step(self, frame: Rgb) -> Rgb:
        """The styled frame."""
        ...

    def warnings(self) -> tuple[str, ...]:
        """What a user should know about the frames so far."""
        ...


class Keyframes(Protocol):
    """Styles the first frame of each shot."""

    def style(self, frame: Rgb, number: int) -> Rgb:
        """The styled frame, of the frame's size; `number` counts the clip's frames from 0."""
        ...

    def renewed(self, frame: Rgb) -> Rgb | None:
        """A later frame of a shot, styled, for the parts that its first frame did not show; None if it cannot be."""
        ...

    def warnings(self) -> tuple[str, ...]:
        """What a user should know about these frames."""
        ...


class FrameByFrame:
    """Applies a look to each frame by itself: right for looks that only change colours, which cannot flicker."""

    def __init__(self, paint: Paint, mode: Mode) -> None:
        self._paint = paint
        self._strength = mode.look_strength

    def step(self, frame: Rgb) -> Rgb:
        """The frame with the look."""
        return self._paint(frame, self._strength)

    def warnings(self) -> tuple[str, ...]:
        """None."""
        return ()


class ShotByShot:
    """Styles each shot's first frame and carries it through the shot."""

    def __init__(self, keyframes: Keyframes, mode: Mode, *, patch: int = 5) -> None:
        self._keyframes = keyframes
        self._mode = mode
        self._patch = patch
        self._cuts = CutDetector()
        self._synthesizer: Synthesizer | None = None
        self._number = 0
        self._begun = 0

    def step(self, frame: Rgb) -> Rgb:
        """The styled frame."""
        cut = self._cuts.is_cut(frame)
        number, self._number = self._number, self._number + 1
        if self._synthesizer is None or cut:
            style = self._keyframes.style(frame, number)
            return self._begin(Synthesizer(frame, style, self._mode, patch=self._patch), number)
        output = self._synthesizer.step(frame)
        if number - self._begun < _SHORTEST or self._synthesizer.unknown().mean() < _NEW_CONTENT:
            return output
        fresh = self._keyframes.renewed(frame)
        return output if fresh is None else self._begin(self._synthesizer.renewed(frame, fresh), number)

    def _begin(self, synthesizer: Synthesizer, number: int) -> Rgb:
        self._synthesizer, self._begun = synthesizer, number
        return synthesizer.first()

    def warnings(self) -> tuple[str, ...]:
        """Those of the keyframes."""
        return self._keyframes.warnings()


class Reduced:
    """Styles large frames at a smaller size and enlarges the result, so that time and memory stay bounded."""

    def __init__(self, styling: Styling) -> None:
        self._styling = styling
        self._size: tuple[int, int] | None = None

    def step(self, frame: Rgb) -> Rgb:
        """The styled frame, of the frame's size."""
        height, width = frame.shape[:2]
        scale = np.sqrt(LARGEST / (width * height))
        if scale >= 1:
            return self._styling.step(frame)
        self._size = (width, height)
        small = resized(frame, max(1, int(width * scale)), max(1, int(height * scale)))
        return resized(self._styling.step(small), width, height)

    def warnings(self) -> tuple[str, ...]:
        """Those of the styling, and that the result is softer than the source."""
        if self._size is None:
            return self._styling.warnings()
        width, height = self._size
        softer = f"frames of {width}x{height} are styled at {LARGEST / 1e6:.1f} megapixels and enlarged"
        return (*self._styling.warnings(), softer)


class Painted:
    """Keyframes made with a look."""

    def __init__(self, paint: Paint, mode: Mode) -> None:
        self._paint = paint
        self._strength = mode.look_strength

    def style(self, frame: Rgb, number: int) -> Rgb:  # noqa: ARG002 - every shot is alike
        """The frame with the look."""
        return self._paint(frame, self._strength)

    def renewed(self, frame: Rgb) -> Rgb:
        """The frame with the look."""
        return self._paint(frame, self._strength)

    def warnings(self) -> tuple[str, ...]:
        """None."""
        return ()


class Given:
    """A given picture for the first shot; the others are styled after it."""

    def __init__(self, picture: Rgb) -> None:
        self._picture = picture
        self._pair: tuple[Rgb, Rgb] | None = None
        self._cuts: list[int] = []

    def style(self, frame: Rgb, number: int) -> Rgb:
        """The picture, fitted to the first frame; later, the frame in the style of that pair."""
        if self._pair is None:
            self._pair = (frame, fitted(self._picture, frame))
            return self._pair[1]
        self._cuts.append(number)
        return restyled(*self._pair, frame)

    def renewed(self, frame: Rgb) -> None:
        """Nobody knows how the given picture would go on."""

    def warnings(self) -> tuple[str, ...]:
        """That the first frame does not show the shots after the first."""
        if not self._cuts:
            return ()
        named = ", ".join(str(number) for number in self._cuts[:_NAMED_CUTS])
        more = ", …" if len(self._cuts) > _NAMED_CUTS else ""
        warning = (
            f"the clip has {len(self._cuts)} scene cut(s), at frame {named}{more} (counted from 0): the first frame "
            "shows only the first shot, and the others borrow its colours and texture; "
            "split the clip and give each shot its own first frame for a better result"
        )
        return (warning,)
