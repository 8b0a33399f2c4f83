"""Whether and when again: decides from what is known of a request, never from a guess."""

from dataclasses import dataclass
from typing import assert_never

from batchmod.model import Again, Blocked, Failed, Uncertain


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """How patient a run is; waits in seconds, doubling from `first_s` to `longest_s`."""

    first_s: float = 1.0
    longest_s: float = 60.0
    longest_asked_s: float = 3600.0  # a provider that asks for more is not waited for: the run stops, resumable
    patience: int = 30  # "not now" answers (429) of one job before the run stops, resumable
    reaching: int = 6  # tries to reach a provider that cannot be reached
    sends_after_500: int = 2  # re-sends after the provider's own documented 500


@dataclass(frozen=True, kw_only=True, slots=True)
class SendAgain:
    """Send again after `after_s`; `ask_first`: only if the provider's history does not show the request."""

    after_s: float
    ask_first: bool = False
    fresh_upload: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class GiveUp:
    """The job failed for good (a later run may be told to try again)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Park:
    """The job is uncertain: to be looked up, never sent again by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StopBatch:
    """Nothing was created and nothing else can be now: the job stays planned, the run ends resumable."""

    slug: str


Decision = SendAgain | GiveUp | Park | StopBatch


def decide(outcome: Failed | Blocked | Uncertain, *, sends: int, policy: Policy, jitter: float) -> Decision:
    """What follows when the `sends`-th POST of a job ended in `outcome`; `jitter` is a dice roll in 0..1."""
    match outcome:
        case Uncertain():
            return Park()
        case Blocked():
            return StopBatch(slug=outcome.slug)
        case Failed():
            return _after_refusal(outcome, sends=sends, policy=policy, jitter=jitter)
        case _:
            assert_never(outcome)


def _after_refusal(outcome: Failed, *, sends: int, policy: Policy, jitter: float) -> Decision:
    match outcome.again:
        case Again.NEVER:
            return GiveUp()
        case Again.LATER | Again.UNREACHED:
            tries = policy.patience if outcome.again is Again.LATER else policy.reaching
            if sends >= tries or not (outcome.after_s or 0.0) <= policy.longest_asked_s:
                return StopBatch(slug=outcome.slug)
            return SendAgain(after_s=_wait(outcome.after_s, sends=sends, policy=policy, jitter=jitter))
        case Again.ASK_FIRST:
            if sends > policy.sends_after_500 or not (outcome.after_s or 0.0) <= policy.longest_asked_s:
                return GiveUp()
            wait = _wait(outcome.after_s, sends=sends, policy=policy, jitter=jitter)
            return SendAgain(after_s=wait, ask_first=True)
        case Again.FRESH_UPLOAD:
            return GiveUp() if sends > 1 else SendAgain(after_s=0.0, fresh_upload=True)
        case _:
            assert_never(outcome.again)


def _wait(asked_s: float | None, *, sends: int, policy: Policy, jitter: float) -> float:
    """What the provider asked for, else doubling; up to a quarter more so that waiters do not march in step."""
    base = asked_s if asked_s is not None else policy.first_s * 2.0 ** min(sends - 1, 16)
    if asked_s is None:
        base = min(base, policy.longest_s)
    return base * (1.0 + 0.25 * jitter)
