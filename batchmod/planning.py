"""Jobs + what the record knows → Plan: what to send, keep, copy, resume and leave, and why."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from batchmod.model import Claim, Delivery, Estimate, Job, Price, ProviderFacts, Status, VideoFacts, Work


class Action(StrEnum):
    """What a run does with a row."""

    SEND = "send"  # a new request
    RESUME = "resume"  # go on with a request that was sent
    ASK = "ask"  # may have been paid: look it up
    FETCH = "fetch"  # paid, but its file is not there: get it again
    REUSE = "reuse"  # another output folder has paid for this very output
    COPY = "copy"  # another id has, or will have, this very output
    KEEP = "keep"  # done
    FAIL = "fail"  # cannot be sent: its clip or picture is unusable
    LEAVE = "leave"  # failed before; only --retry-failed tries again
    HOLD = "hold"  # the row says so
    INVALID = "invalid"  # the row is wrong, and --skip-invalid lets the others run


@dataclass(frozen=True, kw_only=True, slots=True)
class Flaw:
    """Why a job cannot be sent: found by looking at its files, without money."""

    slug: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One row's line of the plan."""

    job: Job
    action: Action
    why: str
    work_id: int | None = None
    estimate: Estimate | None = None
    twin_of: str | None = None
    """The id whose request this row shares."""
    flaw: Flaw | None = None
    claim: Claim | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All rows' lines in the manifest's order, and the record's unfinished works no row names."""

    items: tuple[Item, ...]
    orphans: tuple[Work, ...] = ()

    def count(self, action: Action) -> int:
        """How many rows have this action."""
        return sum(item.action is action for item in self.items)

    @property
    def paid_sends(self) -> tuple[Item, ...]:
        """The items that would create a new paid request."""
        return tuple(item for item in self.items if item.action is Action.SEND and item.estimate)

    @property
    def cost(self) -> Estimate:
        """What the new requests may cost together."""
        estimates = [item.estimate for item in self.paid_sends if item.estimate]
        return Estimate(
            low=sum(e.low for e in estimates),
            likely=sum(e.likely for e in estimates),
            high=sum(e.high for e in estimates),
            exact=all(e.exact for e in estimates),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """The record as planning needs it."""

    works: Mapping[str, Work] = field(default_factory=dict)
    """job_key → its latest work."""
    deliveries: Mapping[int, tuple[Delivery, ...]] = field(default_factory=dict)
    """work_id → its deliveries."""
    unfinished: tuple[Work, ...] = ()
    """Every work that is submitting, submitted or uncertain."""
    files: frozenset[str] = frozenset()
    """The outputs that are there, relative to the output folder."""
    elsewhere: Mapping[str, Claim] = field(default_factory=dict)
    """job_key → what another output folder of this user holds."""
    reusable: frozenset[str] = frozenset()
    """The keys among those whose file is there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the command line asks of the plan."""

    retry_failed: bool = False
    max_attempts: int = 3


def plan(
    jobs: Sequence[Job],
    *,
    known: Known,
    facts: Mapping[str, ProviderFacts],
    clips: Mapping[str, VideoFacts],
    flaws: Mapping[int, Flaw],
    held: Collection[int] = (),
    wishes: Wishes | None = None,
) -> Plan:
    """Decide each job's action; `clips` by identity, `flaws` and `held` by row number. Sends nothing."""
    wishes = wishes or Wishes()
    owner: dict[str, str] = {}
    items = []
    for job in jobs:
        work = known.works.get(job.key)
        item = _item(job, work, known=known, facts=facts, flaw=flaws.get(job.number), wishes=wishes)
        if job.number in held and item.action in _BEGINS:
            item = Item(job=job, action=Action.HOLD, why="the row says hold", work_id=item.work_id)
        if item.action in _SHARED:
            first = owner.setdefault(job.key, job.id)
            item = item if first == job.id else _twin(item, first)
        if item.action is Action.SEND:
            item = _priced(item, facts[job.provider], clips.get(job.video.identity))
        items.append(item)
    named = {job.key for job in jobs}
    orphans = tuple(work for work in known.unfinished if work.job_key not in named)
    return Plan(items=tuple(items), orphans=orphans)


_SHARED = frozenset({Action.SEND, Action.RESUME, Action.ASK, Action.FETCH, Action.REUSE})

_BEGINS = frozenset({Action.SEND, Action.COPY, Action.FAIL, Action.LEAVE})
"""What a hold stops: anything new. What was sent is still collected, since it is paid."""


def _item(
    job: Job,
    work: Work | None,
    *,
    known: Known,
    facts: Mapping[str, ProviderFacts],
    flaw: Flaw | None,
    wishes: Wishes,
) -> Item:
    if work is not None:
        settled = _settled(job, work, known=known, hosted=facts[job.provider].hosted, wishes=wishes)
        if settled is not None:
            return settled
    work_id = work.work_id if work else None
    claim = known.elsewhere.get(job.key)
    if claim is not None:
        return _claimed(job, claim, reusable=job.key in known.reusable)
    if flaw is not None:
        return Item(job=job, action=Action.FAIL, why=flaw.message, flaw=flaw, work_id=work_id)
    why = "new" if work is None or work.attempts == 0 else "again"
    return Item(job=job, action=Action.SEND, why=why, work_id=work_id)


def _claimed(job: Job, claim: Claim, *, reusable: bool) -> Item:
    """A request that another folder holds is never sent: it is reused, or waits with the reason (rules: money 7)."""
    if claim.status is not Status.SUCCEEDED:
        why = f"{claim.status.value} in {claim.folder}: run that folder's manifest, then this one reuses it"
        return Item(job=job, action=Action.HOLD, why=why, claim=claim)
    if not reusable:
        why = f"paid on {claim.on} in {claim.folder}, file not found: give --output, or --no-reuse to pay again"
        return Item(job=job, action=Action.HOLD, why=why, claim=claim)
    return Item(job=job, action=Action.REUSE, why=f"paid on {claim.on} in {claim.folder}", claim=claim)


def _settled(job: Job, work: Work, *, known: Known, hosted: bool, wishes: Wishes) -> Item | None:
    """The item of a work that needs no new request; None where it does."""
    match work.status:
        case Status.SUCCEEDED:
            return _delivered(job, work, known=known, hosted=hosted)
        case Status.SUBMITTED:
            return Item(job=job, action=Action.RESUME, why="sent, not collected yet", work_id=work.work_id)
        case Status.SUBMITTING if hosted:
            return Item(job=job, action=Action.ASK, why="was being sent when it stopped", work_id=work.work_id)
        case Status.UNCERTAIN:
            why = work.error or "may have been paid"
            return Item(job=job, action=Action.ASK, why=why, work_id=work.work_id)
        case Status.FAILED if not _may_retry(work, wishes):
            return Item(job=job, action=Action.LEAVE, why=work.error or "failed", work_id=work.work_id)
        case _:
            return None


def _may_retry(work: Work, wishes: Wishes) -> bool:
    return wishes.retry_failed and not work.billed and work.attempts < wishes.max_attempts


def _delivered(job: Job, work: Work, *, known: Known, hosted: bool) -> Item | None:
    there = [d for d in known.deliveries.get(work.work_id, ()) if d.delivered and d.path in known.files]
    if any(delivery.id.casefold() == job.id.casefold() for delivery in there):
        return Item(job=job, action=Action.KEEP, why="done", work_id=work.work_id)
    if there:
        why = f"the same request as {there[0].id}"
        return Item(job=job, action=Action.COPY, why=why, work_id=work.work_id, twin_of=there[0].id)
    if hosted:
        return Item(job=job, action=Action.FETCH, why="paid, its file is missing", work_id=work.work_id)
    return None


def _twin(item: Item, first: str) -> Item:
    why = f"the same request as {first}"
    return Item(job=item.job, action=Action.COPY, why=why, work_id=item.work_id, twin_of=first)


def _priced(item: Item, facts: ProviderFacts, clip: VideoFacts | None) -> Item:
    """With what it may cost: nothing only on this machine, for a service without a known price is paid all the same."""
    price = facts.price or (Price() if facts.hosted else None)
    if price is None:
        return item
    seconds = clip.duration_s if clip else None
    estimate = price.estimate(seconds, longest_s=facts.max_clip_s or 30.0)
    return Item(job=item.job, action=item.action, why=item.why, work_id=item.work_id, estimate=estimate)


def flaw_of(clip: VideoFacts, facts: ProviderFacts) -> Flaw | None:
    """Why a provider would refuse this clip: too long or too large, by its published limits."""
    longest, largest = facts.max_clip_s, facts.max_clip_bytes
    if longest is not None and clip.duration_s is not None and clip.duration_s >= longest:
        message = f"the clip lasts {clip.duration_s:.1f} s; {facts.name} takes less than {longest:g} s"
        return Flaw(slug="clip_too_long", message=message)
    if largest is not None and clip.bytes > largest:
        message = f"the clip has {clip.bytes / 1e6:.0f} MB; {facts.name} takes at most {largest / 1e6:.0f} MB"
        return Flaw(slug="clip_too_large", message=message)
    return None


def latest_by_key(works: Iterable[Work]) -> dict[str, Work]:
    """job_key → the work made last for it."""
    return {work.job_key: work for work in sorted(works, key=lambda work: work.work_id)}
