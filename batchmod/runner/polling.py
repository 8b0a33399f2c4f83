"""A question about a running job: what its answer says of the job, and of when to ask again."""

from batchmod import clock
from batchmod.model import Call, Reply, Sent, Step, Wait
from batchmod.providers.answers import patience
from batchmod.runner.lanes import Lane, Task

_OK = 200
_RATE_LIMITED = 429


async def asked(task: Task, call: Call) -> Step:
    """Ask in the turn that was waited for, and let the lane know how it was answered."""
    lane, asked_at, heard = task.lane, clock.ticks(), False
    try:
        reply = await lane.provider.send(call)
        step = lane.provider.next(call.state, reply)
        answered(lane, reply, step)
        lane.heard(reply, asked_at=asked_at)
        heard = True
    finally:
        if not heard:
            lane.not_heard()
    if reply.sent is Sent.ANSWERED and reply.status == _OK:
        await _noted(task, step, asked_at=asked_at)
    return step


def answered(lane: Lane, reply: Reply, step: Step) -> None:
    """Let the lane know where a question was refused: by its status, or by what its service says under a good one."""
    if reply.sent is Sent.ANSWERED:
        refused = reply.status == _RATE_LIMITED or (isinstance(step, Wait) and step.refused)
        lane.poll_answered(refused=refused, after_s=patience(reply))


async def _noted(task: Task, step: Step, *, asked_at: float) -> None:
    """A job that has ended gives its place to the next one, before its output is fetched."""
    if isinstance(step, Wait):
        task.seen_running_s = task.age_s(asked_at)
    elif task.running:
        task.ended()
        await task.lane.step_aside()
