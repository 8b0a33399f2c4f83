"""How many jobs a provider lets run at once, learned from what it refuses."""

from dataclasses import dataclass, replace
from typing import Final

_MOST_ROUNDS: Final = 16
_SAME: Final = 0.9
"""A refusal at so much of the level before, or more, has met the same limit again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """At most `size` jobs at once; `most` is what was told, and nothing is known beyond it until a refusal."""

    most: int
    size: int
    calm: int = 0
    """Accepted at this size since it was set."""
    rounds: int = 1
    """How many rounds of `size` accepted jobs pass before one more is tried; doubles while that meets refusals."""
    step: int = 0
    """How many more were tried last; 0: the size is where a refusal left it."""

    @classmethod
    def of(cls, most: int) -> "Window":
        """Nothing learned yet."""
        return cls(most=most, size=most)

    def under(self, most: int) -> "Window":
        """The same where another number is told: what was learned below it stays learned."""
        return Window.of(most) if self.size >= min(most, self.most) else replace(self, most=most)

    def learned(self, level: int) -> "Window":
        """The provider refused with more than `level` jobs in flight, and took one again at it."""
        level = max(1, min(level, self.most))
        same = self.size < self.most and level >= _SAME * (self.size - self.step)
        return replace(self, size=level, calm=0, step=0, rounds=min(_MOST_ROUNDS, 2 * self.rounds) if same else 1)

    def accepted(self, in_flight: int) -> "Window":
        """One more was accepted: after enough at the full size one more at once is tried, then two, four, ..."""
        if self.size >= self.most or in_flight < _SAME * self.size:
            return self
        calm = self.calm + 1
        if calm < self.size * (1 if self.step else self.rounds):
            return replace(self, calm=calm)
        step = min(2 * self.step or 1, self.most - self.size)
        return replace(self, size=self.size + step, calm=0, step=step)
