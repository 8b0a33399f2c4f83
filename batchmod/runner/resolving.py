"""Requests nobody is sure of: asked for in their provider's history, never sent again by a guess."""

from collections.abc import Callable, Sequence

from batchmod import clock, reconcile
from batchmod.checkpoint import Checkpoint
from batchmod.model import Attempt, Status, Work
from batchmod.runner.desk import Desk
from batchmod.runner.lanes import Lane


async def resolve(desk: Desk, lane_of: Callable[[str, str], Lane | None]) -> list[Work]:
    """Look the uncertain up; the works that can go on now."""
    going_on = []
    asked: dict[tuple[str, str], list[Attempt]] = {}
    for attempt in desk.record.uncertain_attempts():
        if attempt.request_id is None:
            asked.setdefault((attempt.provider, attempt.origin), []).append(attempt)
    for (name, origin), attempts in asked.items():
        lane = lane_of(name, origin)
        verdicts = await ask(desk, lane, attempts) if lane is not None else []
        going_on += [work for verdict in verdicts if (work := settle(desk, verdict)) is not None]
    return going_on


async def ask(desk: Desk, lane: Lane, attempts: Sequence[Attempt]) -> list[reconcile.Verdict]:
    """One walk through a history, and what it says of each attempt; empty where there is no history."""
    name, origin = lane.provider.facts.name, lane.provider.origin
    accepted = desk.record.accepted_attempts(name, origin)
    now = clock.now()
    since = min(reconcile.window_start(attempt, 0.0) for attempt in attempts)
    if accepted:
        # The walk must pass a request we know was accepted: only that proves what it does not show.
        since = min(since, max(attempt.sent_at for attempt in accepted) - reconcile.WINDOW_BEFORE_S)
    walk = await lane.provider.history(since=since, now=now)
    if walk is None:
        return []
    known = [reconcile.Known(request_id=a.request_id, body=a.body) for a in accepted if a.request_id]
    return reconcile.resolve(attempts, walk=walk, known=known, now=now, grace_s=desk.settings.history_grace_s)


def settle(desk: Desk, verdict: reconcile.Verdict) -> Work | None:
    """Write a verdict down; the work, if it can go on now."""
    attempt = verdict.attempt
    match verdict:
        case reconcile.Found():
            request_id = verdict.row.request_id
            if not desk.record.accept(attempt.work_id, attempt.attempt_id, request_id=request_id, state={}):
                return None
            desk.keep_claim(attempt.work_id)
            work = desk.record.work(attempt.work_id)
            desk.tell("resolved", work, request_id=request_id, how="found in the history")
            return work
        case reconcile.NeverAccepted():
            desk.record.never_accepted(attempt)
            desk.purse.settle(attempt.work_id)
            desk.keep_claim(attempt.work_id)
            work = desk.record.work(attempt.work_id)
            desk.tell("resolved", work, how="never accepted: planned again")
            return work if desk.may_spend and desk.sends else None
        case reconcile.StillOpen():
            return None


def recover(record: Checkpoint, *, hosted: Callable[[str], bool], at: float) -> None:
    """What a killed run left half done: a hosted request may be paid (uncertain), a local one is planned again."""
    for work in record.unfinished():
        if work.status is not Status.SUBMITTING:
            continue
        if hosted(work.provider):
            attempt = record.open_attempt(work.work_id)
            record.doubt(work.work_id, attempt, reason="the run ended while the request was on its way", at=at)
        else:
            record.put_back(work.work_id)
