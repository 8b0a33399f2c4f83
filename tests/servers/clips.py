"""Makes the small real MP4 files that a stand-in delivers."""

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """What a made video looks like; sizes in pixels, even."""

    width: int = 64
    height: int = 48
    frames: int = 8
    fps: int = 30
    audio: bool = True


@lru_cache
def encoded(clip: Clip) -> bytes:
    """The clip as an H.264 (and AAC) MP4 file."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=clip.fps, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = clip.width, clip.height, "yuv420p"
        sound = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono") if clip.audio else None
        for number in range(clip.frames):
            container.mux(video.encode(av.VideoFrame.from_ndarray(_picture(clip, number), format="rgb24")))
        container.mux(video.encode(None))
        if sound is not None:
            container.mux(sound.encode(_tone(clip)))
            container.mux(sound.encode(None))
    return target.getvalue()


def unique(mp4: bytes, mark: str) -> bytes:
    """The same video with `mark` in a trailing `free` atom, which every player skips (ISO 14496-12, 8.1.2)."""
    body = mark.encode()
    return mp4 + struct.pack(">I4s", 8 + len(body), b"free") + body


def _picture(clip: Clip, number: int) -> NDArray[np.uint8]:
    """A bright square that wanders over a gradient; (height, width, 3), RGB."""
    across = np.linspace(0, 160, clip.width, dtype=np.uint8)
    picture = np.repeat(np.tile(across, (clip.height, 1))[:, :, None], 3, axis=2)
    left = number * 3 % max(1, clip.width - 12)
    picture[8:20, left : left + 12] = (255, 120, 40)
    return picture


def _tone(clip: Clip) -> av.AudioFrame:
    """A 440 Hz tone as long as the pictures."""
    seconds = np.arange(SAMPLE_RATE * clip.frames // clip.fps) / SAMPLE_RATE
    samples = (0.2 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)[None, :]
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
    return frame
