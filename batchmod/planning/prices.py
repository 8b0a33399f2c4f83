"""What a plan's requests may cost, and whose price nobody knows."""

from collections.abc import Mapping
from dataclasses import replace

from batchmod.model import Estimate, Job, Price, ProviderFacts, VideoFacts
from batchmod.planning.lines import Item, Plan


def priced(
    item: Item, facts: ProviderFacts, clip: VideoFacts | None, dearest: float | None, given: float | None
) -> Item:
    """With what it may cost: nothing only on this machine, for a service without a known price is paid all the same.

    The upper estimate follows the dearest true price per second, once there is one; a call's own price is its floor,
    since a long clip's price per second says little of a short one.
    """
    price = price_of(item.job, facts) or (Price() if facts.hosted else None)
    if price is None:
        return item
    if not price.known and given is not None:
        return replace(item, estimate=Estimate(low=given, likely=given, high=given))
    seconds = clip.duration_s if clip else None
    pixels = clip.width * clip.height if clip else None
    estimate = price.estimate(seconds, longest_s=facts.max_clip_s or 30.0, pixels=pixels)
    if dearest is not None:
        top = max(dearest * (seconds or facts.max_clip_s or 30.0), price.per_call_usd or 0.0)
        estimate = replace(estimate, low=min(estimate.low, top), likely=min(estimate.likely, top), high=top, unpriced=0)
    return replace(item, estimate=estimate)


def unpriced(plan_: Plan, facts: Mapping[str, ProviderFacts]) -> tuple[str, ...]:
    """The providers of a plan that would be paid and whose price nobody knows: a cap cannot hold there."""
    names = (item.job.provider for item in plan_.paid_sends.samples() if not _is_priced(item, facts[item.job.provider]))
    return tuple(dict.fromkeys(names))


def _is_priced(item: Item, facts: ProviderFacts) -> bool:
    price = price_of(item.job, facts)
    return (price is not None and price.known) or (item.estimate is not None and item.estimate.high > 0)


def price_of(job: Job, facts: ProviderFacts) -> Price | None:
    """A job's price: that of its model or of an option it chose, where that has one of its own, else the provider's."""
    words = (str(word) for word in (job.model, *job.options.values()))
    return next((facts.prices[word] for word in words if word in facts.prices), facts.price)
