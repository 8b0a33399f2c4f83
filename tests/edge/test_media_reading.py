"""Clips and pictures are read upright, whole and with their own clock; anything else is refused by its bytes."""

import resource
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from batchmod import media
from batchmod.errors import MediaError
from batchmod.media import containers, reading
from batchmod.model import VideoFacts

Rgb = NDArray[np.uint8]
CLIP = Path(__file__).parents[2] / "manifests" / "demo" / "bunny.mp4"


def write_clip(
    path: Path, *, codec: str = "libx264", pixels: str = "yuv420p", size: tuple[int, int] = (64, 48), **settings: Any
) -> Path:
    """A grey ramp moving down, 12 frames at 24000/1001."""
    with av.open(str(path), "w", **settings) as container:
        stream = container.add_stream(codec, rate=Fraction(24000, 1001))
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        for number in range(12):
            rows = np.linspace(0, 255, size[1]).astype(np.uint8)
            picture = np.repeat(np.roll(rows, number)[:, None], size[0], axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray").reformat(format=pixels)))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def corners() -> Rgb:
    """Red, green, blue and white quarters: every turn and mirroring looks different."""
    picture = np.full((32, 48, 3), 255, np.uint8)
    picture[:16, :24], picture[:16, 24:], picture[16:, :24] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    return picture


def refused(path: Path) -> MediaError:
    with pytest.raises(MediaError) as caught:
        media.probe_video(path)
    return caught.value


def test_a_clip_is_probed_with_its_size_rate_length_and_sound() -> None:
    facts = media.probe_video(CLIP)

    expected = VideoFacts(
        width=480, height=270, fps=Fraction(25), frames=72, duration_s=2.88, has_audio=True, bytes=119104
    )
    assert expected == facts


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi", "ts"])
def test_every_container_is_read_whatever_it_is_called(tmp_path: Path, suffix: str) -> None:
    codec = {"webm": "libvpx-vp9", "avi": "mpeg4"}.get(suffix, "libx264")
    path = write_clip(tmp_path / f"clip.{suffix}", codec=codec).rename(tmp_path / "clip.dat")

    facts, frames = media.probe_video(path), list(media.read_frames(path))

    assert (facts.width, facts.height) == (64, 48)
    assert facts.fps is not None
    assert abs(float(facts.fps) - 23.976) < 0.05
    assert len(frames) == 12
    assert frames[0].rgb.flags["C_CONTIGUOUS"]


def test_an_old_quicktime_file_without_ftyp_is_a_clip(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "new.mov").read_bytes()
    length = int.from_bytes(whole[:4], "big")
    old = tmp_path / "old.mov"
    # The same length, so that the offsets in the index stay right.
    old.write_bytes(struct.pack(">I4s", length, b"wide") + bytes(length - 8) + whole[length:])

    assert len(list(media.read_frames(old))) == 12


@pytest.mark.parametrize("pixels", ["yuv420p10le", "yuv444p", "yuv422p"])
def test_other_depths_and_samplings_become_eight_bit_rgb(tmp_path: Path, pixels: str) -> None:
    path = write_clip(tmp_path / "deep.mp4", pixels=pixels)

    frame = media.first_frame(path)

    assert frame.shape == (48, 64, 3)
    assert np.uint8 == frame.dtype
    assert frame[0].mean() < 12
    assert frame[-1].mean() > 243


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_clip_is_turned_upright(tmp_path: Path, turns: int) -> None:
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        lying = np.ascontiguousarray(np.rot90(corners(), -turns))
        stream.height, stream.width = lying.shape[:2]
        stream.pix_fmt = "yuv444p"
        stream.set_display_rotation(90 * turns)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(lying, format="rgb24")))
        container.mux(stream.encode(None))

    facts, frame = media.probe_video(path), media.first_frame(path)

    assert (facts.width, facts.height) == (48, 32)
    assert np.abs(frame.astype(int) - corners()).mean() < 8


def test_frames_are_streamed_and_the_file_can_go_at_once(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(CLIP.read_bytes())
    frames = media.read_frames(path)

    first = next(iter(frames))
    frames.close()  # type: ignore[attr-defined]
    path.unlink()

    assert first.pts == 0
    assert Fraction(1, 12800) == first.time_base


@pytest.mark.parametrize(
    ("own", "last", "time"),
    [(7, None, 7), (7, 3, 7), (None, None, 0), (None, 30, 40), (30, 30, 31), (12, 30, 31), (-5, None, -5)],
)
def test_times_always_rise(own: int | None, last: int | None, time: int) -> None:
    assert reading.rising_pts(own, last, 10) == time


def test_an_untagged_high_definition_clip_is_read_as_bt709(tmp_path: Path) -> None:
    red = np.zeros((1080, 1920, 3), np.uint8)
    red[...] = (200, 40, 40)
    path = tmp_path / "hd.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        frame = av.VideoFrame.from_ndarray(red, format="rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
        frame.colorspace = 2
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    assert np.abs(media.first_frame(path).astype(int) - red).mean() < 3


def test_a_concat_list_named_mp4_does_not_open_another_clip(tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(CLIP.read_bytes())
    trick = tmp_path / "innocent.mp4"
    trick.write_text("ffconcat version 1.0\nfile secret.mp4\n")
    with av.open(str(trick)) as opened:
        assert opened.streams.video, "FFmpeg by itself falls for it; else this test proves nothing"

    error = refused(trick)

    assert error.slug == "not_a_video"
    assert "is an FFmpeg list of other files, not a video" in str(error)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nsecret.ts\n#EXT-X-ENDLIST\n", "an HLS playlist"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        (b"\n  <HTML><body>expired link</body></HTML>", "an HTML page"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>', "an SVG drawing"),
        (b'<?xml version="1.0"?><svg/>', "an SVG drawing"),
        (b'<?xml version="1.0"?><MPD/>', "a DASH playlist"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document"),
        (b'{"status": "FAILED", "error": "no credits"}', "a JSON text"),
        (b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n", "a description of a network stream"),
        (b"just some words", "a text"),
        ("\N{BYTE ORDER MARK}#EXTM3U\n".encode(), "an HLS playlist"),
        (bytes(range(1, 200)) * 30 + b"\0", "a file of unknown kind"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"OggS\0\2", "an Ogg file"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "a WAV sound"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "an AVIF or HEIC picture"),
    ],
)
def test_what_is_no_clip_is_named_and_refused(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)

    error = refused(path)

    assert error.slug == "not_a_video"
    assert f"is {found}, not a video" in str(error)


def test_an_image_is_no_clip_and_a_clip_no_image(tmp_path: Path) -> None:
    picture, clip = tmp_path / "clip.mp4", tmp_path / "frame.png"
    media.write_png(picture, corners())
    clip.write_bytes(CLIP.read_bytes())

    with pytest.raises(MediaError, match="an MP4 or QuickTime file, not an image") as caught:
        media.read_image(clip)

    assert caught.value.slug == "not_an_image"
    assert refused(picture).slug == "not_a_video"


def test_sound_alone_is_no_clip(tmp_path: Path) -> None:
    assert refused(write_sound(tmp_path / "song.mp4")).slug == "not_a_video"


def test_a_clip_in_a_coding_that_nobody_knows_is_refused_with_a_way_out(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "odd.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz1"))

    error = refused(path)

    assert error.slug == "broken_video"
    assert "a coding of its pictures that nobody knows" in str(error)


def test_a_clip_without_a_frame_is_broken(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "live.mp4", options={"movflags": "frag_keyframe+empty_moov"})
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moof") - 4])

    assert refused(path).slug == "broken_video"
    with pytest.raises(MediaError):
        media.first_frame(path)


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.touch()

    assert refused(path).slug == "empty_file"


def test_a_missing_file_stays_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        media.probe_video(tmp_path / "nowhere.mp4")


def test_more_streams_than_any_clip_needs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=8000) for _ in range(65)]
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 160), np.int16), format="s16", layout="mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))

    assert refused(path).slug == "unsafe_container"


def test_giant_frames_are_refused_before_there_is_room_for_them(tmp_path: Path) -> None:
    path = tmp_path / "giant.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 8200, 8200, "gray"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((8200, 8200), np.uint8), format="gray")))
        container.mux(stream.encode(None))

    assert "67108864 pixels" in str(refused(path))


def test_a_small_header_over_giant_frames_does_not_help(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "liar.mov", codec="png", pixels="gray")
    content = bytearray(path.read_bytes())
    at = content.index(b"IHDR")
    struct.pack_into(">II", content, at + 4, 20_000, 20_000)
    struct.pack_into(">I", content, at + 17, zlib.crc32(content[at : at + 17]))
    path.write_bytes(content)

    assert refused(path).slug in ("too_large", "broken_video")


def test_names_in_another_encoding_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "latin.mkv"
    with av.open(str(CLIP)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        container.metadata["title"] = "cafe noir"
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    path.write_bytes(path.read_bytes().replace(b"cafe noir", b"caf\xe9 noir"))

    assert media.probe_video(path).width == 480


def test_a_container_cannot_open_other_files(tmp_path: Path) -> None:
    write_clip(tmp_path / "secret.ts", format="mpegts")
    path = tmp_path / "list.txt"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nsecret.ts\n#EXT-X-ENDLIST\n")

    with path.open("rb") as file, pytest.raises(MediaError) as caught, containers._container(path, file, "hls"):
        pass

    assert caught.value.slug == "unsafe_container"
    assert "secret.ts" in str(caught.value)


def test_nothing_is_printed_about_broken_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number, cut in enumerate((40, 2000, 50_000)):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(CLIP.read_bytes()[:cut])
        with pytest.raises(MediaError):
            media.verify_video(path, depth="decode")

    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp", "jpg"])
def test_every_image_format_is_read_whatever_it_is_called(tmp_path: Path, suffix: str) -> None:
    encoded = cv2.imencode(f".{suffix}", np.ascontiguousarray(corners()[..., ::-1]))[1]
    path = tmp_path / "picture"
    path.write_bytes(encoded.tobytes())

    picture = media.read_image(path)

    assert media.probe_image(path) == (48, 32)
    assert np.uint8 == picture.dtype
    assert np.abs(picture.astype(int) - corners()).mean() < 4


def test_png_is_written_without_loss(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (21, 33, 3), np.uint8)
    media.write_png(tmp_path / "picture.png", picture)

    assert np.array_equal(picture, media.read_image(tmp_path / "picture.png"))


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((4, 6, 4), np.uint8)
    rgba[:, 2:4] = (0, 0, 255, 128)
    rgba[:, 4:] = (0, 255, 0, 255)
    path = tmp_path / "cut-out.png"
    path.write_bytes(cv2.imencode(".png", rgba)[1].tobytes())

    row = media.read_image(path)[0].tolist()

    assert row[::2] == [[255, 255, 255], [255, 127, 127], [0, 255, 0]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", [">", "<"])
def test_a_photo_is_turned_as_its_camera_says(tmp_path: Path, orientation: int, order: str) -> None:
    turns: dict[int, Callable[[Rgb], Rgb]] = {
        1: lambda p: p, 2: np.fliplr, 3: lambda p: np.rot90(p, 2), 4: np.flipud,
        5: lambda p: p.transpose(1, 0, 2), 6: np.rot90, 7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
        8: lambda p: np.rot90(p, -1),
    }  # fmt: skip
    stored = np.ascontiguousarray(turns[orientation](corners())[..., ::-1])
    jpeg = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    mark = b"MM\0*" if order == ">" else b"II*\0"
    exif = b"Exif\0\0" + mark + struct.pack(f"{order}IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])

    picture = media.read_image(path)

    assert corners().shape == picture.shape
    assert np.abs(picture.astype(int) - corners()).mean() < 12


@pytest.mark.parametrize(
    "content",
    [b"#EXTM3U\n", b"<svg/>", b"<html>", b"{}", b"GIF89a\1\0\1\0", b"text", b"ffconcat version 1.0\nfile a.png\n"],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "frame.png"
    path.write_bytes(content)

    with pytest.raises(MediaError) as caught:
        media.read_image(path)

    assert caught.value.slug == "not_an_image"


def test_an_empty_image_says_so(tmp_path: Path) -> None:
    (tmp_path / "frame.png").touch()

    with pytest.raises(MediaError) as caught:
        media.read_image(tmp_path / "frame.png")

    assert caught.value.slug == "empty_file"


@pytest.mark.parametrize("kept", [12, 60, 0.5])
def test_a_cut_image_is_broken(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "frame.png"
    media.write_png(path, np.random.default_rng(2).integers(0, 256, (90, 90, 3), np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])

    with pytest.raises(MediaError) as caught:
        media.read_image(path)

    assert caught.value.slug == "broken_image"


@pytest.mark.parametrize(("suffix", "slug"), [("png", "too_large"), ("jpg", "broken_image")])
def test_a_giant_image_is_refused_before_it_is_unpacked(tmp_path: Path, suffix: str, slug: str) -> None:
    path = tmp_path / "giant"
    path.write_bytes(cv2.imencode(f".{suffix}", np.zeros((8200, 8200), np.uint8))[1].tobytes())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(MediaError) as caught:
        media.read_image(path)

    assert caught.value.slug == slug
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 40_000


@pytest.mark.parametrize("width", [160, 33])
def test_a_thumbnail_is_a_small_jpeg(tmp_path: Path, width: int) -> None:
    path = tmp_path / "poster.jpg"
    path.write_bytes(media.thumbnail_jpeg(media.first_frame(CLIP), width))

    assert (width, round(270 * width / 480)) == media.probe_image(path)
    assert np.abs(media.read_image(path).mean(axis=(0, 1)) - media.first_frame(CLIP).mean(axis=(0, 1))).max() < 3
