"""One run into one output folder: which works are carried on, how many at a time, and how each ends."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Final

from batchmod import clock, retry
from batchmod.checkpoint import NotTogether
from batchmod.errors import NO_ROOM, StoppedEarly
from batchmod.model import Again, Blocked, Call, Done, Failed, Job, Status, Step, Uncertain, Wait, Work
from batchmod.planning import Action, Item, Plan
from batchmod.runner import delivering, resolving
from batchmod.runner.desk import Desk, Settings, Tools
from batchmod.runner.lanes import Lane, Task, in_flight
from batchmod.runner.money import Purse
from batchmod.runner.polling import answered, asked
from batchmod.runner.submitting import Left, submit

_WIDTH_EVERY_S: Final = 2.0
"""How often a full lane looks whether it has become wider."""

_LINKS: Final = 3
"""How many links to one output are tried, where asking again gives a fresh one."""


class Runner:
    """One run: `resolve` first, then `run` a plan, then `close`."""

    def __init__(self, tools: Tools, settings: Settings, purse: Purse) -> None:
        self.desk = Desk(tools, settings, purse)
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._running: dict[asyncio.Task[None], Task] = {}
        self._broken: Exception | None = None
        self._break_off: asyncio.TimerHandle | None = None
        self._cut: list[int] = []
        """Works sent by this run that have become uncertain."""

    async def resolve(self) -> list[Work]:
        """Look the uncertain up in their providers' histories; the works that can go on now."""
        return await resolving.resolve(self.desk, self._lane)

    async def run(self, plan: Plan) -> None:
        """Carry out a plan; afterwards ask about what has become uncertain, and go on with what is found."""
        self._fail_flawed(plan)
        again = [(item.job, item.again) for item in plan.of(Action.SEND) if item.again]
        self.desk.record.open_again(again, run_id=self.desk.settings.run_id)
        groups = _jobs_by_key(plan)
        for item in plan.of(Action.REUSE):
            await delivering.reuse(self.desk, item, groups[item.job.key])
        await self._warn_of_balance(plan)
        timer = asyncio.ensure_future(self._end_in_time())
        carried = asyncio.ensure_future(self._carry_all(chain(self._orphans(plan), self._tasks(plan))))
        asking = asyncio.ensure_future(self._ask_meanwhile(carried, groups))
        try:
            await carried
            if self.desk.draining:
                asking.cancel()
            await asyncio.wait([asking])
        finally:
            timer.cancel()
            asking.cancel()
            self.desk.write_last_receipts()
        if not asking.cancelled():
            asking.result()
        delivering.copy_existing(self.desk, plan)
        while not self.desk.draining and (found := [*self._cut_off(), *await self.resolve()]):
            tasks = (self._task(work, groups.get(work.job_key, ())) for work in found)
            await self._carry_all([task for task in tasks if task is not None])
        if self._broken is not None:
            raise self._broken

    def _cut_off(self) -> list[Work]:
        """Works whose answer was cut after it had named their id: asked for by it, once in this run."""
        works = [self.desk.record.work(work_id) for work_id in self._cut]
        self._cut.clear()
        return [work for work in works if work.request_id is not None]

    async def _end_in_time(self) -> None:
        """Nothing new is sent after the time that was given; what was sent is collected."""
        if self.desk.settings.until is not None:
            await clock.sleep(self.desk.settings.until - clock.now())
            self.desk.stop("until", "the time that was given is over; nothing more is sent")

    async def _ask_meanwhile(self, carried: asyncio.Future[None], groups: Mapping[str, tuple[Job, ...]]) -> None:
        """While other jobs work: whenever a grace ends, look the uncertain up again, and go on with what is found."""
        asked, grace_s = clock.now(), self.desk.settings.history_grace_s
        while True:
            end = resolving.next_end_of_grace(self.desk, after=asked)
            # What becomes uncertain from now on has its grace before it: there is no sooner end to be missed.
            wait_s = max(grace_s, 1.0) if end is None else max(0.0, end - clock.now())
            await asyncio.wait([carried], timeout=wait_s)
            if carried.done() or self.desk.draining:
                return
            if end is None:
                continue
            asked = clock.now()
            busy = {task.work.work_id for task in self._running.values()}
            found = await resolving.resolve(self.desk, self._lane, busy=busy)
            tasks = (self._task(work, groups.get(work.job_key, ())) for work in found)
            await self._carry_all([task for task in tasks if task is not None])

    async def _warn_of_balance(self, plan: Plan) -> None:
        """A balance below the plan is worth a warning; the provider's own refusal comes when it comes."""
        for name, origin in {(item.job.provider, item.job.origin) for item in plan.paid_sends.samples()}:
            lane = self._lane(name, origin)
            balance = await lane.provider.balance() if lane is not None else None
            if balance is not None and balance < plan.cost.likely:
                text = f"the balance at {name} is ${balance:.2f}, the plan may cost ${plan.cost.likely:.2f}"
                self.desk.warnings.append(text)

    def drain(self, slug: str) -> None:
        """Stop soon: no new requests, ids of those in the air recorded, everything else left as it is.

        What is in the air is waited for, but not for ever: a call that blocks until its video is made may take
        minutes. Broken off, it is uncertain, and the next run looks it up.
        """
        self.desk.draining = True
        self.desk.stop_slug = self.desk.stop_slug or slug
        self.desk.end_sends()
        for running, task in self._running.items():
            if not task.in_the_air:
                running.cancel()
        if self._break_off is None:
            self._break_off = asyncio.get_running_loop().call_later(self.desk.settings.drain_s, self._cancel_all)

    def _cancel_all(self) -> None:
        for running in self._running:
            running.cancel()

    async def close(self) -> None:
        """Let go of the providers."""
        if self._break_off is not None:
            self._break_off.cancel()
        self.desk.flush()
        for lane in self._lanes.values():
            lane.close()
            await lane.provider.close()

    def _tasks(self, plan: Plan) -> Iterator[Task]:
        """A task per work to be carried on; what was sent before comes first."""
        groups = _jobs_by_key(plan)
        order = {Action.RESUME: 0, Action.ASK: 0, Action.FETCH: 1, Action.SEND: 2}
        chosen = sorted(plan.of(*order), key=lambda item: order[item.action])
        for item in chosen:
            work = self._work_of(item)
            if item.action is Action.ASK and work.request_id is None:
                continue  # without an id only a history can say more, and it was asked
            task = self._task(work, groups[item.job.key], action=item.action)
            if task is not None:
                task.estimate_usd = item.estimate.high if item.estimate else task.estimate_usd
                yield task

    def _work_of(self, item: Item) -> Work:
        if item.action is Action.SEND or item.work_id is None:
            return self.desk.record.open_work(item.job, run_id=self.desk.settings.run_id)
        return self.desk.record.work(item.work_id)

    def _orphans(self, plan: Plan) -> Iterator[Task]:
        """Unfinished works that no chosen row names: paid all the same."""
        for work in plan.orphans:
            if work.request_id is None:
                self._say_stray(work, work.error or "it may have been paid")
            elif task := self._task(work, ()):
                yield task

    def _say_stray(self, work: Work, reason: str) -> None:
        """Say what is uncertain beside the chosen rows; it is these rows' business only where no row shows it."""
        ids = self.desk.record.rows_showing(work)
        if ids:
            whose = f"{', '.join(ids)}: not among the rows of this run, and uncertain"
        else:
            whose = f"request {work.request_id or '(id not known)'} to {work.provider}, which no row shows any more, "
            whose += "is uncertain"
            self.desk.uncollected += 1
        self.desk.warnings.append(f"{whose}: {reason}; see `batchmod resolve`")

    def _task(self, work: Work, jobs: tuple[Job, ...], *, action: Action = Action.RESUME) -> Task | None:
        lane = self._lane(work.provider, work.origin)
        if lane is None:
            name = work.request_id or "an uncertain request"
            self.desk.warnings.append(f"{name} at {work.provider} cannot be collected: {self._unreachable(work)}")
            self.desk.uncollected += 1
            return None
        return Task(work=work, jobs=jobs, lane=lane, action=action, estimate_usd=work.reserved_usd)

    def _unreachable(self, work: Work) -> str:
        """Why a work's provider cannot be asked: no key, or another origin than the one it was sent to."""
        return f"its key is not set, or {work.origin} is no origin that a key may go to"

    def _lane(self, name: str, origin: str) -> Lane | None:
        lane = self._lanes.get((name, origin))
        if lane is None:
            provider = self.desk.tools.provider(name, origin)
            if provider is None:
                return None
            provider.watch(self._progress)
            told = self.desk.settings
            gate = self.desk.tools.gates.of(
                provider,
                max_in_flight=told.max_in_flight,
                submits_per_minute=told.submits_per_minute,
                polls_per_minute=told.polls_per_minute,
            )
            lane = self._lanes[name, origin] = Lane(provider, self.desk, gate)
        return lane

    def _progress(self, work: Work, done: int, total: int) -> None:
        self.desk.tell("progress", work, frames_done=done, frames=total)

    def _fail_flawed(self, plan: Plan) -> None:
        for item in plan.of(Action.FAIL):
            if item.flaw is not None:
                code, message = item.flaw.slug, item.flaw.message
                work = self.desk.record.open_work(item.job, run_id=self.desk.settings.run_id)
                self.desk.record.fail(work.work_id, code=code, message=message, billed=False, at=clock.now())
                self.desk.tell("failed", work, (item.job,), code=code, message=message)

    async def _carry_all(self, tasks: Iterable[Task]) -> None:
        """Each lane's tasks in their order, so many of them at a time."""
        queues: dict[int, list[Task]] = {}
        for task in self._opened(tasks):
            queues.setdefault(id(task.lane), []).append(task)
        await asyncio.gather(*(self._carry_lane(queue) for queue in queues.values()))

    def _opened(self, tasks: Iterable[Task]) -> list[Task]:
        """The tasks, with the works that they open written at once: nobody acts on one before."""
        if isinstance(tasks, list):
            return tasks
        try:
            with self.desk.record.together():
                return list(tasks)
        except NotTogether as error:
            slug = "disk_full" if "full" in str(error.__cause__) else "record_failed"
            raise StoppedEarly(f"{self.desk.record.path} cannot be written: {error.__cause__}", slug=slug) from error

    async def _carry_lane(self, queue: list[Task]) -> None:
        lane, waiting = queue[0].lane, iter(queue)
        if lane.provider.width is None:
            width = min(self.desk.settings.max_in_flight, len(queue))
            await asyncio.gather(*(self._worker(waiting) for _ in range(width)))
        else:
            await self._carry_elastic(lane, waiting)

    async def _carry_elastic(self, lane: Lane, waiting: Iterator[Task]) -> None:
        """As many at a time as the lane is wide just then: machines come and go."""
        busy: set[asyncio.Task[None]] = set()
        moved = asyncio.Event()

        def ended(one: asyncio.Task[None]) -> None:
            busy.discard(one)
            moved.set()

        try:
            for task in waiting:
                if self.desk.draining:
                    break
                while len(busy) >= max(1, lane.provider.width or 1):
                    moved.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(moved.wait(), _WIDTH_EVERY_S)
                carrying = asyncio.create_task(self._worker(iter((task,))))
                busy.add(carrying)
                carrying.add_done_callback(ended)
            while busy:
                moved.clear()
                await moved.wait()
        finally:
            for carrying in busy:
                carrying.cancel()

    async def _worker(self, waiting: Iterator[Task]) -> None:
        for task in waiting:
            if self.desk.draining:
                return
            if task.action is Action.SEND and not self.desk.sends:
                continue
            running = asyncio.create_task(self._carry(task))
            self._running[running] = task
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError:
                running.cancel()
                raise
            finally:
                self._running.pop(running, None)
            self._look_at(running)

    def _look_at(self, ended: asyncio.Task[None]) -> None:
        """A broken job ends the run in good order: the others are left as the record has them."""
        error = None if ended.cancelled() else ended.exception()
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            error = StoppedEarly.of(error)
        if isinstance(error, Exception):
            self._broken = self._broken or error
            if isinstance(error, StoppedEarly):
                self.drain(error.slug)
            else:
                self.drain("broken")

    async def _carry(self, task: Task) -> None:
        """Take one work as far as it goes."""
        provider = task.lane.provider
        task.began = clock.ticks()
        with suppress(Left), self.desk.purse.carried(task.work.work_id), in_flight(task):
            if task.action is not Action.SEND and await delivering.deliver_known(self.desk, task):
                return
            step = provider.begin(task.work) if task.action is Action.SEND else provider.resume(task.work)
            for links_left in reversed(range(_LINKS)):
                while not isinstance(step, Done):
                    step = await self._advance(task, step)
                if await delivering.deliver(self.desk, task, step, last=not links_left):
                    return
                task.polls = 0
                step = provider.resume(self.desk.record.work(task.work.work_id))

    async def _advance(self, task: Task, step: Step) -> Step:
        """One step; raises Left where the job ends without an output."""
        self.desk.tools.check_owner()
        match step:
            case Call(paying=True):
                return await self._sent(task, await submit(self.desk, task, step))
            case Call():
                return await self._call(task, step)
            case Wait():
                return await self._wait(task, step)
            case Failed() if step.again is not Again.NEVER and task.attempt_id is None and task.action is Action.SEND:
                return await self._prepare_again(task, step)
            case Failed() | Blocked() | Uncertain():
                self._end(task, step)
                raise Left
            case Done():
                return step

    async def _call(self, task: Task, call: Call) -> Step:
        """A request that costs nothing: an upload, a poll, a result."""
        if task.turn_taken:
            task.turn_taken = False
            return await asked(task, call)
        is_question = call.request.method == "GET"
        if is_question:
            task.lane.spend_poll()
        reply = await task.lane.provider.send(call)
        step = task.lane.provider.next(call.state, reply)
        if is_question:
            answered(task.lane, reply, step)
        return step

    async def _wait(self, task: Task, step: Wait) -> Step:
        """Wait for the next poll's turn; a deadline is no failure, the id stays in the record."""
        if self.desk.draining:  # the request was in the air when the stop came, and was not broken off
            raise Left
        if self.desk.settings.no_wait:
            self._leave(task)
            raise Left
        if clock.ticks() - task.began > self.desk.settings.poll_deadline_s:
            self.desk.stop("poll_deadline", "a job did not finish in time; run again to go on waiting for it")
            raise Left
        await task.lane.poll_turn(task.polls, age_s=task.age_s())
        task.polls += 1
        task.turn_taken = True
        self.desk.tell("polled", task.work, task.jobs, phase=step.phase)
        return task.lane.provider.next(step.state, None)

    async def _sent(self, task: Task, step: Step) -> Step:
        """After the paid request: a drain ends the job here, and waiting is counted from here."""
        task.began = clock.ticks()
        if self.desk.record.starved:
            self.desk.stop("disk_full", "the disk is full; nothing more is sent, what was accepted is written down")
            self.drain("disk_full")  # a download would take the room that other receipts need
        if self.desk.draining and not isinstance(step, Failed | Blocked | Uncertain | Done):
            raise Left
        return step

    def _leave(self, task: Task) -> None:
        """Sent and left: say until when it must be collected."""
        life = task.lane.provider.facts.output_life_s
        until = None if life is None else clock.iso((self.desk.record.work(task.work.work_id).submitted_at or 0) + life)
        self.desk.left += 1
        self.desk.tell("left", task.work, task.jobs, collect_by=until)

    async def _prepare_again(self, task: Task, step: Failed) -> Step:
        """An upload did not get through: nothing was asked for yet."""
        task.sends += 1
        decision = retry.decide(step, sends=task.sends, policy=self.desk.settings.policy, jitter=self.desk.tools.dice())
        if not isinstance(decision, retry.SendAgain):
            return Blocked(state=step.state, slug=step.slug, message=step.message)
        self.desk.tell("retrying", task.work, task.jobs, why=step.message, after_s=round(decision.after_s, 3))
        await self.desk.pause(decision.after_s)
        if not self.desk.sends:
            raise Left
        return task.lane.provider.begin(task.work)

    def _end(self, task: Task, step: Failed | Blocked | Uncertain) -> None:
        """End a job without an output, as the record must show it."""
        record, work_id = self.desk.record, task.work.work_id
        match step:
            case Blocked():
                if task.attempt_id is not None and record.work(work_id).status is Status.SUBMITTING:
                    record.refuse(work_id, task.attempt_id, outcome="refused", note=step.message, counted=False)
                    self.desk.tell("refused", task.work, task.jobs, attempt=task.attempt_id, outcome="refused")
                    self.desk.purse.settle(work_id)
                self.desk.keep_claim(work_id)
                self.desk.stop(step.slug, step.message)
            case _ if task.action is Action.FETCH:
                reason = step.message if isinstance(step, Failed) else step.reason
                delivering.not_known(self.desk, task, reason)
            case Failed():
                record.forget_uploads_in(task.work.provider, step.message)
                held = self.desk.purse.held(work_id) if step.billed is not False else 0.0
                self._fail(task, step)
                self.desk.purse.settle(work_id, cost=held if step.cost_usd is None else step.cost_usd)
                if step.stops:
                    self.desk.stop(step.slug, step.message)
                task.lane.failed(self.desk, step.slug)
            case Uncertain():
                record.doubt(work_id, task.attempt_id, reason=step.reason, at=clock.now())
                self.desk.keep_claim(work_id)
                self.desk.tell("uncertain", task.work, task.jobs, reason=step.reason)
                if not task.jobs:
                    self._say_stray(task.work, step.reason)
                if task.attempt_id is not None:
                    self._cut.append(work_id)
                    task.lane.failed(self.desk, "uncertain")

    def _fail(self, task: Task, step: Failed) -> None:
        how = {"code": step.slug, "message": step.message}
        self.desk.record.fail(
            task.work.work_id, **how, billed=step.billed, at=clock.now(), cost_usd=step.cost_usd
        )  # fmt: skip
        self.desk.keep_claim(task.work.work_id)
        self.desk.tell("failed", task.work, task.jobs, **how)


def _jobs_by_key(plan: Plan) -> Mapping[str, tuple[Job, ...]]:
    """job_key → the jobs its output is for."""
    groups: dict[str, list[Job]] = {}
    carried = frozenset(Action) - {Action.HOLD, Action.INVALID, Action.LEAVE, Action.KEEP}
    for item in plan.of(*carried):
        groups.setdefault(item.job.key, []).append(item.job)
    return {key: tuple(jobs) for key, jobs in groups.items()}
