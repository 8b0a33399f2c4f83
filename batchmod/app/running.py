"""One manifest's run, from the lock to the closing line."""

import functools
import secrets
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from batchmod import clock, executors, files, jobs, work
from batchmod.app import folder as folders
from batchmod.app import others, owning, pointer, preparing, whereabouts
from batchmod.app.deciding import Confirm, budgets, make_plan, may_go
from batchmod.app.ending import Summary, ended, exit_code, not_begun
from batchmod.app.loading import Loaded
from batchmod.app.log import Log
from batchmod.app.options import Options
from batchmod.app.room import Room
from batchmod.app.services import Services
from batchmod.app.verifying import Checker
from batchmod.checkpoint import Checkpoint, load_ballast, seal
from batchmod.errors import NO_ROOM, FolderInUse, StoppedEarly
from batchmod.index import Index, NoIndex
from batchmod.model import Event, VideoFacts
from batchmod.planning import Action
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


async def run(
    loaded: Loaded, options: Options, *, observe: Callable[[Event], None], confirm: Confirm, control: Control
) -> Summary:
    """Carry a manifest out; run again to go on. Raises the errors of `errors` that end a command."""
    files.make_folder(loaded.folder)
    while True:
        opened_at = clock.now()
        try:
            with owning.owned(loaded.folder) as owner:
                summary = await _run_owned(
                    loaded, options, owner=owner, observe=observe, confirm=confirm, control=control
                )
                seal(pointer.record_file(loaded.folder, options.state), opened_at=opened_at)
                return summary
        except FolderInUse:
            if options.if_locked == "skip":
                return not_begun(loaded, 0, message="another run holds the folder; skipped")
            if options.if_locked == "refuse":
                raise
            await clock.sleep(1.0)
            if control.stopped is not None:
                return not_begun(loaded, exit_code({}, stop=control.stopped), stop_reason=control.stopped)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise StoppedEarly.of(error) from error
            raise


async def _run_owned(
    loaded: Loaded,
    options: Options,
    *,
    owner: owning.Ownership,
    observe: Callable[[Event], None],
    confirm: Confirm,
    control: Control,
) -> Summary:
    run_id, began = uuid.uuid4().hex[:12], clock.now()
    scratch = loaded.folder / ".work"
    with (
        folders.open_record(loaded.folder, create=True, state=options.state) as record,
        Log(loaded.folder, observe) as log,
    ):
        record.own()
        if owner.taken_from is not None:
            log.tell("taken_over", run_id=run_id, message=f"the lease of {owner.taken_from}, which has ended")
        folders.claim(record, loaded, add=options.add)
        whereabouts.remember(record, loaded.folder, loaded.services.environ)
        recover(record, hosted=lambda name: loaded.services.facts(name).hosted, at=clock.now())
        loaded = preparing.settled_for_a_run(loaded, options, record)
        scratch.mkdir(exist_ok=True)
        claims, checker = _claims(record, loaded), Checker(options.verify, outputs=len(loaded.chosen))
        settings = _settings(record, loaded, options, run_id)
        runner = _runner(
            record, loaded, settings, owner=owner, scratch=scratch, log=log, claims=claims, checker=checker
        )
        control.attach(runner.drain)
        try:
            await runner.resolve()
            plan = make_plan(record, loaded, options)
            declined = not runner.desk.draining and not may_go(plan, loaded, options, confirm)
            new_rows = folders.store_rows(record, loaded, plan)
            if not declined:
                record.begin_run(run_id, at=began)
                folders.arm_reviews(record, loaded)
                log.tell("run_started", run_id=run_id, rows=len(plan.items), **folders.standing_facts(record))
                counts = {action.value: plan.count(action) for action in Action if plan.count(action)}
                log.tell("planned", run_id=run_id, counts=counts)
                await runner.run(plan)
        finally:
            await runner.close()
            indexed = claims.standing() if claims.told_all else ""
            claims.close()
            checker.close()
            with suppress(StoppedEarly):
                owner.check()  # what lies there may be another run's by now
                files.clear(scratch, keep=".part")
        if indexed:
            record.indexed(indexed)
        return ended(record, loaded, runner, log, run_id=run_id, began=began, new_rows=new_rows, declined=declined)


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
    log: Log,
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
        observe=log.write,
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
