"""Says where in its clip a frame stands, so that edited frames can be found for it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import TypeVar

_Frame = TypeVar("_Frame")

_LAST_INTERVAL_S = 0.04
"""How long a clip's only frame is taken to be shown."""


class Reason(StrEnum):
    """Why a keyframe is asked for."""

    SHOT = "shot"  # a shot begins; without a keyframe it borrows from another one
    CONTENT = "content"  # much is to be seen that the shot's last keyframe did not show
    PASSING = "passing"  # none is needed; an edited frame may have been given for just this moment


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """A frame's place in its clip: times in seconds since the first frame."""

    frame: int
    """From 0."""
    time_s: float
    from_s: float
    until_s: float
    """From `from_s` up to, but without, `until_s` no other frame is nearer."""
    shot: int = 1
    """From 1, as far as the cuts are found."""
    reason: Reason = Reason.PASSING


def moments(frames: Iterable[tuple[_Frame, float]]) -> Iterator[tuple[_Frame, Moment]]:
    """Frames with their moments, shots left open; one frame is held back, since its span ends with the next.

    `frames` come with their times in seconds, which must rise and may start anywhere.
    """
    held: tuple[_Frame, float] | None = None
    start, since, interval, number = 0.0, -inf, _LAST_INTERVAL_S, 0
    for frame, time_s in frames:
        if held is None:
            start = time_s
        else:
            interval = time_s - held[1]
            until = (held[1] + time_s) / 2 - start
            yield held[0], Moment(frame=number, time_s=held[1] - start, from_s=since, until_s=until)
            since, number = until, number + 1
        held = (frame, time_s)
    if held is not None:
        end = held[1] - start
        yield held[0], Moment(frame=number, time_s=end, from_s=since, until_s=end + 1.5 * interval)
