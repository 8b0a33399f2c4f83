"""What a provider allows and does not say is found from its refusals, and nothing freezes the search."""

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from batchmod.limits import Learned, Pace, Ticket, TokenBucket
from tests.pace_world import Bucket, Fixed, Limit, Sliding, Slots, World, untold


def minutes(dice: random.Random) -> float:
    return dice.uniform(120, 240)


@pytest.mark.parametrize("after_s", [None, 1.0, 89.0])
@pytest.mark.parametrize("blocking", [False, True])
def test_eight_slots_are_kept_busy_with_few_refusals(after_s: float | None, *, blocking: bool) -> None:
    world = World(limit=Slots(8), pace=untold(64), jobs=400, after_s=after_s, blocking=blocking).run(600)

    assert (world.finished, world.pace.learned) == (400, Learned.SLOTS)
    assert world.now <= 11.0
    assert len(world.refused) <= 40


@pytest.mark.parametrize("after_s", [None, 1.0, 89.0])
@pytest.mark.parametrize(("first", "later", "jobs"), [(8, 3, 400), (8, 30, 1000), (40, 4, 1000)])
def test_slots_that_change_midway_are_found_again(after_s: float | None, first: int, later: int, jobs: int) -> None:
    world = World(limit=Slots(first, (3.0, later)), pace=untold(64), jobs=jobs, after_s=after_s).run(3600)
    ideal = 3.0 + (jobs - 3.0 * first / 0.2) * 0.2 / later

    assert world.finished == jobs
    assert world.now <= 1.25 * ideal + 1.0
    assert len(world.refused) <= 0.11 * jobs


def test_slots_of_jobs_that_take_minutes_are_found_too() -> None:
    world = World(limit=Slots(8), pace=untold(64), jobs=80, takes_s=minutes, after_s=1.0).run(86400)

    assert world.finished == 80
    assert world.now <= 1.25 * 80 * 180 / 8


RATES: dict[str, tuple[Callable[[], Limit], int]] = {
    "sliding": (lambda: Sliding(60), 60),
    "fixed": (lambda: Fixed(60), 60),
    "bucket": (lambda: Bucket(1.0, 60), 60),
    "small bucket": (lambda: Bucket(1.0, 10), 60),
    "sliding 600": (lambda: Sliding(600), 600),
    "fixed 600": (lambda: Fixed(600), 600),
}


@pytest.mark.parametrize("after_s", [None, 1.0])
@pytest.mark.parametrize("name", RATES)
def test_a_rate_that_nobody_tells_is_found(name: str, after_s: float | None) -> None:
    limit, per_minute = RATES[name]
    world = World(limit=limit(), pace=untold(10000), takes_s=minutes, after_s=after_s).run(2400)
    got, no = world.got_through(600, 2400), world.turned_away(600, 2400)

    assert got >= 0.95 * per_minute * 30
    assert no < 0.02 * (got + no)


@pytest.mark.parametrize(("first", "later"), [(60, 240), (240, 60)])
def test_a_rate_that_changes_midway_is_found_again(first: int, later: int) -> None:
    limit = Sliding(first, later=(900.0, later))
    world = World(limit=limit, pace=untold(10000), takes_s=minutes).run(3600)
    got, no = world.got_through(1800, 3600), world.turned_away(1800, 3600)

    assert got >= 0.93 * later * 30
    assert no < 0.02 * (got + no)


limits = st.one_of(
    st.builds(Slots, st.integers(1, 30), st.tuples(st.floats(0, 30), st.integers(1, 30))),
    st.builds(Sliding, st.integers(1, 100), st.floats(0.5, 20)),
    st.builds(Fixed, st.integers(1, 100), st.floats(0.5, 20)),
    st.builds(Bucket, st.floats(0.5, 100), st.integers(1, 50)),
)


@settings(deadline=None, max_examples=60)
@for_all(
    limit=limits,
    after_s=st.sampled_from([None, 0.1, 1.0, 20.0]),
    blocking=st.booleans(),
    most=st.integers(1, 64),
    seed=st.integers(0, 99),
)
def test_every_job_comes_through_whatever_the_limit(
    *,
    limit: Limit,
    after_s: float | None,
    blocking: bool,
    most: int,
    seed: int,
) -> None:
    world = World(
        limit=limit, pace=Pace.of(most), jobs=60, after_s=after_s, blocking=blocking, seed=seed,
        takes_s=lambda dice: dice.uniform(0.05, 2.0),
    ).run(36000)  # fmt: skip

    assert world.finished == 60
    assert (world.pace.air, world.pace.running) == (0, 0)


class Told:
    """A pace, and what happens to it."""

    def __init__(self, pace: Pace) -> None:
        self.pace, self.now = pace, 0.0
        self.air: list[Ticket] = []
        self.begun: list[float] = []

    def happens(self, what: str, after_s: float | None) -> None:
        if what == "start" and (wait := self.pace.wait(self.now)) < math.inf:
            self.now += wait
            self.pace, ticket = self.pace.started(self.now)
            self.air.append(ticket)
            self.begun.append(self.now)
        elif what == "end" and self.pace.running:
            self.pace = self.pace.ended()
        elif what == "wait":
            self.now += 0.3
        elif self.air and what in ("yes", "no", "gone"):
            self.answered(what, self.air.pop(0), after_s)

    def answered(self, what: str, ticket: Ticket, after_s: float | None) -> None:
        if what == "yes":
            self.pace = self.pace.accepted(self.now, ticket)
        elif what == "no":
            self.pace = self.pace.refused(self.now, ticket, after_s=after_s, jitter=0.5)
        else:
            self.pace = self.pace.gone(ticket)

    def ends(self) -> None:
        for ticket in self.air:
            self.pace = self.pace.gone(ticket)
        for _ in range(self.pace.running):
            self.pace = self.pace.ended()


events = st.lists(st.sampled_from(["start", "yes", "no", "gone", "end", "wait"]), max_size=120)


@for_all(events, st.integers(1, 16), st.floats(1, 600), st.integers(1, 8), st.sampled_from([None, 0.0, 5.0, 89.0]))
def test_what_is_told_is_never_exceeded(
    happened: list[str], most: int, per_minute: float, burst: int, after_s: float | None
) -> None:
    """And once nothing is in flight any more, the next start is a finite wait away."""
    pace = Pace.of(most, told=TokenBucket.full(per_minute=per_minute, burst=burst, at=0.0))
    told = Told(pace)
    for what in happened:
        told.happens(what, after_s)
        assert 0 <= told.pace.in_flight <= most
        assert told.pace.air == len(told.air)
        assert told.pace.running >= 0
    begun = told.begun
    for first in range(len(begun)):
        for last in range(first, len(begun)):
            assert last - first + 1 <= burst + (begun[last] - begun[first]) * per_minute / 60 + 1e-6
    told.ends()
    assert told.pace.wait(told.now) <= max(120.0, 60.0 * burst / per_minute + 120.0)


def closed(after_s: float | None, *, running: int = 0) -> Pace:
    """A pace whose last request was refused at moment 0."""
    pace = Pace.of(8)
    for _ in range(running):
        pace, ticket = pace.started(0.0)
        pace = pace.accepted(0.0, ticket)
    pace, ticket = pace.started(0.0)
    return pace.refused(0.0, ticket, after_s=after_s, jitter=0.0)


@pytest.mark.parametrize("asked", [0.5, 2.0, 89.0, 3000.0])
def test_what_a_refusal_asks_for_is_waited_for_by_all(asked: float) -> None:
    assert closed(asked).wait(0.0) == asked
    assert closed(asked, running=3).wait(0.0) == asked


def test_a_place_that_became_free_is_tried_at_once_and_one_alone() -> None:
    pace = closed(89.0, running=3).ended()
    assert pace.wait(1.0) == 0.0

    pace, ticket = pace.started(1.0)
    assert pace.wait(1.0) > 60.0

    pace = pace.accepted(1.1, ticket)
    assert pace.closed is None
    assert pace.learned is Learned.SLOTS


def test_places_that_do_not_help_are_tried_ever_more_seldom() -> None:
    pace, tried = closed(89.0, running=7), 0
    for _ in range(7):
        pace = pace.ended()
        if pace.wait(1.0) == 0.0:
            pace, ticket = pace.started(1.0)
            pace, tried = pace.refused(1.0, ticket, after_s=89.0, jitter=0.0), tried + 1

    assert tried <= 3


def test_refusals_that_go_on_are_met_with_ever_longer_waits() -> None:
    pace, now, waits = closed(1.0), 0.0, []
    for _ in range(8):
        waits.append(pace.wait(now))
        now += waits[-1]
        pace, ticket = pace.started(now)
        pace = pace.refused(now, ticket, after_s=1.0, jitter=0.0)

    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_an_answer_to_what_left_before_the_gate_opened_closes_it_no_more() -> None:
    pace = Pace.of(8)
    pace, late = pace.started(0.0)
    pace, first = pace.started(0.0)
    pace = pace.refused(0.0, first, after_s=1.0, jitter=0.0)
    pace, trial = pace.started(1.0)
    pace = pace.accepted(1.1, trial)

    assert pace.refused(1.2, late, after_s=600.0, jitter=0.0).wait(1.2) == 0.0
