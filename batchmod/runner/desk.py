"""What all parts of one run share: its tools and settings, its money, and whether it has been told to stop."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from batchmod import clock, files, index, retry
from batchmod.checkpoint import Checkpoint, NotTogether
from batchmod.errors import StoppedEarly
from batchmod.model import Attempt, Event, Job, VideoFacts, Work
from batchmod.providers.base import Provider
from batchmod.runner import telling
from batchmod.runner.gates import Gates
from batchmod.runner.money import Purse
from batchmod.runner.placing import Placer
from batchmod.runner.writing import Writer
from batchmod.work import Refusal

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a run behaves."""

    run_id: str
    max_in_flight: int = 8
    submits_per_minute: float | None = None
    polls_per_minute: float = 60.0
    policy: retry.Policy = field(default_factory=retry.Policy)
    stop_after_failures: int = 5
    poll_deadline_s: float = 3600.0
    history_grace_s: float = 600.0
    drain_s: float = 60.0
    """How long a stop waits for paid requests that are in the air."""
    until: float | None = None
    """The moment (Unix seconds) after which nothing new is sent."""
    no_wait: bool = False
    """Send and leave; a later run collects."""
    redo: Mapping[str, int] = field(default_factory=dict)
    """id in casefold → the version its review asks to redo."""
    reuse: bool = True
    """Whether a request that another folder holds may not be sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """The provider's word that a request was accepted."""

    work_id: int
    attempt_id: int
    request_id: str
    state: Mapping[str, Any]
    ids: str


def _nothing_against() -> None:
    """For runs that nothing can stand against."""


def _nobody_else(provider: str, origin: str, request_ids: Collection[str]) -> tuple[Attempt, ...]:  # noqa: ARG001
    """For runs that know of no other folder."""
    return ()


class Claims(Protocol):
    """The index of paid work, as a run needs it."""

    def together(self) -> AbstractContextManager[None]:
        """Take several steps at once. Raises NotTogether, with nothing written."""
        ...

    def claim(self, job_key: str, *, at: float, force: bool = False) -> bool:
        """Claim a request before its intent; False where another folder holds it."""
        ...

    def keep(self, work: Work, output: str | None = None) -> None:
        """Take over what has become of a work."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """What a run acts with."""

    checkpoint: Checkpoint
    folder: Path
    scratch: Path
    """A folder on the outputs' file system, for files that are not whole yet."""
    provider: Callable[[str, str], Provider | None]
    """(name, origin) → the provider; None where its key is not set."""
    verify: Callable[[Path], Awaitable[VideoFacts | Refusal]]
    clip: Callable[[str], VideoFacts | None]
    """Identity of a source → its facts, if it was looked at."""
    observe: Callable[[Event], None]
    dice: Callable[[], float]
    claims: Claims
    gates: Gates = field(default_factory=Gates)
    """What is known of the providers by now, shared with other runs."""
    check_owner: Callable[[], None] = _nothing_against
    """Raises StoppedEarly where another run has taken the folder over."""
    check_room: Callable[[], None] = _nothing_against
    """Raises StoppedEarly where what would be paid for could not be kept."""
    elsewhere: Callable[[str, str, Collection[str]], tuple[Attempt, ...]] = _nobody_else
    """(provider, origin, request ids) → the attempts of this user's other output folders that hold one of them, or
    are in the air."""


class Desk:
    """One run's shared state."""

    def __init__(self, tools: Tools, settings: Settings, purse: Purse) -> None:
        self.tools = tools
        self.record = tools.checkpoint
        self.settings = settings
        self.purse = purse
        self.stop_slug: str | None = None
        self.stop_message: str | None = None
        self.warnings: list[str] = []
        self.uncollected = 0
        """Requests of an earlier run that cannot be collected: no key, or uncertain for good."""
        self.left = 0
        """Requests that were sent and left, as --no-wait asks."""
        self.unfetched = 0
        """Paid outputs that could not be fetched now."""
        self.not_up = 0
        """Files that could not be put into the store that outputs go to."""
        self.unwritten: list[Receipt] = []
        """Receipts that a full disk did not take even without the ballast."""
        self.draining = False
        self._writer = Writer(self.record.together, broken=NotTogether)
        self.placer = Placer()
        self._claims = Writer(tools.claims.together, broken=index.NotTogether)
        self._to_keep: set[int] = set()
        """Works of which the index is to be told."""
        self._stopped = asyncio.Event()
        self._at_end_of_sends: list[Callable[[], None]] = []

    @property
    def sends(self) -> bool:
        """Whether new requests may still leave."""
        return not self.draining and self.stop_slug is None

    def stop(self, slug: str, message: str) -> None:
        """No new requests from now on; what is in flight is still collected."""
        if self.stop_slug is None:
            self.stop_slug, self.stop_message = slug, message
            self.tell("stopping", None, code=slug, message=message)
        self.end_sends()

    def end_sends(self) -> None:
        """Whoever waits to send something new waits no longer."""
        self._stopped.set()
        self.purse.close()
        for call in self._at_end_of_sends:
            call()

    def at_end_of_sends(self, call: Callable[[], None]) -> None:
        """Be called when nothing new is sent any more; at once where that is so already."""
        self._at_end_of_sends.append(call)
        if not self.sends:
            call()

    async def pause(self, seconds: float) -> None:
        """Wait before something new is sent, or until nothing new is."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), max(0.0, seconds))

    def write_last_receipts(self) -> None:
        """Once nothing else runs: what is half fetched makes room for the receipts that are not written yet.

        Raises StoppedEarly with the request ids where there is no room all the same: they stand nowhere else.
        """
        if not self.unwritten:
            return
        files.clear(self.tools.scratch)
        lost: list[str] = []
        for receipt in self.unwritten:
            request_id, state = receipt.request_id, receipt.state
            try:
                self.record.accept(receipt.work_id, receipt.attempt_id, request_id=request_id, state=state)
            except StoppedEarly as error:
                lost.append(f"{receipt.ids} was accepted as {request_id}, which is not written down: {error}")
        if lost:
            raise StoppedEarly("; ".join(lost), slug="disk_full")

    async def write(self, step: Callable[[], Value], *, urgent: bool = False) -> Value:
        """Take a step of the record, together with those of the same moment; its value once it is on disk."""
        return await self._writer.write(step, urgent=urgent)

    async def claim(self, task_work: Work, *, hosted: bool) -> bool:
        """Claim a request for this folder; False where another one holds it. Free work needs no claim."""
        if not hosted:
            return True
        claims, key, force = self.tools.claims, task_work.job_key, not self.settings.reuse
        return await self._claims.write(lambda: claims.claim(key, at=clock.now(), force=force), urgent=True)

    def flush(self) -> None:
        """Write what waits to be written, now."""
        self._writer.flush()
        self._claims.flush()

    def keep_claim(self, work_id: int) -> None:
        """Let the index know soon what has become of a work; the record is the truth, so a failure here is none."""
        if work_id not in self._to_keep:
            self._to_keep.add(work_id)
            self._claims.soon(lambda: self._keep_claim(work_id))

    def _keep_claim(self, work_id: int) -> None:
        self._to_keep.discard(work_id)
        work = self.record.work(work_id)
        work = self.record.held_work(work.job_key) or work
        if work.origin:
            output = next((d.path for d in self.record.deliveries_of(work.work_id) if d.delivered), None)
            self.tools.claims.keep(work, output)

    def tell(self, kind: str, work: Work | None, jobs: Sequence[Job] = (), **facts: Any) -> None:
        """Say that something happened, to whoever observes."""
        ids = [job.id for job in jobs]
        if not ids and work is not None:
            ids = [delivery.id for delivery in self.record.deliveries_of(work.work_id)]
        if work is not None:
            facts = {"provider": work.provider, **telling.kept(self.record, kind, work), **facts}
        event = Event(
            kind=kind,
            at=clock.iso(clock.now()),
            run_id=self.settings.run_id,
            id=ids[0] if ids else None,
            job_key=work.job_key if work else None,
            facts={**facts, "also": ids[1:]} if ids[1:] else facts,
        )
        self.tools.observe(event)
