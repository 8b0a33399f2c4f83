"""One provider at one origin is a lane: its pace, its first request, its row of failures."""

import asyncio
from dataclasses import dataclass, field

from batchmod import clock, limits
from batchmod.model import Job, Work
from batchmod.planning import Action
from batchmod.providers.base import Provider
from batchmod.runner.desk import Desk, Settings

_POLL_BURST = 30


@dataclass(kw_only=True, slots=True)
class Lane:
    """The pace of one provider at one origin."""

    provider: Provider
    submits: limits.TokenBucket | None
    polls: limits.TokenBucket
    answered: bool = False
    """Whether a request has been answered: until then they leave one by one."""
    leading: asyncio.Lock = field(default_factory=asyncio.Lock)
    failures: list[str] = field(default_factory=list)
    """Slugs of the failures since the last success, while they are of one kind."""

    def has_answered(self) -> bool:
        """Whether the provider has answered a request by now."""
        return self.answered

    async def submit_turn(self, desk: Desk) -> None:
        """Wait until the limiter lets a request leave, or until none leaves any more."""
        if self.submits is not None:
            self.submits, wait = self.submits.take(clock.ticks())
            await desk.pause(wait)

    async def poll_turn(self, polls: int) -> None:
        """Wait until a job that was polled `polls` times is to be polled again, and the budget allows."""
        self.polls, wait = self.polls.take(clock.ticks())
        await clock.sleep(max(limits.poll_delay(polls), wait))

    def spend_poll(self) -> None:
        """Count a request that does not wait for its turn."""
        self.polls, _ = self.polls.take(clock.ticks())

    def pause(self, seconds: float) -> None:
        """No request leaves for so long: the provider asked for it."""
        if self.submits is not None:
            self.submits = self.submits.paused(clock.ticks() + seconds)

    def succeeded(self) -> None:
        """A success ends a row of failures."""
        self.failures = []

    def failed(self, desk: Desk, slug: str) -> None:
        """A row of failures of one kind is a reason to stop paying."""
        if not self.provider.facts.hosted:
            return
        self.failures = [*self.failures, slug] if self.failures[-1:] == [slug] else [slug]
        if len(self.failures) >= desk.settings.stop_after_failures:
            count = len(self.failures)
            desk.stop("too_many_failures", f"{count} failures in a row ({slug}); nothing more is sent")


@dataclass(kw_only=True, slots=True)
class Task:
    """A work on its way, and the jobs its output is for."""

    work: Work
    jobs: tuple[Job, ...]
    lane: Lane
    action: Action
    estimate_usd: float = 0.0
    attempt_id: int | None = None
    sends: int = 0
    polls: int = 0
    began: float = 0.0
    turn_taken: bool = False
    """Whether the poll budget was asked for the next request already."""
    in_the_air: bool = False
    """Between intent and receipt of a paid request: not to be broken off."""


def new_lane(provider: Provider, settings: Settings) -> Lane:
    """A lane at the provider's published pace, or at the one that was asked for."""
    now, facts = clock.ticks(), provider.facts
    rate, burst = limits.pace(facts, settings.submits_per_minute)
    return Lane(
        provider=provider,
        submits=None if rate is None else limits.TokenBucket.full(per_minute=rate, burst=burst, at=now),
        polls=limits.TokenBucket.full(per_minute=settings.polls_per_minute, burst=_POLL_BURST, at=now),
        answered=not facts.hosted,
    )
