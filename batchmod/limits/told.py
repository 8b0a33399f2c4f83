"""The pace that is known beforehand."""

from typing import NamedTuple

from batchmod.model import ProviderFacts


class Told(NamedTuple):
    """How requests may leave for a provider: so many at once, then so many a minute (None: as they come)."""

    per_minute: float | None
    burst: int


def told(facts: ProviderFacts, submits_per_minute: float | None) -> Told:
    """The pace that was asked for, else the one that the provider publishes; work on this machine has none."""
    rate = submits_per_minute or facts.submits_per_minute
    burst = facts.burst if rate is None else min(facts.burst, max(1, int(rate * facts.burst)))
    return Told(rate if facts.hosted else None, burst)
