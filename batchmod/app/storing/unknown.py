"""Requests that a copy of the record does not know: what its run has sent after the copy was made.

A row whose request is unknown must not be sent, or it could be paid for twice.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from batchmod import clock
from batchmod.app import folder as folders
from batchmod.app import rescuing
from batchmod.app.loading import Loaded
from batchmod.app.options import Options
from batchmod.app.storing import carding, mirroring
from batchmod.app.storing.mirroring import Mirror
from batchmod.checkpoint import Checkpoint
from batchmod.errors import StoppedEarly
from batchmod.runner import Runner

_HISTORY_S: Final = 7 * 86400.0
"""How far before a copy its histories are read: a list stamps requests by a clock of its own."""
_SHOWN: Final = 5


async def look_for(
    record: Checkpoint, runner: Runner, loaded: Loaded, options: Options, mirror: Mirror, *, is_just_taken: bool
) -> tuple[str, ...]:
    """Where the record is a copy, book what the histories show of requests it does not know; what cannot be known.

    `is_just_taken`: whether this very run took the copy down, so that its --take-copy is no second one.
    Raises StoppedEarly where rows are left that may have been paid for: whoever sends them could pay twice.
    """
    since = carding.unknown_since(record)
    if since is None or (asked := _asked(loaded)) in carding.looked_for(record):
        return ()
    at = min(clock.now() - _HISTORY_S, datetime.fromisoformat(since).timestamp() - _HISTORY_S)
    choices, mute = await rescuing.book_unknown(loaded, options, runner, since=at)
    is_said_once_more = options.take_copy and not is_just_taken
    if choices and not is_said_once_more:
        ids = ", ".join(choice.job.id for choice in choices[:_SHOWN])
        text = f"{ids}: may have been paid for by the run that was lost, and nobody can say which request is whose"
        advice = "see `batchmod rescue MANIFEST`, which shows them and takes --pair; or say --take-copy once more"
        raise StoppedEarly(f"{text}. Nothing was sent: {advice}", slug="record_elsewhere")
    if mute and not is_said_once_more:
        _refuse_strangers_outputs(record, mirror, mute)
    if loaded.is_whole:
        carding.was_looked_for(record, asked)
    return tuple(f"{name} has no history: what the lost run sent there after {since} is not known" for name in mute)


def _asked(loaded: Loaded) -> str:
    """Whose requests a look into the histories is for: a manifest's, at the places that its rows go to."""
    places = sorted({(job.provider, job.origin) for job in loaded.jobs if job.origin})
    return json.dumps([folders.where(loaded), *places])


def _refuse_strangers_outputs(record: Checkpoint, mirror: Mirror, mute: Sequence[str]) -> None:
    """Raise StoppedEarly where outputs lie there that the record does not know, and no history can tell whose."""
    known = {each.path for some in record.deliveries().values() for each in some}
    outputs = (name for name in mirror.book.names if name.startswith(f"{mirroring.VIDEOS}/"))
    if strange := sorted(name for name in outputs if name not in known):
        raise StoppedEarly(
            f"{len(strange):,} outputs in {mirror.store} are not known to the copy of the record, such as "
            f"{', '.join(strange[:_SHOWN])}: the lost run has paid for them, and {' and '.join(mute)} has no "
            "history to take them from. Nothing was sent: fetch them from there, let their rows say `hold: true`, "
            "and remove them there; or say --take-copy once more, which pays for them again and writes over them",
            slug="record_elsewhere",
        )
