"""Writes the copy of an output that is fit for use: its source's clock, sound, size, colours and timecode."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import lcm
from pathlib import Path
from typing import Final

import av
from av.container import OutputContainer
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from batchmod.errors import MediaError
from batchmod.media.conform.planning import Planned, planned
from batchmod.media.conform.rasters import Raster
from batchmod.media.conform.refitting import Refitting
from batchmod.media.conform.soundtracks import Soundtracks
from batchmod.media.containers import open_video, reporting
from batchmod.media.reading import decoded
from batchmod.model import Conform

_H264: Final = {"crf": "16", "preset": "medium"}
_PRORES: Final = {"profile": "hq", "vendor": "apl0"}
_THREADS: Final = 2
_CONTAINER: Final = {"movflags": "+faststart", "movie_timescale": "48000"}
"""Its index first, so that it plays while it loads; times of whole tracks to the sample, not the millisecond."""
_MOST_TICKS: Final = 1_000_000
_USUAL_TICKS: Final = 90_000
"""Ticks a second of frames that are not evenly spaced, at the most, and where exact ones would be more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conformed:
    """What a copy is, and what must be said about it."""

    frames: int
    width: int
    height: int
    fps: Fraction | None
    """None where its frames are not evenly spaced."""
    length_s: float
    timecode: str | None
    notes: tuple[str, ...]


def conform(
    source: Path | None, output: Path, target: Path, *, wish: Conform, until_s: float | None = None
) -> Conformed:
    """Write a copy of `output` as `wish` says; `source` may be None where nothing is taken from it.

    `until_s`: where the part of the source that was sent ends, where that was cut.
    Raises MediaError as `probe_video` does, and `copy_too_short`. What it has begun to write it leaves behind.
    """
    plan = planned(source, output, wish, until_s)
    target.open("wb").close()  # PyAV opens its output only at the first packet: find out now
    with (
        reporting(output, slug="broken_video", noun="video"),
        av.open(str(target.absolute()), "w", format=wish.suffix[1:], options=dict(_CONTAINER)) as container,
    ):
        _write(plan, output, container, wish)
    shape, raster = plan.target.shape, plan.raster
    return Conformed(
        frames=len(raster.times),
        width=shape.width,
        height=shape.height,
        fps=raster.rate,
        length_s=float(raster.length_s),
        timecode=plan.timecode,
        notes=plan.notes,
    )


def _write(plan: Planned, output: Path, container: OutputContainer, wish: Conform) -> None:
    clock = _Clock.of(plan.raster)
    video = _stream(plan, container, clock, wish)
    with ExitStack() as stack:
        sound = None
        if plan.sound is not None:
            # A handle of its own: sound and pictures are not read at one pace.
            heard = stack.enter_context(open_video(plan.sound[0]))
            length_s = plan.raster.length_s
            sound = Soundtracks(heard, container, from_s=plan.sound[1], length_s=length_s)
        for number, frame in enumerate(_frames(plan, output)):
            frame.pts, frame.time_base = clock.stamps[number], clock.base
            _mux(container, clock, video, frame)
            if sound is not None:
                sound.mux(until_s=plan.raster.times[number])
        _mux(container, clock, video, None)
        if sound is not None:
            sound.mux(until_s=None)


def _mux(container: OutputContainer, clock: "_Clock", video: VideoStream, frame: av.VideoFrame | None) -> None:
    for packet in video.encode(frame):
        if packet.pts is not None and packet.time_base == clock.base:
            packet.duration = clock.lasts[packet.pts]
        container.mux(packet)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Clock:
    """The copy's moments in ticks."""

    base: Fraction
    stamps: tuple[int, ...]
    lasts: dict[int, int]
    """Stamp → for how many ticks its frame is shown."""

    @classmethod
    def of(cls, raster: Raster) -> "_Clock":
        exact = lcm(*(at.denominator for at in (*raster.times, raster.length_s)))
        if raster.rate is not None:
            exact = raster.rate.numerator
        ticks = exact if raster.rate is not None or exact <= _MOST_TICKS else _USUAL_TICKS
        stamps = tuple(round(at * ticks) for at in raster.times)
        ends = (*stamps, max(stamps[-1] + 1, round(raster.length_s * ticks)))
        return cls(base=Fraction(1, ticks), stamps=stamps, lasts={at: end - at for at, end in pairwise(ends)})


def _frames(plan: Planned, output: Path) -> Iterator[av.VideoFrame]:
    """The copy's frames, each made ready once, however often it is shown."""
    refit, at, shown = Refitting(plan.target), -1, None
    with open_video(output) as video:
        frames = decoded(output, video)
        for number in plan.numbers:
            skipped = None
            while at < number:
                found = next(frames, None)
                if found is None:
                    break
                at, skipped = at + 1, found
            if skipped is not None:
                shown = refit(skipped)
            if shown is None:
                raise MediaError(f"{output} has no frame in it; fetch or export it again", slug="broken_video")
            yield shown


def _stream(plan: Planned, container: OutputContainer, clock: _Clock, wish: Conform) -> VideoStream:
    name, options = ("prores_ks", _PRORES) if wish.codec == "prores" else ("libx264", _H264)
    if plan.raster.rate is None and wish.codec == "h264":
        options = {**options, "bf": "0"}  # frames that are decoded in another order would hide how long the last stands
    rate = plan.raster.rate or 1 / plan.raster.step_s.limit_denominator(_USUAL_TICKS)
    video = container.add_stream(name, rate=rate, options=dict(options))
    assert isinstance(video, VideoStream)
    shape, colours = plan.target.shape, plan.target.colours
    video.width, video.height, video.pix_fmt = shape.width, shape.height, plan.target.pixel_format
    context = video.codec_context
    video.time_base = context.time_base = clock.base
    context.thread_count = _THREADS
    context.sample_aspect_ratio = shape.pixel
    context.color_range = ColorRange.JPEG if colours.full else ColorRange.MPEG
    context.colorspace, context.color_primaries = colours.matrix, colours.primaries
    context.color_trc = colours.transfer
    if plan.timecode is not None:
        video.metadata["timecode"] = plan.timecode
    return video
