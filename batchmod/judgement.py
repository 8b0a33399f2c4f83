"""From what was measured to scores, and from scores to a doubt: formulas and thresholds, and nothing else.

docs/scores.md says what they mean and what they cannot see; `python -m benchmarks.scores` measures what they rest on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Final

from batchmod.model import Scores, VideoFacts

FORM: Final = 1
"""Of the formulas: raised with every change after which a score means something else."""
REVIEW: Final = "needs_review"
"""How the reason of a doubt begins that somebody should look at."""


def motion(agreement: float | None) -> float | None:
    """100 x the share of motion that the flows of source and output have in common."""
    return None if agreement is None else _percent(agreement)


def flicker(restlessness: float | None) -> float | None:
    """100 / (1 + ((r - 1) / 3)^2), r the warp error as a multiple of the source's own: 4 times as restless is 50."""
    return None if restlessness is None else _percent(1 / (1 + (max(0.0, restlessness - 1) / 3) ** 2))


def first_frame(psnr_db: float | None) -> float | None:
    """From 10 dB, two different pictures, to 35 dB, where a coded one is hard to tell from its original."""
    return None if psnr_db is None else _percent((psnr_db - 10) / 25)


def structure(likeness: float | None) -> float | None:
    """100 x the mean likeness of shapes; what is below 0 is unlike."""
    return None if likeness is None else _percent(likeness)


def drift(output: float, source: float, apart: float) -> float:
    """100 less what the look changed beyond the source's own change, as a share of its distance to the source's look.

    All three are distances in levels; a look nearer to the source than 5 is taken to be 5 away.
    """
    return _percent(1 - max(0.0, output - source) / max(apart, 5.0))


def _percent(share: float) -> float:
    return round(100 * min(1.0, max(0.0, share)), 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Least:
    """The scores below which somebody should look."""

    motion: float
    flicker: float
    first_frame: float
    structure: float
    drift: float


LEAST: Final[Mapping[str, Least]] = {
    "adhere_1": Least(motion=60, flicker=50, first_frame=35, structure=40, drift=55),
    "adhere_2": Least(motion=60, flicker=50, first_frame=40, structure=35, drift=55),
    "adhere_3": Least(motion=55, flicker=45, first_frame=45, structure=30, drift=55),
    "flex_1": Least(motion=55, flicker=40, first_frame=45, structure=25, drift=50),
    "flex_2": Least(motion=50, flicker=40, first_frame=45, structure=20, drift=50),
    "flex_3": Least(motion=50, flicker=35, first_frame=45, structure=15, drift=50),
    "reimagine_1": Least(motion=50, flicker=30, first_frame=45, structure=10, drift=45),
    "reimagine_2": Least(motion=45, flicker=30, first_frame=45, structure=5, drift=45),
    "reimagine_3": Least(motion=40, flicker=25, first_frame=45, structure=0, drift=45),
}
"""Mode → what it asks for; the further a mode may leave its source, the less."""

_GENTLEST: Final = "reimagine_3"


def reasons(scores: Scores, mode: str | None) -> tuple[str, ...]:
    """Why somebody should look at an output, in words; nothing where nothing speaks against it.

    A mode that is not known asks for no more than the gentlest one.
    """
    least = LEAST.get(mode or "", LEAST[_GENTLEST])
    return (*_stretches("black", scores.black), *_stretches("frozen", scores.frozen), *_below(scores, least))


def needs_review(scores: Scores, mode: str | None) -> str | None:
    """The reasons as one text: `needs_review: motion 41 of at least 60`."""
    found = reasons(scores, mode)
    return f"{REVIEW}: {', '.join(found)}" if found else None


def lost_sound(scores: Scores, output: VideoFacts | None) -> str | None:
    """A fact, no fault: most services answer without sound."""
    silent = output is not None and not output.has_audio
    return "the source has sound, the output has none" if silent and scores.source and scores.source.has_audio else None


def _below(scores: Scores, least: Least) -> Iterator[str]:
    for each in fields(least):
        score, bound = getattr(scores, each.name), getattr(least, each.name)
        if score is not None and score < bound:
            yield f"{each.name.replace('_', ' ')} {int(score)} of at least {bound:.0f}"


def _stretches(what: str, found: tuple[tuple[float, float], ...]) -> Iterator[str]:
    if found:
        start, end = found[0]
        yield f"{what} from {start:.1f} to {end:.1f} s" + (f" and {len(found) - 1} times more" if found[1:] else "")
