"""Whether and when again: from what is known of a request alone."""

from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from batchmod.model import Again, Blocked, Failed, Uncertain
from batchmod.retry import Decision, GiveUp, Park, Policy, SendAgain, StopBatch, decide

POLICY = Policy()

outcomes = st.one_of(
    st.builds(Uncertain, state=st.none(), reason=st.text()),
    st.builds(Blocked, state=st.none(), slug=st.text(), message=st.text()),
    st.builds(
        Failed,
        state=st.none(),
        slug=st.text(),
        message=st.text(),
        billed=st.booleans(),
        again=st.sampled_from(Again),
        after_s=st.one_of(st.none(), st.floats(min_value=0)),
    ),
)
sends = st.integers(1, 10_000)
jitters = st.floats(0, 1)


def failed(again: Again, **fields: Any) -> Failed:
    return Failed(state=None, slug="busy", message="later", again=again, **fields)


def after(again: Again, sends: int, *, after_s: float | None = None, jitter: float = 0.0) -> Decision:
    return decide(failed(again, after_s=after_s), sends=sends, policy=POLICY, jitter=jitter)


def waits(again: Again) -> list[float]:
    """The waits before every further send until the decision is another."""
    found: list[float] = []
    while isinstance(decision := after(again, len(found) + 1), SendAgain):
        found.append(decision.after_s)
    return found


@for_all(st.text(), sends, jitters)
def test_an_uncertain_request_is_never_sent_again(reason: str, sends: int, jitter: float) -> None:
    outcome = Uncertain(state=None, reason=reason)

    assert decide(outcome, sends=sends, policy=POLICY, jitter=jitter) == Park()


@pytest.mark.parametrize("sends", [1, 2, 100])
def test_a_definite_no_is_final(sends: int) -> None:
    assert after(Again.NEVER, sends) == GiveUp()


def test_a_refusal_that_concerns_every_job_stops_the_run() -> None:
    outcome = Blocked(state=None, slug="no_credits", message="top up")

    assert decide(outcome, sends=1, policy=POLICY, jitter=0.5) == StopBatch(slug="no_credits")


@for_all(outcomes, sends, jitters)
def test_only_what_created_nothing_is_sent_again(outcome: Any, sends: int, jitter: float) -> None:
    decision = decide(outcome, sends=sends, policy=POLICY, jitter=jitter)

    if isinstance(decision, SendAgain):
        assert isinstance(outcome, Failed)
        assert outcome.again is not Again.NEVER
        assert decision.ask_first == (outcome.again is Again.ASK_FIRST)
        assert decision.fresh_upload == (outcome.again is Again.FRESH_UPLOAD)


@pytest.mark.parametrize(
    ("again", "most"),
    [
        (Again.LATER, POLICY.patience),
        (Again.UNREACHED, POLICY.reaching),
        (Again.ASK_FIRST, POLICY.sends_after_500 + 1),
        (Again.FRESH_UPLOAD, 2),
    ],
)
def test_nothing_is_sent_more_often_than_the_policy_says(again: Again, most: int) -> None:
    assert len(waits(again)) + 1 == most
    assert not any(isinstance(after(again, sends), SendAgain) for sends in range(most, most + 50))


@pytest.mark.parametrize("again", [Again.LATER, Again.UNREACHED])
def test_patience_that_ends_leaves_the_job_planned(again: Again) -> None:
    assert after(again, 10_000) == StopBatch(slug="busy")


def test_a_documented_failure_that_stays_ends_the_job() -> None:
    assert after(Again.ASK_FIRST, POLICY.sends_after_500 + 1) == GiveUp()


@for_all(outcomes, sends, jitters)
def test_waits_are_bounded(outcome: Any, sends: int, jitter: float) -> None:
    decision = decide(outcome, sends=sends, policy=POLICY, jitter=jitter)

    if isinstance(decision, SendAgain):
        asked = isinstance(outcome, Failed) and outcome.after_s is not None
        assert 0 <= decision.after_s <= 1.25 * (POLICY.longest_asked_s if asked else POLICY.longest_s)


@for_all(st.floats(0, POLICY.longest_asked_s), st.integers(1, 5), jitters)
def test_what_the_provider_asks_for_is_waited_for(asked: float, sends: int, jitter: float) -> None:
    decision = after(Again.LATER, sends, after_s=asked, jitter=jitter)

    assert isinstance(decision, SendAgain)
    assert asked <= decision.after_s <= 1.25 * asked


@pytest.mark.parametrize("asked", [3601.0, 86400.0, float("inf"), float("nan")])
def test_a_provider_that_asks_for_a_day_is_not_waited_for(asked: float) -> None:
    assert after(Again.LATER, 1, after_s=asked) == StopBatch(slug="busy")
    assert after(Again.ASK_FIRST, 1, after_s=asked) == GiveUp()


def test_waits_double_up_to_the_longest() -> None:
    assert waits(Again.LATER)[:8] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_waiters_do_not_march_in_step() -> None:
    early, late = (after(Again.LATER, 3, jitter=jitter) for jitter in (0.0, 1.0))

    assert (early, late) == (SendAgain(after_s=4.0), SendAgain(after_s=5.0))


def test_a_fresh_upload_is_not_waited_for() -> None:
    assert after(Again.FRESH_UPLOAD, 1) == SendAgain(after_s=0.0, fresh_upload=True)
