"""Requests nobody is sure of: asked for in their provider's history, never sent again by a guess."""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from batchmod import clock, reconcile
from batchmod.checkpoint import Checkpoint
from batchmod.model import Attempt, Status, Work
from batchmod.providers.base import Provider
from batchmod.runner.desk import Desk
from batchmod.runner.lanes import Lane

_FURTHER_BACK_S: Final = 86400.0
"""How much further back than a request's time its history is walked: a clock or a zone may be wrong by hours."""


async def resolve(desk: Desk, lane_of: Callable[[str, str], Lane | None], *, busy: Collection[int] = ()) -> list[Work]:
    """Look the uncertain up, but for the works that are `busy`; the works that can go on now."""
    going_on = []
    asked: dict[tuple[str, str], list[Attempt]] = {}
    for attempt in desk.record.uncertain_attempts():
        if attempt.request_id is None and attempt.work_id not in busy:
            asked.setdefault((attempt.provider, attempt.origin), []).append(attempt)
    for (name, origin), attempts in asked.items():
        lane = lane_of(name, origin)
        verdicts = await ask(desk, lane, attempts) if lane is not None else []
        going_on += [work for verdict in verdicts if (work := settle(desk, verdict)) is not None]
    return going_on


async def ask(desk: Desk, lane: Lane, attempts: Sequence[Attempt]) -> list[reconcile.Verdict]:
    """One walk through a history, and what it says of each attempt; empty where there is no history.

    Another account's history says nothing of an attempt: neither that it is not there, nor that the walk is whole.
    """
    provider = lane.provider
    own = [attempt for attempt in attempts if attempt.account in (None, provider.account)]
    others = [attempt for attempt in attempts if attempt.account not in (None, provider.account)]
    open_still: list[reconcile.Verdict] = [
        reconcile.StillOpen(attempt=attempt, reason="it was sent with another key") for attempt in others
    ]
    if not own:
        return open_still
    now = clock.now()
    since = min(reconcile.window_start(attempt, 0.0) for attempt in own)
    if proofs := _proofs(desk, provider):
        # The walk must pass a request we know was accepted: only that proves what it does not show.
        since = min(since, max(attempt.sent_at for attempt in proofs) - reconcile.WINDOW_BEFORE_S)
    walk = await provider.history(since=since - _FURTHER_BACK_S, now=now)
    if walk is None:
        return open_still
    verdicts = _verdicts(desk, provider, own, walk, now=now)
    return [*open_still, *(_careful(verdict) for verdict in verdicts)]


def _verdicts(
    desk: Desk, provider: Provider, own: Sequence[Attempt], walk: reconcile.Walk, *, now: float
) -> list[reconcile.Verdict]:
    """What a walk says, by the record as it is now: requests may have been answered while it was walked."""
    name, origin, contract = provider.facts.name, provider.origin, provider.facts.body_fields
    asked = {attempt.attempt_id for attempt in own}
    unanswered = desk.record.unanswered_attempts(name, origin)
    others = _elsewhere(desk, own, reconcile.candidates(own, walk, contract))
    rivals = [a for a in unanswered if a.attempt_id not in asked and a.account in (None, provider.account)]
    return reconcile.resolve(
        own,
        walk=walk,
        known=[
            reconcile.Known(request_id=a.request_id, body=a.body, sent_at=a.sent_at)
            for a in _proofs(desk, provider)
            if a.request_id
        ],
        taken={a.request_id for a in (*desk.record.accepted_attempts(name, origin), *others) if a.request_id},
        rivals=[*rivals, *(attempt for attempt in others if attempt.request_id is None)],
        contract=contract,
        now=now,
        grace_s=desk.settings.history_grace_s,
    )


def _elsewhere(desk: Desk, own: Sequence[Attempt], rows: Collection[str]) -> list[Attempt]:
    """Attempts of other output folders to which these rows belong, or may belong.

    Where this folder was copied the other one holds the very same attempt: that is no other's.
    """
    if not rows:
        return []
    ours = {(attempt.attempt_id, attempt.sent_at) for attempt in own}
    found = desk.tools.elsewhere(own[0].provider, own[0].origin, rows)
    return [attempt for attempt in found if (attempt.attempt_id, attempt.sent_at) not in ours]


def _proofs(desk: Desk, provider: Provider) -> list[Attempt]:
    """Requests of ours, sent with this very key, that we know were accepted: not those booked from a history."""
    accepted = desk.record.accepted_attempts(provider.facts.name, provider.origin)
    return [attempt for attempt in accepted if attempt.account == provider.account and not attempt.booked]


def _careful(verdict: reconcile.Verdict) -> reconcile.Verdict:
    """An attempt whose key is not known may be missing because it was another one."""
    if isinstance(verdict, reconcile.NeverAccepted) and verdict.attempt.account is None:
        return reconcile.StillOpen(attempt=verdict.attempt, reason="it is not known which key it was sent with")
    return verdict


def settle(desk: Desk, verdict: reconcile.Verdict) -> Work | None:
    """Write a verdict down; the work, if it can be collected now.

    What was never accepted is planned again, and left to the next plan: there its row may be held, edited or gone,
    and the cap and the user have their say.
    """
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
            desk.tell("resolved", desk.record.work(attempt.work_id), how="never accepted: planned again")
            return None
        case reconcile.StillOpen():
            return None


def next_end_of_grace(desk: Desk, *, after: float) -> float | None:
    """When (Unix seconds) a history has had its time to show the next uncertain request; None where none is waited for.

    `after`: when they were looked up last.
    """
    grace_s = desk.settings.history_grace_s
    waiting = (each for each in desk.record.uncertain_attempts() if each.request_id is None)
    return min((end for each in waiting if (end := reconcile.grace_end(each, grace_s)) > after), default=None)


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
