"""Reads videos and images as upright eight-bit RGB."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray

from batchmod.errors import MediaError
from batchmod.media import exif
from batchmod.media.containers import OpenVideo, check_size, open_image, open_video
from batchmod.model import VideoFacts

FALLBACK_RATE: Final = Fraction(25)
_UNSPECIFIED_MATRIX: Final = 2
_HD_WIDTH: Final = 1280
_SD_HEIGHT: Final = 576
_ACCURATE: Final = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a clip: `rgb` is HxWx3 uint8, upright, contiguous; shown at `pts * time_base` seconds."""

    rgb: NDArray[np.uint8]
    pts: int
    time_base: Fraction

    @property
    def at_s(self) -> float:
        """When it is shown, by the clip's own clock, which may start anywhere."""
        return float(self.pts * self.time_base)


def probe_video(path: Path) -> VideoFacts:
    """Size, rate, length and sound of a clip from its headers and its first frame.

    The first frame is decoded: it tells the rotation, and a file whose header alone is whole is found out.
    `frames` is None where the container does not count them (Matroska, MPEG-TS).
    Raises MediaError: empty_file, not_a_video, broken_video, unsafe_container, too_large.
    """
    with open_video(path) as video:
        frame = next(decoded(path, video), None)
        if frame is None:
            raise MediaError(f"{path} has no frame in it; fetch or export it again", slug="broken_video")
        return facts(video, frame)


def facts(video: OpenVideo, frame: av.VideoFrame, frames: int | None = None) -> VideoFacts:
    """The facts of an open clip, given one decoded frame and, if they were counted, the number of frames."""
    width, height = frame.width, frame.height
    if frame.rotation % 180:
        width, height = height, width
    return _facts(video, width, height, frames)


def facts_of_index(video: OpenVideo) -> VideoFacts:
    """The facts of an open clip as its container says them; for one that is shown as it is stored."""
    return _facts(video, video.stream.width, video.stream.height, None)


def _facts(video: OpenVideo, width: int, height: int, frames: int | None) -> VideoFacts:
    return VideoFacts(
        width=width,
        height=height,
        fps=video.stream.average_rate,
        frames=frames or video.stream.frames or None,
        duration_s=duration_s(video),
        has_audio=bool(video.container.streams.audio),
        bytes=video.bytes,
    )


def duration_s(video: OpenVideo) -> float | None:
    """The length of the pictures in seconds, of the whole container where the stream does not say."""
    stream, container = video.stream, video.container
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def frame_rate(stream: VideoStream) -> Fraction:
    """The average rate, or the container's guess, or 25."""
    return stream.average_rate or stream.guessed_rate or FALLBACK_RATE


def read_frames(path: Path) -> Iterator[Frame]:
    """Every frame in order of display, one at a time; times strictly rise, missing ones follow the rate.

    Ten-bit and 4:4:4 sources become eight-bit RGB. Raises MediaError as `probe_video` does.
    """
    with open_video(path) as video:
        time_base = video.stream.time_base or 1 / frame_rate(video.stream)
        step = max(1, round(1 / (frame_rate(video.stream) * time_base)))
        last: int | None = None
        for frame in decoded(path, video):
            last = rising_pts(frame.pts, last, step)
            yield Frame(rgb=_upright_rgb(frame), pts=last, time_base=time_base)


def rising_pts(pts: int | None, last: int | None, step: int) -> int:
    """The time of a frame: its own if it lies after the last one, a `step` after that where it has none."""
    if pts is None:
        return 0 if last is None else last + step
    return pts if last is None else max(pts, last + 1)


def first_frame(path: Path) -> NDArray[np.uint8]:
    """The first frame of a clip as HxWx3 RGB, upright. Raises MediaError as `probe_video` does."""
    with open_video(path) as video:
        for frame in decoded(path, video):
            return _upright_rgb(frame)
    raise MediaError(f"{path} has no frame in it; fetch or export it again", slug="broken_video")


def probe_image(path: Path) -> tuple[int, int]:
    """Width and height of an image, upright. Raises MediaError as `read_image` does."""
    height, width = read_image(path).shape[:2]
    return width, height


def read_image(path: Path) -> NDArray[np.uint8]:
    """A PNG, JPEG, WebP, BMP or TIFF file as HxWx3 RGB, upright by its EXIF tag, alpha laid on white.

    Raises MediaError: empty_file, not_an_image, broken_image, too_large.
    """
    with open_image(path) as image:
        frame = next(image.decode(video=0), None)
        if frame is None:
            raise MediaError(f"{path} has no picture in it; export it again", slug="broken_image")
        check_size(path, frame.width, frame.height)
        rgba = frame.to_ndarray(format="rgba", interpolation=_ACCURATE)
    return exif.upright(_on_white(rgba.astype(np.uint8, copy=False)), exif.orientation(path))


def decoded(path: Path, video: OpenVideo) -> Iterator[av.VideoFrame]:
    """The frames of an open clip as they are stored, none larger than is allowed."""
    video.stream.thread_type = "AUTO"
    for frame in video.container.decode(video.stream):
        check_size(path, frame.width, frame.height)
        yield frame


def _upright_rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    rgb = frame.to_ndarray(format="rgb24", interpolation=_ACCURATE, src_colorspace=matrix_of(frame))
    return np.ascontiguousarray(np.rot90(rgb, frame.rotation // 90))


def matrix_for(width: int, height: int) -> Colorspace:
    """BT.709 for high definition, BT.601 below: what players assume where a file does not say."""
    return Colorspace.ITU709 if width >= _HD_WIDTH or height > _SD_HEIGHT else Colorspace.ITU601


def matrix_of(frame: av.VideoFrame) -> int | None:
    """The matrix of a frame's colours where its file does not say; None where it does."""
    unsaid = frame.colorspace == _UNSPECIFIED_MATRIX and not frame.format.is_rgb
    return matrix_for(frame.width, frame.height) if unsaid else None


def _on_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed = (rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return np.ascontiguousarray(mixed.astype(np.uint8))
