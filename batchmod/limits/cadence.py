"""How many submits a second a provider lets through, learned from what it refuses."""

import math
from dataclasses import dataclass, replace
from typing import Final

_CUT: Final = 0.97
_BEYOND: Final = 1.05
"""So far above the ceiling the climb is slow; a limit that has risen is then looked for in strides."""
_SLOPE: Final = ((_BEYOND - 1.0) / (1.0 - _CUT)) ** (1 / 3)
_GROWTH: Final = 0.005
"""Growth a second, both beyond the ceiling, and of a pace that is not known well at most."""
_LEAST_STARTS: Final = 90.0
_LEAST_S: Final = 40.0
_LEAST_COSTS: Final = 10.0
"""The way back to the ceiling takes so many starts, so long, and so many times what the last refusal has cost."""
_SURE: Final = 1.1
_WINDOW_S: Final = 60.0
"""What providers count in: a pace that was kept up for longer is no burst."""
_MARK_S: Final = 15.0
_MOST_CUT: Final = 0.95
"""No one refusal lowers a known ceiling further, unless trials are refused again and again after it."""
_AGAIN: Final = 3
_LATE_S: Final = 0.25
"""A start that comes late moves the later ones by no more than what is beyond this."""
_LONGEST: Final = 10.0
"""A pace is not raised by more than e to this power."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cadence:
    """Evenly spaced starts below a ceiling that was measured; without one, as many as anything else allows."""

    ceiling: float | None = None
    """Starts a second that got through."""
    search: float = 0.0
    """Growth a second while that was measured too coarsely to stay near it; else 0."""
    proven: bool = False
    """Whether it was measured over a minute once: one refusal then says little against it."""
    width_s: float = _LEAST_S
    """How long the way from a cut back to the ceiling is."""
    grown_s: float = 0.0
    """How long starts have had to wait for their turn since the cut."""
    next_at: float = 0.0
    bound: bool = False
    """Whether the last start had to wait for its turn."""
    began: float | None = None
    passed: int = 0
    """Accepted since `began`."""
    marks: tuple[tuple[float, int], ...] = ()
    """(moment, accepted by then), over the last minute."""

    @property
    def rate(self) -> float | None:
        """Starts a second now; None while nothing is known.

        A cubic through the ceiling: quick back to it, long near it, then beyond; so a limit costs one refusal in some
        hundred starts.
        """
        if self.ceiling is None:
            return None
        if self.search:
            return self.ceiling * _CUT * math.exp(min(_LONGEST, self.search * self.grown_s))
        along = self.grown_s / self.width_s - 1.0
        if along <= _SLOPE:
            return self.ceiling * (1.0 + (1.0 - _CUT) * along**3)
        beyond_s = self.grown_s - (1.0 + _SLOPE) * self.width_s
        return self.ceiling * _BEYOND * math.exp(min(_LONGEST, _GROWTH * beyond_s))

    def wait(self, at: float) -> float:
        """Seconds from `at` until the next start's turn."""
        return 0.0 if self.ceiling is None else max(0.0, self.next_at - at)

    def started(self, at: float) -> "Cadence":
        """One left."""
        rate, began = self.rate, at if self.began is None else self.began
        if rate is None:
            return replace(self, began=began, marks=self.marks or ((began, 0),))
        bound = at - self.next_at < _LATE_S / 2
        return replace(self, began=began, bound=bound, next_at=max(self.next_at, at - _LATE_S) + 1.0 / rate)

    def accepted(self, at: float) -> "Cadence":
        """One got through; whoever is not held up by the pace learns nothing of it."""
        rate, marks = self.rate, self.marks
        grown = 1.0 / rate if self.bound and rate is not None else 0.0
        if marks and at - marks[-1][0] >= _MARK_S:
            marks = (*marks[-int(_WINDOW_S / _MARK_S) :], (at, self.passed + 1))
        return replace(self, passed=self.passed + 1, grown_s=self.grown_s + grown, marks=marks)

    def learned(self, at: float, *, since: float, refused_at: float, denied: int) -> "Cadence":
        """What got through until the provider took one again at `at`.

        It refused first at `since`, last at `refused_at`, and `denied` trials between. The dearer a
        refusal, the longer the ceiling is kept to.
        """
        passed = self.passed - 1  # the one that was just accepted begins the next measure
        if self.began is None or passed <= 0 or at <= self.began:
            return self.anew(at)
        low, high = passed / (at - self.began), passed / max(refused_at - self.began, 1e-9)
        recent = self._recent(since, passed)
        ceiling = recent or low
        if recent is None and self.ceiling is not None and self.proven and denied < _AGAIN:
            ceiling = max(ceiling, _MOST_CUT * self.ceiling)
        width = max(_LEAST_STARTS / ceiling, _LEAST_S, _LEAST_COSTS * (at - since) if recent else 0.0)
        search = 0.0 if ceiling > low or high <= _SURE * low else min(_GROWTH, math.log(high / low) / _WINDOW_S)
        found = replace(
            self, ceiling=ceiling, search=search, width_s=width, grown_s=0.0, proven=recent is not None or ceiling > low
        )
        return replace(found.anew(at), next_at=at + 1.0 / (ceiling * _CUT))

    def _recent(self, since: float, passed: int) -> float | None:
        """What got through in a second of the last minute before `since`; None where it was no minute."""
        if not self.marks or since - self.marks[0][0] < _WINDOW_S:
            return None
        at, before = self.marks[0]
        return max(passed - before, 1) / (since - at)

    def anew(self, at: float) -> "Cadence":
        """Measure from here on; the one that was just accepted is the first."""
        return replace(self, began=at, passed=1, marks=((at, 1),))
