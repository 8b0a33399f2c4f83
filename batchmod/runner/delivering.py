"""The output: brought home, checked, given its final name, and only then written down as done."""

import asyncio
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from batchmod import clock, files
from batchmod.model import Delivery, Done, Job, Status, VideoFacts, Work
from batchmod.planning import Action, Item, Plan
from batchmod.runner.desk import Desk
from batchmod.runner.lanes import Task
from batchmod.runner.submitting import Left

_TRIES: Final = 5
_KEPT_BY_PROVIDER_S: Final = 7 * 86400.0
_DURATION_TOLERANCE_S: Final = 0.1
_RATE_TOLERANCE: Final = 0.01
_RATES: Final = (*(Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60)), *map(Fraction, (24, 25, 30, 48, 50, 60)))


async def deliver(desk: Desk, task: Task, done: Done, *, last: bool) -> bool:
    """Take a finished output to every id it is for; raises Left where it cannot be had now.

    False where its link has expired and the provider gives fresh ones, unless this is the `last` one to be tried.
    """
    if task.lane.provider.facts.hosted:
        await desk.write(lambda: _known(desk, task, done))
        left = {} if done.balance_usd is None else {"balance_usd": done.balance_usd}
        desk.tell("output_known", task.work, task.jobs, cost_usd=done.cost_usd, **left)
    missed = await _deliver(desk, task, done)
    if missed is None:
        return True
    if missed.gone and not last and _may_be_had_anew(task, done):
        return False
    _not_brought_home(desk, task, missed)
    raise Left


def _may_be_had_anew(task: Task, done: Done) -> bool:
    """Whether asking for the request again may say where else its output is: a fresh link, or one at all."""
    facts = task.lane.provider.facts
    return facts.reminted or (facts.hosted and "://" not in done.location)


async def deliver_known(desk: Desk, task: Task) -> bool:
    """Deliver from where the record says the output is; False where the provider must be asked again."""
    location = task.work.output_location
    if location is None or not task.lane.provider.facts.hosted:
        return False
    missed = await _deliver(desk, task, Done(state=None, location=location, cost_usd=None))
    if missed is not None and not missed.gone:
        _not_brought_home(desk, task, missed)
        raise Left
    return missed is None


async def _deliver(desk: Desk, task: Task, done: Done) -> "Missed | None":
    record, work_id, hosted = desk.record, task.work.work_id, task.lane.provider.facts.hosted
    if not _is_named(desk, task):
        await desk.write(lambda: _named(desk, task))
    work = record.work(work_id)
    home = await _bring_home(desk, task, work, done)
    if isinstance(home, Missed):
        return home
    fetched = task.action is Action.FETCH
    # A price that nobody knows is no cost of nothing.
    estimated = (task.estimate_usd or None) if hosted and work.cost_usd is None else None
    await desk.write(
        lambda: record.succeed(
            work_id,
            facts=home.facts,
            sha256=home.sha256,
            at=clock.now(),
            flag_reason=doubt(desk.tools.clip(work.inputs["video"]["identity"]), home.facts),
            warnings=done.warnings,
            estimated_usd=estimated,
            paid=hosted,
        )
    )
    cost = work.cost_usd if work.cost_usd is not None else estimated
    if not fetched:
        desk.purse.settle(work_id, cost=cost or 0.0)
    task.lane.succeeded()
    desk.keep_claim(work_id)
    desk.tell("succeeded", task.work, task.jobs, cost_usd=0.0 if fetched else cost, output=home.path)
    return None


def _known(desk: Desk, task: Task, done: Done) -> None:
    desk.record.output_known(task.work.work_id, location=done.location, cost_usd=done.cost_usd)
    _named(desk, task)


def _is_named(desk: Desk, task: Task) -> bool:
    named = {delivery.id.casefold() for delivery in desk.record.deliveries_of(task.work.work_id)}
    return bool(named) and all(job.id.casefold() in named for job in task.jobs)


def _named(desk: Desk, task: Task) -> None:
    """Every id that the output is for has a file's name for it; one that is for no id gets one of its own."""
    work_id = task.work.work_id
    named = {delivery.id.casefold() for delivery in desk.record.deliveries_of(work_id)}
    for job in task.jobs:
        if job.id.casefold() not in named:
            desk.record.add_delivery(job, work_id)
    if not task.jobs and not named:
        desk.record.name_stray(work_id, files.safe_name(f"request-{desk.record.work(work_id).request_id}"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Missed:
    """An output that could not be had now. `gone`: the provider says that it is not there any more."""

    problem: str
    gone: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """A checked output under its final names."""

    facts: VideoFacts
    sha256: str
    path: str


async def _bring_home(desk: Desk, task: Task, work: Work, done: Done) -> Home | Missed:
    """The checked file under its final names; a cut or wrong file is fetched again, never paid for again."""
    there = await _placed_before(desk, work)
    if there is not None:
        return there
    # Named by the request: what is half here of it is gone on with, also by a later run.
    name = files.safe_name(work.request_id or "made")
    part = desk.tools.scratch / f"{work.work_id}-{name}.part"
    missed = Missed(problem="")
    for number in range(_TRIES):
        await clock.sleep(0.25 * 2.0**number if number else 0.0)
        got = await task.lane.provider.collect(done, part)
        missed = Missed(problem=got.problem, gone=got.gone)
        if got.ok:
            found = await desk.tools.verify(part)
            if isinstance(found, VideoFacts):
                return await _place(desk, task, part, found, sha256=got.sha256)
            missed = Missed(problem=f"the file is not whole: {found.message}")
            await asyncio.to_thread(part.unlink, missing_ok=True)
        elif (got.gone and _may_be_had_anew(task, done)) or not (got.retry or got.gone):
            break
    return missed


async def _placed_before(desk: Desk, work: Work) -> Home | None:
    """A file that this work put in place before it could be written down: known by its hash."""
    if work.sha256 is None:
        return None
    for delivery in desk.record.deliveries_of(work.work_id):
        target = desk.tools.folder / delivery.path
        if await asyncio.to_thread(_has, target, work.sha256):
            found = await desk.tools.verify(target)
            if isinstance(found, VideoFacts):
                await _copies(desk, work.work_id, target, work.sha256)
                return Home(facts=found, sha256=work.sha256, path=delivery.path)
    return None


async def _place(desk: Desk, task: Task, part: Path, facts: VideoFacts, *, sha256: str) -> Home:
    """Give a checked file its final names; its hash is written down first. One that came with its hash is on disk."""
    work_id = task.work.work_id
    durable = bool(sha256)
    sha256 = sha256 or await asyncio.to_thread(files.sha256_of, part)
    await desk.write(lambda: desk.record.arrived(work_id, sha256=sha256))
    first = await _put(desk, desk.record.deliveries_of(work_id)[0], part, sha256=sha256, durable=durable)
    await _copies(desk, work_id, desk.tools.folder / first.path, sha256)
    return Home(facts=facts, sha256=sha256, path=first.path)


async def _put(desk: Desk, delivery: Delivery, part: Path, *, sha256: str, durable: bool) -> Delivery:
    """Put a file in place, under the next name that is free where a file of somebody else's has the first."""
    while True:
        target = desk.tools.folder / delivery.path
        try:
            await desk.placer.put(part, target, durable=durable)
        except FileExistsError:
            if await asyncio.to_thread(_has, target, sha256):
                raise
            delivery = desk.record.step_aside(delivery)
        else:
            return delivery


async def _copies(desk: Desk, work_id: int, source: Path, sha256: str) -> None:
    """The same output for every other id it is for."""
    for delivery in desk.record.deliveries_of(work_id):
        target = desk.tools.folder / delivery.path
        if target != source and not await asyncio.to_thread(_has, target, sha256):
            free = _free(desk, delivery, sha256)
            await asyncio.to_thread(files.copy_into_place, source, desk.tools.folder / free.path)


def _free(desk: Desk, delivery: Delivery, sha256: str) -> Delivery:
    """The delivery under a name that is free: a file of somebody else's is never touched."""
    while (desk.tools.folder / delivery.path).exists() and not _has(desk.tools.folder / delivery.path, sha256):
        delivery = desk.record.step_aside(delivery)
    return delivery


def _has(path: Path, sha256: str) -> bool:
    return path.is_file() and files.sha256_of(path) == sha256


def _not_brought_home(desk: Desk, task: Task, missed: Missed) -> None:
    """A paid output stays to be fetched by the next run, until the provider has surely deleted it."""
    work, facts = desk.record.work(task.work.work_id), task.lane.provider.facts
    message = f"the output could not be fetched: {missed.problem}"
    if not facts.hosted:
        desk.record.fail(work.work_id, code="broken_output", message=message, billed=False, at=clock.now())
        desk.tell("failed", task.work, task.jobs, code="broken_output", message=message)
    elif missed.gone and _is_old(desk, task):
        _expired(desk, task, message)
    else:
        not_fetched(desk, task, missed.problem)


def not_known(desk: Desk, task: Task, reason: str) -> None:
    """Nobody knows the request of a missing file any more: expired where it is old enough, and its own key asked."""
    attempt = desk.record.last_attempt(task.work.work_id)
    own = attempt is None or attempt.account in (None, task.lane.provider.account)
    if own and _is_old(desk, task):
        _expired(desk, task, f"the output could not be fetched: {reason}")
    else:
        not_fetched(desk, task, reason)


def _is_old(desk: Desk, task: Task) -> bool:
    """Whether the provider has surely deleted the output by now: a refusal alone may pass, and the file is paid."""
    work, facts = desk.record.work(task.work.work_id), task.lane.provider.facts
    # Where links are given anew, how long one lives says nothing of the file.
    kept_s = None if facts.reminted else facts.output_life_s
    return clock.now() - (work.submitted_at or clock.now()) > (kept_s or _KEPT_BY_PROVIDER_S)


def _expired(desk: Desk, task: Task, message: str) -> None:
    """Paid, and gone for good: it keeps its claim, so that no folder pays for it once more by itself."""
    work_id = task.work.work_id
    desk.record.fail(work_id, code="output_expired", message=message, billed=True, at=clock.now())
    desk.purse.settle(work_id, cost=desk.record.work(work_id).cost_usd or 0.0)
    desk.keep_claim(work_id)
    desk.tell("failed", task.work, task.jobs, code="output_expired", message=message)


def not_fetched(desk: Desk, task: Task, problem: str) -> None:
    """What is paid and could not be fetched now stays as it is: the next run fetches it."""
    ids = ", ".join(job.id for job in task.jobs) or f"request {task.work.request_id}"
    desk.warnings.append(f"{ids}: the output could not be fetched: {problem}; it is paid: run again to fetch it")
    desk.unfetched += 1
    task.lane.failed(desk, "download_failed")


async def reuse(desk: Desk, item: Item, jobs: tuple[Job, ...]) -> None:
    """Take over what another output folder has paid for: copies of its file, checked by its hash."""
    claim = item.claim
    assert claim is not None
    source = Path(claim.folder) / (claim.output or "")
    found = await desk.tools.verify(source)
    same = claim.sha256 is not None and await asyncio.to_thread(_has, source, claim.sha256)
    if not isinstance(found, VideoFacts) or not same or claim.sha256 is None:
        desk.warnings.append(f"{item.job.id}: {source} is not the file that was paid for; the row is left as it is")
        return
    work = desk.record.open_work(item.job, run_id=desk.settings.run_id)
    desk.record.arrived(work.work_id, sha256=claim.sha256)
    for job in jobs:
        desk.record.add_delivery(job, work.work_id)
    await _copies(desk, work.work_id, source, claim.sha256)
    desk.record.reuse(work.work_id, facts=found, sha256=claim.sha256, at=clock.now())
    desk.tell("copied", work, jobs, reused_from=claim.folder)


def copy_existing(desk: Desk, plan: Plan) -> None:
    """Deliver an output that is there to further ids: nothing is sent."""
    for item in plan.of(Action.COPY):
        _copy_for(desk, item)


def _copy_for(desk: Desk, item: Item) -> None:
    if item.work_id is None:
        return
    work = desk.record.work(item.work_id)
    given = [d for d in desk.record.deliveries_of(work.work_id) if d.delivered]
    there = [d for d in given if (desk.tools.folder / d.path).exists()]
    if work.status is not Status.SUCCEEDED or not there:
        return
    if any(d.id.casefold() == item.job.id.casefold() for d in there):
        return  # it came with the request, which was collected in this run
    source = there[0]
    delivery = desk.record.add_delivery(item.job, work.work_id)
    if delivery.path == source.path:
        return
    sha256 = files.sha256_of(desk.tools.folder / source.path)
    delivery = _free(desk, delivery, sha256)
    if not _has(desk.tools.folder / delivery.path, sha256):
        files.copy_into_place(desk.tools.folder / source.path, desk.tools.folder / delivery.path)
    desk.record.delivered(delivery)
    desk.tell("copied", work, (item.job,), output=delivery.path)


def doubt(source: VideoFacts | None, output: VideoFacts) -> str | None:
    """What about an output is not as its source: it is what was paid for, and kept, but somebody should look."""
    if source is None:
        return None
    reasons = []
    if source.duration_s and output.duration_s and abs(source.duration_s - output.duration_s) > _DURATION_TOLERANCE_S:
        reasons.append(f"{output.duration_s:.2f} s instead of {source.duration_s:.2f} s")
    if source.fps and output.fps and not _keeps_pace(source, output):
        reasons.append(f"{float(output.fps):g} fps instead of {float(source.fps):g}")
    if (source.width, source.height) != (output.width, output.height):
        reasons.append(f"{output.width}x{output.height} instead of {source.width}x{source.height}")
    return ", ".join(reasons) or None


def _is_of_the_trade(*rates: Fraction) -> bool:
    """Whether these are rates that somebody meant, and none that a container has reckoned from rounded stamps."""
    return all(rate in _RATES for rate in rates)


def _keeps_pace(source: VideoFacts, output: VideoFacts) -> bool:
    """Whether the rates are one; as many frames in the same time are, whatever a container makes of their rate."""
    if source.fps is None or output.fps is None or abs(float(source.fps - output.fps)) <= _RATE_TOLERANCE:
        return True
    if source.frames is None or source.frames != output.frames or _is_of_the_trade(source.fps, output.fps):
        return False
    if source.duration_s is None or output.duration_s is None:
        return True
    return abs(source.duration_s - output.duration_s) <= 1 / float(source.fps)
