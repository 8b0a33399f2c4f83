"""Clips as they come: whatever the source is like, the output keeps its size, its clock and its sound."""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from batchmod import media
from batchmod.engine import pipeline
from tests.engine.pictures import Rgb, demo_frames, noise, panning

_TICK = Fraction(1, 1000)
_PQ = 16


def _clip(  # noqa: PLR0913 - each says one thing of the clip
    path: Path,
    frames: Iterable[Rgb],
    *,
    times: Sequence[int] | None = None,
    pixels: str = "yuv444p",
    turned: int = 0,
    aspect: Fraction = Fraction(1),
    channels: str | None = None,
    codec: str = "libx264",
    transfer: int | None = None,
) -> Path:
    """A clip of 25 frames a second, or shown at these milliseconds, with a second of noise where it has sound."""
    with av.open(str(path), "w", options={} if path.suffix == ".mkv" else {"video_track_timescale": "1000"}) as output:
        video: Any = output.add_stream(codec, rate=25)
        sound: Any = output.add_stream("aac", rate=48000, layout=channels) if channels else None
        for number, rgb in enumerate(frames):
            if not number:
                video.height, video.width = rgb.shape[:2]
                video.pix_fmt, video.codec_context.time_base = pixels, _TICK
                video.set_display_rotation(turned)
                video.codec_context.sample_aspect_ratio = aspect
                if transfer is not None:
                    video.codec_context.color_trc = transfer
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts, frame.time_base = times[number] if times else 40 * number, _TICK
            output.mux(video.encode(frame.reformat(format=pixels)))
        output.mux(video.encode(None))
        if channels:
            _hiss(output, sound, channels)
    return path


def _hiss(output: Any, sound: Any, channels: str) -> None:
    count = {"mono": 1, "5.1": 6}[channels]
    samples = np.random.default_rng(0).normal(0, 0.1, (count, 48000)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=channels)
    frame.sample_rate, frame.pts = 48000, 0
    for resampled in av.AudioResampler("fltp", channels, 48000, 1024).resample(frame):
        output.mux(sound.encode(resampled))
    output.mux(sound.encode(None))


def _modified(source: Path, prompt: str = "sepia", mode: str = "flex_2") -> list[media.Frame]:
    """The frames of the clip with a look."""
    target = source.with_name("out.mp4")
    made = pipeline.modify(source, target, mode=mode, prompt=prompt, first_frame=None)
    frames = list(media.read_frames(target))

    assert made.frames == len(frames)
    return frames


def _times(frames: Iterable[media.Frame]) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in frames]


def _sound(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_uneven_times_stay(tmp_path: Path, suffix: str) -> None:
    times = [0, 40, 90, 110, 700, 741]
    source = _clip(tmp_path / f"in.{suffix}", demo_frames(6, 64, 36), times=times)

    assert _times(_modified(source, "pencil")) == [Fraction(time, 1000) for time in times]


@pytest.mark.parametrize("turned", [-90, 90, 180])
def test_a_turned_clip_comes_out_upright(tmp_path: Path, turned: int) -> None:
    picture = np.zeros((36, 64, 3), np.uint8)
    picture[:18, :32] = 255
    source = _clip(tmp_path / "in.mp4", [picture] * 2, turned=turned)
    wanted = media.first_frame(source)
    made = _modified(source)[0].rgb

    assert made.shape == wanted.shape
    assert np.corrcoef(made.mean(-1).ravel(), wanted.mean(-1).ravel())[0, 1] > 0.99


@pytest.mark.parametrize(("width", "height"), [(65, 37), (64, 37), (65, 36), (18, 90), (2, 2), (16, 16)])
def test_any_size_stays(tmp_path: Path, width: int, height: int) -> None:
    source = _clip(tmp_path / "in.mp4", panning(3, width, height))

    assert [frame.rgb.shape for frame in _modified(source, "oil painting")] == [(height, width, 3)] * 3


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le"])
def test_any_depth_and_sampling_gives_the_same_picture(tmp_path: Path, pixels: str) -> None:
    plain = np.repeat(np.repeat(noise(16, 9, seed=3), 4, 0), 4, 1)
    reference = _modified(_clip(tmp_path / "plain.mp4", [plain] * 2, pixels="yuv444p"), "night")
    made = _modified(_clip(tmp_path / "in.mp4", [plain] * 2, pixels=pixels), "night")

    assert np.abs(made[0].rgb.astype(float) - reference[0].rgb).mean() < 6


@pytest.mark.parametrize(
    ("pixels", "transfer", "said"),
    [
        ("yuv420p", None, ()),
        ("yuv420p10le", None, ("the clip has 10 bits a colour: the output has 8",)),
        ("yuv420p10le", _PQ, ("the clip is HDR, which is made as it is into eight-bit SDR and looks flat",)),
    ],
)
def test_colours_that_lose_depth_are_spoken_of(
    tmp_path: Path, pixels: str, transfer: int | None, said: tuple[str, ...]
) -> None:
    source = _clip(tmp_path / "in.mp4", demo_frames(2, 64, 36), pixels=pixels, transfer=transfer)
    made = pipeline.modify(source, tmp_path / "out.mp4", mode="flex_2", prompt="sepia", first_frame=None)

    assert tuple(warning.partition(": convert")[0] for warning in made.warnings) == said


@pytest.mark.parametrize("channels", ["mono", "5.1"])
def test_sound_comes_along_unchanged(tmp_path: Path, channels: str) -> None:
    source = _clip(tmp_path / "in.mp4", demo_frames(25, 64, 36), channels=channels)
    _modified(source)

    assert len(_sound(source)) > 40
    assert _sound(tmp_path / "out.mp4") == _sound(source)


def test_a_clip_without_sound_gets_none(tmp_path: Path) -> None:
    source = _clip(tmp_path / "in.mp4", demo_frames(2, 64, 36))
    _modified(source)

    assert not media.probe_video(tmp_path / "out.mp4").has_audio


@pytest.mark.parametrize(("turned", "shape"), [(0, Fraction(16, 11)), (90, Fraction(11, 16))])
def test_pixels_that_are_not_square_stay_so(tmp_path: Path, turned: int, shape: Fraction) -> None:
    source = _clip(tmp_path / "in.mp4", demo_frames(2, 64, 48), aspect=Fraction(16, 11), turned=turned)
    _modified(source)

    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == shape


@pytest.mark.parametrize("prompt", ["pencil", "sepia", "mosaic"])
def test_one_frame_is_enough(tmp_path: Path, prompt: str) -> None:
    assert len(_modified(_clip(tmp_path / "in.mp4", [noise(64, 36)]), prompt)) == 1


def test_black_and_static_stretches_stay_calm(tmp_path: Path) -> None:
    black, still = np.zeros((36, 64, 3), np.uint8), demo_frames(1, 64, 36)[0]
    source = _clip(tmp_path / "in.mp4", [black] * 4 + [still] * 5 + [black] * 3)
    made = [frame.rgb.astype(float) for frame in _modified(source, "charcoal")]

    for stretch in (made[:4], made[4:9], made[9:]):
        assert max(np.abs(frame - stretch[0]).mean() for frame in stretch) < 4
    assert np.abs(made[5] - made[2]).mean() > 10


def test_a_fade_from_black_ends_in_the_look(tmp_path: Path) -> None:
    still = demo_frames(1, 96, 54)[0]
    fade = [np.asarray(still * min(1.0, k / 12), np.uint8) for k in range(20)]
    made = _modified(_clip(tmp_path / "in.mp4", fade), "pencil")[-1].rgb
    wanted = _modified(_clip(tmp_path / "still.mp4", [still]), "pencil")[0].rgb

    assert np.abs(made.astype(float) - wanted).mean() < 40


def test_frames_of_another_size_on_the_way_are_fitted_and_said(tmp_path: Path) -> None:
    source = tmp_path / "in.ts"
    for part, size in enumerate([(64, 36), (96, 54)]):
        _clip(tmp_path / f"{part}.ts", demo_frames(4, *size), pixels="yuv420p")
        with source.open("ab") as whole:
            whole.write((tmp_path / f"{part}.ts").read_bytes())
    made = pipeline.modify(source, tmp_path / "out.mp4", mode="flex_2", prompt="sepia", first_frame=None)

    assert made.frames == 8
    assert "changes its size on the way: all frames were made 64x36" in made.warnings[-1]


def test_progress_comes_from_the_first_frame_on(tmp_path: Path) -> None:
    source = _clip(tmp_path / "in.mkv", demo_frames(4, 64, 36))
    seen: list[tuple[int, int | None]] = []
    pipeline.modify(
        source,
        tmp_path / "out.mp4",
        mode="flex_2",
        prompt="pencil",
        first_frame=None,
        progress=lambda done, total: seen.append((done, total)),
    )

    assert seen == [(1, None), (2, None), (3, None), (4, None)], "Matroska does not count its frames"


_PEAK = """
import resource, sys
from pathlib import Path
from batchmod.engine import pipeline
from batchmod.engine.edits import Keyframe
source, keyframe = Path(sys.argv[1]), Path(sys.argv[2])
keyframes = [Keyframe(path=keyframe, at_s=float(sys.argv[3]))]
pipeline.modify(source, source.with_suffix(".out"), mode="flex_2", prompt=None, first_frame=None, keyframes=keyframes)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _peak_kb(source: Path, keyframe: Path, at_s: float) -> int:
    """The most memory a process takes to modify a clip by a keyframe near its end, so that it is read ahead."""
    command = [sys.executable, "-c", _PEAK, str(source), str(keyframe), str(at_s)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    there = panning(50, 160, 90)
    shuttle = [*there, *reversed(there)]
    media.write_png(tmp_path / "key.png", 255 - there[0])
    short = _clip(tmp_path / "short.mp4", shuttle)
    long = _clip(tmp_path / "long.mp4", (frame for _ in range(5) for frame in shuttle))

    grown = _peak_kb(long, tmp_path / "key.png", 19.9) - _peak_kb(short, tmp_path / "key.png", 3.9)

    assert grown < 20_000, "400 frames more, of 43 kB each, and twice"
