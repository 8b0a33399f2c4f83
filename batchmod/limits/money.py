"""Whether the money reaches: a cap as a value."""

from dataclasses import dataclass, replace


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
