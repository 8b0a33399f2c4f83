"""What a provider's own terms have against a plan: clips it does not take, outputs it does not keep, files it shows."""

from collections.abc import Mapping
from typing import Final

from batchmod.model import ProviderFacts, VideoFacts
from batchmod.planning.lines import Action, Flaw, Plan

_A_DAY_S: Final = 86400.0
_FORGIVEN_S: Final = 0.05


def flaw_of(clip: VideoFacts, facts: ProviderFacts) -> Flaw | None:
    """Why a provider would refuse this clip: too long or too large, by its published limits."""
    shortest, longest, largest = facts.min_clip_s, facts.max_clip_s, facts.max_clip_bytes
    if longest is not None and clip.duration_s is not None and _is_longer(clip.duration_s, longest, facts):
        takes = f"takes at most {longest:g} s" if facts.longest_included else f"takes less than {longest:g} s"
        message = f"the clip lasts {clip.duration_s:.1f} s; {facts.name} {takes}"
        return Flaw(slug="clip_too_long", message=message)
    if shortest is not None and clip.duration_s is not None and clip.duration_s < shortest - _FORGIVEN_S:
        message = f"the clip lasts {clip.duration_s:.1f} s; {facts.name} takes {shortest:g} s at least"
        return Flaw(slug="clip_too_short", message=message)
    if largest is not None and clip.bytes > largest:
        message = f"the clip has {clip.bytes / 1e6:.0f} MB; {facts.name} takes at most {largest / 1e6:.0f} MB"
        return Flaw(slug="clip_too_large", message=message)
    return None


def _is_longer(seconds: float, longest_s: float, facts: ProviderFacts) -> bool:
    """A clip of exactly the limit may count a frame more, where the limit itself is taken."""
    return seconds > longest_s + _FORGIVEN_S if facts.longest_included else seconds >= longest_s


def expiry_problem(facts: ProviderFacts, *, has_history: bool) -> str | None:
    """Why outputs of a provider may not be left there: they would be gone before a nightly run collects them."""
    life = facts.output_life_s
    if not facts.hosted or facts.reminted or has_history or (life is not None and life >= _A_DAY_S):
        return None
    lives = "an unknown time" if life is None else f"{life / 3600:g} h"
    return f"{facts.name} keeps outputs for {lives}, and nothing brings back what has expired"


def public_files(plan_: Plan, facts: Mapping[str, ProviderFacts]) -> dict[str, int]:
    """Provider → how many local files a run would put under a public URL there, or one that may be public."""
    found: dict[str, set[str]] = {}
    for item in plan_.of(Action.SEND).samples():  # plain jobs have no local file
        of = facts[item.job.provider]
        if not of.uploads or of.uploads_public is False:
            continue
        for source in (item.job.video, item.job.first_frame):
            if source is not None and source.local:
                found.setdefault(of.name, set()).add(source.identity)
    return {name: len(files) for name, files in found.items()}
