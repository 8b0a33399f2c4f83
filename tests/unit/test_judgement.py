"""From measurements to scores, and from scores to a doubt in words."""

import re
from collections.abc import Callable
from dataclasses import astuple, fields, replace
from pathlib import Path

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from batchmod import judgement
from batchmod.judgement import LEAST, Least
from batchmod.model import MODES, Scores
from tests import given

GOOD = Scores(motion=95.0, flicker=95.0, first_frame=80.0, structure=80.0, drift=100.0)
NUMBERS = st.floats(-200, 200)


@pytest.mark.parametrize(
    ("score", "sign"),
    [
        (judgement.motion, 1),
        (judgement.flicker, -1),
        (judgement.first_frame, 1),
        (judgement.structure, 1),
    ],
)
@for_all(one=NUMBERS, other=NUMBERS)
def test_a_better_measurement_is_never_a_lower_score(
    score: Callable[[float | None], float | None], sign: int, one: float, other: float
) -> None:
    worse, better = sorted((one, other), key=lambda value: sign * value)

    assert 0 <= (score(worse) or 0) <= (score(better) or 0) <= 100


@for_all(output=st.floats(0, 50), more=st.floats(0, 50), source=st.floats(0, 50), apart=st.floats(0, 50))
def test_more_drift_is_never_a_higher_score(output: float, more: float, source: float, apart: float) -> None:
    assert 0 <= judgement.drift(output + more, source, apart) <= judgement.drift(output, source, apart) <= 100


def test_the_scales_are_those_that_are_documented() -> None:
    assert [judgement.motion(value) for value in (None, 0.0, 0.415, 1.0)] == [None, 0.0, 41.5, 100.0]
    assert [judgement.flicker(value) for value in (None, 0.2, 1.0, 4.0, 10.0)] == [None, 100.0, 100.0, 50.0, 10.0]
    assert [judgement.first_frame(value) for value in (None, 10.0, 22.5, 35.0, 100.0)] == [
        None,
        0.0,
        50.0,
        100.0,
        100.0,
    ]
    assert [judgement.structure(value) for value in (None, -0.5, 0.25, 1.0)] == [None, 0.0, 25.0, 100.0]
    assert [judgement.drift(6, 3, 12), judgement.drift(3, 3, 12), judgement.drift(4, 2, 0)] == [75.0, 100.0, 60.0]


def test_a_mode_that_may_leave_its_source_further_asks_for_no_more() -> None:
    assert list(LEAST) == list(MODES)
    for name in (each.name for each in fields(Least) if each.name != "first_frame"):
        bounds = [getattr(least, name) for least in LEAST.values()]
        assert bounds == sorted(bounds, reverse=True), name


def test_reimagine_is_not_doubted_for_doing_its_work() -> None:
    far = replace(GOOD, motion=45.0, flicker=45.0, structure=12.0)

    assert judgement.needs_review(far, "adhere_1") is not None
    assert judgement.needs_review(far, "reimagine_3") is None


def test_a_good_output_and_one_of_which_nothing_can_be_said_are_not_doubted() -> None:
    assert [judgement.needs_review(each, "adhere_1") for each in (GOOD, Scores())] == [None, None]


def test_a_doubt_names_each_score_and_what_was_asked_for() -> None:
    least = LEAST["flex_2"]
    poor = replace(GOOD, motion=least.motion - 0.1, first_frame=0.0)

    said = judgement.needs_review(poor, "flex_2")

    assert said == (
        f"needs_review: motion {least.motion - 1:.0f} of at least {least.motion:.0f}, "
        f"first frame 0 of at least {least.first_frame:.0f}"
    )


def test_each_threshold_is_one_that_can_be_fallen_below_and_reached() -> None:
    for mode, least in LEAST.items():
        exact = Scores(**{each.name: getattr(least, each.name) for each in fields(Least)})
        assert judgement.reasons(exact, mode) == ()
        assert len(judgement.reasons(Scores(motion=0.0, flicker=0.0, first_frame=0.0, drift=0.0), mode)) == 4
        assert max(astuple(least)) < 100


def test_black_and_frozen_stretches_are_told_with_their_times_in_every_mode() -> None:
    spoilt = replace(GOOD, black=((1.0, 1.52),), frozen=((2.0, 3.0), (4.0, 5.0), (6.0, 7.0)))

    said = judgement.needs_review(spoilt, "reimagine_3")

    assert said == "needs_review: black from 1.0 to 1.5 s, frozen from 2.0 to 3.0 s and 2 times more"


def test_a_mode_that_is_not_known_is_judged_gently() -> None:
    assert judgement.reasons(replace(GOOD, motion=45.0), "modern") == ()
    assert judgement.reasons(replace(GOOD, motion=1.0), None) != ()


def test_lost_sound_is_said_where_there_was_some() -> None:
    silent, loud = given.CLIP, replace(given.CLIP, has_audio=True)

    assert judgement.lost_sound(replace(GOOD, source=loud), silent) == "the source has sound, the output has none"
    assert judgement.lost_sound(replace(GOOD, source=loud), loud) is None
    assert judgement.lost_sound(replace(GOOD, source=silent), silent) is None
    assert judgement.lost_sound(GOOD, silent) is None


def test_the_page_shows_the_thresholds_as_they_are() -> None:
    page = (Path(__file__).parents[2] / "docs/scores.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z]+_\d)` \| (.*) \|$", page, flags=re.MULTILINE)

    shown = {mode: tuple(float(cell) for cell in cells.split(" | ")) for mode, cells in rows}

    assert shown == {mode: astuple(least) for mode, least in LEAST.items()}
