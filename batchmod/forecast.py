"""A Plan + what is known of its providers → counts, money and time, provider by provider."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from batchmod import limits
from batchmod.limits import Budget
from batchmod.model import Estimate, Limits, ProviderFacts, VideoFacts
from batchmod.planning import Action, Item, Plan

_FLIES: Final = frozenset({Action.SEND, Action.RESUME})
"""What a run waits for until it is made."""
_A_CENTS_ROUNDING: Final = 1e-9


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


def counts(plan: Plan) -> dict[Action, int]:
    """Action → how many rows have it, in the order of the actions."""
    found: Counter[Action] = Counter()
    for item, number in plan.counted():
        found[item.action] += number
    return _in_order(found)


def _in_order(found: Mapping[Action, int]) -> dict[Action, int]:
    return {action: found[action] for action in Action if found.get(action)}


def shares(plan: Plan, given: Conditions) -> tuple[Share, ...]:
    """Each provider's part, in the order in which the rows name them."""
    parts: dict[str, _Sum] = {}
    for item, number in plan.counted():
        parts.setdefault(item.job.provider, _Sum()).add(item, number, given.clips)
    return tuple(_share(name, part, given) for name, part in parts.items())


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
    for item, number in plan.counted():
        if item.action is Action.REUSE and item.claim is not None:
            rows[item.claim.folder] += number
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
    left, fitting = cap_usd - committed_usd + _A_CENTS_ROUNDING, 0
    for item, number in plan.counted():
        if item.action is not Action.SEND or item.estimate is None:
            continue
        high = item.estimate.high
        fit = number if high <= 0 else min(number, max(0, math.floor(left / high)))
        left, fitting = left - fit * high, fitting + fit
        if fit < number:
            break
    return fitting


@dataclass(kw_only=True, slots=True)
class _Sum:
    """What a provider's lines come to."""

    actions: Counter[Action] = field(default_factory=Counter)
    requests: int = 0
    flying: int = 0
    low: float = 0.0
    likely: float = 0.0
    high: float = 0.0
    exact: bool = True
    unpriced: int = 0
    megapixels: float | None = 0.0
    """Of the clips that are waited for; None where one is not known."""

    def add(self, item: Item, number: int, clips: Mapping[str, VideoFacts]) -> None:
        """Count a line that stands for so many rows."""
        self.actions[item.action] += number
        if item.action not in _FLIES:
            return
        self.flying += number
        clip = clips.get(item.job.video.identity)
        if clip is None or clip.frames is None or self.megapixels is None:
            self.megapixels = None
        else:
            self.megapixels += number * clip.width * clip.height * clip.frames / 1e6
        if item.action is Action.SEND:
            self.requests += number
            self._pay(item.estimate, number)

    def _pay(self, each: Estimate | None, number: int) -> None:
        if each is None:
            return
        self.low += number * each.low
        self.likely += number * each.likely
        self.high += number * each.high
        self.exact &= each.exact
        self.unpriced += number * each.unpriced

    @property
    def cost(self) -> Estimate:
        """What the new requests cost together."""
        return Estimate(low=self.low, likely=self.likely, high=self.high, exact=self.exact, unpriced=self.unpriced)


def _share(name: str, part: _Sum, given: Conditions) -> Share:
    facts = given.facts[name]
    each = given.typical_s.get(name) or facts.typical_s or _on_this_machine(part, facts)
    return Share(
        provider=name,
        counts=_in_order(part.actions),
        requests=part.requests,
        cost=part.cost,
        seconds=_span(part.requests, part.flying, each, facts, given),
        each_s=each if part.flying else None,
        per_minute=limits.told(facts, given.limits.submits_per_minute).per_minute,
        side_by_side=_side_by_side(facts, given),
    )


def _on_this_machine(part: _Sum, facts: ProviderFacts) -> float | None:
    """A clip's time on one core by its size and length, where all of them are known."""
    if facts.typical_s_per_megapixel is None or not part.flying or part.megapixels is None:
        return None
    return facts.typical_s_per_megapixel * part.megapixels / part.flying


def _side_by_side(facts: ProviderFacts, given: Conditions) -> int:
    return given.limits.max_in_flight if facts.hosted else given.cores


def _span(sends: int, flying: int, each_s: float | None, facts: ProviderFacts, given: Conditions) -> Span:
    """What the pace and the number in flight leave possible: the slower of the two decides."""
    per_minute, burst = limits.told(facts, given.limits.submits_per_minute)
    paced = 0.0 if per_minute is None else max(0, sends - burst) * 60.0 / per_minute
    if not flying:
        return Span(sending=0.0, all=0.0)
    if each_s is None:
        return Span(sending=paced, all=None)
    waves = math.ceil(flying / _side_by_side(facts, given))
    sending = max(paced, (waves - 1) * each_s) if sends else 0.0
    return Span(sending=sending, all=max(paced + each_s, waves * each_s) if sends else waves * each_s)
