"""A token bucket as a value: how many may start in any window of time."""

from dataclasses import dataclass, replace


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
        start, tokens = self._taken(at)
        return replace(self, tokens=tokens, at=start), self.wait(at)

    def wait(self, at: float) -> float:
        """Seconds from `at` until a start has a token, without taking it."""
        start, tokens = self._taken(at)
        return (start - at) + max(0.0, -tokens / self.rate_per_s)

    def _taken(self, at: float) -> tuple[float, float]:
        """When a start that is asked for at `at` is counted, and the tokens after it."""
        start = max(at, self.at)
        return start, min(self.burst, self.tokens + (start - self.at) * self.rate_per_s) - 1.0

    def since(self, at: float) -> "TokenBucket":
        """The same bucket with its tokens counted up to `at`."""
        start = max(at, self.at)
        return replace(self, tokens=min(self.burst, self.tokens + (start - self.at) * self.rate_per_s), at=start)

    def under(self, other: "TokenBucket", at: float) -> "TokenBucket":
        """The rate and burst of another, with what is left of this one's tokens."""
        left = self.since(at)
        return replace(other, tokens=min(other.burst, left.tokens), at=left.at)

    def paused(self, until: float) -> "TokenBucket":
        """The bucket with no start before `until`: what a 429 asks for."""
        return replace(self, at=max(self.at, until), tokens=min(self.tokens, 1.0))
