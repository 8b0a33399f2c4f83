"""Looks ahead in a clip for the next given keyframe, so that the frames before it can be styled after it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from batchmod.engine.keyframes import Edited, Keyframes
from batchmod.engine.moments import Moment, Reason
from batchmod.engine.raster import Rgb
from batchmod.engine.shots import CutDetector


@dataclass(frozen=True, kw_only=True, slots=True)
class Coming:
    """A keyframe further on in the clip: its frame, and that frame edited."""

    frame: Rgb
    edited: Edited
    moment: Moment


class Ahead:
    """Reads a clip a second time, only as far as the next keyframe, and holds no more than that one.

    `read` begins the clip anew: its frames at the size at which they are styled, as `moments` gives them.
    """

    def __init__(self, read: Callable[[], Iterable[tuple[Rgb, Moment]]], given: Keyframes) -> None:
        self._search = self._found(read, given)
        self._next: Coming | None = None

    def after(self, frame: int) -> Coming | None:
        """The first keyframe after frame number `frame`, which must not fall from call to call."""
        while self._next is None or self._next.moment.frame <= frame:
            self._next = next(self._search, None)
            if self._next is None:
                return None
        return self._next

    def _found(self, read: Callable[[], Iterable[tuple[Rgb, Moment]]], given: Keyframes) -> Iterator[Coming]:
        cuts = CutDetector()
        shot = 1
        for frame, moment in read():
            cut = cuts.is_cut(frame)
            shot += cut
            reason = Reason.SHOT if cut or moment.frame == 0 else Reason.PASSING
            here = replace(moment, shot=shot, reason=reason)
            if edited := given.edited(frame, here, None):
                yield Coming(frame=frame, edited=edited, moment=here)
