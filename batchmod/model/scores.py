"""What an output is worth beside its source, as far as numbers can say it."""

from dataclasses import dataclass

from batchmod.model.facts import VideoFacts

Stretch = tuple[float, float]
"""From and until when, in seconds from the first frame on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """0 to 100, higher is better; None where it cannot be said."""

    motion: float | None = None
    flicker: float | None = None
    first_frame: float | None = None
    structure: float | None = None
    drift: float | None = None
    black: tuple[Stretch, ...] = ()
    """Where the output is black and its source is not."""
    frozen: tuple[Stretch, ...] = ()
    """Where the output stands still and its source moves."""
    source: VideoFacts | None = None
    """Of the clip it was compared with."""
    differs: str | None = None
    """How length, rate or size differ from the source's, where that was not known when it arrived."""
    notes: tuple[str, ...] = ()
    """What could not be compared, and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """What the record keeps of a work's output: its scores, or why there are none."""

    work_id: int
    sha256: str
    """Of the output that was looked at."""
    scores: Scores | None = None
    problem: str | None = None
