"""When the frames of a clip are shown, exactly, and which of another clip's frames is on the screen then."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import gcd
from pathlib import Path
from statistics import median
from typing import Final

from batchmod.errors import MediaError
from batchmod.media.containers import OpenVideo, open_video
from batchmod.media.reading import decoded, frame_rate, rising_pts

_STANDARD: Final = tuple(
    [Fraction(number * 1000, 1001) for number in (24, 30, 48, 60, 120)]
    + [Fraction(number) for number in (24, 25, 30, 48, 50, 60, 100, 120)]
)
_NEAR: Final = Fraction(1, 2000)
"""Half of what lies between 24 and 24000/1001, as a share."""
_SLACK_S: Final = Fraction(2, 1000)
"""Stamps in milliseconds are off by so much at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Raster:
    """The moments, in seconds from the first one, at which frames are shown, and when the last one is over."""

    times: tuple[Fraction, ...]
    length_s: Fraction
    rate: Fraction | None
    """Frames a second; None where they are not evenly spaced."""
    began_s: Fraction = Fraction(0)
    """The first moment, by the clip's own clock."""

    @property
    def step_s(self) -> Fraction:
        """How long a frame is usually shown."""
        return 1 / self.rate if self.rate else self.length_s / len(self.times)

    def lasting(self, length_s: Fraction) -> "Raster":
        """The same spacing for another length: cut at its end, or gone on with."""
        if self.rate is not None:
            return even(self.rate, length_s)
        times = [at for at in self.times if at < length_s]
        while times[-1] + self.step_s < length_s:
            times.append(times[-1] + self.step_s)
        return Raster(times=tuple(times), length_s=length_s, rate=None)


def even(rate: Fraction, length_s: Fraction) -> Raster:
    """As many frames as come nearest to a length, one at least."""
    count = max(1, round(length_s * rate))
    return Raster(times=tuple(number / rate for number in range(count)), length_s=count / rate, rate=rate)


def raster_of(path: Path) -> Raster:
    """When a clip shows its frames, read from its packets; frames that its edit list leaves out do not count.

    Raises MediaError as `probe_video` does.
    """
    with open_video(path) as video:
        rate, base = frame_rate(video.stream), video.stream.time_base or 1 / frame_rate(video.stream)
        packets = [packet for packet in video.container.demux(video.stream) if packet.size and not packet.is_discard]
        shown = sorted((packet.pts, packet.duration or 0) for packet in packets if packet.pts is not None)
        is_stamped = len(shown) == len(packets)
    if not is_stamped:
        shown = [(pts, 0) for pts in _decoded_stamps(path)]
    if not shown:
        raise MediaError(f"{path} has no frame in it; fetch or export it again", slug="broken_video")
    stamps = [pts for pts, _ in shown]
    began_s = stamps[0] * base
    exact = even_rate(stamps, base, rate)
    if exact is not None:
        found = even(exact, len(stamps) / exact)
        return Raster(times=found.times, length_s=found.length_s, rate=exact, began_s=began_s)
    usual = median([later - sooner for sooner, later in pairwise(stamps)])
    end = stamps[-1] + (shown[-1][1] or round(usual))
    times = tuple((pts - stamps[0]) * base for pts in stamps)
    return Raster(times=times, length_s=(end - stamps[0]) * base, rate=None, began_s=began_s)


def even_rate(stamps: Sequence[int], base: Fraction, declared: Fraction) -> Fraction | None:
    """The rate that frames keep, but for the rounding of their stamps to ticks of `base` seconds; None: they do not.

    The rates of the trade before what a container has reckoned from its own rounded stamps.
    """
    near = sorted((abs(rate / declared - 1), rate) for rate in _STANDARD)
    # What was counted in coarse ticks may have been written into a file with finer ones.
    tick = base * max(1, gcd(*(later - sooner for sooner, later in pairwise(stamps))))
    for rate in dict.fromkeys([*(rate for off, rate in near if off < _NEAR), declared]):
        allowed = tick if tick * 4 <= 1 / rate else 0
        if all(abs((pts - stamps[0]) * base - number / rate) <= allowed for number, pts in enumerate(stamps)):
            return rate
    return None


def picks(wanted: Raster, shown: Raster) -> tuple[int, ...]:
    """For each wanted moment the number of the frame on the screen then; the last one stays there."""
    slack = min(_SLACK_S, shown.step_s / 4)
    return tuple(max(0, bisect_right(shown.times, at + slack) - 1) for at in wanted.times)


def _decoded_stamps(path: Path) -> list[int]:
    """The times of a clip whose packets do not say them."""
    with open_video(path) as video:
        step, stamps = _step(video), list[int]()
        for frame in decoded(path, video):
            stamps.append(rising_pts(frame.pts, stamps[-1] if stamps else None, step))
    return stamps


def _step(video: OpenVideo) -> int:
    rate = frame_rate(video.stream)
    return max(1, round(1 / (rate * (video.stream.time_base or 1 / rate))))
