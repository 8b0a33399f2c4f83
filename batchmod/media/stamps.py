"""A clip's clock: its own stamps, or the even ones that its container has rounded to milliseconds."""

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Final

from batchmod.media.containers import OpenVideo, open_video
from batchmod.media.reading import frame_rate

_ROUNDING: Final = "matroska"
"""The demuxer of Matroska and WebM, whose stamps count milliseconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """How stamps of a source become those of what is made from it, in ticks of `time_base` seconds."""

    time_base: Fraction
    source_base: Fraction
    first: int = 0
    rate: Fraction | None = None
    """Frames a second where the source's frames are evenly spaced but for rounding."""

    def stamp(self, pts: int) -> int:
        """The time of a frame that its source shows at `pts`."""
        if self.rate is None:
            return pts
        number = round((pts - self.first) * self.source_base * self.rate)
        return round((self.first * self.source_base + number / self.rate) / self.time_base)


def clock_of(path: Path, video: OpenVideo) -> Clock:
    """The clock for what is made from a clip: with its exact rate where its stamps only lost it by rounding."""
    rate = frame_rate(video.stream)
    base = video.stream.time_base or 1 / rate
    if not video.demuxer.startswith(_ROUNDING):
        return Clock(time_base=base, source_base=base)
    stamps = stamps_of(path)
    if not stamps or any(abs(pts - stamps[0] - k / rate / base) > 1 for k, pts in enumerate(stamps)):
        return Clock(time_base=base, source_base=base)
    # Fine enough for the first stamp and for a frame's length, both exactly.
    fine = Fraction(1, lcm(base.denominator, rate.numerator))
    return Clock(time_base=fine, source_base=base, first=stamps[0], rate=rate)


def stamps_of(path: Path) -> list[int]:
    """The times of all frames in order of display, read without decoding any."""
    with open_video(path) as video:
        return sorted(packet.pts for packet in video.container.demux(video.stream) if packet.pts is not None)
