"""What a runner is given: the record, a provider's door, the index, checks, budgets."""

import functools
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

from batchmod import executors, jobs, work
from batchmod.app import others, owning, redoing
from batchmod.app.deciding import budgets
from batchmod.app.loading import Loaded
from batchmod.app.options import Options
from batchmod.app.room import Room
from batchmod.app.services import Services
from batchmod.app.verifying import Checker
from batchmod.checkpoint import Checkpoint, load_ballast
from batchmod.index import Index, NoIndex
from batchmod.model import Event, VideoFacts
from batchmod.providers.base import Courier, Executor, Provider
from batchmod.rows import those
from batchmod.runner import Runner, Settings, Tools
from batchmod.runner.money import Purse
from batchmod.urls import is_stored


def _redo(record: Checkpoint, loaded: Loaded) -> dict[str, int]:
    """Id in casefold → the version its review asks to redo now."""
    asked = redoing.asked(record, loaded)
    return {row.id.casefold(): asked[row.number] for row in those(loaded.manifest.rows, asked)}


def claims_of(record: Checkpoint, loaded: Loaded) -> Index | NoIndex:
    """The index of paid work, and room kept for receipts, where anything is or was paid."""
    names = jobs.providers_of(loaded.jobs) | {work.provider for work in record.unfinished()}
    if not any(loaded.services.facts(name).hosted for name in names):
        return NoIndex()
    load_ballast(record.path)
    return loaded.services.open_index(record, loaded.folder)


def runner_of(
    record: Checkpoint,
    loaded: Loaded,
    settings: Settings,
    *,
    owner: owning.Ownership,
    provider: Callable[[str, str], Provider | None],
    observe: Callable[[Event], None],
    claims: Index | NoIndex,
    checker: Checker,
) -> Runner:
    """A runner, with all that it needs of this folder."""
    scratch = loaded.folder / ".work"
    videos = loaded.folder / "videos"  # may be a link to another disk
    tools = Tools(
        checkpoint=record,
        folder=loaded.folder,
        scratch=scratch,
        provider=provider,
        verify=checker.verify,
        clip=loaded.clips.get,
        observe=observe,
        dice=secrets.SystemRandom().random,
        claims=claims,
        gates=loaded.services.gates,
        check_owner=owner.check,
        check_room=Room(scratch, videos if videos.exists() else loaded.folder, record.path.parent).check_now,
        elsewhere=others.holders(loaded.services, record, loaded.folder),
    )
    return Runner(tools, settings, _purse(record, loaded))


def settings_of(record: Checkpoint, loaded: Loaded, options: Options, run_id: str) -> Settings:
    """What a run was told, as its runner takes it."""
    return Settings(
        run_id=run_id,
        max_in_flight=loaded.limits.max_in_flight,
        submits_per_minute=loaded.limits.submits_per_minute,
        polls_per_minute=loaded.limits.polls_per_minute,
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
    services: Services,
    record: Checkpoint,
    scratch: Path,
    *,
    engine: Executor,
    store: str | None = None,
    courier: Courier | None = None,
) -> Callable[[str, str], Provider | None]:
    """(name, origin) → the provider there, with what it needs of this folder; `store`: where outputs are put up."""
    through = f"{store}/{scratch.name}" if store is not None and is_stored(store) else None
    return functools.partial(
        services.open, record=record, scratch=scratch, engine=engine, through=through, courier=courier
    )


def verifier(depth: Literal["decode", "container"]) -> Callable[[Path], Awaitable[VideoFacts | work.Refusal]]:
    """How outputs are checked before they count."""
    inline = executors.Inline()
    return lambda path: inline.submit(work.verify_video, str(path), depth)
