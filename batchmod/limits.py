"""When the next request may start and whether the money reaches: pure values, the time is an argument."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from batchmod.model import ProviderFacts


class Pace(NamedTuple):
    """How requests may leave for a provider: so many at once, then so many a minute (None: as they come)."""

    per_minute: float | None
    burst: int


def pace(facts: ProviderFacts, submits_per_minute: float | None) -> Pace:
    """The pace that was asked for, else the one that the provider publishes; work on this machine has none."""
    rate = submits_per_minute or facts.submits_per_minute
    burst = facts.burst if rate is None else min(facts.burst, max(1, int(rate * facts.burst)))
    return Pace(rate if facts.hosted else None, burst)


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenBucket:
    """A token bucket: at most `burst + rate·t` starts in any window of t seconds.

    `tokens` may fall below zero: each start then reserves a later moment, in the order of asking.
    """

    rate_per_s: float
    burst: float
    tokens: float
    at: float

    @classmethod
    def full(cls, *, per_minute: float, burst: float, at: float) -> "TokenBucket":
        """A bucket with all its tokens at moment `at`."""
        return cls(rate_per_s=per_minute / 60.0, burst=burst, tokens=burst, at=at)

    def take(self, at: float) -> tuple["TokenBucket", float]:
        """The bucket after one start asked for at `at`, and the seconds that start has to wait."""
        start = max(at, self.at)
        tokens = min(self.burst, self.tokens + (start - self.at) * self.rate_per_s) - 1.0
        wait = (start - at) + max(0.0, -tokens / self.rate_per_s)
        return replace(self, tokens=tokens, at=start), wait

    def paused(self, until: float) -> "TokenBucket":
        """The bucket with no start before `until`: what a 429 asks for."""
        return replace(self, at=max(self.at, until), tokens=min(self.tokens, 1.0))


def poll_delay(polls: int, *, longest_s: float = 10.0) -> float:
    """Seconds before the next poll of a job that was polled `polls` times: at once, then growing.

    A fast server is seen to be fast; a slow job costs six polls a minute in the end.
    """
    if polls <= 0:
        return 0.0
    return min(longest_s, 0.25 * 1.6 ** min(polls - 1, 64))


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """A cap as a reservation: what is done (true cost), plus what is in flight or uncertain (upper estimate)."""

    cap_usd: float | None
    done_usd: float = 0.0
    reserved_usd: float = 0.0

    @property
    def committed_usd(self) -> float:
        """All that is or may still become spent."""
        return self.done_usd + self.reserved_usd

    def allows(self, usd: float) -> bool:
        """Whether `usd` more fits under the cap (a cent's rounding forgiven)."""
        return self.cap_usd is None or self.committed_usd + usd <= self.cap_usd + 1e-9

    def reserve(self, usd: float) -> "Budget":
        """With `usd` more in flight."""
        return replace(self, reserved_usd=self.reserved_usd + usd)

    def settle(self, *, reserved: float, cost: float) -> "Budget":
        """With a reservation turned into its true cost (0 for a job that was not billed)."""
        return replace(self, done_usd=self.done_usd + cost, reserved_usd=max(0.0, self.reserved_usd - reserved))
