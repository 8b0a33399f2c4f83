"""Says whether a video file is whole: all of its bytes there, and its frames decodable."""

from pathlib import Path
from typing import Final, Literal

import av

from batchmod.errors import MediaError
from batchmod.media.containers import OpenVideo, check_size, limit, open_video
from batchmod.media.reading import facts, facts_of_index
from batchmod.media.structure import declared_size, is_chain, is_upright
from batchmod.model import VideoFacts

_LOOKED_AT_BY_NOBODY: Final = {"skip_loop_filter": "all"}
"""The pictures' edges are smoothed after everything that can be damaged has been read."""


def verify_video(path: Path, *, depth: Literal["decode", "container"]) -> VideoFacts:
    """Check that a clip is complete, and give its facts with its frames counted.

    Both compare the declared length with the bytes that are there. `container` then goes by the index of an MP4 and
    the structure of its first packet; of other containers, and where that index is not all, it reads every packet and
    decodes the first frame. `decode` decodes every frame and takes damage a decoder would hide for an error.
    Raises MediaError: empty_file, not_a_video, broken_video, unsafe_container, too_large.
    """
    with open_video(path, decoding=False) as video:
        _check_length(path, video)
        found = _checked(path, video, every_frame=depth == "decode")
    if found is not None:
        return found
    with open_video(path) as video:
        return _read_through(path, video, every_frame=depth == "decode")


def _checked(path: Path, video: OpenVideo, *, every_frame: bool) -> VideoFacts | None:
    """What a clip comes to that was opened without decoding; None where more has to be known of it first."""
    is_mov = video.demuxer == "mov"
    if is_mov and not _index_is_all(video):
        return None
    if every_frame or not is_mov:
        return _read_through(path, video, every_frame=every_frame)
    return _by_its_index(video) if is_upright(video.file) else None


def _index_is_all(video: OpenVideo) -> bool:
    """Whether an MP4's index has every frame."""
    return bool(video.stream.frames) and len(video.stream.index_entries) == video.stream.frames


def _by_its_index(video: OpenVideo) -> VideoFacts | None:
    """What an MP4's index says, which shows its frames as they are stored; None where its first frame looks damaged."""
    stream, first = video.stream, video.stream.index_entries[0]
    video.file.seek(first.pos)
    packet = video.file.read(first.size)
    whole = is_chain(packet, codec=stream.codec_context.name, described=stream.codec_context.extradata)
    return facts_of_index(video) if whole else None


def _check_length(path: Path, video: OpenVideo) -> None:
    at = video.file.tell()
    ends = [declared_size(video.file, video.demuxer) or 0]
    video.file.seek(at)  # where FFmpeg goes on
    if video.demuxer == "mov":
        ends.extend(entry.pos + entry.size for entry in video.stream.index_entries)
    if max(ends) > video.bytes:
        raise _broken(path, f"it is cut: {video.bytes} of {max(ends)} bytes are there")


def _read_through(path: Path, video: OpenVideo, *, every_frame: bool) -> VideoFacts:
    video.stream.thread_count = 1  # a second costs half as much again, and finds no damage that one does not
    limit(video.stream, _LOOKED_AT_BY_NOBODY)
    packets = decoded = 0
    first: av.VideoFrame | None = None
    for packet in video.container.demux(video.stream):
        packets += packet.size > 0
        if packet.is_corrupt:
            raise _broken(path, f"packet {packets} is damaged")
        if first is not None and not every_frame:
            continue
        for frame in packet.decode():
            assert isinstance(frame, av.VideoFrame)
            first = first or frame
            _check_frame(path, frame, decoded)
            decoded += 1
    if first is None:
        raise _broken(path, "it has no frame in it")
    return facts(video, first, decoded if every_frame else packets)


def _check_frame(path: Path, frame: av.VideoFrame, number: int) -> None:
    check_size(path, frame.width, frame.height)
    if frame.is_corrupt:
        raise _broken(path, f"frame {number} cannot be decoded whole")


def _broken(path: Path, reason: str) -> MediaError:
    return MediaError(f"{path} is a broken video: {reason}; fetch or export it again", slug="broken_video")
