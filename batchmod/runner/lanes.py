"""One provider at one origin is a lane of a run: its first request, its row of failures, who waits for a turn."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from batchmod import clock, limits
from batchmod.limits import Ticket
from batchmod.model import Job, Reply, Sent, Work
from batchmod.planning import Action
from batchmod.providers.base import Provider
from batchmod.runner.desk import Desk
from batchmod.runner.gates import Gate
from batchmod.runner.turns import PollTurns, SubmitTurns

_DOWN = frozenset({502, 503, 504})
_STEPS_ASIDE_S: Final = 0.02


class Lane:
    """One provider, one key, all jobs of a run: who may send or ask now, by what the provider has answered so far."""

    def __init__(self, provider: Provider, desk: Desk, gate: Gate) -> None:
        """`gate`: what is known of the provider, maybe together with other runs."""
        self.provider = provider
        self.gate = gate
        self.answered = not provider.facts.hosted
        """Whether a request has been answered: until then they leave one by one."""
        self.leading = asyncio.Lock()
        self.failures: list[str] = []
        """Slugs of the failures since the last success, while they are of one kind."""
        self._dice = desk.tools.dice
        self._turns = SubmitTurns(
            wait=self._submit_wait, disproved=self._disproved, start=self._start, give_back=self.told_nothing
        )
        self._questions = PollTurns(wait=self._poll_wait, take=self._ask)
        desk.at_end_of_sends(self._turns.close)
        gate.join(self)

    @property
    def pace(self) -> limits.Pace | None:
        """The pace of its gate; None for work on this machine."""
        return self.gate.pace

    def has_answered(self) -> bool:
        """Whether the provider has answered a request by now."""
        return self.answered

    async def submit_turn(self, *, not_before: float = 0.0) -> Ticket | None:
        """Wait until a request may leave now; None where none leaves any more. The ticket goes with its answer."""
        if self.pace is None:
            return Ticket(0)
        return await self._turns.take(not_before=not_before)

    def _submit_wait(self, now: float) -> float:
        assert self.pace is not None
        return max(self.pace.wait(now), self.gate.circuit.wait(now))

    def _disproved(self) -> bool:
        """It takes requests again, or is known to take one when a job has ended, whatever it asks for."""
        assert self.pace is not None
        return self.pace.closed is None or self.pace.disproved

    def _start(self) -> Ticket:
        assert self.pace is not None
        self.gate.pace, ticket = self.pace.started(clock.ticks())
        self.gate.circuit = self.gate.circuit.asked()
        return ticket

    def accepted(self, ticket: Ticket) -> None:
        """A request was accepted: its job runs."""
        self._moved(self.pace and self.pace.accepted(clock.ticks(), ticket))

    def refused(self, ticket: Ticket, *, after_s: float | None) -> None:
        """A request was refused for now (429): all of them wait, as long as that is."""
        if self.pace is not None:
            self._moved(self.pace.refused(clock.ticks(), ticket, after_s=after_s, jitter=self._dice()))

    def told_nothing(self, ticket: Ticket) -> None:
        """A request came to something that says nothing of the pace."""
        self.gate.circuit = self.gate.circuit.gone()
        self._moved(self.pace and self.pace.gone(ticket))

    def resumed(self) -> None:
        """A job of an earlier run is in flight."""
        self._moved(self.pace and self.pace.resumed())

    def ended(self) -> None:
        """A job in flight has ended at the provider."""
        self._moved(self.pace and self.pace.ended())

    async def step_aside(self) -> None:
        """Where places are short, whoever takes the place of a job that has ended goes first: what is made can wait."""
        if self.pace is not None and self.pace.learned is limits.Learned.SLOTS:
            await clock.sleep(_STEPS_ASIDE_S)

    def unwatched(self) -> None:
        """A job in flight is left to a later run."""
        self._moved(self.pace and self.pace.left())

    def _moved(self, pace: limits.Pace | None) -> None:
        self.gate.pace = pace
        if pace is not None:
            self.gate.look_at_sends()

    async def poll_turn(self, polls: int, *, age_s: float) -> None:
        """Wait until a job that was polled `polls` times is to be polled again, and the budget allows."""
        delay = limits.poll_delay(polls, jitter=self._dice())
        hint = self.gate.ages.hint(age_s)
        if hint is not None and polls and hint > age_s and self.gate.polls.is_ample(clock.ticks()):
            delay = min(delay, hint - age_s)
        await self._questions.take(delay)

    def spend_poll(self) -> None:
        """Count a question that does not wait for its turn."""
        self.gate.polls = self.gate.polls.taken(clock.ticks())

    def _poll_wait(self, now: float) -> float:
        return max(self.gate.polls.wait(now), self.gate.circuit.wait(now))

    def _ask(self, now: float) -> None:
        self.gate.polls = self.gate.polls.taken(now)
        self.gate.circuit = self.gate.circuit.asked()

    def poll_answered(self, *, refused: bool, after_s: float | None) -> None:
        """A question was answered, or refused for now: that concerns the questions of all."""
        if refused:
            self.gate.polls = self.gate.polls.refused(clock.ticks(), after_s=after_s, jitter=self._dice())
        else:
            self.gate.polls = self.gate.polls.answered(clock.ticks())

    def heard(self, reply: Reply, *, asked_at: float) -> None:
        """Whether the provider has answered, and not only a gateway before it."""
        if reply.sent is Sent.ANSWERED and reply.status not in _DOWN:
            self.gate.circuit = self.gate.circuit.answered()
        else:
            self.gate.circuit = self.gate.circuit.failed(clock.ticks(), asked_at=asked_at, jitter=self._dice())
        self.gate.look()

    def not_heard(self) -> None:
        """A request was broken off."""
        self.gate.circuit = self.gate.circuit.gone()
        self.gate.look()

    def look_at_sends(self) -> None:
        """Let go whichever of its requests may leave now."""
        self._turns.look()

    def look(self) -> None:
        """Let go whoever may send or ask now."""
        self._turns.look()
        self._questions.look()

    def close(self) -> None:
        """Wake nobody any more."""
        self.gate.leave(self)
        self._turns.close()
        self._questions.close()

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
    not_before: float = 0.0
    """Until when it was asked to wait by its last refusal, in ticks; 0 where it was not refused."""
    answered_at: float = 0.0
    """When its request was answered last, in ticks."""
    accepted_at: float = 0.0
    """When this run's request was accepted, in ticks; 0 for one of an earlier run."""
    running: bool = False
    """Whether its lane counts it as in flight."""
    seen_running_s: float = 0.0
    """How old it was when it was last asked for and still ran."""
    turn_taken: bool = False
    """Whether the poll budget was asked for the next request already."""
    in_the_air: bool = False
    """Between intent and receipt of a paid request: not to be broken off."""

    def age_s(self, at: float | None = None) -> float:
        """Seconds since it was accepted, now or at a moment in ticks; 0 for a request of an earlier run."""
        return (clock.ticks() if at is None else at) - self.accepted_at if self.accepted_at else 0.0

    def ended(self) -> None:
        """Its job has ended at the provider."""
        if self.accepted_at:
            self.lane.gate.ages = self.lane.gate.ages.ended(running_at_s=self.seen_running_s, ended_at_s=self.age_s())
        self.running = False
        self.lane.ended()


@contextmanager
def in_flight(task: Task) -> Iterator[None]:
    """While a task is carried, its lane knows whether it holds a place at the provider."""
    if task.action in (Action.RESUME, Action.ASK) and task.lane.pace is not None:
        task.running = True
        task.lane.resumed()
    try:
        yield
    finally:
        if task.running:
            task.running = False
            task.lane.unwatched()
