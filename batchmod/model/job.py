"""A row made complete, and the states it goes through."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal


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
