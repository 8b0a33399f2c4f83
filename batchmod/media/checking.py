"""Says whether a video file is whole: all of its bytes there, and its frames decodable."""

from pathlib import Path
from typing import Literal

import av

from batchmod.errors import MediaError
from batchmod.media.containers import OpenVideo, check_size, open_video
from batchmod.media.reading import facts, facts_of_index
from batchmod.media.structure import declared_size, is_chain, is_upright
from batchmod.model import VideoFacts


def verify_video(path: Path, *, depth: Literal["decode", "container"]) -> VideoFacts:
    """Check that a clip is complete, and give its facts with its frames counted.

    Both compare the declared length with the bytes that are there. `container` then goes by the index of an MP4 and
    the structure of its first packet; of other containers, and where that index is not all, it reads every packet and
    decodes the first frame. `decode` decodes every frame and takes damage a decoder would hide for an error.
    Raises MediaError: empty_file, not_a_video, broken_video, unsafe_container, too_large.
    """
    if depth == "container" and (found := _by_its_index(path)) is not None:
        return found
    with open_video(path) as video:
        _check_length(path, video)
        video.stream.thread_count = 1  # a second costs half as much again, and finds no damage that one does not
        return _read_through(path, video, every_frame=depth == "decode")


def _by_its_index(path: Path) -> VideoFacts | None:
    """What an MP4's index says, where it is one piece and shows its frames as they are stored."""
    with open_video(path, decoding=False) as video:
        stream, entries = video.stream, video.stream.index_entries
        if video.demuxer != "mov" or not stream.frames or len(entries) != stream.frames:
            return None
        at = video.file.tell()
        _check_length(path, video)
        if not is_upright(video.file):
            return None
        first = entries[0]
        video.file.seek(first.pos)
        packet = video.file.read(first.size)
        video.file.seek(at)
        if not is_chain(packet, codec=stream.codec_context.name, described=stream.codec_context.extradata):
            raise _broken(path, "its first frame is damaged")
        return facts_of_index(path, video)


def _check_length(path: Path, video: OpenVideo) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        ends = [declared_size(file, video.demuxer) or 0]
    if video.demuxer == "mov":
        ends.extend(entry.pos + entry.size for entry in video.stream.index_entries)
    if max(ends) > size:
        raise _broken(path, f"it is cut: {size} of {max(ends)} bytes are there")


def _read_through(path: Path, video: OpenVideo, *, every_frame: bool) -> VideoFacts:
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
    return facts(path, video, first, decoded if every_frame else packets)


def _check_frame(path: Path, frame: av.VideoFrame, number: int) -> None:
    check_size(path, frame.width, frame.height)
    if frame.is_corrupt:
        raise _broken(path, f"frame {number} cannot be decoded whole")


def _broken(path: Path, reason: str) -> MediaError:
    return MediaError(f"{path} is a broken video: {reason}; fetch or export it again", slug="broken_video")
