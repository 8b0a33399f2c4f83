"""One manifest's run, from the lock to the closing line."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from batchmod import clock, files
from batchmod.app import (
    belonging,
    hands,
    owning,
    pointer,
    preparing,
    rechecking,
    redoing,
    stored_rows,
    storing,
    whereabouts,
)
from batchmod.app import folder as folders
from batchmod.app.crew import Crew, Here
from batchmod.app.deciding import Confirm, make_plan, may_go
from batchmod.app.ending import Summary, ended, exit_code, not_begun
from batchmod.app.loading import Loaded
from batchmod.app.log import Log, followed
from batchmod.app.notifying import Teller
from batchmod.app.options import Options
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
    with (
        folders.open_record(loaded.folder, create=True, state=options.state) as record,
        Log(loaded.folder, followed(around.observe, around.teller.heard)) as log,
    ):
        seen = await _settled(record, loaded, options, owner, log, run_id=run_id)
        said = await store.settled(record, log, run_id)
        here = Here(record=record, log=log, loaded=seen.loaded, options=options, run_id=run_id, began=began)
        crew = Crew(here, owner, store)
        around.control.attach(crew.beside.until(crew.runner.drain))
        crew.runner.desk.warnings += [*seen.warnings, *said]
        try:
            went = await _carried_out(here, crew, store, around.confirm)
        finally:
            await crew.close()
        summary = await _concluded(here, crew, store, went)
        around.teller.look(record)
        return replace(summary, unscored=crew.scoring.left())


async def _settled(
    record: Checkpoint, loaded: Loaded, options: Options, owner: owning.Ownership, log: Log, *, run_id: str
) -> rechecking.Rechecked:
    """Take the folder over, and see what has changed since the manifest was read."""
    record.own()
    if owner.taken_from is not None:
        log.tell("taken_over", run_id=run_id, message=f"the lease of {owner.taken_from}, which has ended")
    belonging.claim(record, loaded, add=options.add)
    whereabouts.remember(record, loaded.folder, loaded.services.environ)
    recover(record, hosted=lambda name: loaded.services.facts(name).hosted, at=clock.now())
    seen = await asyncio.to_thread(rechecking.asked, loaded, options)
    return replace(seen, loaded=preparing.settled_for_a_run(seen.loaded, options, record))


class _Went(NamedTuple):
    """How it went with a plan."""

    declined: bool
    new_rows: bool
    """Whether the rows of the record are others now."""


async def _carried_out(here: Here, crew: Crew, store: Nowhere, confirm: Confirm) -> _Went:
    """Settle what is in doubt, then make the plan and, if it may be, carry it out."""
    record, loaded, runner = here.record, here.loaded, crew.runner
    await runner.resolve()
    runner.desk.warnings += await store.look_for_unknown(record, runner)
    plan = make_plan(record, loaded, here.options)
    _say_changed(here, plan)
    declined = not runner.desk.draining and not may_go(plan, loaded, here.options, confirm)
    new_rows = stored_rows.store(record, loaded, plan)
    if not declined:
        if plan.count(Action.SEND):
            runner.desk.warnings += await hands.begin(crew.hands.engine, loaded, here.scratch)
        _say_begun(here, plan)
        crew.beside.begin()
        await crew.hands.courier.expect(min(len(plan.paid_sends), loaded.limits.max_in_flight))
        await store.begun(record, plan)
        await runner.run(plan)
        await crew.beside.finish()
    return _Went(declined=declined, new_rows=new_rows)


def _say_changed(here: Here, plan: Plan) -> None:
    """Which rows are sent because their clip is another one now."""
    changed = here.loaded.changed
    for item in plan.of(Action.SEND) if changed else ():
        if (why := changed.get(item.job.number)) is not None:
            at = clock.iso(clock.now())
            facts = {"message": why}
            here.log.write(Event(kind="source_changed", at=at, run_id=here.run_id, id=item.job.id, facts=facts))


def _say_begun(here: Here, plan: Plan) -> None:
    record, log, run_id = here.record, here.log, here.run_id
    record.begin_run(run_id, at=here.began)
    redoing.arm(record, here.loaded)
    log.tell("run_started", run_id=run_id, rows=len(plan.items), **folders.standing_facts(record))
    counts = {action.value: plan.count(action) for action in Action if plan.count(action)}
    log.tell("planned", run_id=run_id, counts=counts)


async def _concluded(here: Here, crew: Crew, store: Nowhere, went: _Went) -> Summary:
    """Everybody is gone; the last word of the record, the log and the tables."""
    if crew.indexed:
        here.record.indexed(crew.indexed)
    crew.runner.desk.not_up = await store.rest()
    crew.runner.desk.warnings += crew.beside.warnings
    return ended(
        here.record,
        here.loaded,
        crew.runner,
        here.log,
        run_id=here.run_id,
        began=here.began,
        new_rows=went.new_rows or crew.scoring.kept > 0,
        declined=went.declined,
    )
