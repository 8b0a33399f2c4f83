"""The output: brought home, checked, given its final name, and only then written down as done."""

import asyncio
from pathlib import Path
from typing import Final

from batchmod import clock, files
from batchmod.model import Done, Status, VideoFacts
from batchmod.planning import Action, Item, Plan
from batchmod.runner.desk import Desk
from batchmod.runner.lanes import Task
from batchmod.runner.submitting import Left

_TRIES: Final = 5
_KEPT_BY_PROVIDER_S: Final = 7 * 86400.0
_DURATION_TOLERANCE_S: Final = 0.1
_RATE_TOLERANCE: Final = 0.01


async def deliver(desk: Desk, task: Task, done: Done) -> None:
    """Take a finished output to every id it is for."""
    record, work_id, hosted = desk.record, task.work.work_id, task.lane.provider.facts.hosted
    if hosted:
        record.output_known(work_id, location=done.location, cost_usd=done.cost_usd)
        desk.tell("output_known", task.work, task.jobs, cost_usd=done.cost_usd)
    for job in task.jobs:
        record.add_delivery(job, work_id)
    targets = [desk.tools.folder / delivery.path for delivery in record.deliveries_of(work_id)]
    facts = await _bring_home(desk, task, done, targets[0])
    for target in targets[1:]:
        await asyncio.to_thread(_copy, targets[0], target)
    work = record.work(work_id)
    estimated = task.estimate_usd if hosted and work.cost_usd is None else None
    record.succeed(
        work_id,
        facts=facts,
        sha256=await asyncio.to_thread(files.sha256_of, targets[0]),
        at=clock.now(),
        flag_reason=doubt(desk.tools.clip(work.inputs["video"]["identity"]), facts),
        warnings=done.warnings,
        estimated_usd=estimated,
    )
    cost = work.cost_usd if work.cost_usd is not None else estimated
    desk.purse.settle(work_id, cost=cost or 0.0)
    task.lane.succeeded()
    desk.keep_claim(work_id)
    desk.tell("succeeded", task.work, task.jobs, cost_usd=cost, output=f"videos/{targets[0].name}")


async def _bring_home(desk: Desk, task: Task, done: Done, target: Path) -> VideoFacts:
    """The checked file under its final name; a cut or wrong file is fetched again, never paid for again."""
    if await asyncio.to_thread(target.exists):
        there = await desk.tools.verify(target)
        if isinstance(there, VideoFacts):
            return there
    # Named by the request: what is half here of it is gone on with, also by a later run.
    name = files.safe_name(desk.record.work(task.work.work_id).request_id or "made")
    part = desk.tools.scratch / f"{task.work.work_id}-{name}.part"
    problem = ""
    for number in range(_TRIES):
        await clock.sleep(0.25 * 2.0**number if number else 0.0)
        got = await task.lane.provider.collect(done, part)
        problem = got.problem
        if got.ok:
            found = await desk.tools.verify(part)
            if isinstance(found, VideoFacts):
                await asyncio.to_thread(_place, part, target)
                return found
            problem = found.message
            await asyncio.to_thread(part.unlink, missing_ok=True)
        elif not got.retry and not got.gone:
            break
    _not_brought_home(desk, task, problem)
    raise Left


def _place(part: Path, target: Path) -> None:
    """A file that is there already, under this work's own version, was found not to be whole."""
    target.unlink(missing_ok=True)
    files.put_in_place(part, target)


def _copy(source: Path, target: Path) -> None:
    if not target.exists():
        files.copy_into_place(source, target)


def _not_brought_home(desk: Desk, task: Task, problem: str) -> None:
    """A paid output stays to be fetched by the next run, until the provider has surely deleted it."""
    work = desk.record.work(task.work.work_id)
    message = f"the output could not be fetched: {problem}"
    old = clock.now() - (work.submitted_at or clock.now()) > _KEPT_BY_PROVIDER_S
    if not task.lane.provider.facts.hosted:
        desk.record.fail(work.work_id, code="broken_output", message=message, billed=False, at=clock.now())
        desk.tell("failed", task.work, task.jobs, code="broken_output", message=message)
    elif old or task.action is Action.FETCH:
        desk.record.fail(work.work_id, code="output_expired", message=message, billed=True, at=clock.now())
        desk.purse.settle(work.work_id, cost=work.cost_usd or 0.0)
        desk.tell("failed", task.work, task.jobs, code="output_expired", message=message)
    else:
        desk.stop("download_failed", f"{message}; it is paid: run again to fetch it")


async def reuse(desk: Desk, item: Item) -> None:
    """Take over what another output folder has paid for: a copy of its file, checked by its hash."""
    claim = item.claim
    assert claim is not None
    source = Path(claim.folder) / (claim.output or "")
    found = await desk.tools.verify(source)
    same = isinstance(found, VideoFacts) and await asyncio.to_thread(files.sha256_of, source) == claim.sha256
    if not same or not isinstance(found, VideoFacts):
        desk.warnings.append(f"{item.job.id}: {source} is not the file that was paid for; the row is left as it is")
        return
    work = desk.record.open_work(item.job, run_id=desk.settings.run_id)
    delivery = desk.record.add_delivery(item.job, work.work_id)
    await asyncio.to_thread(_copy, source, desk.tools.folder / delivery.path)
    desk.record.reuse(work.work_id, facts=found, sha256=claim.sha256 or "", at=clock.now())
    desk.tell("copied", work, (item.job,), output=delivery.path, reused_from=claim.folder)


def copy_existing(desk: Desk, plan: Plan) -> None:
    """Deliver an output that is there to further ids: nothing is sent."""
    for item in plan.items:
        if item.action is Action.COPY:
            _copy_for(desk, item)


def _copy_for(desk: Desk, item: Item) -> None:
    if item.work_id is None:
        return
    work = desk.record.work(item.work_id)
    there = [d for d in desk.record.deliveries_of(work.work_id) if d.delivered]
    source = next((d for d in there if (desk.tools.folder / d.path).exists()), None)
    if work.status is not Status.SUCCEEDED or source is None:
        return
    delivery = desk.record.add_delivery(item.job, work.work_id)
    if delivery.path == source.path:
        return
    _copy(desk.tools.folder / source.path, desk.tools.folder / delivery.path)
    desk.record.delivered(delivery)
    desk.tell("copied", work, (item.job,), output=delivery.path)


def doubt(source: VideoFacts | None, output: VideoFacts) -> str | None:
    """What about an output is not as its source: it is what was paid for, and kept, but somebody should look."""
    if source is None:
        return None
    reasons = []
    if source.duration_s and output.duration_s and abs(source.duration_s - output.duration_s) > _DURATION_TOLERANCE_S:
        reasons.append(f"{output.duration_s:.2f} s instead of {source.duration_s:.2f} s")
    if source.fps and output.fps and abs(float(source.fps - output.fps)) > _RATE_TOLERANCE:
        reasons.append(f"{float(output.fps):g} fps instead of {float(source.fps):g}")
    if (source.width, source.height) != (output.width, output.height):
        reasons.append(f"{output.width}x{output.height} instead of {source.width}x{source.height}")
    return ", ".join(reasons) or None
