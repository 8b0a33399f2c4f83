"""One manifest's run, from the lock to the closing line."""

import asyncio
import functools
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from batchmod import clock, files
from batchmod.app import folder as folders
from batchmod.app import hands, owning, pointer, preparing, rechecking, storing, whereabouts
from batchmod.app.beside import Beside, Companion
from batchmod.app.copies import Copies
from batchmod.app.deciding import Confirm, make_plan, may_go
from batchmod.app.ending import Summary, ended, exit_code, not_begun
from batchmod.app.equipping import claims_of, opener, runner_of, settings_of
from batchmod.app.following import Follower, environment_of
from batchmod.app.loading import Loaded
from batchmod.app.log import Log, followed
from batchmod.app.notifying import Teller
from batchmod.app.options import Options
from batchmod.app.scoring import Scoring
from batchmod.app.storing import Nowhere
from batchmod.checkpoint import Checkpoint, seal
from batchmod.errors import NO_ROOM, FolderInUse, StoppedEarly
from batchmod.model import Event
from batchmod.planning import Action, Plan
from batchmod.runner import recover


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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Around:
    """Who has to do with a run beside its folder."""

    run_id: str
    observe: Callable[[Event], None]
    confirm: Confirm
    control: Control
    teller: Teller


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
    teller = Teller(loaded, observe)
    around = _Around(run_id=run_id or new_run_id(), observe=observe, confirm=confirm, control=control, teller=teller)
    try:
        summary = await _run(loaded, options, around)
        return summary if summary.skipped else await teller.ended(summary)
    except Exception as error:
        await teller.broke(error)
        raise
    finally:
        await teller.close()


async def _run(loaded: Loaded, options: Options, around: _Around) -> Summary:
    """The run, as soon as the folder is ours."""
    files.make_folder(loaded.folder)
    while True:
        opened_at = clock.now()
        try:
            with owning.owned(loaded.folder) as owner:
                async with storing.opened(loaded, options, run_id=around.run_id) as store:
                    summary = await _run_owned(loaded, options, around, owning.both(owner, store), store)
                    seal(pointer.record_file(loaded.folder, options.state), opened_at=opened_at)
                    return await store.last(summary)
        except FolderInUse:
            if options.if_locked == "skip":
                message = "another run holds the folder; skipped"
                return not_begun(loaded, 0, run_id=around.run_id, message=message, skipped=True)
            if options.if_locked == "refuse":
                raise
            await clock.sleep(1.0)
            if (stopped := around.control.stopped) is not None:
                return not_begun(loaded, exit_code({}, stop=stopped), run_id=around.run_id, stop_reason=stopped)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise StoppedEarly.of(error) from error
            raise


async def _run_owned(
    loaded: Loaded, options: Options, around: _Around, owner: owning.Ownership, store: Nowhere
) -> Summary:
    """The run in a folder that is ours, and so is its store."""
    began, run_id = clock.now(), around.run_id
    scratch = loaded.folder / ".work"
    with (
        folders.open_record(loaded.folder, create=True, state=options.state) as record,
        Log(loaded.folder, followed(around.observe, around.teller.heard)) as log,
    ):
        seen = await _settled(record, loaded, options, owner, log, run_id=run_id)
        said = await store.settled(record, log, run_id)
        loaded = seen.loaded
        scratch.mkdir(exist_ok=True)
        claims, workers = claims_of(record, loaded), hands.of(loaded, options)
        tell = functools.partial(_tell_scoring, log, run_id)
        scoring = Scoring(record, loaded.folder, options, tell, machines=workers.engine)
        beside = Beside(
            [
                *_companions(record, loaded, options, log, run_id=run_id, began=began),
                scoring,
                *store.companions(record, log),
            ]
        )
        runner = runner_of(
            record,
            loaded,
            settings_of(record, loaded, options, run_id),
            owner=owner,
            provider=opener(
                loaded.services, record, scratch, engine=workers.engine, store=loaded.store, courier=workers.courier
            ),
            observe=beside.watching(log.write),
            claims=claims,
            checker=workers.checker,
        )
        around.control.attach(beside.until(runner.drain))
        runner.desk.warnings += [*seen.warnings, *said]
        try:
            await runner.resolve()
            runner.desk.warnings += await store.look_for_unknown(record, runner)
            plan = make_plan(record, loaded, options)
            _say_changed(plan, loaded, log, run_id=run_id)
            declined = not runner.desk.draining and not may_go(plan, loaded, options, around.confirm)
            new_rows = folders.store_rows(record, loaded, plan)
            if not declined:
                if plan.count(Action.SEND):
                    runner.desk.warnings += await hands.begin(workers.engine, loaded, scratch)
                _say_begun(record, loaded, plan, log, run_id=run_id, began=began)
                beside.begin()
                await workers.courier.expect(min(len(plan.paid_sends), loaded.limits.max_in_flight))
                await store.begun(record, plan)
                await runner.run(plan)
                await beside.finish()
        finally:
            try:
                await beside.close()
                await runner.close()
            finally:
                workers.close()
            indexed = claims.standing() if claims.told_all else ""
            claims.close()
            with suppress(StoppedEarly):
                owner.check()  # what lies there may be another run's by now
                files.clear(scratch, keep=".part")
        if indexed:
            record.indexed(indexed)
        runner.desk.not_up = await store.rest()
        runner.desk.warnings += beside.warnings
        new_rows = new_rows or scoring.kept > 0
        summary = ended(
            record,
            loaded,
            runner,
            log,
            run_id=run_id,
            began=began,
            new_rows=new_rows,
            declined=declined,
        )
        around.teller.look(record)
        return replace(summary, unscored=scoring.left())


async def _settled(
    record: Checkpoint, loaded: Loaded, options: Options, owner: owning.Ownership, log: Log, *, run_id: str
) -> rechecking.Rechecked:
    """Take the folder over, and see what has changed since the manifest was read."""
    record.own()
    if owner.taken_from is not None:
        log.tell("taken_over", run_id=run_id, message=f"the lease of {owner.taken_from}, which has ended")
    folders.claim(record, loaded, add=options.add)
    whereabouts.remember(record, loaded.folder, loaded.services.environ)
    recover(record, hosted=lambda name: loaded.services.facts(name).hosted, at=clock.now())
    seen = await asyncio.to_thread(rechecking.asked, loaded, options)
    return replace(seen, loaded=preparing.settled_for_a_run(seen.loaded, options, record))


def _say_begun(record: Checkpoint, loaded: Loaded, plan: Plan, log: Log, *, run_id: str, began: float) -> None:
    record.begin_run(run_id, at=began)
    folders.arm_reviews(record, loaded)
    log.tell("run_started", run_id=run_id, rows=len(plan.items), **folders.standing_facts(record))
    counts = {action.value: plan.count(action) for action in Action if plan.count(action)}
    log.tell("planned", run_id=run_id, counts=counts)


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
