"""What a provider is, as data: what it takes, what it costs, where it is reached."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a job may cost in US dollars; `exact` where the provider publishes its price."""

    low: float
    likely: float
    high: float
    exact: bool = False
    unpriced: int = 0
    """How many requests there are in it whose price nobody knows; they count as nothing above."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """A provider's price as far as it is known: by the call, by the second, by the pixel; several are a spread."""

    per_second_usd: float | None = None
    per_call_usd: float | None = None
    per_megapixel_usd: float | None = None
    """Per million pixels of the output, at `fps` frames a second."""
    fps: float = 24.0
    minimum_usd: float = 0.0
    step_s: float = 0.0
    """Begun steps of so many seconds may be paid whole: the upper estimate counts them so."""
    exact: bool = False
    note: str = ""

    @property
    def known(self) -> bool:
        """Whether anything of it is known."""
        return (self.per_second_usd, self.per_call_usd, self.per_megapixel_usd) != (None, None, None)

    def estimate(self, seconds: float | None, *, longest_s: float, pixels: int | None = None) -> Estimate:
        """The spread for a clip of `seconds` (unknown: up to `longest_s`) and `pixels` a frame (unknown: 1080p)."""
        by_call = [] if self.per_call_usd is None else [self.per_call_usd]
        rate = self._by_second(pixels or 1920 * 1080)
        by_time = [] if rate is None else [rate * (seconds or longest_s)]
        steps = [] if rate is None or not self.step_s else [rate * self._whole(seconds or longest_s)]
        prices = [max(price, self.minimum_usd) for price in by_call + by_time + steps or [0.0]]
        timed = bool(by_time) and seconds is not None
        likely = max(by_time[0], self.minimum_usd) if timed else prices[0]
        unpriced = 0 if self.known else 1
        return Estimate(low=min(prices), likely=likely, high=max(prices), exact=self.exact, unpriced=unpriced)

    def _by_second(self, pixels: int) -> float | None:
        """US dollars a second of the output."""
        if self.per_megapixel_usd is not None:
            return self.per_megapixel_usd * pixels * self.fps / 1e6
        return self.per_second_usd

    def _whole(self, seconds: float) -> float:
        return math.ceil(seconds / self.step_s - 1e-9) * self.step_s


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderFacts:
    """A provider as data: what it takes, what it costs, how it is reached, what becomes of the clips."""

    name: str
    title: str
    hosted: bool
    """Reached over HTTP and paid; the embedded engine is neither."""
    key_env: str | None = None
    base_urls: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Role (`api`, `upload`, `history`) → (environment variable, default)."""
    max_clip_s: float | None = None
    longest_included: bool = True
    """Whether a clip of exactly `max_clip_s` is taken."""
    min_clip_s: float | None = None
    max_clip_bytes: int | None = None
    max_fps: float | None = None
    max_sides: tuple[int, int] | None = None
    """The longest and the shorter side of a frame that are taken, in pixels."""
    containers: frozenset[str] = frozenset()
    """The kinds of files that are published as taken; empty: none are named."""
    models: tuple[str, ...] = ()
    """The models one can choose from, the default first; empty where there is no choice."""
    fields: frozenset[str] = frozenset({"video_url", "first_frame_url", "mode", "prompt"})
    required: frozenset[str] = frozenset({"video_url"})
    """Which of them a row must set."""
    prompt_chars: tuple[int, int] | None = None
    """The shortest and the longest prompt that is taken, in characters."""
    submits_per_minute: float | None = None
    burst: int = 1
    typical_s: float | None = None
    """How long a request takes on average, as far as it is published or was measured."""
    typical_s_per_megapixel: float | None = None
    """The same for work on this machine: per million pixels of the clip's frames, on one core."""
    price: Price | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    """By a model, or by the value of an option, that has a price of its own."""
    uploads: bool = False
    uploads_public: bool | None = None
    """Whether who knows an upload's URL can fetch it; None: not known."""
    uploads_kept: str = "-"
    upload_life_s: float | None = None
    """After this an upload is sent up again; None: as long as the provider finds it."""
    uploads_deletable: str = "-"
    history: bool = False
    history_keeps_outputs: bool = True
    """Whether the history still leads to an output whose own time is over."""
    cancel: str = "no"
    output_lives: str = "-"
    output_life_s: float | None = None
    reminted: bool = False
    """Whether asking again gives a fresh link to an output whose link has expired."""
    body_fields: frozenset[str] = frozenset({"video_url", "first_frame_url", "mode", "prompt"})
    """The fields of a request's body by which two differ, as its history lists them; `input.prompt` is one inside."""
    privacy: str = "nothing leaves this machine"
    contract: str = ""
    """Where the contract was read."""
    last_run_live: str = "never"
    user_agent: str | None = None
    """What every request and download says it comes from, where the service minds; None: our own name."""
    options_schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoints:
    """Where a provider is asked in this run; None: that service counts as absent."""

    api: str
    upload: str | None = None
    history: str | None = None
    """Where uploads and history have no URL of their own they are the API's."""
