"""One manifest's run, from the lock to the closing line."""

import asyncio
import functools
import secrets
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from batchmod import clock, executors, files, jobs, work
from batchmod.app import folder as folders
from batchmod.app import others, owning, preparing, rechecking, whereabouts
from batchmod.app.beside import Beside, Companion
from batchmod.app.copies import Copies
from batchmod.app.deciding import Confirm, budgets, make_plan, may_go
from batchmod.app.ending import Summary, ended, exit_code, not_begun
from batchmod.app.following import Follower, environment_of
from batchmod.app.loading import Loaded
from batchmod.app.log import Log, followed
from batchmod.app.notifying import Teller
from batchmod.app.options import Options
from batchmod.app.room import Room
from batchmod.app.scoring import Scoring
from batchmod.app.services import Services
from batchmod.app.verifying import Checker
from batchmod.checkpoint import Checkpoint, load_ballast
from batchmod.errors import NO_ROOM, FolderInUse, StoppedEarly
from batchmod.index import Index, NoIndex
from batchmod.model import Event, VideoFacts
from batchmod.planning import Action, Plan
from batchmod.providers.base import Provider
from batchmod.rows import those
from batchmod.runner import Runner, Settings, Tools, recover
from batchmod.runner.money import Purse


@dataclass(kw_only=True, slots=True)
class Control:
    """The hand on a run's brake: whoever holds it may stop the run without losing anything."""

    _drain: Callable[[str], None] | None = None
    stopped: str | None = None

    def stop(self, slug: str) -> None:
        """No new requests; the ids of those in the air are recorded, then the run ends."""
        self.stopped = slug
        if self._drain is not None:
            self._drain(slug)

    def attach(self, drain: Callable[[str], None]) -> None:
        """Give the running run's brake; a stop that came earlier takes hold now."""
        self._drain = drain
        if self.stopped is not None:
            drain(self.stopped)


def new_run_id() -> str:
    """The name of a run: twelve hexadecimal digits that no other run has."""
    return uuid.uuid4().hex[:12]


async def run(
    loaded: Loaded,
    options: Options,
    *,
    observe: Callable[[Event], None],
    confirm: Confirm,
    control: Control,
    run_id: str | None = None,
) -> Summary:
    """Carry a manifest out; run again to go on. Raises the errors of `errors` that end a command.

    Whoever is to be told is told last, when the folder is free again.
    """
    name, teller = run_id or new_run_id(), Teller(loaded, observe)
    try:
        summary = await _run(
            loaded, options, run_id=name, observe=observe, confirm=confirm, control=control, teller=teller
        )
        return summary if summary.skipped else await teller.ended(summary)
    except Exception as error:
        await teller.broke(error)
        raise
    finally:
        await teller.close()


async def _run(
    loaded: Loaded,
    options: Options,
    *,
    run_id: str,
    observe: Callable[[Event], None],
    confirm: Confirm,
    control: Control,
    teller: Teller,
) -> Summary:
    files.make_folder(loaded.folder)
    while True:
        try:
            with owning.owned(loaded.folder) as owner:
                return await _run_owned(
                    loaded,
                    options,
                    run_id=run_id,
                    owner=owner,
                    observe=observe,
                    confirm=confirm,
                    control=control,
                    teller=teller,
                )
        except FolderInUse:
            if options.if_locked == "skip":
                message = "another run holds the folder; skipped"
                return not_begun(loaded, 0, run_id=run_id, message=message, skipped=True)
            if options.if_locked == "refuse":
                raise
            await clock.sleep(1.0)
            if control.stopped is not None:
                return not_begun(
                    loaded, exit_code({}, stop=control.stopped), run_id=run_id, stop_reason=control.stopped
                )
        except OSError as error:
            if error.errno in NO_ROOM:
                raise StoppedEarly.of(error) from error
            raise


async def _run_owned(
    loaded: Loaded,
    options: Options,
    *,
    run_id: str,
    owner: owning.Ownership,
    observe: Callable[[Event], None],
    confirm: Confirm,
    control: Control,
    teller: Teller,
) -> Summary:
    began = clock.now()
    scratch = loaded.folder / ".work"
    with (
        folders.open_record(loaded.folder, create=True, state=options.state) as record,
        Log(loaded.folder, followed(observe, teller.heard)) as log,
    ):
        record.own()
        if owner.taken_from is not None:
            log.tell("taken_over", run_id=run_id, message=f"the lease of {owner.taken_from}, which has ended")
        folders.claim(record, loaded, add=options.add)
        whereabouts.remember(record, loaded.folder, loaded.services.environ)
        recover(record, hosted=lambda name: loaded.services.facts(name).hosted, at=clock.now())
        seen = await asyncio.to_thread(rechecking.asked, loaded, options)
        loaded = preparing.settled_for_a_run(seen.loaded, options, record)
        scratch.mkdir(exist_ok=True)
        claims, checker = _claims(record, loaded), Checker(options.verify, outputs=len(loaded.chosen))
        settings = _settings(record, loaded, options, run_id)
        scoring = Scoring(record, loaded.folder, options, functools.partial(_tell_scoring, log, run_id))
        beside = Beside([*_companions(record, loaded, options, log, run_id=run_id, began=began), scoring])
        runner = _runner(
            record,
            loaded,
            settings,
            owner=owner,
            scratch=scratch,
            observe=beside.watching(log.write),
            claims=claims,
            checker=checker,
        )
        control.attach(beside.until(runner.drain))
        try:
            await runner.resolve()
            plan = make_plan(record, loaded, options)
            _say_changed(plan, loaded, log, run_id=run_id)
            runner.desk.warnings += seen.warnings
            declined = not runner.desk.draining and not may_go(plan, loaded, options, confirm)
            new_rows = folders.store_rows(record, loaded, plan)
            if not declined:
                record.begin_run(run_id, at=began)
                folders.arm_reviews(record, loaded)
                log.tell("run_started", run_id=run_id, rows=len(plan.items), **folders.standing_facts(record))
                counts = {action.value: plan.count(action) for action in Action if plan.count(action)}
                log.tell("planned", run_id=run_id, counts=counts)
                beside.begin()
                await runner.run(plan)
                await beside.finish()
        finally:
            await beside.close()
            await runner.close()
            indexed = claims.standing() if claims.told_all else ""
            claims.close()
            checker.close()
            with suppress(StoppedEarly):
                owner.check()  # what lies there may be another run's by now
                files.clear(scratch, keep=".part")
        if indexed:
            record.indexed(indexed)
        runner.desk.warnings.extend(beside.warnings)
        new_rows = new_rows or scoring.kept > 0
        summary = ended(record, loaded, runner, log, run_id=run_id, began=began, new_rows=new_rows, declined=declined)
        teller.look(record)
        return replace(summary, unscored=scoring.left())


def _tell_scoring(log: Log, run_id: str, done: int, of: int) -> None:
    log.tell("scoring", run_id=run_id, done=done, of=of)


def _companions(
    record: Checkpoint, loaded: Loaded, options: Options, log: Log, *, run_id: str, began: float
) -> Iterator[Companion]:
    yield Copies(record, loaded, options, log, run_id=run_id)
    if loaded.allowed.hook is not None:
        environ = environment_of(loaded, loaded.services.environ)
        yield Follower(
            loaded, record, run_id=run_id, began=began, wait_s=options.drain_s, tell=log.write, environ=environ
        )


def _say_changed(plan: Plan, loaded: Loaded, log: Log, *, run_id: str) -> None:
    """Which rows are sent because their clip is another one now."""
    for item in plan.of(Action.SEND) if loaded.changed else ():
        if (why := loaded.changed.get(item.job.number)) is not None:
            at = clock.iso(clock.now())
            log.write(Event(kind="source_changed", at=at, run_id=run_id, id=item.job.id, facts={"message": why}))


def _redo(record: Checkpoint, loaded: Loaded) -> dict[str, int]:
    """Id in casefold → the version its review asks to redo now."""
    asked = folders.redo_asked(record, loaded)
    return {row.id.casefold(): asked[row.number] for row in those(loaded.manifest.rows, asked)}


def _claims(record: Checkpoint, loaded: Loaded) -> Index | NoIndex:
    """The index of paid work, and room kept for receipts, where anything is or was paid."""
    names = jobs.providers_of(loaded.jobs) | {work.provider for work in record.unfinished()}
    if not any(loaded.services.facts(name).hosted for name in names):
        return NoIndex()
    load_ballast(record.path)
    return loaded.services.open_index(record, loaded.folder)


def _runner(
    record: Checkpoint,
    loaded: Loaded,
    settings: Settings,
    *,
    owner: owning.Ownership,
    scratch: Path,
    observe: Callable[[Event], None],
    claims: Index | NoIndex,
    checker: Checker,
) -> Runner:
    videos = loaded.folder / "videos"  # may be a link to another disk
    tools = Tools(
        checkpoint=record,
        folder=loaded.folder,
        scratch=scratch,
        provider=opener(loaded.services, record, scratch, workers=settings.local_workers),
        verify=checker.verify,
        clip=loaded.clips.get,
        observe=observe,
        dice=secrets.SystemRandom().random,
        claims=claims,
        gates=loaded.services.gates,
        check_owner=owner.check,
        check_room=Room(scratch, videos if videos.exists() else loaded.folder, record.path.parent).check,
        elsewhere=others.holders(loaded.services, record, loaded.folder),
    )
    return Runner(tools, settings, _purse(record, loaded))


def _settings(record: Checkpoint, loaded: Loaded, options: Options, run_id: str) -> Settings:
    return Settings(
        run_id=run_id,
        max_in_flight=loaded.limits.max_in_flight,
        submits_per_minute=loaded.limits.submits_per_minute,
        polls_per_minute=loaded.limits.polls_per_minute,
        local_workers=min(executors.cores(), max(1, len(loaded.chosen))),
        stop_after_failures=loaded.limits.stop_after_failures,
        history_grace_s=options.history_grace_s,
        drain_s=options.drain_s,
        reuse=options.reuse,
        no_wait=options.no_wait,
        until=options.until,
        redo=_redo(record, loaded),
    )


def _purse(record: Checkpoint, loaded: Loaded) -> Purse:
    folder, run_ = budgets(record, loaded)
    return Purse((folder, record.reservations()), (run_, record.reservations(of_this_run=True)))


def opener(
    services: Services, record: Checkpoint, scratch: Path, *, workers: int
) -> Callable[[str, str], Provider | None]:
    """(name, origin) → the provider there, with what it needs of this folder."""
    return functools.partial(services.open, record=record, scratch=scratch, workers=workers)


def verifier(depth: Literal["decode", "container"]) -> Callable[[Path], Awaitable[VideoFacts | work.Refusal]]:
    """How outputs are checked before they count."""
    inline = executors.Inline()
    return lambda path: inline.submit(work.verify_video, str(path), depth)
