"""Whether a provider answers at all."""

import math
from dataclasses import dataclass, replace
from typing import Final

_FAILURES: Final = 3
_FIRST_S: Final = 1.0
_LONGEST_S: Final = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Circuit:
    """Open after three failures in a row: then one request at a time probes, ever more seldom; any answer closes it."""

    failures: int = 0
    opened: float | None = None
    """When the last failure that counted was met; None while it is closed."""
    until: float = 0.0
    probing: bool = False

    @property
    def probes(self) -> int:
        """How many probes have failed."""
        return max(0, self.failures - _FAILURES)

    def wait(self, at: float) -> float:
        """Seconds from `at` until a request may leave; infinite while a probe is on its way."""
        if self.opened is None:
            return 0.0
        return math.inf if self.probing else max(0.0, self.until - at)

    def later(self, at: float) -> "Circuit":
        """What a run that begins at `at` has to know of it: nothing, where nobody has tried for long."""
        return Circuit() if self.opened is None or at - self.until > _LONGEST_S else self

    def asked(self) -> "Circuit":
        """One leaves: through an open circuit it is the probe."""
        return self if self.opened is None else replace(self, probing=True)

    def answered(self) -> "Circuit":
        """The provider has answered something: it is there."""
        return self if not self.failures else Circuit()

    def failed(self, at: float, *, asked_at: float, jitter: float) -> "Circuit":
        """One that left at `asked_at` has failed: no connection, no answer, or a gateway's that has none."""
        if self.opened is not None and asked_at < self.opened:
            return self  # it left before: its failure is the same one
        failures = self.failures + 1
        if failures < _FAILURES:
            return replace(self, failures=failures)
        pause = min(_LONGEST_S, _FIRST_S * 2.0 ** min(failures - _FAILURES, 16)) * (1.0 + 0.25 * jitter)
        return Circuit(failures=failures, opened=at, until=at + pause)

    def gone(self) -> "Circuit":
        """One came to nothing that tells anything, such as one that was broken off."""
        return replace(self, probing=False) if self.probing else self
