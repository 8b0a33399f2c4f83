"""The request that can cost money: reserve, wait for the turn, write the intent, send, write the receipt."""

from contextlib import AsyncExitStack

from batchmod import clock, reconcile, retry
from batchmod.model import Blocked, Call, Failed, Reply, Sent, Step, Uncertain
from batchmod.runner import resolving
from batchmod.runner.desk import Desk
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
        await task.lane.submit_turn()
        if not desk.sends or not desk.claim(task.work, hosted=task.lane.provider.facts.hosted):
            desk.purse.settle(task.work.work_id)
            raise Left
        step, reply = await _send(desk, task, call)
    return await _after_refusal(desk, task, step, reply) if isinstance(step, Failed) else step


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
        task.attempt_id = record.intend(
            work_id,
            body=call.request.json,
            at=clock.now(),
            reserved_usd=desk.purse.held(work_id),
            jobs=task.jobs,
            state=provider.saved(call.state),
        )
        desk.tell("intended", task.work, task.jobs, attempt=task.attempt_id)
        reply = await provider.send(call)
        step = provider.next(call.state, reply)
        request_id = provider.request_id(step.state)
        if request_id is not None:
            state = provider.saved(step.state)
            if not record.accept(work_id, task.attempt_id, request_id=request_id, state=state):
                reason = f"the service answered with a request id that belongs to another request ({request_id})"
                return Uncertain(state=call.state, reason=reason), reply
            desk.tell("submitted", task.work, task.jobs, request_id=request_id)
    finally:
        task.in_the_air = False
        desk.keep_claim(work_id)
    task.lane.answered = task.lane.answered or reply.sent is Sent.ANSWERED
    return step, reply


async def _after_refusal(desk: Desk, task: Task, step: Failed, reply: Reply) -> Step:
    """A definite no: again, or not."""
    decision = retry.decide(step, sends=task.sends, policy=desk.settings.policy, jitter=desk.tools.dice())
    match decision:
        case retry.SendAgain(ask_first=True):
            return await _ask_then_send(desk, task, step, decision)
        case retry.SendAgain():
            outcome = "never_sent" if reply.sent is Sent.NEVER_SENT else "refused"
            _nothing_created(desk, task, outcome=outcome, note=step.message)
            if decision.fresh_upload:
                task.lane.provider.forget_uploads(task.work)
            if step.slug == "rate_limited":
                task.lane.pause(decision.after_s)
            await _pause(desk, task, step, decision.after_s)
            return task.lane.provider.begin(desk.record.work(task.work.work_id))
        case retry.StopBatch():
            return Blocked(state=step.state, slug=decision.slug, message=step.message)
        case _:
            return step


async def _ask_then_send(desk: Desk, task: Task, step: Failed, decision: retry.SendAgain) -> Step:
    """A documented 500 creates nothing; it is sent again only if the history, asked first, agrees."""
    work_id = task.work.work_id
    desk.record.doubt(work_id, task.attempt_id, reason=step.message, at=clock.now())
    await _pause(desk, task, step, decision.after_s)
    mine = [attempt for attempt in desk.record.uncertain_attempts() if attempt.work_id == work_id]
    verdicts = await resolving.ask(desk, task.lane, mine)
    found = next((verdict for verdict in verdicts if isinstance(verdict, reconcile.Found)), None)
    if found is not None:
        work = resolving.settle(desk, found)
        if work is not None:
            return task.lane.provider.resume(work)
    if found is not None or not verdicts or not all(reconcile.readable(verdict) for verdict in verdicts):
        return Uncertain(state=step.state, reason=f"{step.message}; the history could not say whether it was accepted")
    _nothing_created(desk, task, outcome="refused", note=step.message)
    return task.lane.provider.begin(desk.record.work(work_id))


def _nothing_created(desk: Desk, task: Task, *, outcome: str, note: str) -> None:
    assert task.attempt_id is not None
    desk.record.refuse(task.work.work_id, task.attempt_id, outcome=outcome, note=note)
    desk.purse.settle(task.work.work_id)
    desk.keep_claim(task.work.work_id)


async def _pause(desk: Desk, task: Task, step: Failed, seconds: float) -> None:
    if desk.sends:
        desk.tell("retrying", task.work, task.jobs, why=step.message, after_s=round(seconds, 3))
        await clock.sleep(seconds)
