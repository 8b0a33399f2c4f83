"""Scores and thumbnails that a folder's outputs lack, made when somebody asks for them: `batchmod report`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from batchmod import executors, judgement
from batchmod.app import folder as folders
from batchmod.app.scoring.orders import Wishes, lacking
from batchmod.app.scoring.scorer import Scorer, look_at_all
from batchmod.app.services import engine_installed


@dataclass(kw_only=True, slots=True)
class LookedAt:
    """What came of looking at a folder's outputs; filled in while it goes on, and whatever ends it."""

    kept: int = 0
    """Outputs that scores, or why there are none, were written down for."""
    problems: dict[str, int] = field(default_factory=dict)
    """Why there are no scores → for how many outputs."""
    remote: int = 0
    """Outputs whose source is on the web and is not to be fetched."""
    lacks_engine: bool = False
    """Whether nothing can be scored, since the `local` extra is not installed."""


async def look_at_missing(
    folder: Path,
    came: LookedAt,
    *,
    state: Path | None = None,
    remote: bool = False,
    tell: Callable[[int, int], None] = lambda done, of: None,  # noqa: ARG005 - nobody watches
) -> None:
    """Make the scores and thumbnails that a folder's outputs lack, all cores at a time; tells (done, of).

    It takes no lock: a run may go on there. Raises RecordRefused where there is no record.
    """
    wishes = Wishes(remote=remote)
    with folders.look_at(folder, state=state) as record:
        todo = lacking(record, folder, wishes)
        if engine_installed() and not remote:
            came.remote = len(record.unscored(judgement.FORM)) - len(record.unscored(judgement.FORM, remote=False))
        came.lacks_engine = not engine_installed() and bool(record.unscored(judgement.FORM))
    if not todo:
        return
    with folders.open_record(folder, create=False, state=state) as record:
        scorer = Scorer(record, folder, wishes, workers=executors.cores())
        try:
            await look_at_all(scorer, todo, tell)
        finally:
            await scorer.close()
            came.kept, came.problems = scorer.kept, scorer.problems
