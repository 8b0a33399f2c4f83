"""The request that can cost money: reserve, wait for the turn, write the intent, send, write the receipt."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from batchmod import clock, reconcile, retry
from batchmod.errors import StoppedEarly
from batchmod.limits import Ticket
from batchmod.model import Again, Blocked, Call, Done, Failed, Reply, Sent, Step, Uncertain, Wait
from batchmod.runner import resolving
from batchmod.runner.desk import Desk, Receipt
from batchmod.runner.lanes import Lane, Task


class Left(Exception):
    """The job goes no further in this run; the record has it as it is."""


async def submit(desk: Desk, task: Task, call: Call) -> Step:
    """Send a paying call when money, limiter and the run itself allow it now; the step that follows."""
    if not await desk.purse.hold(task.work.work_id, task.estimate_usd):
        desk.stop("budget", f"the budget is reached: {desk.purse.words()}")
        raise Left
    async with AsyncExitStack() as stack:
        await _lead(task.lane, stack)
        ticket = await task.lane.submit_turn(not_before=task.not_before)
        if ticket is None:
            desk.purse.settle(task.work.work_id)
            raise Left
        step, reply = await _in_turn(desk, task, call, ticket)
    if isinstance(step, Done):
        await task.lane.step_aside()
    return await _after_refusal(desk, task, step, reply) if isinstance(step, Failed) else step


async def _in_turn(desk: Desk, task: Task, call: Call, ticket: Ticket) -> tuple[Step, Reply]:
    """Send now, and let the lane know what became of the ticket: of each exactly one thing, whatever happens."""
    lane, asked_at, told = task.lane, clock.ticks(), False
    try:
        if not desk.sends or not _can_be_kept(desk, task) or not await _claimed(desk, task):
            desk.purse.settle(task.work.work_id)
            raise Left
        step, reply = await _send(desk, task, call)
        told = _tell_lane(task, ticket, step)
        lane.heard(reply, asked_at=asked_at)
        return step, reply
    finally:
        if not told:
            lane.told_nothing(ticket)


def _tell_lane(task: Task, ticket: Ticket, step: Step) -> bool:
    """Whether an answer says something of the pace, and what."""
    if isinstance(step, Wait | Done):
        task.lane.accepted(ticket)
        task.running, task.accepted_at = task.lane.pace is not None, task.answered_at
        if isinstance(step, Done) and task.running:  # the call has lasted as long as its job
            task.accepted_at = 0.0
            task.ended()
        return True
    if isinstance(step, Failed) and _is_not_now(step):
        task.lane.refused(ticket, after_s=step.after_s)
        return True
    return False


def _is_not_now(step: Failed) -> bool:
    return step.again is Again.LATER and step.slug == "rate_limited"


def _can_be_kept(desk: Desk, task: Task) -> bool:
    """Whether there is room for what would be paid for; where there is none, nothing more is sent."""
    desk.tools.check_owner()
    try:
        if task.lane.provider.facts.hosted:
            desk.tools.check_room()
    except StoppedEarly as error:
        desk.stop(error.slug, str(error))
        return False
    return True


async def _claimed(desk: Desk, task: Task) -> bool:
    """Whether the request is this folder's, and may leave; another one may have claimed it since the plan was made."""
    if await desk.claim(task.work, hosted=task.lane.provider.facts.hosted):
        if not desk.sends:  # a stop came meanwhile: nothing of this request has begun to leave
            desk.keep_claim(task.work.work_id)
        return desk.sends
    ids = ", ".join(job.id for job in task.jobs)
    desk.warnings.append(f"{ids}: another output folder is paying for this very request; run again to reuse it")
    return False


def _redone(desk: Desk, task: Task) -> dict[str, int]:
    """The reviews that are spent with this request."""
    asked = desk.settings.redo
    return {job.id.casefold(): asked[job.id.casefold()] for job in task.jobs if job.id.casefold() in asked}


async def _lead(lane: Lane, stack: AsyncExitStack) -> None:
    """Until a provider has answered once, requests go to it one by one: a wrong set-up costs one job, not all."""
    if not lane.answered:
        await stack.enter_async_context(lane.leading)
        if lane.has_answered():
            await stack.aclose()


async def _send(desk: Desk, task: Task, call: Call) -> tuple[Step, Reply]:
    """Intent, POST, receipt: the three lines the whole product stands on."""
    provider, work_id, record = task.lane.provider, task.work.work_id, desk.record
    task.sends += 1
    task.in_the_air = provider.facts.hosted
    try:
        task.attempt_id = await desk.write(
            lambda: record.intend(
                work_id,
                body=call.request.json,
                at=clock.now(),
                reserved_usd=desk.purse.held(work_id),
                jobs=task.jobs,
                state=provider.saved(call.state),
                account=provider.account,
                redo=_redone(desk, task),
            ),
            urgent=True,
        )
        desk.tell("intended", task.work, task.jobs, attempt=task.attempt_id)
        reply = await provider.send(call)
        task.answered_at = clock.ticks()
        step = provider.next(call.state, reply)
        request_id = provider.request_id(step.state)
        if request_id is not None:
            state = provider.saved(step.state)
            if not await _written(desk, task, request_id, state):
                reason = f"the service answered with a request id that belongs to another request ({request_id})"
                return Uncertain(state=call.state, reason=reason), reply
            desk.tell("submitted", task.work, task.jobs, request_id=request_id)
    finally:
        task.in_the_air = False
        desk.keep_claim(work_id)
    task.lane.answered = task.lane.answered or reply.sent is Sent.ANSWERED
    return step, reply


async def _written(desk: Desk, task: Task, request_id: str, state: Mapping[str, Any]) -> bool:
    """Write the receipt; False where its id belongs to another request. On a full disk it is kept for the run's end."""
    work_id, attempt_id = task.work.work_id, task.attempt_id
    assert attempt_id is not None
    try:
        return await desk.write(
            lambda: desk.record.accept(work_id, attempt_id, request_id=request_id, state=state), urgent=True
        )
    except StoppedEarly:
        ids = ", ".join(job.id for job in task.jobs)
        receipt = Receipt(work_id=work_id, attempt_id=attempt_id, request_id=request_id, state=state, ids=ids)
        desk.unwritten.append(receipt)
        raise


async def _after_refusal(desk: Desk, task: Task, step: Failed, reply: Reply) -> Step:
    """A definite no: again, or not."""
    # What all have met together counts for each of them: nobody needs to find out anew that nobody is there.
    sends = max(task.sends, task.lane.gate.circuit.probes) if step.again is Again.UNREACHED else task.sends
    decision = retry.decide(step, sends=sends, policy=desk.settings.policy, jitter=desk.tools.dice())
    match decision:
        case retry.SendAgain(ask_first=True):
            return await _ask(desk, task, step, wait_s=decision.after_s) or await _once_more(desk, task, step)
        case retry.SendAgain():
            outcome = "never_sent" if reply.sent is Sent.NEVER_SENT else "refused"
            await _nothing_created(desk, task, outcome=outcome, note=step.message, counted=False)
            if decision.fresh_upload:
                task.lane.provider.forget_uploads(task.work)
            if _is_not_now(step):  # the lane knows when; the row stands back for as long as it was asked itself
                back_s = 0.0 if step.after_s is None else decision.after_s
                task.not_before = clock.ticks() + back_s
                desk.tell("retrying", task.work, task.jobs, why=step.message, after_s=round(back_s, 3))
            else:
                await _pause(desk, task, step, decision.after_s)
            return task.lane.provider.begin(desk.record.work(task.work.work_id))
        case retry.StopBatch():
            return Blocked(state=step.state, slug=decision.slug, message=step.message)
        case retry.GiveUp() if step.again is Again.ASK_FIRST:
            return await _ask(desk, task, step, wait_s=desk.settings.policy.first_s) or await _refused(desk, task, step)
        case _:
            return step


async def _ask(desk: Desk, task: Task, step: Failed, *, wait_s: float) -> Step | None:
    """A documented 500 creates nothing; the history is asked whether it agrees. None where it does."""
    work_id = task.work.work_id
    desk.record.doubt(work_id, task.attempt_id, reason=step.message, at=clock.now())
    await _pause(desk, task, step, wait_s)
    mine = [attempt for attempt in desk.record.uncertain_attempts() if attempt.work_id == work_id]
    verdicts = await resolving.ask(desk, task.lane, mine)
    found = next((verdict for verdict in verdicts if isinstance(verdict, reconcile.Found)), None)
    if found is not None:
        work = resolving.settle(desk, found)
        if work is not None:
            return task.lane.provider.resume(work)
    if found is None and verdicts and all(reconcile.readable(verdict) for verdict in verdicts):
        return None
    return Uncertain(state=step.state, reason=f"{step.message}; the history could not say whether it was accepted")


async def _refused(desk: Desk, task: Task, step: Failed) -> Step:
    await _nothing_created(desk, task, outcome="refused", note=step.message)
    return step


async def _once_more(desk: Desk, task: Task, step: Failed) -> Step:
    await _nothing_created(desk, task, outcome="refused", note=step.message)
    return task.lane.provider.begin(desk.record.work(task.work.work_id))


async def _nothing_created(desk: Desk, task: Task, *, outcome: str, note: str, counted: bool = True) -> None:
    assert task.attempt_id is not None
    work_id, attempt_id = task.work.work_id, task.attempt_id
    await desk.write(lambda: desk.record.refuse(work_id, attempt_id, outcome=outcome, note=note, counted=counted))
    desk.tell("refused", task.work, task.jobs, attempt=task.attempt_id, outcome=outcome)
    desk.purse.settle(task.work.work_id)
    desk.keep_claim(task.work.work_id)


async def _pause(desk: Desk, task: Task, step: Failed, seconds: float) -> None:
    if desk.sends:
        desk.tell("retrying", task.work, task.jobs, why=step.message, after_s=round(seconds, 3))
        await desk.pause(seconds)
