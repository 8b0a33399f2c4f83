"""Pace and money: what may start in any window of time, and what fits under a cap."""

from itertools import pairwise

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from batchmod.limits import Budget, TokenBucket, Window, poll_delay

FLOAT_DUST = 1e-6


def starts(bucket: TokenBucket, asked: list[float]) -> list[float]:
    """When each of these askings may start."""
    begun = []
    for at in asked:
        bucket, wait = bucket.take(at)
        assert wait >= 0
        begun.append(at + wait)
    return begun


rates = st.floats(0.5, 6000)
bursts = st.integers(1, 30)
gaps = st.lists(st.one_of(st.just(0.0), st.floats(0, 120)), min_size=1, max_size=40)


def moments(gaps: list[float]) -> list[float]:
    now, found = 1000.0, []
    for gap in gaps:
        now += gap
        found.append(now)
    return found


@for_all(rates, bursts, gaps)
def test_no_window_holds_more_starts_than_burst_and_rate_allow(
    per_minute: float, burst: int, gaps: list[float]
) -> None:
    bucket = TokenBucket.full(per_minute=per_minute, burst=burst, at=1000.0)
    begun = starts(bucket, moments(gaps))

    for first in range(len(begun)):
        for last in range(first, len(begun)):
            window = begun[last] - begun[first]
            assert last - first + 1 <= burst + window * per_minute / 60 + FLOAT_DUST


@for_all(rates, bursts, gaps)
def test_starts_keep_the_order_of_asking(per_minute: float, burst: int, gaps: list[float]) -> None:
    begun = starts(TokenBucket.full(per_minute=per_minute, burst=burst, at=1000.0), moments(gaps))

    assert all(earlier <= later + FLOAT_DUST for earlier, later in pairwise(begun))


@for_all(rates, bursts, gaps)
def test_nobody_waits_longer_than_the_rate_asks(per_minute: float, burst: int, gaps: list[float]) -> None:
    """The bucket is no slower than its own promise: the n-th start waits for n - burst tokens at most."""
    asked = moments(gaps)
    begun = starts(TokenBucket.full(per_minute=per_minute, burst=burst, at=1000.0), asked)

    for number, (at, start) in enumerate(zip(asked, begun, strict=True), 1):
        assert start - at <= max(0, number - burst) * 60 / per_minute + FLOAT_DUST


def test_a_burst_starts_at_once_and_the_rest_follows_at_the_rate() -> None:
    begun = starts(TokenBucket.full(per_minute=6, burst=3, at=0.0), [0.0] * 5)

    assert begun == pytest.approx([0, 0, 0, 10, 20])


def test_a_rest_fills_the_bucket_to_the_burst_and_no_further() -> None:
    begun = starts(TokenBucket.full(per_minute=60, burst=2, at=0.0), [0.0, 0.0, 500.0, 500.0, 500.0])

    assert begun == pytest.approx([0, 0, 500, 500, 501])


@for_all(rates, bursts, st.integers(0, 40), st.floats(0, 600))
def test_nothing_starts_during_a_pause(per_minute: float, burst: int, before: int, seconds: float) -> None:
    bucket = TokenBucket.full(per_minute=per_minute, burst=burst, at=0.0)
    for _ in range(before):
        bucket, _ = bucket.take(0.0)
    bucket = bucket.paused(seconds)

    assert all(start >= seconds - FLOAT_DUST for start in starts(bucket, [0.0, 0.0, seconds / 2]))


def test_after_a_pause_starts_come_one_by_one() -> None:
    bucket = TokenBucket.full(per_minute=60, burst=8, at=0.0).paused(30.0)

    assert starts(bucket, [0.0, 0.0, 0.0]) == pytest.approx([30, 31, 32])


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    bucket = TokenBucket.full(per_minute=60, burst=8, at=0.0).paused(30.0).paused(10.0)

    assert starts(bucket, [0.0]) == [30.0]


def test_taking_leaves_the_bucket_it_was_taken_from_as_it_was() -> None:
    bucket = TokenBucket.full(per_minute=60, burst=1, at=0.0)
    bucket.take(0.0)

    assert bucket.take(0.0)[1] == 0.0


def test_the_first_poll_is_at_once_and_the_second_soon() -> None:
    assert poll_delay(0) == 0.0
    assert 0 < poll_delay(1) < 1


@for_all(st.integers(0, 10**9), st.floats(0.1, 600))
def test_polls_grow_apart_up_to_the_longest(polls: int, longest_s: float) -> None:
    assert 0 <= poll_delay(polls, longest_s=longest_s) <= poll_delay(polls + 1, longest_s=longest_s) <= longest_s


def test_a_slow_job_costs_six_polls_a_minute() -> None:
    assert poll_delay(20) == 10.0


cents = st.integers(0, 100_000).map(lambda cents: cents / 100)


@for_all(cents, st.lists(st.tuples(cents, cents), max_size=20))
def test_what_is_reserved_never_passes_the_cap(cap: float, wishes: list[tuple[float, float]]) -> None:
    budget = Budget(cap_usd=cap)
    for usd, share in wishes:
        if budget.allows(usd):
            budget = budget.reserve(usd)
            if share > 500:
                budget = budget.settle(reserved=usd, cost=min(usd, share / 1000))

        assert budget.committed_usd <= cap + 1e-6


def test_a_reservation_becomes_its_true_cost() -> None:
    budget = Budget(cap_usd=2.0).reserve(1.5)
    assert not budget.allows(1.0)

    settled = budget.settle(reserved=1.5, cost=0.6)

    assert (settled.done_usd, settled.reserved_usd) == (0.6, 0.0)
    assert settled.allows(1.4)


def test_what_was_not_billed_is_free_again() -> None:
    assert Budget(cap_usd=1.0).reserve(1.0).settle(reserved=1.0, cost=0.0).allows(1.0)


def test_a_cap_may_be_reached_exactly() -> None:
    budget = Budget(cap_usd=0.3)
    for _ in range(3):
        assert budget.allows(0.1)
        budget = budget.reserve(0.1)

    assert not budget.allows(0.01)


def test_without_a_cap_everything_is_allowed() -> None:
    assert Budget(cap_usd=None, done_usd=1e9).allows(1e9)


def test_a_cap_of_nothing_allows_what_is_free() -> None:
    assert Budget(cap_usd=0.0).allows(0.0)
    assert not Budget(cap_usd=0.0).allows(0.01)


def test_another_rate_begins_with_what_is_left_of_the_first() -> None:
    first = TokenBucket.full(per_minute=60.0, burst=8, at=0.0)
    for _ in range(6):
        first = first.take(0.0)[0]
    moved = first.under(TokenBucket.full(per_minute=120.0, burst=4, at=1.0), at=1.0)

    assert (moved.tokens, moved.rate_per_s, moved.burst) == (3.0, 2.0, 4)
    assert first.under(TokenBucket.full(per_minute=60.0, burst=1, at=60.0), at=60.0).tokens == 1


@pytest.mark.parametrize(("told", "size", "most"), [(64, 6, 64), (4, 4, 4), (6, 6, 6)])
def test_a_window_under_another_number_keeps_what_was_learned_below_it(told: int, size: int, most: int) -> None:
    learned = Window.of(16).learned(6)

    assert (learned.under(told).size, learned.under(told).most) == (size, most)
    assert Window.of(16).under(told) == Window.of(told)
