"""A written clip has the clock, the sound and the colours it was given."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from batchmod import media
from batchmod.errors import MediaError

Rgb = NDArray[np.uint8]
CLIP = Path(__file__).parents[2] / "manifests" / "demo" / "bunny.mp4"


def copied(source: Path, target: Path, *, height: int | None = None, width: int | None = None) -> list[media.Frame]:
    """Read a clip, write it again (cropped), and give back what was written."""
    frames = list(media.read_frames(source))
    with media.VideoWriter(target, like=source) as writer:
        for frame in frames:
            writer.write(frame.rgb[:height, :width], frame.pts)
    return frames


def sound(path: Path) -> list[tuple[int | None, int | None, bytes]]:
    with av.open(str(path)) as container:
        return [(p.pts, p.dts, bytes(p)) for p in container.demux(audio=0) if p.dts is not None]


def duration_s(path: Path) -> float:
    with av.open(str(path)) as container:
        return (container.duration or 0) / av.time_base


def write_stamped(path: Path, stamps_ms: list[int], *, rate: Fraction) -> Path:
    """A clip whose frames are shown at these milliseconds, and whose container is told a rate."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libvpx" if path.suffix == ".webm" else "libx264", rate=rate)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        for stamp in stamps_ms:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), stamp % 255, np.uint8), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def write_tones(
    path: Path,
    codec: str,
    *,
    container_format: str,
    rate: int = 44100,
    streams: int = 1,
    options: dict[str, str] | None = None,
) -> Path:
    """A one-second clip whose sound is a tone in `codec`."""
    with av.open(str(path), "w", format=container_format, options=options or {}) as container:
        video = container.add_stream("libx264", rate=24)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        tracks: list[Any] = [container.add_stream(codec, rate=rate) for _ in range(streams)]
        for number in range(24):
            picture = np.full((48, 64, 3), number * 10, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        wave = np.sin(np.arange(rate) * 2 * np.pi * 440 / rate) * 8000
        for track in tracks:
            frame = av.AudioFrame.from_ndarray(np.repeat(wave.astype(np.int16), 2)[None], format="s16", layout="stereo")
            frame.sample_rate, frame.pts = rate, 0
            container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return path


def test_a_copy_has_the_same_frames_clock_sound_and_length(tmp_path: Path) -> None:
    target = tmp_path / "copy.part"

    frames = copied(CLIP, target)

    again = list(media.read_frames(target))
    assert [(f.pts, f.time_base) for f in frames] == [(f.pts, f.time_base) for f in again]
    assert sound(CLIP) == sound(target)
    assert duration_s(CLIP) == duration_s(target)
    assert media.verify_video(target, depth="decode").frames == 72


def test_colours_come_back_as_they_went_in(tmp_path: Path) -> None:
    frames = copied(CLIP, tmp_path / "copy.mp4")

    error = media.first_frame(tmp_path / "copy.mp4").astype(int) - frames[0].rgb

    assert np.abs(error).mean() < 2
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.5


@pytest.mark.parametrize(("size", "matrix"), [((64, 96), 5), ((720, 1280), 1)])
def test_saturated_colours_are_tagged_with_the_matrix_they_were_written_in(
    tmp_path: Path, size: tuple[int, int], matrix: int
) -> None:
    target = tmp_path / "flat.mp4"
    picture = np.empty((*size, 3), np.uint8)
    picture[...] = (210, 30, 60)
    with media.VideoWriter(target, like=CLIP) as writer:
        writer.write(picture, 0)

    with av.open(str(target)) as container:
        context = container.streams.video[0].codec_context
        tags = context.colorspace, context.color_range
        plain = next(container.decode(video=0)).to_ndarray(format="rgb24")

    assert (matrix, 1) == tags
    assert np.abs(media.first_frame(target).astype(int) - picture).max() <= 3
    assert np.abs(plain.astype(int) - picture).max() <= 4, "a reader that follows the tags sees the same"


def test_uneven_times_survive_exactly(tmp_path: Path) -> None:
    first, second = tmp_path / "uneven.mp4", tmp_path / "again.mp4"
    kept = [f for i, f in enumerate(media.read_frames(CLIP)) if i % 5 != 2 and not 30 < i < 45]
    with media.VideoWriter(first, like=CLIP) as writer:
        for frame in kept:
            writer.write(frame.rgb, frame.pts)

    copied(first, second)

    times = [f.pts for f in media.read_frames(second)]
    assert [f.pts for f in kept] == times
    assert len({later - earlier for earlier, later in pairwise(times)}) > 2


@pytest.mark.parametrize(("height", "width"), [(269, 479), (270, 479), (269, 480)])
def test_odd_sizes_are_written_whole(tmp_path: Path, height: int, width: int) -> None:
    target = tmp_path / "odd.mp4"

    copied(CLIP, target, height=height, width=width)

    facts = media.verify_video(target, depth="decode")
    assert (width, height, 72) == (facts.width, facts.height, facts.frames)


def test_even_sizes_are_what_every_player_shows(tmp_path: Path) -> None:
    copied(CLIP, tmp_path / "even.mp4")

    with av.open(str(tmp_path / "even.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")


def test_the_index_stands_first_so_that_it_plays_while_it_loads(tmp_path: Path) -> None:
    copied(CLIP, tmp_path / "copy.mp4")

    content = (tmp_path / "copy.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_sound_lies_beside_its_pictures(tmp_path: Path) -> None:
    copied(CLIP, tmp_path / "copy.mp4")

    with av.open(str(tmp_path / "copy.mp4")) as container:
        packets = [(p.stream.type, float(p.dts * p.time_base)) for p in container.demux() if p.dts is not None]
    latest = {"video": 0.0, "audio": 0.0}
    for kind, at in packets:
        latest[kind] = at
        assert abs(latest["video"] - latest["audio"]) < 1.1


@pytest.mark.parametrize("start_ms", [0, 7])
@pytest.mark.parametrize("rate", [Fraction(24), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60)])
@pytest.mark.parametrize("name", ["source.mkv", "source.webm"])
def test_the_rate_survives_a_container_that_rounds_to_milliseconds(
    tmp_path: Path, name: str, rate: Fraction, start_ms: int
) -> None:
    source = write_stamped(tmp_path / name, [start_ms + round(1000 * k / rate) for k in range(48)], rate=rate)
    target = tmp_path / "copy.mp4"
    frames = copied(source, target)

    written = media.probe_video(target)
    again = list(media.read_frames(target))
    assert (written.fps, written.frames) == (rate, 48)
    assert again[0].at_s == pytest.approx(start_ms / 1000, abs=1e-6)
    assert max(abs(old.at_s - new.at_s) for old, new in zip(frames, again, strict=True)) < 0.0011


def test_uneven_frames_keep_their_times_whatever_the_container(tmp_path: Path) -> None:
    stamps = [0, 33, 83, 100, 200, 233, 283, 300]
    source = write_stamped(tmp_path / "source.mkv", stamps, rate=Fraction(24))
    target = tmp_path / "copy.mp4"
    copied(source, target)

    assert [round(frame.at_s * 1000) for frame in media.read_frames(target)] == stamps


@pytest.mark.parametrize(("codec", "into"), [("aac", "aac"), ("mp3", "mp3"), ("ac3", "ac3"), ("flac", "flac")])
def test_sound_that_mp4_can_hold_is_copied(tmp_path: Path, codec: str, into: str) -> None:
    source = write_tones(tmp_path / "tones.mkv", codec, container_format="matroska")
    target = tmp_path / "copy.mp4"

    copied(source, target)

    assert [content for _, _, content in sound(source)] == [content for _, _, content in sound(target)]


@pytest.mark.parametrize(
    ("codec", "container", "rate"),
    [("pcm_s16le", "avi", 44100), ("adpcm_ms", "avi", 44100), ("pcm_s16le", "matroska", 37800)],
)
def test_sound_that_mp4_cannot_hold_becomes_aac_of_the_same_length(
    tmp_path: Path, codec: str, container: str, rate: int
) -> None:
    source = write_tones(tmp_path / "tones", codec, container_format=container, rate=rate)
    target = tmp_path / "copy.mp4"

    copied(source, target)

    with av.open(str(target)) as opened:
        track = opened.streams.audio[0]
        decoded = np.concatenate([f.to_ndarray() for f in opened.decode(track)], axis=1)
        assert track.codec_context.name == "aac"
        assert abs(decoded.shape[1] / track.rate - 1) < 0.05
        assert 0.1 < decoded.std() < 0.3


def test_every_sound_track_comes_along(tmp_path: Path) -> None:
    source = write_tones(tmp_path / "two.mkv", "aac", container_format="matroska", streams=2)
    target = tmp_path / "copy.mp4"

    copied(source, target)

    with av.open(str(target)) as container:
        assert len(container.streams.audio) == 2


def test_a_transport_stream_starts_at_zero_with_sound_in_step(tmp_path: Path) -> None:
    source = write_tones(tmp_path / "tones.ts", "aac", container_format="mpegts", options={"output_ts_offset": "10"})
    target = tmp_path / "copy.mp4"

    frames = copied(source, target)

    times = [f.pts * f.time_base for f in media.read_frames(target)]
    assert frames[0].pts * frames[0].time_base > 1
    assert 0 <= times[0] < Fraction(1, 20)
    assert abs(float(times[-1] - times[0]) - 23 / 24) < 0.01
    gap_before = frames[0].pts * frames[0].time_base - first_sound_s(source)
    assert abs(gap_before - (times[0] - first_sound_s(target))) < Fraction(1, 1000)


def first_sound_s(path: Path) -> Fraction:
    with av.open(str(path)) as container:
        packet = next(container.demux(audio=0))
        return (packet.pts or 0) * packet.time_base


def test_a_silent_clip_stays_silent(tmp_path: Path) -> None:
    source = write_tones(tmp_path / "silent.mp4", "aac", container_format="mp4", streams=0)
    target = tmp_path / "copy.mp4"

    copied(source, target)

    assert not media.probe_video(target).has_audio


def test_the_same_frames_make_the_same_file(tmp_path: Path) -> None:
    copied(CLIP, tmp_path / "one.mp4")
    copied(CLIP, tmp_path / "two.mp4")

    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    with media.VideoWriter(tmp_path / "clip.mp4", like=CLIP) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8), 0)

        with pytest.raises(ValueError, match="a frame of 16x16 in a clip of 64x48"):
            writer.write(np.zeros((16, 16, 3), np.uint8), 512)


def write_half(target: Path) -> None:
    with media.VideoWriter(target, like=CLIP) as writer:
        for frame in media.read_frames(CLIP):
            writer.write(frame.rgb, frame.pts)
            if frame.pts > 10_000:
                raise RuntimeError("half-way")


def test_leaving_by_an_error_closes_everything_and_removes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "clip.mp4"
    open_before = len(list(Path("/dev/fd").iterdir()))

    with pytest.raises(RuntimeError, match="half-way"):
        write_half(target)

    assert target.exists()
    assert open_before == len(list(Path("/dev/fd").iterdir()))


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), media.VideoWriter(tmp_path / "no" / "clip.mp4", like=CLIP):
        pass


def test_a_source_that_is_no_clip_is_said_before_anything_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.mp4"
    page.write_text("<html>")

    with pytest.raises(MediaError), media.VideoWriter(tmp_path / "out.mp4", like=page):
        pass

    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_an_os_error_and_no_broken_source() -> None:
    with pytest.raises(OSError, match="No space left"):
        copied(CLIP, Path("/dev/full"))
