"""The pace a provider publishes is kept in every window of its length, from the first request on."""

import pytest

from batchmod import limits, providers


def departures(*, per_minute: float, burst: int, until_s: float) -> list[float]:
    """When requests leave of which there are always more, in seconds."""
    bucket, now, left = limits.TokenBucket.full(per_minute=per_minute, burst=burst, at=0.0), 0.0, []
    while now < until_s:
        bucket, wait = bucket.take(now)
        now += wait
        left.append(now)
    return left


@pytest.mark.parametrize(
    ("name", "window_s", "most"), [("replicate", 60.0, 600), ("wavespeed", 60.0, 2), ("kie", 10.0, 20)]
)
def test_no_window_sees_more_than_is_published(name: str, window_s: float, most: int) -> None:
    facts = providers.facts(name)
    assert facts.submits_per_minute is not None
    left = departures(per_minute=facts.submits_per_minute, burst=facts.burst, until_s=2.5 * window_s)

    busiest = max(sum(start <= at < start + window_s - 1e-6 for at in left) for start in left)

    assert most / 2 <= busiest <= most
