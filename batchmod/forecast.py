"""A Plan + what is known of its providers → counts, money and time, provider by provider."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from batchmod import limits
from batchmod.limits import Budget
from batchmod.model import Estimate, Limits, ProviderFacts, VideoFacts
from batchmod.planning import Action, Item, Plan, together

_FLIES: Final = frozenset({Action.SEND, Action.RESUME})
"""What a run waits for until it is made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """How long something takes at the current limits, in seconds."""

    sending: float
    """Until the last new request has left, as far as the pace holds them back."""
    all: float | None
    """Until the last output is there; None where nobody knows how long a request takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """One provider's part of a plan."""

    provider: str
    counts: Mapping[Action, int]
    requests: int
    """How many new requests leave."""
    cost: Estimate
    """What those cost together."""
    seconds: Span
    each_s: float | None
    """How long one takes; None where nobody knows."""
    per_minute: float | None
    """How many leave in a minute at most; None where nothing holds them back."""
    side_by_side: int
    """How many are in flight at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reused:
    """What another output folder has paid for, and this run takes from there."""

    folder: str
    rows: int
    paid_usd: float
    """What it cost there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cap:
    """A cap on the money of a folder or of a run, and how far it reaches."""

    name: str
    """The key of `limits:` that sets it."""
    usd: float
    committed_usd: float
    """Spent, and reserved for what is in flight or uncertain."""
    requests: int
    """How many of the plan's paid requests certainly fit under it, each at its upper estimate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """What a forecast depends on beside the plan."""

    facts: Mapping[str, ProviderFacts]
    limits: Limits
    typical_s: Mapping[str, float] = field(default_factory=dict)
    """Provider → how long a request took in this folder."""
    cores: int = 1
    clips: Mapping[str, VideoFacts] = field(default_factory=dict)
    """By identity, as `plan` takes them."""


def counts(items: Iterable[Item]) -> dict[Action, int]:
    """Action → how many rows have it, in the order of the actions."""
    found = Counter(item.action for item in items)
    return {action: found[action] for action in Action if found[action]}


def shares(plan: Plan, given: Conditions) -> tuple[Share, ...]:
    """Each provider's part, in the order in which the rows name them."""
    by_provider: dict[str, list[Item]] = {}
    for item in plan.items:
        by_provider.setdefault(item.job.provider, []).append(item)
    return tuple(_share(name, items, given) for name, items in by_provider.items())


def total(parts: Sequence[Share]) -> Span:
    """Providers work side by side, so that the slowest one counts."""
    ends = [part.seconds.all for part in parts]
    known = [end for end in ends if end is not None]
    return Span(
        sending=max((part.seconds.sending for part in parts), default=0.0),
        all=max(known, default=0.0) if len(known) == len(ends) else None,
    )


def reused(plan: Plan) -> tuple[Reused, ...]:
    """What comes from other output folders, folder by folder; a request that several rows share is paid once."""
    rows: Counter[str] = Counter()
    paid: dict[str, dict[str, float]] = {}
    for item in plan.items:
        if item.action is Action.REUSE and item.claim is not None:
            rows[item.claim.folder] += 1
            paid.setdefault(item.claim.folder, {})[item.job.key] = item.claim.cost_usd or 0.0
    return tuple(Reused(folder=name, rows=number, paid_usd=sum(paid[name].values())) for name, number in rows.items())


def caps(plan: Plan, of: Limits, *, folder: Budget, run: Budget) -> tuple[Cap, ...]:
    """How far the caps reach; `folder` and `run` hold what is committed already."""
    named = (("max_cost_usd", of.max_cost_usd, folder), ("max_cost_per_run_usd", of.max_cost_per_run_usd, run))
    return tuple(
        Cap(name=name, usd=usd, committed_usd=held.committed_usd, requests=_fitting(plan, usd, held.committed_usd))
        for name, usd, held in named
        if usd is not None
    )


def _fitting(plan: Plan, cap_usd: float, committed_usd: float) -> int:
    budget, count = Budget(cap_usd=cap_usd, done_usd=committed_usd), 0
    for item in plan.paid_sends:
        high = item.estimate.high if item.estimate else 0.0
        if not budget.allows(high):
            return count
        budget, count = budget.reserve(high), count + 1
    return count


def _share(name: str, items: Sequence[Item], given: Conditions) -> Share:
    sends = [item for item in items if item.action is Action.SEND]
    flying = [item for item in items if item.action in _FLIES]
    facts = given.facts[name]
    each = given.typical_s.get(name) or facts.typical_s or _on_this_machine(flying, facts, given.clips)
    return Share(
        provider=name,
        counts=counts(items),
        requests=len(sends),
        cost=together(item.estimate for item in sends if item.estimate),
        seconds=_span(len(sends), len(flying), each, facts, given),
        each_s=each if flying else None,
        per_minute=limits.pace(facts, given.limits.submits_per_minute).per_minute,
        side_by_side=_side_by_side(facts, given),
    )


def _side_by_side(facts: ProviderFacts, given: Conditions) -> int:
    return given.limits.max_in_flight if facts.hosted else given.cores


def _span(sends: int, flying: int, each_s: float | None, facts: ProviderFacts, given: Conditions) -> Span:
    """What the pace and the number in flight leave possible: the slower of the two decides."""
    per_minute, burst = limits.pace(facts, given.limits.submits_per_minute)
    paced = 0.0 if per_minute is None else max(0, sends - burst) * 60.0 / per_minute
    if not flying:
        return Span(sending=0.0, all=0.0)
    if each_s is None:
        return Span(sending=paced, all=None)
    waves = math.ceil(flying / _side_by_side(facts, given))
    sending = max(paced, (waves - 1) * each_s) if sends else 0.0
    return Span(sending=sending, all=max(paced + each_s, waves * each_s) if sends else waves * each_s)


def _on_this_machine(items: Sequence[Item], facts: ProviderFacts, clips: Mapping[str, VideoFacts]) -> float | None:
    """A clip's time on one core by its size and length, where all of them are known."""
    if facts.typical_s_per_megapixel is None or not items:
        return None
    every = [clips.get(item.job.video.identity) for item in items]
    sizes = [clip.width * clip.height * clip.frames / 1e6 for clip in every if clip and clip.frames]
    return facts.typical_s_per_megapixel * sum(sizes) / len(sizes) if len(sizes) == len(items) else None
