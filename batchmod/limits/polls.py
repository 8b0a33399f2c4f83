"""When a running job is asked for again, and how many questions a minute all jobs together have."""

from dataclasses import dataclass, replace
from typing import Final

from batchmod.limits.bucket import TokenBucket

_SOON_S: Final = 0.25
_GROWTH: Final = 1.6
_LONGEST_S: Final = 10.0
_JITTER: Final = 0.1
_BURST: Final = 30
_LEAST_SHARE: Final = 1.0 / 8.0
_REGROWTH: Final = 0.05
_LONGEST_PAUSE_S: Final = 60.0


def poll_delay(polls: int, *, jitter: float = 0.5, longest_s: float = _LONGEST_S) -> float:
    """Seconds before the next poll of a job that was polled `polls` times: at once, then growing.

    A fast server is seen to be fast; a slow job costs six polls a minute in the end. `jitter` is a dice roll in 0..1
    that moves it by a tenth, so that jobs that began together are not asked for together.
    """
    if polls <= 0:
        return 0.0
    return min(longest_s, _SOON_S * _GROWTH ** min(polls - 1, 64)) * (1.0 + _JITTER * (2.0 * jitter - 1.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Ages:
    """How old jobs are when they end, as far as polls have shown it: a bracket, where they are much alike."""

    low_s: float = 0.0
    high_s: float = 0.0
    trust: int = 0

    def ended(self, *, running_at_s: float, ended_at_s: float) -> "Ages":
        """A job still ran at one age and had ended at a later one."""
        low, high = max(self.low_s, running_at_s), min(self.high_s, ended_at_s)
        if self.trust and low < high:
            return replace(self, low_s=low, high_s=high, trust=min(_TRUST[1], self.trust + 1))
        return Ages(low_s=running_at_s, high_s=ended_at_s, trust=max(1, self.trust - _TRUST[0]))

    def hint(self, age_s: float) -> float | None:
        """The next age at which it is worth to look, in the midst of the bracket until that is narrow.

        One that has just outlived it may end any moment.
        """
        if self.trust < _TRUST[0]:
            return None
        narrow = self.high_s - self.low_s <= _NARROW * self.high_s
        middle = (self.low_s + self.high_s) / 2.0
        if age_s < middle and not narrow:
            return middle
        if age_s < self.high_s:
            return self.high_s
        return age_s + max(_LEAST_STEP_S, _STEP * self.high_s) if age_s < _OUTLIVED * self.high_s else None


_TRUST: Final = (4, 12)
_NARROW: Final = 0.03
_STEP: Final = 0.05
_LEAST_STEP_S: Final = 0.01
_OUTLIVED: Final = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class PollBudget:
    """The questions all jobs of one key may ask; less of them after each that is refused, and slowly more again."""

    told_per_s: float
    bucket: TokenBucket
    share: float = 1.0
    until: float = 0.0
    refusals: int = 0

    @classmethod
    def of(cls, per_minute: float, *, at: float) -> "PollBudget":
        """The whole budget, with a burst at the beginning."""
        bucket = TokenBucket.full(per_minute=per_minute, burst=_BURST, at=at)
        return cls(told_per_s=per_minute / 60.0, bucket=bucket)

    def under(self, other: "PollBudget", at: float) -> "PollBudget":
        """The same budget where the number that `other` begins with is told."""
        bucket = self.bucket.under(replace(other.bucket, rate_per_s=self.share * other.told_per_s), at)
        return replace(self, told_per_s=other.told_per_s, bucket=bucket)

    def wait(self, at: float) -> float:
        """Seconds from `at` until the next question."""
        return max(self.until - at, self.bucket.wait(at))

    def is_ample(self, at: float) -> bool:
        """Whether there is so much of it that a question may be asked sooner than it would have to be."""
        return self.bucket.since(at).tokens >= self.bucket.burst / 2.0

    def taken(self, at: float) -> "PollBudget":
        """One is asked."""
        return replace(self, bucket=self.bucket.take(at)[0])

    def refused(self, at: float, *, after_s: float | None, jitter: float) -> "PollBudget":
        """One was refused (429): nobody asks for as long as the provider says, else for ever longer.

        Those that were under way by then are refused with it: together they are one refusal, and halve it once.
        """
        pause = min(_LONGEST_PAUSE_S, 2.0 ** min(self.refusals, 16)) if after_s is None else after_s
        until = max(self.until, at + pause * (1.0 + 0.25 * jitter))
        if at < self.until:
            return self._sharing(self.share, at, until=until, refusals=self.refusals)
        return self._sharing(max(_LEAST_SHARE, self.share / 2.0), at, until=until, refusals=self.refusals + 1)

    def answered(self, at: float) -> "PollBudget":
        """One was answered."""
        if self.share >= 1.0 and not self.refusals:
            return self
        return self._sharing(min(1.0, self.share + _REGROWTH), at, until=self.until, refusals=0)

    def _sharing(self, share: float, at: float, *, until: float, refusals: int) -> "PollBudget":
        slower = replace(self.bucket.since(at), rate_per_s=share * self.told_per_s)
        slower = slower.paused(until) if until > at else slower
        return replace(self, bucket=slower, share=share, until=until, refusals=refusals)
