"""When outputs came and what they cost, in one pass over any number of them, in a few hundred steps."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

_MOST: Final = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """Where things stood at a moment (Unix seconds)."""

    at: float
    done: int
    cost_usd: float


@dataclass(kw_only=True, slots=True)
class Timeline:
    """Counts and money by the moment, in steps that widen as the time they span grows."""

    width_s: int = 1
    _steps: dict[int, tuple[int, float]] = field(default_factory=dict)

    def add(self, at: float, *, done: int, cost_usd: float) -> None:
        """Take note of outputs and of money at a moment (Unix seconds)."""
        step = int(at // self.width_s)
        before, money = self._steps.get(step, (0, 0.0))
        self._steps[step] = before + done, money + cost_usd
        while len(self._steps) > _MOST:
            self._widen()

    def _widen(self) -> None:
        steps: dict[int, tuple[int, float]] = {}
        for step, (done, cost) in self._steps.items():
            count, money = steps.get(step // 2, (0, 0.0))
            steps[step // 2] = count + done, money + cost
        self.width_s, self._steps = self.width_s * 2, steps

    def points(self) -> Iterator[Point]:
        """The sums so far, step by step; each stands at the end of its step."""
        done, cost = 0, 0.0
        for step in sorted(self._steps):
            count, money = self._steps[step]
            done, cost = done + count, cost + money
            yield Point(at=float((step + 1) * self.width_s), done=done, cost_usd=cost)


def moment(text: object) -> float | None:
    """An ISO 8601 time as Unix seconds; None for anything else."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
