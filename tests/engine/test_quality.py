"""The engine against the cheap ways of doing the same: steady, sharp and in the style, all at once."""

from collections.abc import Iterator

import pytest

from batchmod.engine import compiled
from tests.engine import judging
from tests.engine.judging import HARSH, SMOOTH, Bar, Demands, Frames, Look
from tests.engine.pictures import demo_frames, hatched, with_hat

_LOOKS = [pytest.param(hatched, HARSH, id="hatched"), pytest.param(judging.flat, SMOOTH, id="flat")]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tests run side by side, one on each core."""
    compiled.use_threads(1)
    yield
    compiled.use_threads(compiled.cores())


def _missed(bars: list[Bar]) -> str:
    return "\n".join(str(bar) for bar in bars if not bar.passed)


@pytest.mark.parametrize(("look", "demands"), _LOOKS)
def test_a_short_clip_is_steady_sharp_and_in_the_style(look: Look, demands: Demands) -> None:
    bars = judging.steadiness_bars(judging.compared(demo_frames(13, 256, 144), look), demands)

    assert not _missed(bars)


def test_what_is_revealed_is_filled_in_the_style() -> None:
    frames = judging.occluded(15, 224, 126)
    found = judging.compared(frames, hatched)

    assert not _missed(judging.steadiness_bars(found, judging.loosened(HARSH)))
    assert judging.value(found.engine.style.colour) < 0.6 * judging.value(found.flow_warp.style.colour)


def test_the_cheap_ways_do_not_clear_the_bars() -> None:
    found = judging.compared(demo_frames(13, 256, 144), hatched)
    ways = {"filter": found.filter, "flow warp": found.flow_warp, "recursive warp": found.recursive_warp}
    cleared = [
        name for name, way in ways.items() if not _missed(judging.steadiness_bars(judging.replaced(found, way), HARSH))
    ]

    assert not cleared


def test_the_modes_lead_away_from_the_source_step_by_step() -> None:
    frames = demo_frames(5, 224, 126)

    assert not _missed(judging.ladder_bars(frames, hatched(frames[0])))


def test_an_added_object_stays_solid() -> None:
    frame = demo_frames(1, 256, 144)[0]

    assert not _missed(judging.local_edit_bars(frame, with_hat(frame)))


def test_a_clip_that_comes_and_goes_keeps_its_style() -> None:
    there = demo_frames(9, 160, 90)

    assert not _missed(judging.endurance_bars(there, hatched(there[0]), 97, least_db=14))


def _made(name: str) -> Frames:
    return demo_frames(25, 384, 216) if name == "demo" else judging.MADE[name](25, 384, 216)


@pytest.mark.slow
@pytest.mark.parametrize(("look", "demands"), _LOOKS)
@pytest.mark.parametrize("name", ["demo", *judging.MADE])
def test_every_clip_and_look_clears_the_bars(name: str, look: Look, demands: Demands) -> None:
    frames = _made(name)
    bars = judging.steadiness_bars(
        judging.compared(frames, look), judging.loosened(demands) if name == "occluded" else demands
    )

    assert not _missed([*bars, *judging.ladder_bars(frames, look(frames[0]))])


@pytest.mark.slow
def test_thirty_seconds_do_not_wear_the_style_out() -> None:
    there = demo_frames(25, 384, 216)

    assert not _missed(judging.endurance_bars(there, hatched(there[0]), 720))
