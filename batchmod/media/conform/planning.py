"""Settles everything about a copy before its first frame is written: its moments, shape, colours and timecode."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final

from batchmod.errors import MediaError
from batchmod.media.conform.colours import UNSAID, Colours, colours_of, wanted
from batchmod.media.conform.rasters import Raster, even, picks, raster_of
from batchmod.media.conform.refitting import Target
from batchmod.media.conform.shapes import Shape, placed
from batchmod.media.conform.soundtracks import known_sounds
from batchmod.media.conform.timecodes import at_rate, timecode_of
from batchmod.media.containers import open_video
from batchmod.media.reading import decoded
from batchmod.model import Conform

_TURNED: Final = 180


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """What a clip's first frame tells: its shape, upright, and its colours."""

    shape: Shape
    colours: Colours


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """Everything about a copy before its first frame is decoded."""

    raster: Raster
    numbers: tuple[int, ...]
    """For each frame of the copy the output's frame that it shows."""
    target: Target
    timecode: str | None
    sound: tuple[Path, Fraction] | None
    """The clip whose sound it has, and the moment of that clip's own clock at which it begins."""
    notes: tuple[str, ...]


def planned(source: Path | None, output: Path, wish: Conform, until_s: float | None) -> Planned:
    """What a copy will be. Raises MediaError as `probe_video` does, and `copy_too_short`."""
    own, notes = raster_of(output), list[str]()
    shown = own
    theirs = None if source is None else _until(raster_of(source), until_s)
    raster = _raster(shown, theirs, wish)
    if theirs is not None and wish.duration == "source" and len(shown.times) == len(theirs.times):
        if shown.rate != theirs.rate:
            notes.append(f"made frame by frame at {_rate(shown)} fps: each frame stands at its source's own time")
        shown = theirs
    notes += _held(output, raster, shown, wish)
    if raster.rate is None:
        notes.append("its source's frames are not evenly spaced: the copy's are shown at the same times")
    look, like = _look(output), None if source is None else _look(source)
    shape = like.shape if like is not None and wish.size == "source" else look.shape
    placing = placed(look.shape, shape, fit=wish.fit)
    if placing.changed:
        notes.append(f"{placing.changed}: the output is {look.shape.words}, its source {shape.words}")
    tags, note = wanted(like.colours if like else None, look.colours, codec=wish.codec)
    return Planned(
        raster=raster,
        numbers=picks(raster, shown),
        target=Target(shape=shape, placing=placing, colours=tags, pixel_format=_pixel_format(wish, shape)),
        timecode=_timecode(source, theirs, raster),
        sound=_sound(wish, source=(source, theirs), output=(output, own)),
        notes=(*notes, *([note] if note else []), *_lost_sounds(wish, source, output)),
    )


def _until(raster: Raster, until_s: float | None) -> Raster:
    if until_s is None or raster.length_s <= until_s:
        return raster
    cut = raster.lasting(Fraction(until_s).limit_denominator(1000))
    return Raster(times=cut.times, length_s=cut.length_s, rate=cut.rate, began_s=raster.began_s)


def _raster(shown: Raster, theirs: Raster | None, wish: Conform) -> Raster:
    """The copy's own moments."""
    length_s = theirs.length_s if theirs is not None and wish.duration == "source" else shown.length_s
    if isinstance(wish.fps, Fraction):
        return even(wish.fps, length_s)
    base = theirs if theirs is not None and wish.fps == "source" else shown
    return base if length_s == base.length_s else base.lasting(length_s)


def _held(output: Path, raster: Raster, shown: Raster, wish: Conform) -> list[str]:
    """What is to be said where the output does not last as long as its copy. Raises MediaError where it is too short.

    What lacks at the end is filled with the last frame; a frame's length is lost to rounding.
    """
    lacking_s = raster.length_s - shown.length_s
    step_s = max(raster.step_s, shown.step_s)
    if lacking_s <= step_s:
        surplus_s = -lacking_s
        return [f"its last {float(surplus_s):.2f} s are cut"] if surplus_s > step_s else []
    if lacking_s > max(step_s, Fraction(wish.hold_s).limit_denominator(1000)):
        raise MediaError(
            f"{output} lasts {float(shown.length_s):.2f} s, and {float(raster.length_s):.2f} s are wanted: its last "
            f"frame is held for {wish.hold_s:g} s at most; `hold_s` allows more, and `duration: output` keeps its own",
            slug="copy_too_short",
        )
    return [f"its last frame is held for {float(lacking_s):.2f} s: the output is shorter than its source"]


def _look(path: Path) -> _Look:
    with open_video(path) as video:
        frame = next(decoded(path, video), None)
        if frame is None:
            raise MediaError(f"{path} has no frame in it; fetch or export it again", slug="broken_video")
        pixel = Fraction(video.stream.sample_aspect_ratio or 1)
        turned = frame.rotation % _TURNED != 0
        width, height = (frame.height, frame.width) if turned else (frame.width, frame.height)
        shape = Shape(width=width, height=height, pixel=1 / pixel if turned else pixel)
        found = colours_of(frame)
        context = video.stream.codec_context  # a container may say what its stream leaves open
        primaries = found.primaries if found.primaries not in UNSAID else context.color_primaries
        transfer = found.transfer if found.transfer not in UNSAID else context.color_trc
        return _Look(shape=shape, colours=replace(found, primaries=primaries, transfer=transfer))


def _sound(
    wish: Conform, *, source: tuple[Path | None, Raster | None], output: tuple[Path, Raster]
) -> tuple[Path, Fraction] | None:
    path, raster = {"source": source, "output": output, "none": (None, None)}[wish.sound]
    return None if path is None or raster is None else (path, raster.began_s)


def _lost_sounds(wish: Conform, source: Path | None, output: Path) -> list[str]:
    """What is to be said of sounds that nobody here can read."""
    path = {"source": source, "output": output, "none": None}[wish.sound]
    if path is None:
        return []
    with open_video(path) as video:
        lost = len(video.container.streams.audio) - len(known_sounds(video))
    return [f"{lost} of its sounds are of a kind that cannot be read, and are left out"] if lost else []


def _pixel_format(wish: Conform, shape: Shape) -> str:
    if wish.codec == "prores":
        return "yuv422p10le"
    return "yuv444p" if shape.width % 2 or shape.height % 2 else "yuv420p"


def _timecode(source: Path | None, theirs: Raster | None, raster: Raster) -> str | None:
    if source is None or theirs is None or raster.rate is None:
        return None
    with open_video(source) as video:
        found = timecode_of(video.container)
    return None if found is None else at_rate(found, theirs.rate or raster.rate, raster.rate)


def _rate(raster: Raster) -> str:
    return f"{float(raster.rate):.6g}" if raster.rate else "no steady number of"
