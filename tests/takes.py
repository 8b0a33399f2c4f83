"""Clips as a camera or a service writes them: numbered frames at exact moments, sounds that tell where they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from batchmod import media

_BARS = 8
SAMPLE_RATE = 48_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Take:
    """What a made clip is; `stamps` in ticks of `base` seconds instead of even ones, `late_s` of the sound."""

    frames: int = 24
    rate: Fraction = Fraction(24)
    size: tuple[int, int] = (128, 72)
    codec: str = "libx264"
    pixels: str = "yuv420p"
    timecode: str | None = None
    sounds: Sequence[str] = ()
    sound_rate: int = SAMPLE_RATE
    languages: Sequence[str] = ()
    late_s: Fraction = Fraction(0)
    longer_s: float = 0.0
    tags: tuple[int, int, int] | None = None
    pixel: Fraction | None = None
    stamps: Sequence[int] | None = None
    base: Fraction | None = None


def write_take(path: Path, take: Take) -> Path:
    """The clip as a file, in the container that its suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast"} if take.codec == "libx264" else {}
        video: Any = container.add_stream(take.codec, rate=take.rate, options=options)
        video.width, video.height, video.pix_fmt = *take.size, take.pixels
        base = take.base or 1 / take.rate
        video.time_base = video.codec_context.time_base = base
        if take.timecode is not None:
            video.metadata["timecode"] = take.timecode
        if take.tags is not None:
            context = video.codec_context
            context.color_primaries, context.color_trc, context.colorspace = take.tags
            context.color_range = 1
        if take.pixel is not None:
            video.codec_context.sample_aspect_ratio = take.pixel
        tracks: list[Any] = [container.add_stream(name, rate=take.sound_rate, layout="stereo") for name in take.sounds]
        for track, language in zip(tracks, take.languages, strict=False):
            track.metadata["language"] = language
        for number in range(take.frames):
            frame = av.VideoFrame.from_ndarray(numbered(number, *take.size), format="rgb24")
            frame = frame.reformat(format=take.pixels, dst_colorspace=5, dst_color_range=1)
            frame.pts, frame.time_base = (take.stamps[number] if take.stamps else number), base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        seconds = float(take.frames / take.rate) + take.longer_s
        for place, track in enumerate(tracks):
            _sing(container, track, sweep(seconds, take.sound_rate, place), take)
    return path


def _sing(container: Any, track: Any, samples: NDArray[np.float32], take: Take) -> None:
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
    frame.sample_rate, frame.time_base = take.sound_rate, Fraction(1, take.sound_rate)
    frame.pts = round(take.late_s * take.sound_rate)
    container.mux(track.encode(frame))
    container.mux(track.encode(None))


def sweep(seconds: float, rate: int = SAMPLE_RATE, place: int = 0) -> NDArray[np.float32]:
    """A rising tone on two channels, (2, samples): no two moments of it sound alike."""
    at = np.arange(round(seconds * rate)) / rate
    wave = (0.3 * np.sin(2 * np.pi * (200 * (place + 1) + 300 * at) * at)).astype(np.float32)
    return np.stack([wave, -0.5 * wave])


def numbered(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """A picture that says its number: bars in its lower half are its binary digits."""
    picture = np.full((height, width, 3), (60, 110, 150), np.uint8)
    for bar in range(_BARS):
        left, right = bar * width // _BARS, (bar + 1) * width // _BARS
        picture[height // 2 :, left:right] = 235 if number >> bar & 1 else 20
    return picture


def number_in(picture: NDArray[np.uint8]) -> int:
    """The number that a picture says, at any size."""
    height, width = picture.shape[:2]
    row = picture[height * 3 // 4]
    return sum(int(row[(2 * bar + 1) * width // (2 * _BARS)].mean() > 128) << bar for bar in range(_BARS))


def numbers_in(path: Path) -> list[int]:
    """The numbers of all frames, in order of display."""
    return [number_in(frame.rgb) for frame in media.read_frames(path)]


def heard(path: Path, track: int = 0) -> tuple[Fraction, NDArray[Any]]:
    """When the first sample is heard, by the clip's own clock, and (channels, samples) of all that is heard from 0."""
    pieces, began = [], None
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.audio[track]):
            assert frame.pts is not None
            assert frame.time_base is not None
            began = frame.pts * frame.time_base if began is None else began
            found: NDArray[Any] = frame.to_ndarray()
            pieces.append(found if frame.format.is_planar else found.reshape(-1, frame.layout.nb_channels).T)
    assert began is not None
    return began, np.concatenate(pieces, axis=1)


def as_floats(samples: NDArray[Any]) -> NDArray[np.float64]:
    """Samples of any kind between -1 and 1."""
    scale = float(np.iinfo(samples.dtype).max) if np.issubdtype(samples.dtype, np.integer) else 1.0
    return samples.astype(np.float64) / scale


def lag(one: NDArray[Any], other: NDArray[Any]) -> int:
    """By how many samples `other` is behind `one`, found by laying one over the other."""
    length = min(one.shape[1], other.shape[1])
    first, second = as_floats(one)[0, :length], as_floats(other)[0, :length]
    size = 2 * length
    across = np.fft.irfft(np.conj(np.fft.rfft(first, size)) * np.fft.rfft(second, size), size)
    found = int(np.argmax(across))
    return found if found < length else found - size
