"""Writes clips as H.264 in MP4, with the clock and the sound of their source."""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray

from batchmod.media.containers import OpenVideo, open_video, reporting
from batchmod.media.reading import frame_rate, matrix_for
from batchmod.media.sound import Sound
from batchmod.media.stamps import clock_of

_ACCURATE: Final = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
_ENCODER: Final = {"crf": "16", "preset": "veryfast", "mbtree": "0"}
"""Without macroblock trees: x264's AVX-512 code for them gives the same frames other bytes from run to run."""

_THREADS: Final = 4
"""Fixed, since x264's output depends on it."""


class VideoWriter:
    """Writes frames to `target` with the clock, the sound, the pixel shape and the colour primaries of the clip `like`.

    H.264 (libx264, crf 16) in MP4 whatever `target` is called, index first, so that it plays while it loads.
    `pts` count in `like`'s time base and survive exactly; where Matroska has rounded even ones to milliseconds,
    the rate survives. An MPEG-TS clock, which starts anywhere, is moved to 0. Even sizes are yuv420p; H.264
    cannot say an odd size in 4:2:0 (a chroma sample covers 2x2 pixels), so these are yuv444p, which not every
    player shows. The matrix is BT.709 for high definition and BT.601
    below, tagged, limited range. Leaving by an exception closes everything and removes nothing.
    `until_s`: where the sound ends, if not with the clip's own; `bit_rate`: of the pictures, in place of the crf.
    """

    def __init__(
        self, target: Path, *, like: Path, until_s: Fraction | None = None, bit_rate: int | None = None
    ) -> None:
        self._target = target
        self._like = like
        self._until_s = until_s
        self._bit_rate = bit_rate
        self._open = ExitStack()
        self._tracks: tuple[VideoStream, Sound] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._source = stack.enter_context(open_video(self._like))
            # PyAV opens its output only at the first packet: find out now whether one can write there.
            self._target.open("wb").close()
            self._output: OutputContainer = stack.enter_context(
                av.open(str(self._target.absolute()), "w", format="mp4", options={"movflags": "+faststart"})
            )
            self._open = stack.pop_all()
        self._clock = clock_of(self._like, self._source)
        self._origin_s = _origin_s(self._source)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._open:
            if kind is None and self._tracks is not None:
                video, sound = self._tracks
                self._output.mux(video.encode(None))
                sound.mux(until_s=self._until_s)

    def write(self, rgb: NDArray[np.uint8], pts: int) -> None:
        """Add one upright HxWx3 uint8 frame shown at `pts`, which must rise.

        The first frame settles the size: ValueError on another one.
        """
        height, width = rgb.shape[:2]
        with reporting(self._like, slug="broken_video", noun="video"):
            self._tracks = self._tracks or self._start(width, height)
            video, sound = self._tracks
            if (video.width, video.height) == (width, height):
                frame = _yuv(rgb, video.pix_fmt or "yuv420p")
                frame.pts = self._clock.stamp(pts) - round(self._origin_s / self._clock.time_base)
                frame.time_base = self._clock.time_base
                self._output.mux(video.encode(frame))
                sound.mux(until_s=frame.pts * self._clock.time_base)
                return
        raise ValueError(f"a frame of {width}x{height} in a clip of {video.width}x{video.height}")

    def _start(self, width: int, height: int) -> tuple[VideoStream, Sound]:
        source = self._source.stream
        video = self._output.add_stream("libx264", rate=frame_rate(source), options=_options(self._bit_rate))
        video.bit_rate = self._bit_rate or 0
        video.width, video.height = width, height
        video.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        video.time_base = video.codec_context.time_base = self._clock.time_base
        video.codec_context.thread_count = _THREADS
        video.codec_context.color_range = ColorRange.MPEG
        video.codec_context.colorspace = matrix_for(width, height)
        video.codec_context.color_primaries = source.codec_context.color_primaries
        video.codec_context.color_trc = source.codec_context.color_trc
        if source.sample_aspect_ratio:
            video.codec_context.sample_aspect_ratio = _pixel_shape(source, width, height)
        return video, Sound(self._source, self._output, self._origin_s)


def _options(bit_rate: int | None) -> dict[str, str]:
    if bit_rate is None:
        return dict(_ENCODER)
    capped = {name: value for name, value in _ENCODER.items() if name != "crf"}
    return {**capped, "maxrate": str(bit_rate), "bufsize": str(bit_rate)}


def _yuv(rgb: NDArray[np.uint8], pixel_format: str) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    return frame.reformat(
        format=pixel_format,
        dst_colorspace=matrix_for(frame.width, frame.height),
        dst_color_range=ColorRange.MPEG,
        interpolation=_ACCURATE,
    )


def _pixel_shape(source: VideoStream, width: int, height: int) -> Fraction:
    """A pixel's width by its height; a clip that was turned upright has its pixels turned too."""
    shape = Fraction(source.sample_aspect_ratio or 1)
    turned = (width, height) == (source.height, source.width) and width != height
    return 1 / shape if turned else shape


def _origin_s(source: OpenVideo) -> Fraction:
    if source.demuxer != "mpegts":
        return Fraction(0)
    return Fraction(source.container.start_time or 0, av.time_base)
