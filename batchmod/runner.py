"""Carries out a Plan: intent → act → receipt, job by job, and tells `observe` what happens.

The order of the record's calls here is the promise of the product. A paid request leaves only after `intend` has
returned; its id is on disk (`accept`) before anything else is done; an output counts only when its checked file has
its final name.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from batchmod import clock, files, limits, reconcile, retry
from batchmod.checkpoint import Checkpoint
from batchmod.model import (
    Again,
    Attempt,
    Blocked,
    Call,
    Done,
    Event,
    Failed,
    Job,
    Reply,
    Sent,
    Status,
    Step,
    Uncertain,
    VideoFacts,
    Wait,
    Work,
)
from batchmod.planning import Action, Item, Plan
from batchmod.providers.base import Provider
from batchmod.work import Refusal

_DOWNLOAD_TRIES: Final = 5
_KEPT_BY_PROVIDER_S: Final = 7 * 86400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a run behaves."""

    run_id: str
    max_in_flight: int = 8
    submits_per_minute: float | None = None
    polls_per_minute: float = 60.0
    local_workers: int = 1
    budget: limits.Budget = field(default_factory=lambda: limits.Budget(cap_usd=None))
    policy: retry.Policy = field(default_factory=retry.Policy)
    stop_after_failures: int = 5
    poll_deadline_s: float = 3600.0
    history_grace_s: float = 600.0
    may_spend: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """What a run acts with."""

    checkpoint: Checkpoint
    folder: Path
    scratch: Path
    provider: Callable[[str, str], Provider | None]
    """(name, origin) → the provider; None where its key is not set."""
    verify: Callable[[Path], Awaitable[VideoFacts | Refusal]]
    clip: Callable[[str], VideoFacts | None]
    """Identity of a source → its facts, if it was looked at."""
    observe: Callable[[Event], None]
    dice: Callable[[], float]


@dataclass(kw_only=True, slots=True)
class Lane:
    """One provider at one origin: its pace, its failures, and whether it has been stopped."""

    provider: Provider
    submits: limits.TokenBucket | None
    polls: limits.TokenBucket
    answered: bool = False
    leading: asyncio.Lock = field(default_factory=asyncio.Lock)
    row_of_failures: list[str] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class Task:
    """A work on its way, and the jobs its output is for."""

    work: Work
    jobs: tuple[Job, ...]
    lane: Lane
    action: Action
    estimate_usd: float = 0.0
    reserved_usd: float = 0.0
    attempt_id: int | None = None
    sends: int = 0
    polls: int = 0
    began: float = 0.0
    in_the_air: bool = False
    """Between intent and receipt: not to be broken off."""


class _Left(Exception):  # noqa: N818 - no error: the job is left as the record has it
    """The job goes no further in this run."""


class Runner:
    """One run into one output folder."""

    def __init__(self, tools: Tools, settings: Settings) -> None:
        self.stop_slug: str | None = None
        self.stop_message: str | None = None
        self.warnings: list[str] = []
        self._tools = tools
        self._record = tools.checkpoint
        self._settings = settings
        self._budget = settings.budget
        self._money_moved = asyncio.Event()
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._running: dict[asyncio.Task[None], Task] = {}
        self._draining = False

    # --- the whole run ---

    async def run(self, plan: Plan) -> None:
        """Carry out a plan; afterwards ask once more about what has become uncertain, and go on with what is found."""
        self._fail_flawed(plan)
        tasks = [*self._orphans(plan), *self._tasks(plan)]
        await self._carry_all(tasks)
        self._copy_existing(plan)
        while not self._draining and (found := await self.resolve()):
            jobs = _jobs_by_key(plan)
            await self._carry_all([task for work in found if (task := self._task(work, jobs.get(work.job_key, ())))])

    def drain(self, slug: str) -> None:
        """Stop soon: no new requests, ids of those in the air recorded, everything else left as it is."""
        self._draining = True
        self.stop_slug = self.stop_slug or slug
        for running, task in self._running.items():
            if not task.in_the_air:
                running.cancel()

    async def close(self) -> None:
        """Let go of the providers."""
        for lane in self._lanes.values():
            await lane.provider.close()

    # --- what is asked about ---

    async def resolve(self) -> list[Work]:
        """Look the uncertain up in their providers' histories; the works that can go on now."""
        going_on = []
        asked: dict[tuple[str, str], list[Attempt]] = {}
        for attempt in self._record.uncertain_attempts():
            if attempt.request_id is None:
                asked.setdefault((attempt.provider, attempt.origin), []).append(attempt)
        for (name, origin), attempts in asked.items():
            for verdict in await self._ask(name, origin, attempts):
                work = self._settle(verdict)
                if work is not None:
                    going_on.append(work)
        return going_on

    async def _ask(self, name: str, origin: str, attempts: Sequence[Attempt]) -> list[reconcile.Verdict]:
        lane = self._lane(name, origin)
        if lane is None:
            return []
        accepted = self._record.accepted_attempts(name, origin, since=0.0)
        now = clock.now()
        since = min(reconcile.window_start(attempt, 0.0) for attempt in attempts)
        if accepted:
            latest = max(attempt.sent_at for attempt in accepted)
            since = min(since, latest - reconcile.WINDOW_BEFORE_S)
        walk = await lane.provider.history(since=since, now=now)
        if walk is None:
            return []
        known = [reconcile.Known(request_id=a.request_id, body=a.body) for a in accepted if a.request_id]
        return reconcile.resolve(attempts, walk=walk, known=known, now=now, grace_s=self._settings.history_grace_s)

    def _settle(self, verdict: reconcile.Verdict) -> Work | None:
        """Write a verdict down; the work, if it can go on."""
        attempt = verdict.attempt
        match verdict:
            case reconcile.Found():
                request_id = verdict.row.request_id
                self._record.accept(attempt.work_id, attempt.attempt_id, request_id=request_id, state={})
                self._tell("resolved", attempt.work_id, request_id=request_id, how="found in the history")
                return self._record.work(attempt.work_id)
            case reconcile.NeverAccepted():
                self._record.never_accepted(attempt)
                self._tell("resolved", attempt.work_id, how="never accepted: planned again")
                return self._record.work(attempt.work_id) if self._settings.may_spend else None
            case reconcile.StillOpen():
                return None

    # --- tasks ---

    def _tasks(self, plan: Plan) -> Iterable[Task]:
        """A task per work to be carried on; what was sent before comes first."""
        groups = _jobs_by_key(plan)
        order = {Action.RESUME: 0, Action.ASK: 0, Action.FETCH: 1, Action.SEND: 2}
        chosen = sorted((item for item in plan.items if item.action in order), key=lambda item: order[item.action])
        for item in chosen:
            if item.action is Action.ASK and not self._can_go_on(item):
                continue
            work = (
                self._record.open_work(item.job, run_id=self._settings.run_id)
                if item.action is Action.SEND
                else self._record.work(item.work_id or 0)
            )
            task = self._task(work, groups[item.job.key], action=item.action)
            if task is not None:
                task.estimate_usd = item.estimate.high if item.estimate else 0.0
                yield task

    def _can_go_on(self, item: Item) -> bool:
        """An uncertain work goes on only with a request id; without one it waits for a history's word."""
        return self._record.work(item.work_id or 0).request_id is not None

    def _orphans(self, plan: Plan) -> Iterable[Task]:
        """Unfinished works that no row names any more: paid all the same."""
        for work in plan.orphans:
            if work.request_id is not None and (task := self._task(work, ())):
                yield task

    def _task(self, work: Work, jobs: tuple[Job, ...], *, action: Action = Action.RESUME) -> Task | None:
        lane = self._lane(work.provider, work.origin)
        if lane is None:
            text = f"request {work.request_id} at {work.provider} cannot be collected: its key is not set"
            self.warnings.append(text)
            return None
        if action is Action.RESUME and work.status is Status.PLANNED:
            action = Action.SEND
        return Task(work=work, jobs=jobs, lane=lane, action=action, estimate_usd=work.reserved_usd)

    def _lane(self, name: str, origin: str) -> Lane | None:
        lane = self._lanes.get((name, origin))
        if lane is None:
            provider = self._tools.provider(name, origin)
            if provider is None:
                return None
            lane = self._new_lane(provider)
            self._lanes[name, origin] = lane
        return lane

    def _new_lane(self, provider: Provider) -> Lane:
        now, facts = clock.ticks(), provider.facts
        wished = self._settings.submits_per_minute
        rate = wished or facts.submits_per_minute
        burst = min(facts.burst, max(1, int(wished))) if wished and wished < facts.burst else facts.burst
        submits = limits.TokenBucket.full(per_minute=rate, burst=burst, at=now) if rate and facts.hosted else None
        polls = limits.TokenBucket.full(per_minute=self._settings.polls_per_minute, burst=30, at=now)
        return Lane(provider=provider, submits=submits, polls=polls, answered=not facts.hosted)

    def _fail_flawed(self, plan: Plan) -> None:
        for item in plan.items:
            if item.action is Action.FAIL and item.flaw is not None:
                work = self._record.open_work(item.job, run_id=self._settings.run_id)
                self._record.fail(
                    work.work_id, code=item.flaw.slug, message=item.flaw.message, billed=False, at=clock.now()
                )
                self._tell("failed", work, (item.job,), code=item.flaw.slug, message=item.flaw.message)

    def _copy_existing(self, plan: Plan) -> None:
        """Deliver an output that is there to a further id: nothing is sent."""
        for item in plan.items:
            if item.action is not Action.COPY or item.work_id is None:
                continue
            work = self._record.work(item.work_id)
            there = [d for d in self._record.deliveries_of(work.work_id) if d.delivered]
            mine = [d for d in there if d.id.casefold() == item.job.id.casefold()]
            source = next((d for d in there if (self._tools.folder / d.path).exists()), None)
            if work.status is not Status.SUCCEEDED or source is None or (mine and source in mine):
                continue
            delivery = self._record.add_delivery(item.job, work.work_id)
            target = self._tools.folder / delivery.path
            if not target.exists():
                files.copy_into_place(self._tools.folder / source.path, target)
            self._record.delivered(delivery)
            self._tell("copied", work, (item.job,), output=delivery.path)

    async def _carry_all(self, tasks: Iterable[Task]) -> None:
        """Each lane's tasks in order, so many at a time."""
        queues: dict[int, list[Task]] = {}
        for task in tasks:
            queues.setdefault(id(task.lane), []).append(task)
        await asyncio.gather(*(self._carry_lane(queue) for queue in queues.values()))

    async def _carry_lane(self, queue: list[Task]) -> None:
        hosted = queue[0].lane.provider.facts.hosted
        width = self._settings.max_in_flight if hosted else self._settings.local_workers
        waiting = iter(queue)

        async def worker() -> None:
            for task in waiting:
                if self._draining:
                    return
                running = asyncio.create_task(self._carry(task))
                self._running[running] = task
                try:
                    await running
                except asyncio.CancelledError:
                    if not running.cancelled() and not running.done():
                        running.cancel()
                        raise
                finally:
                    self._running.pop(running, None)

        await asyncio.gather(*(worker() for _ in range(min(width, len(queue)))))

    # --- one job ---

    async def _carry(self, task: Task) -> None:
        """Take one work as far as it goes."""
        provider = task.lane.provider
        task.began = clock.ticks()
        sending = task.action is Action.SEND
        step = provider.begin(task.work) if sending else provider.resume(task.work)
        with suppress(_Left):
            while not isinstance(step, Done):
                step = await self._advance(task, step)
            await self._deliver(task, step)

    async def _advance(self, task: Task, step: Step) -> Step:
        """One step; raises _Left where the job ends without an output."""
        match step:
            case Call(paying=True):
                return await self._submit(task, step)
            case Call():
                return await self._call(task, step)
            case Wait():
                return await self._wait(task, step)
            case Failed() | Blocked() | Uncertain():
                return await self._after_trouble(task, step)
            case Done():
                return step

    async def _call(self, task: Task, call: Call) -> Step:
        """A request that costs nothing: an upload, a poll, a result."""
        if call.request.method == "GET":
            task.lane.polls, _ = task.lane.polls.take(clock.ticks())
        reply = await task.lane.provider.send(call)
        return task.lane.provider.next(call.state, reply)

    async def _wait(self, task: Task, step: Wait) -> Step:
        """Wait for the next poll's turn; a deadline is no failure, the id stays in the record."""
        if self._draining:
            raise _Left
        if clock.ticks() - task.began > self._settings.poll_deadline_s:
            self._stop("poll_deadline", "a job did not finish in time; run again to go on waiting for it")
            raise _Left
        task.lane.polls, for_turn = task.lane.polls.take(clock.ticks())
        await clock.sleep(max(limits.poll_delay(task.polls), for_turn))
        task.polls += 1
        if step.phase:
            self._tell("polled", task.work, task.jobs, phase=step.phase)
        return task.lane.provider.next(step.state, None)

    # --- the request that can cost money ---

    async def _submit(self, task: Task, call: Call) -> Step:
        """Reserve, wait for the turn, write the intent, send, write the receipt."""
        await self._reserve(task)
        lane = task.lane
        leads = not lane.answered
        if leads:
            await lane.leading.acquire()
            if lane.answered:
                lane.leading.release()
                leads = False
        try:
            await self._turn(task)
            return await self._send(task, call)
        finally:
            if leads:
                lane.leading.release()

    async def _reserve(self, task: Task) -> None:
        """Hold the upper estimate under the cap, or wait for money that comes free, or stop."""
        while not self._budget.allows(task.estimate_usd):
            if self._budget.reserved_usd <= 0 or self._draining:
                left = f"${self._budget.committed_usd:.2f} of ${self._budget.cap_usd or 0:.2f} is committed"
                self._stop("budget", f"the budget is reached: {left}")
                raise _Left
            self._money_moved.clear()
            await self._money_moved.wait()
        self._budget = self._budget.reserve(task.estimate_usd)
        task.reserved_usd = task.estimate_usd

    def _release(self, task: Task, *, cost: float = 0.0) -> None:
        self._budget = self._budget.settle(reserved=task.reserved_usd, cost=cost)
        task.reserved_usd = 0.0
        self._money_moved.set()

    async def _turn(self, task: Task) -> None:
        """Wait for the limiter; an intent is written only when its request may leave now."""
        lane = task.lane
        if lane.submits is not None:
            lane.submits, wait = lane.submits.take(clock.ticks())
            await clock.sleep(wait)
        if self._draining or self.stop_slug is not None:
            self._release(task)
            raise _Left

    async def _send(self, task: Task, call: Call) -> Step:
        provider, work_id = task.lane.provider, task.work.work_id
        task.sends += 1
        task.in_the_air = True
        try:
            task.attempt_id = self._record.intend(
                work_id,
                body=call.request.json,
                at=clock.now(),
                reserved_usd=task.reserved_usd,
                jobs=task.jobs,
                state=provider.saved(call.state),
            )
            self._tell("intended", task.work, task.jobs, attempt=task.attempt_id)
            reply = await provider.send(call)
            step = provider.next(call.state, reply)
            request_id = provider.request_id(step.state)
            if request_id is not None:
                self._record.accept(work_id, task.attempt_id, request_id=request_id, state=provider.saved(step.state))
                self._tell("submitted", task.work, task.jobs, request_id=request_id)
        finally:
            task.in_the_air = False
        if reply.sent is not Sent.NEVER_SENT:
            task.lane.answered = True
        return step if not isinstance(step, Failed) else await self._after_refusal(task, step, reply)

    async def _after_refusal(self, task: Task, step: Failed, reply: Reply) -> Step:
        """A definite no to the paid request: again, or not."""
        decision = retry.decide(step, sends=task.sends, policy=self._settings.policy, jitter=self._tools.dice())
        match decision:
            case retry.SendAgain():
                outcome = "never_sent" if reply.sent is Sent.NEVER_SENT else "refused"
                return await self._send_again(task, step, decision, outcome)
            case retry.StopBatch():
                return Blocked(state=step.state, slug=decision.slug, message=step.message)
            case _:
                return step

    async def _send_again(self, task: Task, step: Failed, decision: retry.SendAgain, outcome: str) -> Step:
        assert task.attempt_id is not None
        if decision.ask_first:
            self._record.doubt(task.work.work_id, task.attempt_id, reason=step.message, at=clock.now())
        else:
            self._record.refuse(task.work.work_id, task.attempt_id, outcome=outcome, note=step.message)
            self._release(task)
        self._tell("retrying", task.work, task.jobs, why=step.message, after_s=round(decision.after_s, 3))
        if step.slug == "rate_limited" and task.lane.submits is not None:
            task.lane.submits = task.lane.submits.paused(clock.ticks() + decision.after_s)
        await clock.sleep(decision.after_s)
        if decision.ask_first:
            return await self._after_history(task, step)
        return task.lane.provider.begin(self._record.work(task.work.work_id))

    async def _after_history(self, task: Task, step: Failed) -> Step:
        """A documented 500 creates nothing; it is sent again only if the history, asked first, agrees."""
        mine = [a for a in self._record.uncertain_attempts() if a.work_id == task.work.work_id]
        verdicts = await self._ask(task.work.provider, task.work.origin, mine)
        for verdict in verdicts:
            if isinstance(verdict, reconcile.Found):
                work = self._settle(verdict)
                assert work is not None
                return task.lane.provider.resume(work)
        readable = verdicts and all(
            not isinstance(v, reconcile.StillOpen) or v.reason in reconcile.READABLE for v in verdicts
        )
        if not readable or task.attempt_id is None:
            return Uncertain(state=step.state, reason=f"{step.message}; the history could not be asked")
        self._record.refuse(task.work.work_id, task.attempt_id, outcome="refused", note=step.message)
        self._release(task)
        return task.lane.provider.begin(self._record.work(task.work.work_id))

    # --- trouble ---

    async def _after_trouble(self, task: Task, step: Failed | Blocked | Uncertain) -> Step:
        """End the job as the record must show it; only what cost nothing so far is tried again from here."""
        work_id = task.work.work_id
        if task.action is Action.FETCH:
            return self._lost(task, step)
        match step:
            case Failed() if step.again is not Again.NEVER and task.attempt_id is None:
                return await self._prepare_again(task, step)
            case Failed():
                self._record.fail(work_id, code=step.slug, message=step.message, billed=step.billed, at=clock.now())
                self._release(task)
                self._tell("failed", task.work, task.jobs, code=step.slug, message=step.message)
                self._count_failure(task.lane, step.slug)
            case Blocked():
                if self._record.work(work_id).status is Status.SUBMITTING and task.attempt_id is not None:
                    self._record.refuse(work_id, task.attempt_id, outcome="refused", note=step.message)
                    self._release(task)
                self._stop(step.slug, step.message)
            case Uncertain():
                self._record.doubt(work_id, task.attempt_id, reason=step.reason, at=clock.now())
                self._tell("uncertain", task.work, task.jobs, reason=step.reason)
        raise _Left

    async def _prepare_again(self, task: Task, step: Failed) -> Step:
        """An upload did not get through: nothing was asked for yet."""
        task.sends += 1
        decision = retry.decide(step, sends=task.sends, policy=self._settings.policy, jitter=self._tools.dice())
        if not isinstance(decision, retry.SendAgain):
            return Blocked(state=step.state, slug=step.slug, message=step.message)
        self._tell("retrying", task.work, task.jobs, why=step.message, after_s=round(decision.after_s, 3))
        await clock.sleep(decision.after_s)
        return task.lane.provider.begin(task.work)

    def _lost(self, task: Task, step: Failed | Blocked | Uncertain) -> Step:
        """A paid output whose file is missing and which the provider no longer gives."""
        if isinstance(step, Blocked):
            self._stop(step.slug, step.message)
            raise _Left
        reason = step.message if isinstance(step, Failed) else step.reason
        message = f"the file is missing and the provider no longer has it ({reason}); --pay-again would buy it anew"
        self._record.fail(task.work.work_id, code="output_expired", message=message, billed=True, at=clock.now())
        self._tell("failed", task.work, task.jobs, code="output_expired", message=message)
        raise _Left

    def _count_failure(self, lane: Lane, slug: str) -> None:
        """A row of failures of one cause is a cause to stop paying."""
        if not lane.provider.facts.hosted:
            return
        lane.row_of_failures = [*lane.row_of_failures, slug] if slug in lane.row_of_failures[-1:] else [slug]
        if len(lane.row_of_failures) >= self._settings.stop_after_failures:
            count = len(lane.row_of_failures)
            self._stop("too_many_failures", f"{count} failures in a row ({slug}); nothing more was sent")

    def _stop(self, slug: str, message: str) -> None:
        """No new requests from now on; what is in flight is still collected."""
        if self.stop_slug is None:
            self.stop_slug, self.stop_message = slug, message
            self._tell("stopping", None, (), code=slug, message=message)

    # --- the output ---

    async def _deliver(self, task: Task, done: Done) -> None:
        """Bring the output home, check it, give it its final name, then write down that it is there."""
        work_id = task.work.work_id
        if task.lane.provider.facts.hosted:
            self._record.output_known(work_id, location=done.location, cost_usd=done.cost_usd)
            self._tell("output_known", task.work, task.jobs, cost_usd=done.cost_usd)
        for job in task.jobs:
            self._record.add_delivery(job, work_id)
        targets = [self._tools.folder / d.path for d in self._record.deliveries_of(work_id)]
        facts = await self._bring_home(task, done, targets[0])
        for target in targets[1:]:
            if not target.exists():
                await asyncio.to_thread(files.copy_into_place, targets[0], target)
        work = self._record.work(work_id)
        estimated = task.estimate_usd if task.lane.provider.facts.hosted and work.cost_usd is None else None
        self._record.succeed(
            work_id,
            facts=facts,
            sha256=await asyncio.to_thread(files.sha256_of, targets[0]),
            at=clock.now(),
            flag_reason=_doubt(self._tools.clip(work.inputs["video"]["identity"]), facts),
            warnings=done.warnings,
            estimated_usd=estimated,
        )
        cost = work.cost_usd if work.cost_usd is not None else (estimated or 0.0)
        self._release(task, cost=cost)
        task.lane.row_of_failures = []
        self._tell("succeeded", task.work, task.jobs, cost_usd=cost, output=str(targets[0].name))

    async def _bring_home(self, task: Task, done: Done, target: Path) -> VideoFacts:
        """The checked file under its final name; a cut or wrong file is fetched again, never paid for again."""
        if target.exists() and isinstance(facts := await self._tools.verify(target), VideoFacts):
            return facts
        part = self._tools.scratch / f"{task.work.work_id}.part"
        problem = ""
        for number in range(_DOWNLOAD_TRIES):
            await clock.sleep(0.0 if number == 0 else 0.5 * 2.0**number)
            got = await task.lane.provider.collect(done, part)
            problem = got.problem
            if got.ok:
                found = await self._tools.verify(part)
                if isinstance(found, VideoFacts):
                    target.unlink(missing_ok=True)
                    await asyncio.to_thread(files.put_in_place, part, target)
                    return found
                problem = found.message
            elif not got.retry and not got.gone:
                break
        part.unlink(missing_ok=True)
        self._not_brought_home(task, problem)
        raise _Left

    def _not_brought_home(self, task: Task, problem: str) -> None:
        work, hosted = task.work, task.lane.provider.facts.hosted
        old = clock.now() - (self._record.work(work.work_id).submitted_at or clock.now()) > _KEPT_BY_PROVIDER_S
        message = f"the output could not be fetched: {problem}"
        if not hosted or old or task.action is Action.FETCH:
            code = "output_expired" if hosted else "broken_output"
            self._record.fail(work.work_id, code=code, message=message, billed=hosted, at=clock.now())
            self._tell("failed", work, task.jobs, code=code, message=message)
        else:
            self._stop("download_failed", f"{message}; it is paid: run again to fetch it")

    # --- telling ---

    def _tell(self, kind: str, work: Work | int | None, jobs: Sequence[Job] = (), **facts: Any) -> None:
        known = self._record.work(work) if isinstance(work, int) else work
        ids = [job.id for job in jobs] or ([d.id for d in self._record.deliveries_of(known.work_id)] if known else [])
        event = Event(
            kind=kind,
            at=clock.iso(clock.now()),
            run_id=self._settings.run_id,
            id=ids[0] if ids else None,
            job_key=known.job_key if known else None,
            facts=facts if len(ids) < 2 else {**facts, "also": ids[1:]},
        )
        self._tools.observe(event)


def recover(checkpoint: Checkpoint, *, hosted: Callable[[str], bool], at: float) -> None:
    """What a killed run left half done: a hosted request may be paid (uncertain), a local one is planned again."""
    for work in checkpoint.unfinished():
        if work.status is not Status.SUBMITTING:
            continue
        if hosted(work.provider):
            attempt = checkpoint.open_attempt(work.work_id)
            checkpoint.doubt(work.work_id, attempt, reason="the run ended while the request was on its way", at=at)
        else:
            checkpoint.put_back(work.work_id)


def _jobs_by_key(plan: Plan) -> Mapping[str, tuple[Job, ...]]:
    groups: dict[str, list[Job]] = {}
    for item in plan.items:
        if item.action not in (Action.HOLD, Action.INVALID, Action.LEAVE, Action.KEEP):
            groups.setdefault(item.job.key, []).append(item.job)
    return {key: tuple(jobs) for key, jobs in groups.items()}


def _doubt(source: VideoFacts | None, output: VideoFacts) -> str | None:
    """What about an output is not as its source: it is what was paid for, and kept, but somebody should look."""
    if source is None:
        return None
    reasons = []
    if source.duration_s and output.duration_s and abs(source.duration_s - output.duration_s) > 0.1:
        reasons.append(f"{output.duration_s:.2f} s instead of {source.duration_s:.2f} s")
    if source.fps and output.fps and abs(float(source.fps) - float(output.fps)) > 0.01:
        reasons.append(f"{float(output.fps):g} fps instead of {float(source.fps):g}")
    if (source.width, source.height) != (output.width, output.height):
        reasons.append(f"{output.width}x{output.height} instead of {source.width}x{source.height}")
    return ", ".join(reasons) or None
