"""Jobs + what the record knows → Plan: what to send, keep, copy, resume and leave, and why."""

import math
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain, islice, repeat
from typing import Final, overload

from batchmod.jobs import Keyed, PlainJobs, parts_of
from batchmod.model import (
    WISHED,
    Claim,
    Delivery,
    Estimate,
    Further,
    Job,
    Price,
    ProviderFacts,
    Review,
    Status,
    VideoFacts,
    Work,
)
from batchmod.rows import Repeats

_A_DAY_S: Final = 86400.0
_FORGIVEN_S: Final = 0.05


class Action(StrEnum):
    """What a run does with a row."""

    SEND = "send"  # a new request
    RESUME = "resume"  # go on with a request that was sent
    ASK = "uncertain"  # may have been paid: look it up
    FETCH = "fetch"  # paid, but its file is not there: get it again
    REUSE = "reuse"  # another output folder has paid for this very output
    COPY = "copy"  # another id has, or will have, this very output
    KEEP = "keep"  # done
    FAIL = "will fail"  # cannot be sent: its clip or picture is unusable
    LEAVE = "leave"  # failed before; only --retry-failed tries again
    HOLD = "held"  # the row says so
    INVALID = "invalid"  # the row is wrong, and --skip-invalid lets the others run


@dataclass(frozen=True, kw_only=True, slots=True)
class Flaw:
    """Why a job cannot be sent: found by looking at its files, without money."""

    slug: str
    message: str
    field: str = "video_url"
    """The field that names the file."""


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
    again: Further = 0
    """A further version of what has an output already: paid once more, as somebody asked."""
    renews: bool = False
    """Whether it is made once more because its output has become too old."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Alike:
    """The lines of plain jobs of which the same is to be said: made anew whenever they are asked for."""

    jobs: PlainJobs
    first: Item
    """What is said of the first of them, if it is nobody's twin."""
    work_ids: Sequence[int] = ()
    """The work of each, where they have some."""
    owners: Sequence[str | None] = ()
    """The id whose request each shares, where some share one."""
    actions: Collection[Action] = frozenset(Action)
    """Those whose lines are meant."""

    def __len__(self) -> int:
        return sum(count for _, count in self.counted())

    def __iter__(self) -> Iterator[Item]:
        known = zip(self.jobs, self.work_ids or repeat(None), self.owners or repeat(None), strict=False)
        for job, work_id, owner in known:
            item = replace(self.first, job=job, work_id=work_id)
            item = item if owner is None else _twin(item, owner)
            if item.action in self.actions:
                yield item

    def counted(self) -> Iterator[tuple[Item, int]]:
        """A line of each kind, and how many there are."""
        alone = self.owners.count(None) if self.owners else len(self.jobs)
        twin = next((_twin(self.first, owner) for owner in self.owners if owner is not None), self.first)
        found = ((self.first, alone), (twin, len(self.jobs) - alone))
        return ((item, count) for item, count in found if count and item.action in self.actions)


class Items(Sequence[Item]):
    """Lines of a plan in the manifest's order."""

    def __init__(self, parts: Iterable[Sequence[Item] | Alike]) -> None:
        self.parts = tuple(part for part in parts if len(part))

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[Item]:
        for part in self.parts:
            yield from part

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice) and min(index.start or 0, index.stop or 0) >= 0 and index.stop is not None:
            return tuple(islice(self, index.start, index.stop, index.step))
        return tuple(self)[index]

    def of(self, *actions: Action) -> "Items":
        """Those with one of these actions."""
        return Items(_with(part, actions) for part in self.parts)

    def samples(self) -> Iterator[Item]:
        """One of each kind at least: some of those that are alike, and every other."""
        return (item for item, _ in self.counted())

    def counted(self) -> Iterator[tuple[Item, int]]:
        """As `samples`, each with how many it stands for."""
        for part in self.parts:
            yield from part.counted() if isinstance(part, Alike) else ((item, 1) for item in part)


def _with(part: Sequence[Item] | Alike, actions: Collection[Action]) -> Sequence[Item] | Alike:
    if isinstance(part, Alike):
        return replace(part, actions=frozenset(part.actions).intersection(actions))
    return [item for item in part if item.action in actions]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All rows' lines in the manifest's order, and the record's unfinished works that none of them carries."""

    items: Items
    orphans: tuple[Work, ...] = ()

    def of(self, *actions: Action) -> Items:
        """The lines with one of these actions."""
        return self.items.of(*actions)

    def counted(self) -> Iterator[tuple[Item, int]]:
        """One line of each kind at least, each with how many it stands for."""
        return self.items.counted()

    def count(self, action: Action) -> int:
        """How many rows have this action."""
        return sum(count for item, count in self.counted() if item.action is action)

    @property
    def paid_sends(self) -> Items:
        """The items that would create a new paid request."""
        return Items(
            part if isinstance(part, Alike) else [item for item in part if item.estimate]
            for part in self.of(Action.SEND).parts
            if not isinstance(part, Alike) or part.first.estimate
        )

    @property
    def cost(self) -> Estimate:
        """What the new requests may cost together."""
        counts: Counter[Estimate] = Counter()
        for item, count in self.paid_sends.counted():
            counts[item.estimate or Estimate(low=0.0, likely=0.0, high=0.0)] += count

        def total(amount: Callable[[Estimate], float]) -> float:
            return math.fsum(chain.from_iterable(repeat(amount(each), count) for each, count in counts.items()))

        return Estimate(
            low=total(lambda each: each.low),
            likely=total(lambda each: each.likely),
            high=total(lambda each: each.high),
            exact=all(each.exact for each in counts),
            unpriced=sum(each.unpriced * count for each, count in counts.items()),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """The record as planning needs it."""

    works: Mapping[str, Work] = field(default_factory=dict)
    """job_key → its latest work, but for wishes."""
    wishes: Mapping[str, Work] = field(default_factory=dict)
    """job_key → the version that `--pay-again` asked for and that was not sent."""
    paid_again: Container[str] = frozenset()
    """The keys of which `--pay-again` opened a version in this run, which is one until it ends with 0 or 1."""
    deliveries: Mapping[int, tuple[Delivery, ...]] = field(default_factory=dict)
    """work_id → its deliveries."""
    unfinished: tuple[Work, ...] = ()
    """Every work that is submitting, submitted or uncertain."""
    files: frozenset[str] = frozenset()
    """The outputs that are there, relative to the output folder."""
    elsewhere: Mapping[str, Claim] = field(default_factory=dict)
    """job_key → what another output folder of this user holds."""
    reusable: Container[str] = frozenset()
    """The keys among those whose file is there."""
    at_once: Callable[[Sequence[str], Sequence[str]], Sequence[int] | None] | None = None
    """Keys and ids of many jobs → nothing where all are new; each one's work where all are done, delivered to just
    these ids, and there; None where they have to be looked at one by one."""
    dearest: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """(provider, origin) → the highest price per second that was truly charged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the command line asks of the plan."""

    retry_failed: bool = False
    max_attempts: int = 3
    pay_again: frozenset[int] = frozenset()
    """Rows of which `--pay-again` asks one more version."""
    redo: frozenset[int] = frozenset()
    """Rows whose `review: redo` counts now."""
    locked: frozenset[int] = frozenset()
    """Rows whose review says keep: nothing is paid for them again."""
    price_usd: float | None = None
    """What a request is taken to cost where its provider publishes no price."""
    changed: Mapping[int, str] = field(default_factory=dict)
    """Rows whose clip on the web is another one now → why they make another request."""
    stale_before: float | None = None
    """Outputs that were finished before this moment (Unix seconds) are made once more."""


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
    decider = _Decider(
        known=known,
        facts=facts,
        clips=clips,
        flaws=flaws,
        held=held,
        wishes=wishes,
        further=_further(jobs, known, wishes) if wishes.pay_again or wishes.redo else {},
    )
    items = Items(_decided(parts_of(jobs), decider))
    # Not by its key: an older version of a row may be unfinished too, and is paid all the same.
    carried = {item.work_id for item in items.samples()}
    orphans = tuple(work for work in known.unfinished if work.work_id not in carried)
    return Plan(items=items, orphans=orphans)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Decider:
    """Decides job by job, in the manifest's order."""

    known: Known
    facts: Mapping[str, ProviderFacts]
    clips: Mapping[str, VideoFacts]
    flaws: Mapping[int, Flaw]
    held: Collection[int]
    wishes: Wishes
    further: Mapping[int, Further]
    owner: dict[str, str] = field(default_factory=dict)
    repeats: Repeats = field(default_factory=Repeats)
    """Of the keys of jobs that may be sent."""

    def item(self, job: Job) -> Item:
        """The job's line."""
        item = self._by_itself(job)
        if item.action in _SHARED and (first := self.owner.setdefault(job.key, job.id)) != job.id:
            return _twin(item, first)
        return self._with_its_price(item)

    def by_itself(self, job: Job) -> Item:
        """The line of a job that is nobody's twin."""
        return self._with_its_price(self._by_itself(job))

    def _by_itself(self, job: Job) -> Item:
        known, wishes, flaws = self.known, self.wishes, self.flaws
        work = known.works.get(job.key)
        asked, flaw = self.further.get(job.number), flaws.get(job.number)
        item = _once_more(job, work, known.wishes.get(job.key), again=asked) if asked and flaw is None else None
        item = item or _item(job, work, known=known, facts=self.facts, flaw=flaw, wishes=wishes)
        if asked and flaw is not None and item.action is Action.KEEP:
            item = replace(item, why=f"{item.why}; it cannot be made once more: {flaw.message}")
        if flaw is None and self._is_stale(item, work):
            why = f"its output is of {_day(work)}, older than max_age"
            item = Item(job=job, action=Action.SEND, why=why, work_id=item.work_id, again=1, renews=True)
        if item.why == "new" and job.number in wishes.changed:
            item = replace(item, why=wishes.changed[job.number])
        if job.number in self.held and item.action in _BEGINS:
            item = Item(job=job, action=Action.HOLD, why="the row says hold", work_id=item.work_id)
        if job.number in wishes.locked and item.action in _PAYS:
            item = Item(job=job, action=Action.HOLD, why="its review says keep", work_id=item.work_id)
        return item

    def _is_stale(self, item: Item, work: Work | None) -> bool:
        """Whether a finished output has become too old; one that somebody keeps or holds never does."""
        before, number = self.wishes.stale_before, item.job.number
        if before is None or item.action is not Action.KEEP or number in self.held or number in self.wishes.locked:
            return False
        return work is not None and work.finished_at is not None and work.finished_at < before

    def _with_its_price(self, item: Item) -> Item:
        if item.action is not Action.SEND:
            return item
        job = item.job
        dearest = self.known.dearest.get((job.provider, job.origin))
        clip = self.clips.get(job.video.identity)
        return _priced(item, self.facts[job.provider], clip, dearest, self.wishes.price_usd)

    def owners(self, jobs: Keyed) -> Sequence[str | None]:
        """The id whose request each of these new jobs shares; nothing where none shares one."""
        if not self.repeats.any_of(map(hash, jobs.keys)):
            return ()
        firsts = (
            self.owner.setdefault(key, row_id) if key in self.repeats else row_id
            for row_id, key in zip(jobs.ids, jobs.keys, strict=True)
        )
        return [None if first == row_id else first for first, row_id in zip(firsts, jobs.ids, strict=True)]

    def are_special(self, numbers: Iterable[int]) -> bool:
        """Whether anything is said of one of these rows in particular."""
        said = (self.held, self.flaws, self.further, self.wishes.locked, self.wishes.changed)
        if self.wishes.stale_before is not None:
            return True
        return any(number in each for each in said if each for number in numbers)

    def works_of(self, jobs: Keyed, numbers: Sequence[int]) -> Sequence[int] | None:
        """The works of jobs that are all done; nothing where all are new and of one kind; None where neither is so."""
        known = self.known
        if self.are_special(numbers):
            return None
        if known.at_once is not None:
            found = known.at_once(jobs.keys, jobs.ids)
        else:
            found = () if known.works.keys().isdisjoint(jobs.keys) else None
        if found is None or found:
            return found and array("q", found)
        unknown = known.wishes.keys().isdisjoint(jobs.keys) and known.elsewhere.keys().isdisjoint(jobs.keys)
        looked_at = any(identity.startswith("url:") for identity in self.clips)
        return () if unknown and not looked_at and len(jobs.kinds) == 1 else None


def _decided(parts: Sequence[Sequence[Job] | PlainJobs], decider: _Decider) -> Iterator[Sequence[Item] | Alike]:
    """The lines part by part; where plain jobs are all done, or all new, the first decides for all."""
    of_many: dict[int, Sequence[int]] = {}
    for number, part in enumerate(parts if any(isinstance(part, PlainJobs) for part in parts) else ()):
        if not isinstance(part, PlainJobs):
            decider.repeats.add(hash(job.key) for job in part)
            continue
        jobs = part.keyed()
        if (works := decider.works_of(jobs, part.numbers)) is not None:
            of_many[number] = works
        if not works:
            decider.repeats.add(map(hash, jobs.keys))
    for number, part in enumerate(parts):
        works = of_many.get(number)
        if works is None or not isinstance(part, PlainJobs):
            yield [decider.item(job) for job in part]
        else:
            owners = decider.owners(part.keyed()) if decider.repeats and not works else ()
            yield Alike(jobs=part, first=decider.by_itself(part.head), work_ids=works, owners=owners)


_SHARED = frozenset({Action.SEND, Action.RESUME, Action.ASK, Action.FETCH, Action.REUSE})

_PAYS = frozenset({Action.SEND, Action.FAIL, Action.LEAVE})

_BEGINS = frozenset({Action.SEND, Action.REUSE, Action.COPY, Action.FAIL, Action.LEAVE})
"""What a hold stops: anything new. What was sent is still collected, since it is paid."""


def _further(jobs: Sequence[Job], known: Known, wishes: Wishes) -> dict[int, Further]:
    """Row number → why a further version of it is sent now (rules: money 9 and 10).

    While one that `--pay-again` opened is unfinished the same flag goes on with it instead of opening more, and in a
    run that is resumed it opens no second one of a key: a crash and the same command again must not pay a third time.
    """

    def unfinished(job: Job) -> bool:
        work = known.works.get(job.key)
        return work is not None and work.again > 0 and work.status not in (Status.SUCCEEDED, Status.FAILED)

    def is_opened(job: Job) -> bool:
        return not going_on and job.key not in known.paid_again

    named = [job for job in jobs if job.number in wishes.pay_again]
    going_on = any(unfinished(job) or job.key in known.wishes for job in named)
    further: dict[int, Further] = {job.number: WISHED for job in named if is_opened(job) or job.key in known.wishes}
    return further | {job.number: 1 for job in jobs if job.number in wishes.redo and not unfinished(job)}


def _once_more(job: Job, work: Work | None, wish: Work | None, *, again: Further) -> Item | None:
    """One more version of what is finished, or the wish for it; what is under way or uncertain is never touched."""
    if work is None or work.status not in (Status.SUCCEEDED, Status.FAILED):
        return None
    work_id = work.work_id if wish is None else wish.work_id
    return Item(job=job, action=Action.SEND, why="once more, as asked", work_id=work_id, again=again)


def _day(work: Work | None) -> str:
    """The day on which an output was finished, as it is written everywhere."""
    at = None if work is None else work.finished_at
    return "an unknown day" if at is None else datetime.fromtimestamp(at, UTC).date().isoformat()


def redo_counts(*, said_of: int | None, shown: int | None, review: Review | None) -> bool:
    """Whether a row's `redo` asks for a version now: it is an event, not a standing order (rules: money 9).

    `said_of`: its `review_of`; `shown`: the version there is. It counts where it was never spent, where it speaks of
    a newer version than the one it was spent on, or where a run has seen the cell without it since.
    """
    if shown is None:
        return False
    if review is None or review.armed:
        return True
    return said_of is not None and said_of > review.spent_on


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
    if claim.status is Status.FAILED:
        why = f"paid, or perhaps paid, on {claim.on} in {claim.folder}, and lost: give --no-reuse to pay again"
        return Item(job=job, action=Action.HOLD, why=why, claim=claim)
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
    """Only what is known not to be billed: a job that was given up may have been paid."""
    return wishes.retry_failed and work.billed is False and work.attempts < wishes.max_attempts


def _delivered(job: Job, work: Work, *, known: Known, hosted: bool) -> Item | None:
    there = [d for d in known.deliveries.get(work.work_id, ()) if d.delivered and d.path in known.files]
    if any(delivery.id.casefold() == job.id.casefold() for delivery in there):
        return Item(job=job, action=Action.KEEP, why="done", work_id=work.work_id)
    if there:
        why = f"the same request as {there[0].id}"
        return Item(job=job, action=Action.COPY, why=why, work_id=work.work_id, twin_of=there[0].id)
    if hosted and work.request_id is None:  # another folder paid for it
        claim = known.elsewhere.get(job.key)
        if claim is not None:
            return _claimed(job, claim, reusable=job.key in known.reusable)
        why = "its file is missing, and it came from another output folder that is not known any more"
        return Item(job=job, action=Action.HOLD, why=why, work_id=work.work_id)
    if hosted:
        return Item(job=job, action=Action.FETCH, why="paid, its file is missing", work_id=work.work_id)
    return None


def _twin(item: Item, first: str) -> Item:
    why = f"the same request as {first}"
    return Item(job=item.job, action=Action.COPY, why=why, work_id=item.work_id, twin_of=first)


def _priced(
    item: Item, facts: ProviderFacts, clip: VideoFacts | None, dearest: float | None, given: float | None
) -> Item:
    """With what it may cost: nothing only on this machine, for a service without a known price is paid all the same.

    The upper estimate follows the dearest true price per second, once there is one; a call's own price is its floor,
    since a long clip's price per second says little of a short one.
    """
    price = price_of(item.job, facts) or (Price() if facts.hosted else None)
    if price is None:
        return item
    if not price.known and given is not None:
        return replace(item, estimate=Estimate(low=given, likely=given, high=given))
    seconds = clip.duration_s if clip else None
    pixels = clip.width * clip.height if clip else None
    estimate = price.estimate(seconds, longest_s=facts.max_clip_s or 30.0, pixels=pixels)
    if dearest is not None:
        top = max(dearest * (seconds or facts.max_clip_s or 30.0), price.per_call_usd or 0.0)
        estimate = replace(estimate, low=min(estimate.low, top), likely=min(estimate.likely, top), high=top, unpriced=0)
    return replace(item, estimate=estimate)


def unpriced(plan_: Plan, facts: Mapping[str, ProviderFacts]) -> tuple[str, ...]:
    """The providers of a plan that would be paid and whose price nobody knows: a cap cannot hold there."""
    names = (item.job.provider for item in plan_.paid_sends.samples() if not _is_priced(item, facts[item.job.provider]))
    return tuple(dict.fromkeys(names))


def _is_priced(item: Item, facts: ProviderFacts) -> bool:
    price = price_of(item.job, facts)
    return (price is not None and price.known) or (item.estimate is not None and item.estimate.high > 0)


def public_files(plan_: Plan, facts: Mapping[str, ProviderFacts]) -> dict[str, int]:
    """Provider → how many local files a run would put under a public URL there, or one that may be public."""
    found: dict[str, set[str]] = {}
    for item in plan_.of(Action.SEND).samples():  # plain jobs have no local file
        of = facts[item.job.provider]
        if not of.uploads or of.uploads_public is False:
            continue
        for source in (item.job.video, item.job.first_frame):
            if source is not None and source.local:
                found.setdefault(of.name, set()).add(source.identity)
    return {name: len(files) for name, files in found.items()}


def price_of(job: Job, facts: ProviderFacts) -> Price | None:
    """A job's price: that of its model or of an option it chose, where that has one of its own, else the provider's."""
    words = (str(word) for word in (job.model, *job.options.values()))
    return next((facts.prices[word] for word in words if word in facts.prices), facts.price)


def expiry_problem(facts: ProviderFacts, *, has_history: bool) -> str | None:
    """Why outputs of a provider may not be left there: they would be gone before a nightly run collects them."""
    life = facts.output_life_s
    if not facts.hosted or facts.reminted or has_history or (life is not None and life >= _A_DAY_S):
        return None
    lives = "an unknown time" if life is None else f"{life / 3600:g} h"
    return f"{facts.name} keeps outputs for {lives}, and nothing brings back what has expired"


def flaw_of(clip: VideoFacts, facts: ProviderFacts) -> Flaw | None:
    """Why a provider would refuse this clip: too long or too large, by its published limits."""
    shortest, longest, largest = facts.min_clip_s, facts.max_clip_s, facts.max_clip_bytes
    if longest is not None and clip.duration_s is not None and _is_longer(clip.duration_s, longest, facts):
        takes = f"takes at most {longest:g} s" if facts.longest_included else f"takes less than {longest:g} s"
        message = f"the clip lasts {clip.duration_s:.1f} s; {facts.name} {takes}"
        return Flaw(slug="clip_too_long", message=message)
    if shortest is not None and clip.duration_s is not None and clip.duration_s < shortest - _FORGIVEN_S:
        message = f"the clip lasts {clip.duration_s:.1f} s; {facts.name} takes {shortest:g} s at least"
        return Flaw(slug="clip_too_short", message=message)
    if largest is not None and clip.bytes > largest:
        message = f"the clip has {clip.bytes / 1e6:.0f} MB; {facts.name} takes at most {largest / 1e6:.0f} MB"
        return Flaw(slug="clip_too_large", message=message)
    return None


def _is_longer(seconds: float, longest_s: float, facts: ProviderFacts) -> bool:
    """A clip of exactly the limit may count a frame more, where the limit itself is taken."""
    return seconds > longest_s + _FORGIVEN_S if facts.longest_included else seconds >= longest_s


def latest_by_key(works: Iterable[Work]) -> dict[str, Work]:
    """job_key → the work made last for it; one that was only wished for stands behind every other."""
    return {work.job_key: work for work in sorted(works, key=lambda work: (not work.is_wish, work.work_id))}


def wishes_by_key(works: Iterable[Work], shown: Mapping[str, Work]) -> dict[str, Work]:
    """job_key → the version that was wished for and not sent, where there is another one to show."""
    return {work.job_key: work for work in works if work.is_wish and shown[work.job_key] is not work}
