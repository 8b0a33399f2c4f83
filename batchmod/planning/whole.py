"""Jobs + what the record knows → Plan: what to send, keep, copy, resume and leave, and why."""

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from batchmod.jobs import Keyed, PlainJobs, parts_of
from batchmod.model import Further, Job, ProviderFacts, VideoFacts, Work
from batchmod.planning.again import day_of, further_of, once_more
from batchmod.planning.jobwise import item_of
from batchmod.planning.known import Known, Wishes
from batchmod.planning.lines import Action, Alike, Flaw, Item, Items, Plan, twin
from batchmod.planning.prices import priced
from batchmod.rows import Repeats

_SHARED: Final = frozenset({Action.SEND, Action.RESUME, Action.ASK, Action.FETCH, Action.REUSE})

_PAYS: Final = frozenset({Action.SEND, Action.FAIL, Action.LEAVE})

_BEGINS: Final = frozenset({Action.SEND, Action.REUSE, Action.COPY, Action.FAIL, Action.LEAVE})
"""What a hold stops: anything new. What was sent is still collected, since it is paid."""


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
        further=further_of(jobs, known, wishes) if wishes.pay_again or wishes.redo else {},
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
            return twin(item, first)
        return self._with_its_price(item)

    def by_itself(self, job: Job) -> Item:
        """The line of a job that is nobody's twin."""
        return self._with_its_price(self._by_itself(job))

    def _by_itself(self, job: Job) -> Item:
        known, wishes, flaws = self.known, self.wishes, self.flaws
        work = known.works.get(job.key)
        asked, flaw = self.further.get(job.number), flaws.get(job.number)
        item = once_more(job, work, known.wishes.get(job.key), again=asked) if asked and flaw is None else None
        item = item or item_of(job, work, known=known, facts=self.facts, flaw=flaw, wishes=wishes)
        if asked and flaw is not None and item.action is Action.KEEP:
            item = replace(item, why=f"{item.why}; it cannot be made once more: {flaw.message}")
        if flaw is None and self._is_stale(item, work):
            why = f"its output is of {day_of(work)}, older than max_age"
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
        return priced(item, self.facts[job.provider], clip, dearest, self.wishes.price_usd)

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
