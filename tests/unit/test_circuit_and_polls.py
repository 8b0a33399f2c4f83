"""A provider that is down is asked by one at a time; one that has enough of questions is asked less."""

import math

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from batchmod.limits import Ages, Circuit, PollBudget, poll_delay


def down(failures: int) -> tuple[Circuit, float]:
    """A circuit after so many failures one after the other, and the time then."""
    circuit, now = Circuit(), 0.0
    for _ in range(failures):
        now += circuit.wait(now)
        circuit = circuit.asked().failed(now, asked_at=now, jitter=0.0)
    return circuit, now


def test_two_failures_are_none_and_three_are_an_outage() -> None:
    assert down(2)[0].wait(0.0) == 0.0
    assert down(3)[0].wait(0.0) == 1.0


def test_one_probe_at_a_time_goes_through_an_open_circuit() -> None:
    circuit, now = down(3)
    probing = circuit.asked()

    assert probing.wait(now + 1.0) == math.inf
    assert probing.gone().wait(now + 1.0) == 0.0


def test_probes_come_ever_more_seldom_but_once_a_minute_at_least() -> None:
    waits = [circuit.wait(now) for circuit, now in (down(failures) for failures in range(3, 12))]

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@for_all(st.integers(3, 30))
def test_any_answer_closes_it(failures: int) -> None:
    circuit, now = down(failures)

    assert circuit.answered().wait(now) == 0.0
    assert circuit.answered().probes == 0


def test_what_left_before_it_opened_is_no_probe_that_failed() -> None:
    circuit, now = down(3)

    assert circuit.failed(now + 0.5, asked_at=now - 1.0, jitter=0.0) == circuit


def test_a_run_that_begins_soon_after_finds_it_open_and_one_long_after_does_not() -> None:
    circuit, now = down(5)

    assert circuit.later(now + 10.0) == circuit
    assert circuit.later(now + 120.0) == Circuit()


def test_a_budget_under_another_number_keeps_what_refusals_have_taken() -> None:
    refused = PollBudget.of(60.0, at=0.0).refused(0.0, after_s=5.0, jitter=0.0)
    moved = refused.under(PollBudget.of(120.0, at=1.0), at=1.0)

    assert (moved.share, moved.until, moved.bucket.rate_per_s) == (0.5, 5.0, 1.0)
    assert moved.wait(1.0) == 4.0


@for_all(st.integers(1, 50), st.floats(0, 1), st.floats(0, 1))
def test_polls_of_jobs_that_began_together_come_apart(polls: int, one: float, other: float) -> None:
    delays = [poll_delay(polls, jitter=jitter) for jitter in (one, other)]

    assert max(delays) <= 1.1 / 0.9 * min(delays) + 1e-9
    assert max(delays) <= 11.0
    assert (one == other) or polls == 0 or delays[0] != delays[1] or abs(one - other) < 1e-6


def test_a_refused_question_stops_all_for_as_long_as_it_says_and_halves_the_budget() -> None:
    budget = PollBudget.of(600, at=0.0).refused(0.0, after_s=7.0, jitter=0.0)
    assert budget.wait(0.0) == pytest.approx(7.0)

    first = budget.wait(0.0)
    budget = budget.taken(first)
    assert budget.wait(first) == pytest.approx(0.2)


def test_answers_give_the_budget_back() -> None:
    budget = PollBudget.of(600, at=0.0).refused(0.0, after_s=1.0, jitter=0.0)
    for second in range(60):
        budget = budget.answered(10.0 + second)

    assert budget.share == 1.0


def test_a_budget_is_ample_while_half_of_its_burst_is_left() -> None:
    budget = PollBudget.of(60.0, at=0.0)
    seen = []
    for _ in range(17):
        seen.append(budget.is_ample(0.0))
        budget = budget.taken(0.0)

    assert seen == [True] * 16 + [False]
    assert not budget.is_ample(1.0)
    assert budget.is_ample(2.0)


def test_refusals_without_a_word_wait_ever_longer() -> None:
    budget, now, waits = PollBudget.of(6000, at=0.0), 0.0, []
    for _ in range(8):
        budget = budget.refused(now, after_s=None, jitter=0.0)
        waits.append(budget.wait(now))
        now += waits[-1]

    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])


def test_jobs_that_are_much_alike_are_asked_for_when_they_end() -> None:
    ages = Ages()
    for running, ended in [(0.0, 0.25), (0.12, 0.25), (0.18, 0.25), (0.18, 0.22), (0.2, 0.22)]:
        ages = ages.ended(running_at_s=running, ended_at_s=ended)

    hint = ages.hint(0.0)
    assert hint is not None
    assert 0.2 <= hint <= 0.22


def test_a_job_that_has_just_outlived_the_others_is_looked_at_again_soon_but_not_for_ever() -> None:
    ages = Ages()
    for _ in range(5):
        ages = ages.ended(running_at_s=9.8, ended_at_s=10.0)

    soon, later = ages.hint(10.1), ages.hint(14.0)
    assert soon is not None
    assert later is not None
    assert soon - 10.1 == pytest.approx(0.5)
    assert later - 14.0 == pytest.approx(0.5)
    assert ages.hint(15.1) is None


def test_jobs_that_are_not_alike_give_no_hint() -> None:
    ages = Ages()
    for running, ended in [(100, 110), (20, 30), (300, 310), (50, 60), (200, 210), (5, 9)]:
        ages = ages.ended(running_at_s=running, ended_at_s=ended)

    assert ages.hint(0.0) is None
