"""This user's other output folders: what they hold at a provider is nobody else's."""

from collections.abc import Callable, Collection
from pathlib import Path

from batchmod import index
from batchmod.app import pointer
from batchmod.app.homes import index_file
from batchmod.app.services import Services, is_same_place
from batchmod.checkpoint import Checkpoint
from batchmod.errors import BatchmodError, UsageError
from batchmod.model import Attempt


def holders(
    services: Services, record: Checkpoint, folder: Path
) -> Callable[[str, str, Collection[str]], tuple[Attempt, ...]]:
    """(provider, origin, request ids) → the other folders' attempts that hold one of them, or are in the air.

    A folder that is gone, or cannot be read now, tells nothing. What is uncertain there keeps no row from others:
    whoever takes it first, the other one finds it taken.
    """

    def found(provider: str, origin: str, request_ids: Collection[str]) -> tuple[Attempt, ...]:
        try:
            known = index.folders_but(index_file(services.environ), record.fact("folder_id") or "")
        except UsageError:  # there is no place for an index: nobody knows of other folders
            return ()
        others = (each for each in known if not is_same_place(each, folder))
        return tuple(attempt for each in others for attempt in _told_by(each, provider, origin, request_ids))

    return found


def _told_by(folder: Path, provider: str, origin: str, request_ids: Collection[str]) -> tuple[Attempt, ...]:
    try:
        with Checkpoint.look_at(pointer.record_file(folder)) as record:
            held = record.attempts_holding(provider, origin, request_ids)
            return (*held, *record.unanswered_attempts(provider, origin, in_the_air=True))
    except BatchmodError:
        return ()
