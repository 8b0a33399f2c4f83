"""How a clip is stored: container, codec, depth, rotation, and whether its frames come evenly."""

import tempfile
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Final

import av

from batchmod.errors import MediaError
from batchmod.filetypes import HEAD_BYTES
from batchmod.media.containers import OpenVideo, open_video
from batchmod.media.reading import decoded, duration_s, facts
from batchmod.media.stamps import stamps_of
from batchmod.model import ClipFacts, VideoFacts

_CONTAINERS: Final = {"avi": "avi", "mpegts": "ts"}
_HDR_TRANSFERS: Final = (16, 18)
"""Of ITU-T H.273, table 3: PQ (SMPTE ST 2084) and HLG (ARIB STD-B67)."""
_UNEVEN: Final = 0.5
"""How far a gap between two frames may be from the usual one, as a share of it: less is rounding."""


def clip_facts(path: Path) -> ClipFacts:
    """What a service may mind about a clip; its first frame is decoded, the times of all others are read.

    Raises MediaError as `probe_video` does.
    """
    with open_video(path) as video:
        frame = next(decoded(path, video), None)
        if frame is None:
            raise MediaError(f"{path} has no frame in it; fetch or export it again", slug="broken_video")
        stream = video.stream
        return ClipFacts(
            video=facts(video, frame),
            container=_container(path, video),
            codec=stream.codec_context.codec.canonical_name,
            bits=_bits(frame),
            rotation=frame.rotation % 360,
            pixel_shape=Fraction(stream.sample_aspect_ratio or 1),
            interlaced=frame.interlaced_frame,
            hdr=stream.codec_context.color_trc in _HDR_TRANSFERS,
            steady=_is_steady(stamps_of(path)),
        )


def declared_facts(head: bytes, tail: bytes, size: int) -> VideoFacts:
    """What the index of a clip says, from the pieces of it that are there; sizes as stored, nothing is decoded.

    Raises MediaError as `probe_video` does, also where the index is in another piece.
    """
    with tempfile.TemporaryDirectory(prefix="batchmod-") as folder:
        path = Path(folder) / "clip"
        with path.open("wb") as file:
            file.truncate(size)  # a hole between the two pieces
            file.write(head)
            file.seek(size - len(tail))
            file.write(tail)
        with open_video(path) as video:
            stream = video.stream
            return VideoFacts(
                width=stream.width,
                height=stream.height,
                fps=stream.average_rate,
                frames=stream.frames or None,
                duration_s=duration_s(video),
                has_audio=bool(video.container.streams.audio),
                bytes=size,
            )


def _container(path: Path, video: OpenVideo) -> str:
    if video.demuxer == "mov":
        return "mov" if video.container.metadata.get("major_brand", "qt").strip() == "qt" else "mp4"
    if video.demuxer == "matroska":
        with path.open("rb") as file:
            return "webm" if b"webm" in file.read(HEAD_BYTES) else "mkv"
    return _CONTAINERS.get(video.demuxer, video.demuxer)


def _bits(frame: av.VideoFrame) -> int:
    return max(component.bits for component in frame.format.components)


def _is_steady(stamps: list[int]) -> bool:
    """Whether no gap between two frames is half as long again, or half as long, as the usual one."""
    gaps = [later - sooner for sooner, later in pairwise(stamps)]
    if not gaps:
        return True
    usual = median(gaps)
    return all(abs(gap - usual) <= max(1, _UNEVEN * usual) for gap in gaps)
