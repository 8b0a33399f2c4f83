"""Makes of a clip what a service takes: upright H.264 in MP4, cut at its end, no larger than it may be."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

from batchmod.errors import MediaError
from batchmod.media.reading import FALLBACK_RATE, Frame, probe_video, read_frames
from batchmod.media.writing import VideoWriter

_SHARES: Final = (0.85, 0.65)
"""Of the room that there is, what the pictures may fill at the first try and at the second."""


def prepare(source: Path, target: Path, *, until_s: float | None, max_bytes: int | None) -> None:
    """Write `source` anew as `target`, with its clock, its sound and its own size.

    Raises MediaError as `read_frames` does, and `too_large` where it cannot be made small enough.
    """
    facts = probe_video(source)
    step = 1 / (facts.fps or FALLBACK_RATE)
    end = None if until_s is None else Fraction(until_s).limit_denominator(1000)
    seconds = min(facts.duration_s or 0.0, until_s or float("inf"))
    rates = [int(share * max_bytes * 8 / seconds) for share in _SHARES] if max_bytes and seconds else []
    for bit_rate in (None, *rates):
        with VideoWriter(target, like=source, until_s=end, bit_rate=bit_rate) as writer:
            for frame in _cut(read_frames(source), step, end):
                writer.write(frame.rgb, frame.pts)
        if max_bytes is None or target.stat().st_size <= max_bytes:
            return
    raise MediaError(f"{source} cannot be made smaller than {max_bytes} bytes: export it anew", slug="too_large")


def _cut(frames: Iterator[Frame], step: Fraction, end: Fraction | None) -> Iterator[Frame]:
    """The frames that are over at `end`, counted from the first one."""
    began: Fraction | None = None
    for frame in frames:
        at = frame.pts * frame.time_base
        began = at if began is None else began
        if end is not None and at - began + step > end:
            return
        yield frame
