"""Opens a file with the one demuxer its bytes allow, and lets FFmpeg open nothing else."""

import contextlib
import errno
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final, NoReturn

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from batchmod import filetypes
from batchmod.errors import MediaError

MAX_STREAMS: Final = 64
MAX_PIXELS: Final = 8192 * 8192
"""Per frame; eight-bit RGB of that size is 192 MiB."""

_LIMITS: Final = {"max_pixels": str(MAX_PIXELS)}

_READ_AT_ONCE: Final = 512 * 1024
"""A shorter file is read in one piece: FFmpeg goes to and fro in it, a system call each time."""

_NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})

_UNDECODED: Final = _LIMITS | {"skip_frame": "all", "probesize": "32", "analyzeduration": "0"}
"""For an MP4, whose index says all: else FFmpeg goes through some frames until it knows how they are to be shown."""

_DECODING_ERRORS: Final = (av.FFmpegError, ValueError, ArithmeticError)
"""What PyAV raises on broken input; the last two come from headers that contradict themselves."""

_DISK_ERRORS: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.ENOENT, errno.EISDIR, errno.ENOTDIR}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenVideo:
    """An open container, its one picture stream, the demuxer that opened it, and the file that it reads."""

    container: InputContainer
    stream: VideoStream
    demuxer: str
    file: BinaryIO
    bytes: int


@contextlib.contextmanager
def open_video(path: Path, *, decoding: bool = True) -> Iterator[OpenVideo]:
    """Open `path` as a video; raises MediaError where it is none, also for errors inside the `with` block.

    `decoding`: false where what an MP4's index says will do; its frames' colours and rotation are not known then.
    """
    with _opened(path) as (file, head):
        kind = filetypes.sniff(head)
        if kind.video is None:
            raise MediaError(
                f"{path} is {kind.words}, not a video; give an MP4, MOV, WebM, MKV, AVI or MPEG-TS file",
                slug="not_a_video",
            )
        limits = _LIMITS if decoding or kind.video != "mov" else _UNDECODED
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        with (
            reporting(path, slug="broken_video", noun="video"),
            _container(path, file, kind.video, limits) as container,
        ):
            yield OpenVideo(
                container=container,
                stream=_picture_stream(path, container),
                demuxer=kind.video,
                file=file,
                bytes=size,
            )


@contextlib.contextmanager
def open_image(path: Path) -> Iterator[InputContainer]:
    """Open `path` as a still image; raises MediaError where it is none."""
    with _opened(path) as (file, head):
        kind = filetypes.sniff(head)
        if kind.image is None:
            raise MediaError(
                f"{path} is {kind.words}, not an image that can be read; give a PNG, JPEG or WebP file",
                slug="not_an_image",
            )
        with (
            reporting(path, slug="broken_image", noun="image"),
            _container(path, file, kind.image, _LIMITS) as container,
        ):
            stream = container.streams.video[0]
            limit(stream)
            width, height = filetypes.png_size(head) or (stream.width, stream.height)
            _check_declared(path, width, height, slug="broken_image")
            yield container


def check_size(path: Path, width: int, height: int) -> None:
    """Raise MediaError(too_large) where a frame has more than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"{path} has frames of {width}x{height} pixels; at most {MAX_PIXELS} pixels are allowed: scale it down",
            slug="too_large",
        )


def _check_declared(path: Path, width: int, height: int, *, slug: str) -> None:
    """`check_size` before decoding; FFmpeg leaves a size at 0 that it could not read or that is over the limit."""
    if not width * height:
        raise MediaError(
            f"{path} is broken, or its frames have more than {MAX_PIXELS} pixels: export it again, smaller", slug=slug
        )
    check_size(path, width, height)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, bytes]]:
    """The file and its first bytes from one handle, so that nobody can swap the file in between."""
    with path.open("rb") as file:
        head = file.read(_READ_AT_ONCE)
        if not head:
            raise MediaError(f"{path} is empty (0 bytes); fetch or export it again", slug="empty_file")
        if len(head) < _READ_AT_ONCE:
            yield io.BytesIO(head), head[: filetypes.HEAD_BYTES]
            return
        file.seek(0)
        yield file, head[: filetypes.HEAD_BYTES]


@contextlib.contextmanager
def reporting(path: Path, *, slug: str, noun: str) -> Iterator[None]:
    """Turn what PyAV raises into a MediaError about `path`, and a full or read-only disk into an OSError."""
    try:
        yield
    except _DECODING_ERRORS as error:
        number = getattr(error, "errno", None)
        reason = getattr(error, "strerror", None) or str(error)
        if number in _DISK_ERRORS:
            raise OSError(number, reason, getattr(error, "filename", None)) from error
        raise MediaError(f"{path} is a cut or broken {noun} ({reason}); fetch or export it again", slug=slug) from error


@contextlib.contextmanager
def _container(
    path: Path, file: BinaryIO, demuxer: str, options: Mapping[str, str] = _LIMITS
) -> Iterator[InputContainer]:
    def refuse(url: str, _flags: int, _options: dict[str, Any]) -> NoReturn:
        raise MediaError(f"{path} wants to open another file ({url}); it was not opened", slug="unsafe_container")

    # A Python file instead of a name: FFmpeg then has no protocol and no folder to reach another file through.
    with av.open(
        file, "r", format=demuxer, io_open=refuse, options=dict(options), metadata_errors="replace"
    ) as container:
        yield container


def limit(stream: VideoStream, options: Mapping[str, str] = _NO_OPTIONS) -> None:
    """Have the decoder refuse larger frames before it makes room for them, whatever the container says.

    `options`: what else it is told.
    """
    stream.codec_context.options = {**_LIMITS, **options}


def _picture_stream(path: Path, container: InputContainer) -> VideoStream:
    if len(container.streams) > MAX_STREAMS:
        raise MediaError(
            f"{path} has {len(container.streams)} streams; at most {MAX_STREAMS} are allowed",
            slug="unsafe_container",
        )
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            if not hasattr(stream, "width"):  # it has no codec context
                text = f"{path} names a coding of its pictures that nobody knows; fetch it again, or export it as H.264"
                raise MediaError(text, slug="broken_video")
            _check_declared(path, stream.width, stream.height, slug="broken_video")
            limit(stream)
            return stream
    if not container.streams:
        raise MediaError(f"{path} is a cut video: its index is missing; fetch or export it again", slug="broken_video")
    raise MediaError(f"{path} holds no moving pictures (sound only?); give a video", slug="not_a_video")
