"""What the record and the index of paid work keep, and what a run says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from batchmod.model.facts import VideoFacts
from batchmod.model.job import WISHED, Further, Status

EVENTS_VERSION: Final = 1
"""Of the form of events: raised where a kind or a fact is taken away or comes to mean something else."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One thing that happened in a run, for progress lines, events.jsonl and `--json`.

    `kind` is one of: run_started, planned, source_changed, taken_over, intended, submitted, refused, retrying,
    uncertain, resolved, polled, progress, left, output_known, succeeded, failed, copied, conformed, scoring,
    stopping, hook_succeeded, hook_failed, not_stored, notify_failed, error, run_ended. Their facts stand in the
    schema `event`.
    """

    kind: str
    at: str
    run_id: str
    id: str | None = None
    job_key: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
