"""The record as planning asks it: key by key when it is asked, and never all of it at once."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from batchmod import files
from batchmod.app import bookkeeping
from batchmod.checkpoint.reading import Reader
from batchmod.model import Claim, Delivery, ProviderFacts, Work
from batchmod.planning import Known

Key = TypeVar("Key")
Value = TypeVar("Value")


def known(record: Reader, folder: Path, facts: Mapping[str, ProviderFacts]) -> Known:
    """The record as planning needs it; `facts` of the providers that are planned for."""
    floors = {name: of.price.per_call_usd or 0.0 for name, of in facts.items() if of.price is not None}
    works, there = Latest(record), files.listing(folder, "videos") | bookkeeping.names(folder)
    return Known(
        works=works,
        wishes={work.job_key: work for work in record.wishes() if works[work.job_key].work_id != work.work_id},
        paid_again=OnceAsked(record.paid_again),
        deliveries=Delivered(record),
        unfinished=record.unfinished(),
        files=there,
        at_once=_at_once(record, there),
        dearest=Later(lambda: record.dearest(floors)),
    )


class Latest(Mapping[str, Work]):
    """job_key → its latest work, but for wishes."""

    def __init__(self, record: Reader) -> None:
        self._record = record

    def __getitem__(self, key: str) -> Work:
        work = self._record.latest_work(key)
        if work is None:
            raise KeyError(key)
        return work

    def __iter__(self) -> Iterator[str]:
        return self._record.job_keys()

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Delivered(Mapping[int, tuple[Delivery, ...]]):
    """work_id → its deliveries."""

    def __init__(self, record: Reader) -> None:
        self._record = record

    def __getitem__(self, work_id: int) -> tuple[Delivery, ...]:
        found = self._record.deliveries_of(work_id)
        if not found:
            raise KeyError(work_id)
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(self._record.deliveries())

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Later(Mapping[Key, Value], Generic[Key, Value]):
    """What is found out when it is first asked for."""

    def __init__(self, find: Callable[[], Mapping[Key, Value]]) -> None:
        self._find = find
        self._found: Mapping[Key, Value] | None = None

    @property
    def found(self) -> Mapping[Key, Value]:
        """All of it."""
        if self._found is None:
            self._found = self._find()
        return self._found

    def __getitem__(self, key: Key) -> Value:
        return self.found[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)


class OnceAsked:
    """A set that is found out when it is first asked about something."""

    def __init__(self, find: Callable[[], frozenset[str]]) -> None:
        self._find = find
        self._found: frozenset[str] | None = None

    def __contains__(self, key: object) -> bool:
        if self._found is None:
            self._found = self._find()
        return key in self._found


@dataclass(frozen=True, kw_only=True, slots=True)
class Reusable:
    """The keys that another folder has paid for and whose file is there: looked at when it is asked about one."""

    elsewhere: Mapping[str, Claim]

    def __contains__(self, key: object) -> bool:
        claim = self.elsewhere.get(str(key))
        return bool(claim and claim.output and claim.sha256 and (Path(claim.folder) / claim.output).is_file())


def _at_once(record: Reader, files: frozenset[str]) -> Callable[[Sequence[str], Sequence[str]], Sequence[int] | None]:
    """The answer for many jobs at once, as `Known.at_once` has it."""
    others = record.not_succeeded()

    def answer(keys: Sequence[str], ids: Sequence[str]) -> Sequence[int] | None:
        found = record.standing_of(json.dumps(keys))
        if not found:
            return ()
        theirs, works, folded, paths = zip(*found, strict=True)
        alone = theirs == tuple(keys) and others.keys().isdisjoint(works)
        return works if alone and folded == tuple(map(str.casefold, ids)) and files.issuperset(paths) else None

    return answer
