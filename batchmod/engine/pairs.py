"""Remembers the last keyframes of a clip, since what one shot shows another one often shows again."""

from collections import deque
from dataclasses import dataclass

from batchmod.engine.raster import Rgb
from batchmod.engine.shots import Glance, alike

_KEPT = 4
"""Shots go to and fro between few views; one pair of the largest frames takes 12 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A frame and the same frame styled, of one size."""

    key: Rgb
    style: Rgb
    patch: int
    shot: int


class Pairs:
    """The last few pairs, and how their frames looked."""

    def __init__(self) -> None:
        self._kept: deque[tuple[Pair, Glance]] = deque(maxlen=_KEPT)

    def add(self, pair: Pair) -> None:
        """Remember a pair, and forget the oldest where there are too many."""
        self._kept.appendleft((pair, Glance.of(pair.key)))

    def showing(self, frame: Rgb) -> Pair | None:
        """The latest pair that shows what a frame shows; None where none does."""
        now = Glance.of(frame)
        return next((pair for pair, glance in self._kept if alike(now, glance)), None)

    def nearest(self, frame: Rgb) -> Pair | None:
        """The pair whose colours are most like a frame's; None where there is none at all."""
        now = Glance.of(frame)
        best = max(self._kept, key=lambda kept: now.colours_shared(kept[1]), default=None)
        return best[0] if best else None
