"""How clips are stored is read from their bytes, and a clip written anew is what services take."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from batchmod import media
from batchmod.errors import MediaError
from tests.colours import card, inside, write_card
from tests.servers.clips import Clip
from tests.support import write_clip


def write(path: Path, *, codec: str = "libx264", pixels: str = "yuv420p", pts: Any = None, **how: Any) -> Path:
    """Twelve frames at 25 a second, or at the times `pts` in 600ths of a second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=how.pop("options", {}))
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.time_base = stream.codec_context.time_base = Fraction(1, 600)
        for name, value in how.items():
            setattr(stream.codec_context, name, value)
        for number, at in enumerate(pts or range(0, 12 * 24, 24)):
            picture = np.full((48, 64, 3), 20 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = at, Fraction(1, 600)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "how", "container", "codec"),
    [
        ("a.mp4", {}, "mp4", "h264"),
        ("a.mov", {}, "mov", "h264"),
        ("a.mov", {"codec": "prores_ks", "pixels": "yuv422p10le"}, "mov", "prores"),
        ("a.mkv", {"codec": "libx265"}, "mkv", "hevc"),
        ("a.webm", {"codec": "libvpx-vp9"}, "webm", "vp9"),
        ("a.avi", {"codec": "mpeg4"}, "avi", "mpeg4"),
        ("a.ts", {}, "ts", "h264"),
    ],
)
def test_container_and_codec_are_told_by_the_bytes(
    tmp_path: Path, name: str, how: dict[str, Any], container: str, codec: str
) -> None:
    path = write(tmp_path / name, **how).rename(tmp_path / "clip.dat")
    facts = media.clip_facts(path)

    assert (facts.container, facts.codec) == (container, codec)
    assert facts.bits == (10 if codec == "prores" else 8)
    assert facts.steady
    assert facts.video == media.probe_video(path)


@pytest.mark.parametrize(("transfer", "hdr"), [(16, True), (18, True), (1, False)])
def test_hdr_is_told_by_how_brightness_is_coded(tmp_path: Path, transfer: int, hdr: bool) -> None:  # noqa: FBT001
    assert media.clip_facts(write(tmp_path / "a.mp4", color_trc=transfer)).hdr is hdr


def test_interlacing_and_the_shape_of_pixels_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", options={"x264-params": "tff=1"}, sample_aspect_ratio=Fraction(64, 45))
    facts = media.clip_facts(path)

    assert (facts.interlaced, facts.pixel_shape) == (True, Fraction(64, 45))


@pytest.mark.parametrize(
    ("pts", "steady"),
    [
        ([0, 24, 48, 72, 96, 120], True),
        ([0, 23, 48, 71, 96, 120], True),
        ([0, 24, 48, 96, 120, 144], False),
        ([0, 24, 30, 54, 78, 102], False),
    ],
)
def test_frames_that_are_not_evenly_spaced_are_found(tmp_path: Path, pts: list[int], steady: bool) -> None:  # noqa: FBT001
    assert media.clip_facts(write(tmp_path / "a.mp4", pts=pts)).steady is steady


def test_a_prepared_clip_is_upright_h264_of_8_bits_in_its_own_colours(tmp_path: Path) -> None:
    write_card(tmp_path / "in.mov", rotation=90, bits=10, size=(192, 108))
    media.prepare(tmp_path / "in.mov", tmp_path / "out.mp4", until_s=None, max_bytes=None)
    facts = media.clip_facts(tmp_path / "out.mp4")
    turned = inside(media.first_frame(tmp_path / "out.mp4"), turns=1)

    assert (facts.container, facts.codec, facts.bits, facts.rotation) == ("mp4", "h264", 8, 0)
    assert (facts.video.width, facts.video.height, facts.video.frames) == (108, 192, 3)
    assert np.abs(turned.astype(int) - inside(card(192, 108))).max() <= 6


def test_a_prepared_clip_is_cut_with_its_sound_and_keeps_its_rate(tmp_path: Path) -> None:
    write_clip(tmp_path / "in.mp4", Clip(frames=100, fps=25))
    media.prepare(tmp_path / "in.mp4", tmp_path / "out.mp4", until_s=2.9, max_bytes=None)
    facts = media.verify_video(tmp_path / "out.mp4", depth="decode")

    assert (facts.frames, facts.fps, facts.has_audio) == (72, Fraction(25), True)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.duration is not None
        assert container.duration / av.time_base < 3


def noise(path: Path) -> Path:
    """A clip that hardly compresses."""
    dice = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "4", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(50):
            frame = av.VideoFrame.from_ndarray(dice.integers(0, 256, (240, 320, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_clip_that_is_too_large_is_made_smaller(tmp_path: Path) -> None:
    source = noise(tmp_path / "in.mp4")
    most = source.stat().st_size // 4
    media.prepare(source, tmp_path / "out.mp4", until_s=None, max_bytes=most)

    assert (tmp_path / "out.mp4").stat().st_size <= most
    assert media.probe_video(tmp_path / "out.mp4").frames == 50


def test_a_clip_that_cannot_be_made_small_enough_says_so(tmp_path: Path) -> None:
    with pytest.raises(MediaError) as caught:
        media.prepare(noise(tmp_path / "in.mp4"), tmp_path / "out.mp4", until_s=None, max_bytes=3000)

    assert caught.value.slug == "too_large"
