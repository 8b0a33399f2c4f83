"""Finds where an output is black or stands still, and its source is and does not; by grey glances at even distances."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Glance = NDArray[np.uint8]
"""A small luma picture."""

SHORTEST_S: Final = 0.5
"""A fault that is shorter is no stretch."""
_BLACK_LEVEL: Final = 38
"""A pixel below it counts as black: 10 % of the range above video black, ffmpeg's `blackdetect`."""
_BLACK_SHARE: Final = 0.98
"""Share of black pixels that makes a frame black, likewise."""
_STILL: Final = 0.5
"""Mean difference, in levels, up to which two glances are one picture, coded twice."""
_MOVES: Final = 1.5
"""In levels: a source that has changed by less is still, too."""
_TIMES: Final = 4.0
"""It must have changed so many times as much as the output."""


class Stretch(NamedTuple):
    """From and until when, in seconds from the first frame on."""

    start_s: float
    end_s: float


def black(output: Sequence[Glance], source: Sequence[Glance], spacing_s: float) -> tuple[Stretch, ...]:
    """Where the output is black and the source is not."""
    faults = [_is_black(seen) and not _is_black(own) for seen, own in zip(output, source, strict=False)]
    return _stretches(lambda start, place: faults[start] and faults[place], len(faults), spacing_s)


def frozen(output: Sequence[Glance], source: Sequence[Glance], spacing_s: float) -> tuple[Stretch, ...]:
    """Where the output stays the picture it was, and is not black, while the source moves on."""
    count = min(len(output), len(source))

    def holds(start: int, place: int) -> bool:
        return _difference(output[start], output[place]) <= _STILL and not _is_black(output[start])

    def moved(found: Stretch) -> bool:
        start, end = round(found.start_s / spacing_s), round(found.end_s / spacing_s)
        ours = max(_difference(output[start], each) for each in output[start : end + 1])
        theirs = max(_difference(source[start], each) for each in source[start : end + 1])
        return theirs > max(_MOVES, _TIMES * ours)

    return tuple(found for found in _stretches(holds, count, spacing_s) if moved(found))


def _stretches(holds: Callable[[int, int], bool], count: int, spacing_s: float) -> tuple[Stretch, ...]:
    """The longest runs over which something holds from their first place on, none shorter than half a second."""
    found, start = [], 0
    while start < count:
        end = start
        while end + 1 < count and holds(start, end + 1):
            end += 1
        if (end - start) * spacing_s >= SHORTEST_S - 1e-6:
            found.append(Stretch(start * spacing_s, end * spacing_s))
        start = end + 1
    return tuple(found)


def _is_black(seen: Glance) -> bool:
    return float(np.mean(seen < _BLACK_LEVEL)) >= _BLACK_SHARE


def _difference(one: Glance, other: Glance) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())
