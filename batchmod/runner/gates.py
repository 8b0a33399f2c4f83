"""What is known of one provider at one origin with one key, shared by all runs that ask it."""

from typing import Protocol

from batchmod import clock, limits
from batchmod.providers.base import Provider


class Waiting(Protocol):
    """A run's own queues at a gate."""

    def look_at_sends(self) -> None:
        """Let go whichever of its requests may leave now."""
        ...

    def look(self) -> None:
        """Let go whoever may send or ask now."""
        ...


class Gate:
    """The pace, the budget of questions and the circuit of one key: whatever moves them concerns all who wait."""

    def __init__(self, *, pace: limits.Pace | None, polls: limits.PollBudget) -> None:
        self.pace = pace
        self.polls = polls
        self.circuit = limits.Circuit()
        self.ages = limits.Ages()
        self._waiting: list[Waiting] = []

    def join(self, waiting: Waiting) -> None:
        """Wake these too."""
        self._waiting.append(waiting)

    def leave(self, waiting: Waiting) -> None:
        """Wake these no more."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def look_at_sends(self) -> None:
        """Let go whichever request may leave now."""
        for each in self._waiting:
            each.look_at_sends()

    def look(self) -> None:
        """Let go whoever may send or ask now."""
        for each in self._waiting:
            each.look()


class Gates:
    """The gates of one command, or of one program: manifests after one another, or at the same time, share them."""

    def __init__(self) -> None:
        self._gates: dict[tuple[str, str, str], Gate] = {}

    def of(
        self, provider: Provider, *, max_in_flight: int, submits_per_minute: float | None, polls_per_minute: float
    ) -> Gate:
        """The provider's gate under what a run was told; what was learned before stays learned."""
        now, who = clock.ticks(), (provider.facts.name, provider.origin, provider.key_id)
        pace = _pace(provider, max_in_flight, submits_per_minute, now) if provider.facts.hosted else None
        polls = limits.PollBudget.of(polls_per_minute, at=now)
        gate = self._gates.get(who)
        if gate is None:
            gate = self._gates[who] = Gate(pace=pace, polls=polls)
        else:
            gate.pace = pace if pace is None or gate.pace is None else gate.pace.under(pace, at=now)
            gate.polls = gate.polls.under(polls, at=now)
            gate.circuit = gate.circuit.later(now)
        return gate


def _pace(provider: Provider, most: int, submits_per_minute: float | None, now: float) -> limits.Pace:
    """The provider's published pace, or the one that was asked for."""
    rate, burst = limits.told(provider.facts, submits_per_minute)
    if rate is None:
        return limits.Pace.of(most)
    return limits.Pace.of(most, told=limits.TokenBucket.full(per_minute=rate, burst=burst, at=now))
