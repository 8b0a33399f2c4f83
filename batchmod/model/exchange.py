"""Requests and replies, and the steps by which a dialect turns one into the next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


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
    refused: bool = False
    """Whether the answer was that questions come too fast, under whichever HTTP status."""


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
