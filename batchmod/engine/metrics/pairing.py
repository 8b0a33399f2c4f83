"""Brings a source and an output of another rate or length together, frame by frame."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from batchmod.engine.raster import Rgb


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """A frame and the time at which it is shown, in seconds."""

    seconds: Fraction
    rgb: Rgb


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A frame of the source and the output's frame for it."""

    source: Rgb
    output: Rgb


def paired(source: Iterable[Timed], output: Iterable[Timed]) -> Iterator[Pair]:
    """Each output frame with the source frame nearest to it in time; no frame of either is used twice.

    Times count from each clip's first frame. The slower clip sets the pace: frames of the faster one that lie
    between are left out. Pairs end with the shorter clip. Both are read once, two frames of the source at most
    are held. An output that was retimed (slowed down, cut) does not pair with its source, and its metrics say so.
    """
    walk = _Walk(source)
    start: Fraction | None = None
    last: Timed | None = None
    for frame in output:
        start = frame.seconds if start is None else start
        nearest = walk.nearest(frame.seconds - start)
        if nearest is None:
            return
        if nearest is not last:
            yield Pair(source=nearest.rgb, output=frame.rgb)
        last = nearest


class _Walk:
    """Goes through a clip once, forwards."""

    def __init__(self, frames: Iterable[Timed]) -> None:
        self._frames = iter(frames)
        self._now = next(self._frames, None)
        self._next = next(self._frames, None)
        self._start = self._now.seconds if self._now else Fraction(0)
        self._gap = self._next.seconds - self._start if self._next else Fraction(0)

    def nearest(self, seconds: Fraction) -> Timed | None:
        """The frame nearest to a time from the clip's start; None behind the end. Times must rise."""
        wanted = seconds + self._start
        while self._now and self._next and abs(self._next.seconds - wanted) <= abs(self._now.seconds - wanted):
            self._gap = self._next.seconds - self._now.seconds
            self._now, self._next = self._next, next(self._frames, None)
        if self._now is None or (self._next is None and wanted > self._now.seconds + self._gap):
            return None
        return self._now
