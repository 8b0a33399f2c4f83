"""The lines of a plan: what is done with each row, and why."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain, islice, repeat
from typing import overload

from batchmod.jobs import PlainJobs
from batchmod.model import Claim, Estimate, Further, Job, Work


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
            item = item if owner is None else twin(item, owner)
            if item.action in self.actions:
                yield item

    def counted(self) -> Iterator[tuple[Item, int]]:
        """A line of each kind, and how many there are."""
        alone = self.owners.count(None) if self.owners else len(self.jobs)
        shared = next((twin(self.first, owner) for owner in self.owners if owner is not None), self.first)
        found = ((self.first, alone), (shared, len(self.jobs) - alone))
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


def twin(item: Item, first: str) -> Item:
    """The line of a row that shares the request of an earlier one."""
    why = f"the same request as {first}"
    return Item(job=item.job, action=Action.COPY, why=why, work_id=item.work_id, twin_of=first)
