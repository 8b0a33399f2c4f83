"""A cut or damaged clip is found; a whole one is not suspected."""

import io
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest

from batchmod import media
from batchmod.errors import MediaError
from batchmod.media import structure
from batchmod.model import VideoFacts
from tests.servers.clips import Clip, encoded

CLIP = Path(__file__).parents[2] / "manifests" / "demo" / "bunny.mp4"
DEPTHS = pytest.mark.parametrize("depth", ["container", "decode"])
Depth = Literal["container", "decode"]


def remuxed(path: Path, container_format: str, options: dict[str, str] | None = None) -> Path:
    """The demo clip's packets in another container; its pictures anew as MPEG-4 part 2 where that is an AVI."""
    if container_format == "avi":
        return reencoded(path)
    with av.open(str(CLIP)) as source, av.open(str(path), "w", format=container_format, options=options or {}) as out:
        streams = {s.index: out.add_stream_from_template(s) for s in (source.streams.video[0], source.streams.audio[0])}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    return path


def reencoded(path: Path) -> Path:
    with av.open(str(CLIP)) as source, av.open(str(path), "w", format="avi") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 480, 270, "yuv420p"
        for number, frame in enumerate(source.decode(video=0)):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def written(path: Path, codec: str, *, turns: int = 0, frames: int = 12, options: dict[str, str] | None = None) -> Path:
    """A clip of a moving stripe, turned by its header alone."""
    with av.open(str(path), "w", format="mp4", options=options or {}) as out:
        stream: Any = out.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_rotation(90 * turns)
        for number in range(frames):
            picture = np.zeros((64, 96, 3), np.uint8)
            picture[:, 4 * number : 4 * number + 8] = 200
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def broken(path: Path, depth: Depth) -> MediaError:
    with pytest.raises(MediaError) as caught:
        media.verify_video(path, depth=depth)
    return caught.value


@DEPTHS
def test_a_whole_clip_passes_with_its_facts(depth: Depth) -> None:
    expected = VideoFacts(
        width=480, height=270, fps=Fraction(25), frames=72, duration_s=2.88, has_audio=True, bytes=119104
    )

    assert expected == media.verify_video(CLIP, depth=depth)


@DEPTHS
@pytest.mark.parametrize(
    ("container", "options"),
    [
        ("mp4", {}),
        ("mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("mov", {"movflags": "faststart"}),
        ("matroska", {}),
        ("matroska", {"live": "1"}),
        ("mpegts", {}),
        ("avi", {}),
    ],
)
def test_whole_clips_of_every_container_pass(
    tmp_path: Path, depth: Depth, container: str, options: dict[str, str]
) -> None:
    facts = media.verify_video(remuxed(tmp_path / "clip", container, options), depth=depth)

    assert (facts.width, facts.height, facts.frames) == (480, 270, 72)


@DEPTHS
@pytest.mark.parametrize("kept", [9, 100, 2000, 3040, 4000, 60_000, 119_000, 119_103])
def test_a_cut_file_is_not_a_video(tmp_path: Path, depth: Depth, kept: int) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(CLIP.read_bytes()[:kept])

    assert broken(path, depth).slug == "broken_video"


@DEPTHS
@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts", "avi"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_cut_is_found_in_every_container(tmp_path: Path, depth: Depth, container: str, share: float) -> None:
    path = remuxed(tmp_path / "clip", container)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])

    assert broken(path, depth).slug == "broken_video"


def test_the_message_says_how_much_is_missing_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(CLIP.read_bytes()[:100_000])

    message = str(broken(path, "container"))

    assert "100000 of 119104 bytes" in message
    assert str(path) in message
    assert "again" in message


@pytest.mark.parametrize("seed", range(6))
def test_damage_inside_is_found_by_decoding(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    with av.open(str(CLIP)) as container:
        packets = [p for p in container.demux(video=0) if p.size > 1500]
        position, size = [(p.pos, p.size) for p in packets][int(random.integers(len(packets)))]
    content = bytearray(CLIP.read_bytes())
    middle = (position or 0) + size // 2
    content[middle : middle + 64] = random.bytes(64)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)

    assert broken(path, "decode").slug == "broken_video"


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_first_frame_of_zeros_is_found_by_the_quick_check(tmp_path: Path, codec: str) -> None:
    path = written(tmp_path / "damaged.mp4", codec)
    with av.open(str(path)) as container:
        first = next(p for p in container.demux(video=0) if p.size)
        position, size = first.pos or 0, first.size
    content = bytearray(path.read_bytes())
    content[position : position + size] = bytes(size)
    path.write_bytes(content)

    assert broken(path, "container").slug == "broken_video"


@pytest.mark.parametrize(
    ("codec", "turns", "options"),
    [
        ("libx264", 0, {}),
        ("libx264", 1, {}),
        ("libx264", 2, {"movflags": "faststart"}),
        ("libx264", 0, {"movflags": "frag_keyframe+empty_moov"}),
        ("libx264", 3, {"movflags": "frag_keyframe+empty_moov"}),
        ("libx265", 0, {}),
        ("mpeg4", 0, {}),
        ("libx264", 0, {"video_track_timescale": "90000"}),
    ],
)
def test_what_the_index_says_is_what_the_frames_say(
    tmp_path: Path, codec: str, turns: int, options: dict[str, str]
) -> None:
    path = written(tmp_path / "clip.mp4", codec, turns=turns, options=options)

    assert media.verify_video(path, depth="container") == media.verify_video(path, depth="decode")


def test_a_packet_is_filled_by_its_units() -> None:
    described = bytes((1, 100, 0, 30, 0xFF))
    packet = (3).to_bytes(4) + b"abc" + (1).to_bytes(4) + b"d"

    assert structure.is_chain(packet, codec="h264", described=described)
    assert not structure.is_chain(packet + b"e", codec="h264", described=described)
    assert not structure.is_chain(packet[:-1], codec="h264", described=described)
    assert structure.is_chain(packet[:-1], codec="vp9", described=described)
    assert structure.is_chain(packet[:-1], codec="h264", described=None)


@DEPTHS
@pytest.mark.parametrize(("content", "slug"), [(b"", "empty_file"), (b"<html>", "not_a_video"), (b"{}", "not_a_video")])
def test_an_answer_that_is_no_file_is_named(tmp_path: Path, depth: Depth, content: bytes, slug: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)

    assert slug == broken(path, depth).slug


def test_an_index_of_any_length_takes_little_memory(tmp_path: Path) -> None:
    """Most of it is a hole here; a service may send as much as it likes."""
    clip, hole = encoded(Clip()), 200 * 2**20
    at = clip.index(b"moov") - 4
    size = len(clip) - at + 8 + hole
    path = tmp_path / "clip.mp4"
    with path.open("wb") as file:
        file.write(clip[:at] + size.to_bytes(4) + clip[at + 4 :] + (8 + hole).to_bytes(4) + b"free")
        file.truncate(at + size)

    tracemalloc.start()
    try:
        found = media.verify_video(path, depth="container")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert found.frames == Clip().frames
    assert peak < 50 * 2**20


def test_trailing_rubbish_does_not_make_a_clip_broken(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(CLIP.read_bytes() + bytes(5))

    assert media.verify_video(path, depth="decode").frames == 72


def box(name: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content


@pytest.mark.parametrize(
    ("content", "demuxer", "declared"),
    [
        (box(b"ftyp", b"isom") + box(b"moov", b"1234"), "mov", 24),
        (b"\0\0\0\1mdat" + (5000).to_bytes(8, "big") + b"12", "mov", 5000),
        (box(b"ftyp", b"isom") + b"\0\0\0\0mdat123", "mov", None),
        (box(b"ftyp", b"isom") + b"\0\0\0\x20\xff\xfe\xfd\xfc", "mov", None),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x84wxyz", "matroska", 16),
        (b"\x1a\x45\xdf\xa3\x40\x02ab\x18\x53\x80\x67\x50\x00", "matroska", 4110),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff", "matroska", None),
        (b"\x1a\x45\xdf\xa3\x82abxxxx\x84", "matroska", None),
        (b"\x1a\x45\xdf\xa3", "matroska", None),
        (b"RIFF\x10\0\0\0AVI ", "avi", 24),
        (b"RIFF\0\0\0\0AVI ", "avi", None),
        (b"\x47" + bytes(188), "mpegts", 376),
        (bytes(4) + b"\x47" + bytes(187), "mpegts", 192),
        (b"", "flv", None),
    ],
)
def test_a_container_says_how_long_it_is(content: bytes, demuxer: str, declared: int | None) -> None:
    assert structure.declared_size(io.BytesIO(content), demuxer) == declared
