"""What is to be done with one job, by what is known of its work."""

from collections.abc import Mapping

from batchmod.model import Claim, Job, ProviderFacts, Status, Work
from batchmod.planning.known import Known, Wishes
from batchmod.planning.lines import Action, Flaw, Item


def item_of(
    job: Job,
    work: Work | None,
    *,
    known: Known,
    facts: Mapping[str, ProviderFacts],
    flaw: Flaw | None,
    wishes: Wishes,
) -> Item:
    """The line of a job of which no further version is asked for: it goes on, is done, waits, or is sent."""
    if work is not None:
        settled = _settled(job, work, known=known, hosted=facts[job.provider].hosted, wishes=wishes)
        if settled is not None:
            return settled
    work_id = work.work_id if work else None
    claim = known.elsewhere.get(job.key)
    if claim is not None:
        return _claimed(job, claim, reusable=job.key in known.reusable)
    if flaw is not None:
        return Item(job=job, action=Action.FAIL, why=flaw.message, flaw=flaw, work_id=work_id)
    why = "new" if work is None or work.attempts == 0 else "again"
    return Item(job=job, action=Action.SEND, why=why, work_id=work_id)


def _claimed(job: Job, claim: Claim, *, reusable: bool) -> Item:
    """A request that another folder holds is never sent: it is reused, or waits with the reason (rules: money 7)."""
    if claim.status is Status.FAILED:
        why = f"paid, or perhaps paid, on {claim.on} in {claim.folder}, and lost: give --no-reuse to pay again"
        return Item(job=job, action=Action.HOLD, why=why, claim=claim)
    if claim.status is not Status.SUCCEEDED:
        why = f"{claim.status.value} in {claim.folder}: run that folder's manifest, then this one reuses it"
        return Item(job=job, action=Action.HOLD, why=why, claim=claim)
    if not reusable:
        why = f"paid on {claim.on} in {claim.folder}, file not found: give --output, or --no-reuse to pay again"
        return Item(job=job, action=Action.HOLD, why=why, claim=claim)
    return Item(job=job, action=Action.REUSE, why=f"paid on {claim.on} in {claim.folder}", claim=claim)


def _settled(job: Job, work: Work, *, known: Known, hosted: bool, wishes: Wishes) -> Item | None:
    """The item of a work that needs no new request; None where it does."""
    match work.status:
        case Status.SUCCEEDED:
            return _delivered(job, work, known=known, hosted=hosted)
        case Status.SUBMITTED:
            return Item(job=job, action=Action.RESUME, why="sent, not collected yet", work_id=work.work_id)
        case Status.SUBMITTING if hosted:
            return Item(job=job, action=Action.ASK, why="was being sent when it stopped", work_id=work.work_id)
        case Status.UNCERTAIN:
            why = work.error or "may have been paid"
            return Item(job=job, action=Action.ASK, why=why, work_id=work.work_id)
        case Status.FAILED if not _may_retry(work, wishes):
            return Item(job=job, action=Action.LEAVE, why=work.error or "failed", work_id=work.work_id)
        case _:
            return None


def _may_retry(work: Work, wishes: Wishes) -> bool:
    """Only what is known not to be billed: a job that was given up may have been paid."""
    return wishes.retry_failed and work.billed is False and work.attempts < wishes.max_attempts


def _delivered(job: Job, work: Work, *, known: Known, hosted: bool) -> Item | None:
    there = [d for d in known.deliveries.get(work.work_id, ()) if d.delivered and d.path in known.files]
    if any(delivery.id.casefold() == job.id.casefold() for delivery in there):
        return Item(job=job, action=Action.KEEP, why="done", work_id=work.work_id)
    if there:
        why = f"the same request as {there[0].id}"
        return Item(job=job, action=Action.COPY, why=why, work_id=work.work_id, twin_of=there[0].id)
    if hosted and work.request_id is None:  # another folder paid for it
        claim = known.elsewhere.get(job.key)
        if claim is not None:
            return _claimed(job, claim, reusable=job.key in known.reusable)
        why = "its file is missing, and it came from another output folder that is not known any more"
        return Item(job=job, action=Action.HOLD, why=why, work_id=work.work_id)
    if hosted:
        return Item(job=job, action=Action.FETCH, why="paid, its file is missing", work_id=work.work_id)
    return None
