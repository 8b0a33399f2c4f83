"""The words everything else is said in: frozen values without behaviour."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final, Literal

from batchmod.errors import Place

MODES: Final = tuple(f"{family}_{strength}" for family in ("adhere", "flex", "reimagine") for strength in (1, 2, 3))
"""From the closest to the source to the freest; a higher number is a stronger change."""

DELIMITERS: Final[Mapping[str, str]] = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""What may separate the cells of a sheet in text, by its word; the likeliest first."""


# --- what the user gave -------------------------------------------------------------------------------------


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
    limits: Limits = field(default_factory=Limits)
    rows: Sequence[Row]
    """A long sheet's are made anew whenever they are asked for: go through them as seldom as can be."""
    own_columns: tuple[str, ...] = ()
    """Every user's column of any row, in first-seen order."""


# --- jobs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A clip or picture: where it is, and the identity that enters the job_key.

    `location` is an absolute path or a URL; `identity` is `sha256:…` of a local file's content, `url:…` of a
    URL without its signature, or `id:…` where the user knows better.
    """

    location: str
    local: bool
    identity: str
    sha256: str | None = None
    media_type: str | None = None
    """For a local file: the hash of its content and what it is, as an upload needs them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A row made complete. Two jobs with one key are one request."""

    key: str
    id: str
    number: int
    provider: str
    model: str | None
    mode: str
    prompt: str | None
    video: Source
    first_frame: Source | None
    keyframes: Source | None
    """A folder of edited frames."""
    variant: int
    options: Mapping[str, Any]
    origin: str
    """The origin that is asked, e.g. `https://api.segmind.com`; empty for the embedded engine."""
    stem: str
    """The output's name without version and suffix, from the naming template: `{version}` is still in it."""


class Status(StrEnum):
    """The state of a job, in every place where one is shown."""

    PLANNED = "planned"
    SUBMITTING = "submitting"  # the intent is on disk; the request may be on its way
    SUBMITTED = "submitted"  # accepted; the request id is on disk
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNCERTAIN = "uncertain"  # may have been paid; to be looked up, never sent again by itself
    INVALID = "invalid"
    HELD = "held"


Further = Literal[0, 1, 2]
"""0: the first version; 1: a further one that any run sends, for a review or `--resend` asked for it; 2: WISHED."""
WISHED: Final = 2
"""A further version that `--pay-again` asked for: sent only by a run that says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFacts:
    """What a video file is: pixels upright, `fps` a rational such as `24000/1001`."""

    width: int
    height: int
    fps: Fraction | None
    frames: int | None
    duration_s: float | None
    has_audio: bool
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipFacts:
    """What a service may mind about a clip beside its `video` facts: how it is stored."""

    video: VideoFacts
    container: str
    """`mp4`, `mov`, `mkv`, `webm`, `avi` or `ts`, by its bytes."""
    codec: str
    """As FFmpeg calls it: `h264`, `hevc`, `prores`, `vp9`."""
    bits: int
    """Of one colour of a pixel."""
    rotation: int = 0
    """Degrees, against the clock, by which a player has to turn what is stored."""
    pixel_shape: Fraction = Fraction(1)
    """A pixel's width by its height, as stored."""
    interlaced: bool = False
    hdr: bool = False
    """Whether its brightness is coded for HDR (PQ or HLG)."""
    steady: bool = True
    """Whether its frames are evenly spaced in time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameFacts:
    """A first frame beside the clip's own: sizes upright, in pixels."""

    width: int
    height: int
    clip_width: int
    clip_height: int
    equal: bool
    """Every pixel is the clip's own."""
    unedited: bool
    """Nothing but what saving it anew or scaling it does was done to it."""
    likeness: float | None
    """Of the shapes in it, whatever their colours: 1 the same, 0 unrelated; None where one of the two shows none."""


# --- the wire -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class FileAsDataUrl:
    """A leaf of a JSON body: a file sent as `data:<media_type>;base64,…`, streamed, never in memory whole."""

    path: str
    media_type: str
    sha256: str
    """The content's hash when the job was made; taken again while it is sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileAsBytes:
    """A file's bytes as they are: a whole body, or a part of a form; streamed, never in memory whole."""

    path: str
    media_type: str
    sha256: str
    """The content's hash when the job was made; taken again while it is sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSize:
    """A leaf of a JSON body: how many bytes a file has, as a number."""

    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One HTTP request as a value, with one body at most."""

    method: str
    url: str
    json: Any = None
    """May hold `FileAsDataUrl` and `FileSize` leaves."""
    form: Mapping[str, str | FileAsBytes] | None = None
    """multipart/form-data, its parts in this order; a file's name is that of its media type, not the user's."""
    file: FileAsBytes | None = None
    """The body is the file."""
    headers: Mapping[str, str] = field(default_factory=dict)
    read_timeout_s: float = 60.0
    brings_file: bool = False
    """A good answer that is no JSON is a file: it goes to the disk as it comes (`Reply.file`)."""


class Sent(StrEnum):
    """All that can be known of a request, as a closed set."""

    NEVER_SENT = "never_sent"  # refused, DNS, TLS: no connection existed
    ANSWERED = "answered"  # a whole, readable HTTP answer
    UNKNOWN = "unknown"  # anything else: it may have arrived


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What came of a request. `status` and `body` only where `sent` is ANSWERED."""

    sent: Sent
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    """In lower case; where the answer was cut later on, those that had come."""
    body: bytes = b""
    problem: str = ""
    """What went wrong, in words, where there is no answer."""
    file_changed: bool = False
    """A file of the body was no longer the one whose hash the request names; the request was broken off."""
    file: str | None = None
    """The part file that holds the answer's body, where the request said that it may bring one."""
    uploaded_url: str | None = None
    """The file is up, under this URL: no further request is needed."""
    ended: "Step | None" = None
    """The step that ended an upload of several requests without a URL."""


# --- a dialect's steps: next(state, reply) → Step ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """Send `request`, then give its reply back with `state`. `paying`: it could create a paid job."""

    request: Request
    state: Any
    paying: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """The job runs; ask again (`next(state, None)`) when the poll budget allows."""

    state: Any
    phase: str = ""
    progress: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """The output exists at `location`: a URL, or a local file that is ours to move."""

    state: Any
    location: str
    cost_usd: float | None = None
    balance_usd: float | None = None
    """What is left on the account, where the answer says so."""
    warnings: tuple[str, ...] = ()


class Again(StrEnum):
    """What a failure says about sending again."""

    NEVER = "never"
    LATER = "later"  # the provider asks for patience; nothing was created
    UNREACHED = "unreached"  # it never got there
    ASK_FIRST = "ask_first"  # a documented retry, but only after the history was asked
    FRESH_UPLOAD = "fresh_upload"  # the refusal names the asset: upload anew, once


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A definite no to this job. `billed`: None where nobody says whether it was."""

    state: Any
    slug: str
    message: str
    billed: bool | None = False
    cost_usd: float | None = None
    """What it cost all the same, where the provider says it."""
    again: Again = Again.NEVER
    after_s: float | None = None
    stops: bool = False
    """Whether the others would fail alike, as where an account is used up: nothing new is sent then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocked:
    """Nothing can go on now, this job or others (key, credits, model); it stays as it is, the batch stops."""

    state: Any
    slug: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Uncertain:
    """Nobody can say from here whether a paid job exists."""

    state: Any
    reason: str


Step = Call | Wait | Done | Failed | Blocked | Uncertain


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryRow:
    """One request as the provider's history lists it; `inputs` None where missing or unreadable."""

    request_id: str
    at: float | None
    """Unix seconds, by the provider's clock."""
    status: str
    inputs: Mapping[str, Any] | None
    """The body as it was sent: what the record's attempts are compared with."""
    fields: Mapping[str, Any] | None = None
    """The same in a manifest's words: video_url, first_frame_url, mode, prompt, and model where the history tells it.

    What a request left out is filled in with what the service takes then; it is for rescue, and proves nothing.
    """
    output_url: str | None = None
    cost_usd: float | None = None
    error: str | None = None


# --- what happened ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One thing that happened in a run, for progress lines, events.jsonl and `--json`.

    `kind` is one of: run_started, planned, taken_over, intended, submitted, retrying, uncertain, resolved, polled,
    progress, left, output_known, succeeded, failed, copied, stopping, run_ended.
    """

    kind: str
    at: str
    run_id: str
    id: str | None = None
    job_key: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


# --- what a provider is, as data ----------------------------------------------------------------------------


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


# --- the record ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """One request as the record knows it, whoever its output is delivered to."""

    work_id: int
    job_key: str
    provider: str
    model: str | None
    origin: str
    options: Mapping[str, Any]
    inputs: Mapping[str, Any]
    """What the request is made of: mode, prompt, video and first_frame as {location, local, identity}."""
    status: Status
    attempts: int = 0
    request_id: str | None = None
    state: Mapping[str, Any] | None = None
    """The dialect's state, as far as it must survive the process."""
    output_location: str | None = None
    error_code: str | None = None
    error: str | None = None
    billed: bool | None = None
    cost_usd: float | None = None
    cost_source: str | None = None
    reserved_usd: float = 0.0
    facts: VideoFacts | None = None
    sha256: str | None = None
    warnings: tuple[str, ...] = ()
    flag_reason: str | None = None
    submitted_at: float | None = None
    finished_at: float | None = None
    run_id: str | None = None
    again: Further = 0
    """Whether it was opened for a job that had an output, or may have one, already."""

    @property
    def is_wish(self) -> bool:
        """A version that `--pay-again` asked for and that was not sent: no standing order, and no result to show."""
        return self.again == WISHED and self.status is Status.PLANNED


@dataclass(frozen=True, kw_only=True, slots=True)
class Review:
    """What became of a row's `review: redo`: the version it was spent on, and whether it was seen gone since."""

    spent_on: int
    armed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """An output of a work for an id: its version, its file relative to the output folder, and whether it is there."""

    id: str
    version: int
    work_id: int
    path: str
    delivered: bool
    stem: str
    """The path's name with the version's place still open."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What the per-user index says of a request that another output folder has paid for, or is paying for."""

    folder: str
    status: Status
    output: str | None
    sha256: str | None
    cost_usd: float | None
    on: str
    """The day, `2026-05-03`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One POST that could create a paid job, as it was written down before it left."""

    attempt_id: int
    work_id: int
    provider: str
    origin: str
    body: Any
    sent_at: float
    seen_dead_at: float | None = None
    request_id: str | None = None
    account: str | None = None
    """A salted hash of the key it was sent with; None where that is not known."""
    outcome: str = "open"
    """open, accepted, refused, never_sent, unknown or never_accepted."""
    note: str | None = None
    booked: bool = False
    """Its request id was taken from a history or named by hand: it vouches for no history."""
