"""What this process and its courier say to each other. As tuples: thousands of them travel in a second."""

from collections.abc import Mapping
from typing import NamedTuple

from batchmod.model import Reply, VideoFacts
from batchmod.work import Refusal


class Ask(NamedTuple):
    """Send a request that may be sent twice, and bring the answer."""

    number: int
    user_agent: str
    url: str
    headers: Mapping[str, str]
    secret_headers: Mapping[str, str]
    read_timeout_s: float


class Fetch(NamedTuple):
    """Download a file, from where its part file ends."""

    number: int
    user_agent: str
    url: str
    target: str
    loopback_allowed: bool


class Check(NamedTuple):
    """Say whether a file is a whole video, by its container."""

    number: int
    path: str


class Drop(NamedTuple):
    """Nobody waits for it any more."""

    number: int


class Knock(NamedTuple):
    """Say whether you are there."""


class Ready(NamedTuple):
    """It has started."""

    pid: int


class Here(NamedTuple):
    """It is there."""


class Asked(NamedTuple):
    """An answer."""

    number: int
    reply: Reply


class Fetched(NamedTuple):
    """What came of a download; see `transport.Fetched`."""

    number: int
    ok: bool
    status: int
    bytes: int
    sha256: str
    content_type: str
    problem: str
    gone: bool
    retry: bool


class Checked(NamedTuple):
    """The facts of a whole video, or what is wrong with it."""

    number: int
    verdict: VideoFacts | Refusal


class DiskRefused(NamedTuple):
    """The OSError of a download's disk."""

    number: int
    errno: int
    strerror: str
    filename: str | None


class Failed(NamedTuple):
    """It could not be done there, for a reason of the courier's own."""

    number: int
