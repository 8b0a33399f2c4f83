"""Further versions of what has an output already: asked for, or renewed."""

from collections.abc import Sequence
from datetime import UTC, datetime

from batchmod.model import WISHED, Further, Job, Review, Status, Work
from batchmod.planning.known import Known, Wishes
from batchmod.planning.lines import Action, Item


def further_of(jobs: Sequence[Job], known: Known, wishes: Wishes) -> dict[int, Further]:
    """Row number → why a further version of it is sent now (rules: money 9 and 10).

    While one that `--pay-again` opened is unfinished the same flag goes on with it instead of opening more, and in a
    run that is resumed it opens no second one of a key: a crash and the same command again must not pay a third time.
    """

    def unfinished(job: Job) -> bool:
        work = known.works.get(job.key)
        return work is not None and work.again > 0 and work.status not in (Status.SUCCEEDED, Status.FAILED)

    def is_opened(job: Job) -> bool:
        return not going_on and job.key not in known.paid_again

    named = [job for job in jobs if job.number in wishes.pay_again]
    going_on = any(unfinished(job) or job.key in known.wishes for job in named)
    further: dict[int, Further] = {job.number: WISHED for job in named if is_opened(job) or job.key in known.wishes}
    return further | {job.number: 1 for job in jobs if job.number in wishes.redo and not unfinished(job)}


def once_more(job: Job, work: Work | None, wish: Work | None, *, again: Further) -> Item | None:
    """One more version of what is finished, or the wish for it; what is under way or uncertain is never touched."""
    if work is None or work.status not in (Status.SUCCEEDED, Status.FAILED):
        return None
    work_id = work.work_id if wish is None else wish.work_id
    return Item(job=job, action=Action.SEND, why="once more, as asked", work_id=work_id, again=again)


def day_of(work: Work | None) -> str:
    """The day on which an output was finished, as it is written everywhere."""
    at = None if work is None else work.finished_at
    return "an unknown day" if at is None else datetime.fromtimestamp(at, UTC).date().isoformat()


def redo_counts(*, said_of: int | None, shown: int | None, review: Review | None) -> bool:
    """Whether a row's `redo` asks for a version now: it is an event, not a standing order (rules: money 9).

    `said_of`: its `review_of`; `shown`: the version there is. It counts where it was never spent, where it speaks of
    a newer version than the one it was spent on, or where a run has seen the cell without it since.
    """
    if shown is None:
        return False
    if review is None or review.armed:
        return True
    return said_of is not None and said_of > review.spent_on
