"""What the user gave: the rows of a manifest, and how fast and how dear they may be done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from batchmod.errors import Place
from batchmod.model.conform import Conform

MODES: Final = tuple(f"{family}_{strength}" for family in ("adhere", "flex", "reimagine") for strength in (1, 2, 3))
"""From the closest to the source to the freest; a higher number is a stronger change."""

DELIMITERS: Final[Mapping[str, str]] = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""What may separate the cells of a sheet in text, by its word; the likeliest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How fast, how much, how dear; None is the provider's own."""

    max_in_flight: int = 8
    submits_per_minute: float | None = None
    polls_per_minute: float = 60.0
    max_cost_usd: float | None = None
    max_cost_per_run_usd: float | None = None
    price_usd: float | None = None
    """What one request is taken to cost where its provider publishes no price."""
    max_attempts: int = 3
    stop_after_failures: int = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A line of a manifest after defaults; paths and URLs as the user wrote them."""

    number: int
    """Position among the manifest's rows, from 1."""
    id: str
    video_url: str
    first_frame_url: str | None = None
    mode: str
    prompt: str | None = None
    provider: str | None = None
    model: str | None = None
    variant: int = 1
    keyframes: str | None = None
    hold: bool = False
    review: str | None = None
    review_of: int | None = None
    source_id: str | None = None
    own: Mapping[str, str] = field(default_factory=dict)
    """The user's own columns, in their order."""
    explicit: frozenset[str] = frozenset()
    """The fields this row set itself (the others come from defaults)."""
    place: Place
    places: Mapping[str, Place] = field(default_factory=dict)
    """Field → its place, for problems found later (a file that is not there)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedFile:
    """A file that a row names, with its place, whether or not the rest of the row is good."""

    number: int
    field: str
    value: str
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Somebody who is told of a run."""

    url: str
    on: frozenset[str] = frozenset({"end", "trouble"})
    format: str = "json"
    secret_env: str | None = None
    """The variable of the environment that holds the signing secret."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """A program that is started for each output that is delivered."""

    command: tuple[str, ...]
    """The program and its arguments, with `{names}` still open in these."""
    timeout_s: float = 300.0
    tries: int = 3
    at_once: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """A parsed manifest; `provider` and `output` None where it does not say."""

    file: str
    name: str
    provider: str | None = None
    provider_options: Mapping[str, Any] = field(default_factory=dict)
    output: str | None = None
    naming: str = "{id}_v{version:03d}"
    pair_frames: bool = False
    """Whether rows without a first frame take `frames/<id>.edited.png` where that is there."""
    deliver: Conform | None = None
    """How outputs are made fit for use, where copies of them are wanted."""
    limits: Limits = field(default_factory=Limits)
    notify: tuple[Notice, ...] = ()
    on_succeeded: Hook | None = None
    recheck_sources: bool = False
    """Whether each run asks the servers of clips and pictures on the web whether these have changed."""
    max_age_s: float | None = None
    """How old an output may become before a run makes one more version of it."""
    rows: Sequence[Row]
    """A long sheet's are made anew whenever they are asked for: go through them as seldom as can be."""
    own_columns: tuple[str, ...] = ()
    """Every user's column of any row, in first-seen order."""
