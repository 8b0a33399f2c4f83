"""What scoring measures: faults made on purpose are seen, and what a service may do to a clip is none."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from batchmod import work
from batchmod.engine import scoring
from batchmod.engine.scoring import Measured, Moment
from batchmod.model import Scores
from tests.engine.judging import flat, turning
from tests.engine.pictures import Rgb, panning, write_clip

COUNT, WIDTH, HEIGHT = 40, 128, 72


@cache
def source() -> tuple[Rgb, ...]:
    return tuple(turning(COUNT, WIDTH, HEIGHT))


@cache
def output() -> tuple[Rgb, ...]:
    """The source in other colours, as steady as that."""
    return tuple(flat(frame) for frame in source())


def moments(frames: Sequence[Rgb]) -> list[Moment]:
    return [Moment(before, now) for before, now in zip(frames[::3], frames[2::3], strict=False)]


def seen(made: Sequence[Rgb], own: Sequence[Rgb] | None = None) -> Measured:
    return scoring.compared(moments(own or source()), moments(made))


def test_a_clip_compared_with_itself_is_perfect() -> None:
    found = seen(source())

    assert (found.moments, found.cuts) == (13, 0)
    assert [found.agreement, found.restlessness, found.structure] == pytest.approx([1.0, 1.0, 1.0])
    assert found.looks is not None
    assert (found.looks.output, found.looks.apart) == (found.looks.source, 0)


def test_a_steady_look_keeps_motion_calm_and_its_look() -> None:
    found = seen(output())

    assert found.agreement is not None
    assert found.restlessness is not None
    assert found.looks is not None
    assert (found.agreement > 0.85, found.restlessness < 3) == (True, True)
    assert found.looks.output < found.looks.source + 2


def test_motion_that_is_not_the_sources_is_seen() -> None:
    order = np.random.default_rng(3).permutation(COUNT)
    shuffled = seen([output()[k] for k in order])
    backwards = seen(output()[::-1])
    frozen = seen([output()[0]] * COUNT)

    assert [round(found.agreement or 0, 2) < 0.5 for found in (shuffled, backwards, frozen)] == [True] * 3


def test_a_look_that_is_drawn_anew_in_each_frame_flickers() -> None:
    grain = np.random.default_rng(5)
    drawn = [np.clip(frame + 25 * grain.normal(size=(HEIGHT, WIDTH, 1)), 0, 255).astype(np.uint8) for frame in output()]
    pumping = [np.clip(frame * (1 + 0.15 * grain.normal()), 0, 255).astype(np.uint8) for frame in output()]
    calm = seen(output()).restlessness or 0

    assert [(seen(each).restlessness or 0) > 2.5 * calm for each in (drawn, pumping)] == [True, True]


def test_a_look_that_fades_back_to_the_source_drifts() -> None:
    shares = np.clip(np.linspace(-0.5, 1.2, COUNT), 0, 1)
    fading = [
        cv2.addWeighted(made, 1 - share, own, share, 0).astype(np.uint8)
        for made, own, share in zip(output(), source(), shares, strict=True)
    ]

    looks = seen(fading).looks

    assert looks is not None
    assert looks.output - looks.source > 0.6 * looks.apart


def test_where_nothing_moves_nothing_is_said_of_motion() -> None:
    still = [source()[0]] * COUNT

    found = seen([output()[0]] * COUNT, still)

    assert found.agreement is None
    assert found.structure is not None


def test_a_cut_of_the_source_is_no_fault_of_its_output() -> None:
    cut = [*source()[:20], *panning(20, WIDTH, HEIGHT, speed=1.0)]

    found = seen([flat(frame) for frame in cut], cut)

    assert (found.cuts, found.looks) == (1, None)
    assert (found.agreement or 0) > 0.75
    assert (found.restlessness or 9) < 4


def test_clips_too_short_for_a_beginning_and_an_end_are_measured_all_the_same() -> None:
    short = seen(output()[:8], source()[:8])

    assert short.looks is None
    assert short.agreement is not None
    assert scoring.compared([], []).structure is None


def coded(
    path: Path, frames: Sequence[Rgb], *, rate: int, size: tuple[int, int] = (WIDTH, HEIGHT), crf: int = 18
) -> Path:
    with av.open(str(path), "w", format="mp4") as made:
        stream = made.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for frame in frames:
            small = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
            made.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="rgb24")))
        made.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source as `a.mp4`, 24 frames a second."""
    folder = tmp_path_factory.mktemp("scored")
    coded(folder / "a.mp4", source(), rate=24)
    return folder


def scored(folder: Path, frames: Sequence[Rgb], **how: int | tuple[int, int]) -> Scores:
    made = coded(folder / "made.mp4", frames, **{"rate": 24, **how})  # type: ignore[arg-type]
    found = work.score(str(folder / "a.mp4"), str(made), None, (None, None))
    assert isinstance(found, Scores), found
    return found


def test_another_rate_size_or_quality_is_no_fault(folder: Path) -> None:
    plain = scored(folder, output())
    at_30 = scored(folder, [output()[k * 4 // 5] for k in range(COUNT * 5 // 4)], rate=30)
    large = scored(folder, output(), size=(640, 360))

    assert (plain.motion or 0) > 85
    assert (plain.flicker or 0) > 75
    for other in (at_30, large):
        for name in ("motion", "flicker", "structure", "drift"):
            assert getattr(other, name) == pytest.approx(getattr(plain, name), abs=15), name
        assert (other.black, other.frozen) == ((), ())


def test_a_clip_of_a_few_frames_has_no_end_that_could_drift(folder: Path) -> None:
    clip = coded(folder / "short.mp4", source()[:6], rate=24)
    one = coded(folder / "one.mp4", source()[:1], rate=24)

    short = work.score(str(clip), str(clip), None, (None, None))
    single = work.score(str(one), str(one), None, (None, None))

    assert isinstance(short, Scores)
    assert (short.motion, short.drift) == (100.0, None)
    assert isinstance(single, Scores)
    assert (single.motion, single.flicker, single.structure, single.drift) == (None, None, None, None)


def test_black_and_frozen_stretches_are_found_and_timed(folder: Path) -> None:
    black = scored(folder, [np.zeros_like(each) if 12 <= k < 28 else each for k, each in enumerate(output())])
    frozen = scored(folder, [output()[min(k, 16)] for k in range(COUNT)])

    assert [*black.black[0]] == pytest.approx([0.5, 1.1], abs=0.15)
    assert [*frozen.frozen[0]] == pytest.approx([0.67, 1.6], abs=0.15)
    assert (black.frozen, frozen.black) == ((), ())


def test_a_source_that_is_black_and_still_itself_excuses_its_output(folder: Path) -> None:
    dark = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * COUNT
    clip = coded(folder / "dark.mp4", dark, rate=24)

    found = work.score(str(clip), str(clip), None, (None, None))

    assert isinstance(found, Scores)
    assert (found.black, found.frozen, found.motion) == ((), (), None)


def test_the_first_frame_is_compared_with_the_one_that_was_given(folder: Path, tmp_path: Path) -> None:
    from batchmod import media

    made = write_clip(folder / "framed.mp4", list(output()))
    for name, picture in (("own", output()[0]), ("other", source()[0])):
        media.write_png(tmp_path / f"{name}.png", cv2.resize(picture, (320, 180)).astype(np.uint8))

    def score(name: str) -> float:
        found = work.score(str(folder / "a.mp4"), str(made), str(tmp_path / f"{name}.png"), (None, None))
        assert isinstance(found, Scores)
        assert found.first_frame is not None
        return found.first_frame

    assert score("own") > 65
    assert score("other") < 50
