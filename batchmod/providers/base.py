"""The face every provider shows, so that the runner needs to know none of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from batchmod.model import Call, Done, ProviderFacts, Reply, Request, Step, Work
from batchmod.reconcile import Walk

if TYPE_CHECKING:  # whoever only looks at facts does not pay for the HTTP client
    from batchmod import transport

Result = TypeVar("Result")
Progress = Callable[[Work, int, int], None]
"""Hears how far a work is: frames done, frames in all (0 where nobody knows)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """What came of bringing an output home. `retry`: the download may be tried again; `gone`: it may not."""

    ok: bool
    problem: str = ""
    retry: bool = False
    gone: bool = False
    sha256: str = ""
    """Of the file, where it was taken on the way; empty: not known yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """A key, and the variable of the environment it came from, which messages may name."""

    value: str = field(repr=False)
    variable: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancelled:
    """What came of the wish that a request be stopped. `asked`: the provider took it; `gone`: it knows it no more."""

    asked: bool
    gone: bool = False
    problem: str = ""


class UploadShelf(Protocol):
    """Remembers which files are already at a provider, beyond this process."""

    def recall(self, origin: str, sha256: str, *, since: float) -> str | None:
        """The file's URL there, if it is known and not older than this moment (Unix seconds)."""
        ...

    def remember(self, origin: str, sha256: str, url: str) -> None:
        """Keep a file's URL."""
        ...

    def forget(self, origin: str, sha256: str) -> None:
        """A file's URL is of no use any more."""
        ...


class Executor(Protocol):
    """Runs a function of plain values somewhere."""

    @property
    def width(self) -> int:
        """How many works are worth being begun at a time, as things are now."""
        ...

    @property
    def is_elsewhere(self) -> bool:
        """Whether it has other machines than this one, and has been begun."""
        ...

    @property
    def shares_files(self) -> bool:
        """Whether files that are seen here are seen there, under the same path."""
        ...

    async def begin(self, folder: Path) -> None:
        """Make ready for works in this folder. Raises a BatchmodError where that cannot be."""
        ...

    async def submit(self, function: Callable[..., Result], *values: object, reads: Sequence[str] = ()) -> Result:
        """The function's result; its exception is raised here. `reads`: the files that it needs there.

        Raises WorkerDied where its worker ended before it, StoppedEarly where nothing of the run can go on there.
        """
        ...

    def close(self) -> None:
        """Stop at once; what runs is thrown away."""
        ...


class Courier(Protocol):
    """Asks and downloads in another process, where that is worth it; see `executors.Courier`."""

    async def send(self, request: Request, *, secret_headers: Mapping[str, str], by: "transport.Transport") -> Reply:
        """What `by.send` gives; the request may be sent twice."""
        ...

    async def download(
        self, url: str, target: Path, *, loopback_allowed: bool, by: "transport.Transport"
    ) -> "transport.Fetched":
        """What `by.download` gives, going on with what is there."""
        ...


class Provider(Protocol):
    """One service, or the embedded engine: steps decided by pure functions, calls carried out here."""

    facts: ProviderFacts
    origin: str
    account: str
    """Tells one account from another without telling the key; empty where there is none."""
    key_id: str
    """Tells one key from another, in all folders alike: for this process, and never written down."""

    @property
    def width(self) -> int | None:
        """How many works it is worth beginning at a time, as things are now; None where the run's limits say it."""
        ...

    def watch(self, progress: Progress) -> None:
        """Say from now on how far works are, where that can be known."""
        ...

    def begin(self, work: Work) -> Step:
        """The first step of a work that is to be sent."""
        ...

    def resume(self, work: Work) -> Step:
        """The next step of a work that was sent, from what the record knows."""
        ...

    def forget_uploads(self, work: Work) -> None:
        """The files of a work are to be sent up anew."""
        ...

    def next(self, state: Any, reply: Reply | None) -> Step:
        """The step that follows from a reply, or, without one, from a wait that is over."""
        ...

    def request_id(self, state: Any) -> str | None:
        """The provider's id of the request, once there is one."""
        ...

    def saved(self, state: Any) -> dict[str, Any]:
        """What of a state the record keeps."""
        ...

    async def send(self, call: Call) -> Reply:
        """Carry out a call. Does not raise for anything that happens on the way."""
        ...

    async def collect(self, done: Done, part: Path) -> Fetched:
        """Bring a finished output to `part`."""
        ...

    async def cancel(self, work: Work) -> Cancelled:
        """Ask the provider to stop a request that still runs."""
        ...

    async def history(self, *, since: float, now: float) -> Walk | None:
        """The requests the provider lists since a moment; None where it has no history."""
        ...

    async def balance(self) -> float | None:
        """What is left on the account in US dollars, if it can be had at once."""
        ...

    async def close(self) -> None:
        """Let go of connections and processes."""
        ...
