"""The card of a store: whose outputs lie there, which record is theirs, and whether that is all that is known.

`batchmod.json` in the store is written last, whenever a copy of the record has gone up: it names the copy, and a copy
that it does not name counts for nothing. Before a run sends its first request the card says that a run is on; only when
that run has ended in good order, and its record as it was then is up, the card is *final*.

Each run gives the record a *mark*, and the record keeps the marks of all runs before it. By them two records are told
apart: one of which the other knows the last mark is the older one, and where neither knows the other's, both have gone
on alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Self

from batchmod.checkpoint import Checkpoint
from batchmod.errors import RecordRefused

NAME: Final = "batchmod.json"
RECORDS: Final = "record"
"""Where the copies of the record lie, below the store."""
VERSION: Final = 1
_FACT: Final = "store_marks"
_UNKNOWN_SINCE: Final = "unknown_since"
_LOOKED_FOR: Final = "unknown_looked_for"
_MOST_MARKS: Final = 1_000
_MOST_SHOWN: Final = 50
_ONLY_A_COPY: Final = "~"
"""Behind a mark: what its run did after the copy was made is not known here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What a store says of itself."""

    folder_id: str
    manifest: str
    marks: tuple[str, ...]
    """Of the runs that this record knows, the last one last."""
    run_id: str
    machine: str
    """`process 4711 on render-3`: whose run it was."""
    at: str
    """When the copy of the record was made; ISO 8601."""
    final: bool
    record: str | None = None
    """The copy's name below the store; None where there is none yet."""
    sha256: str = ""
    attempts: int = 0
    """The number of the last request that the record knows."""
    pages: tuple[str, ...] = ()
    """The tables, pages and parts of the event log that are up, by their names below the store."""
    only_there: int = 0
    """Outputs that lay on that machine alone."""
    unfinished: tuple[Mapping[str, Any], ...] = ()
    """Some of the requests that were under way or uncertain then, for a person to read."""
    schema_version: int = VERSION

    def as_json(self) -> bytes:
        """The object in the store."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False).encode("utf-8", "replace")

    @classmethod
    def of(cls, content: bytes, *, url: str) -> Self:
        """The card as it lies there. Raises RecordRefused where it is none, or one of a newer batchmod."""
        try:
            said = json.loads(content)
            if int(said["schema_version"]) > VERSION:
                raise RecordRefused(f"{url} was written by a newer batchmod; use that one. Nothing was sent.")
            known = {name: said[name] for name in cls.__slots__ if name in said}
            lists = {name: tuple(said.get(name, ())) for name in ("marks", "pages", "unfinished")}
            _refuse_outside(lists["pages"])
            return cls(**{**known, **lists})
        except (ValueError, TypeError, KeyError) as error:
            raise RecordRefused(
                f"{url} should say whose outputs lie there, and cannot be read ({error!r}): nobody knows what was "
                "paid. Nothing was sent. Put it back from an older version of the object, or choose another --output."
            ) from error


def _refuse_outside(names: Sequence[str]) -> None:
    """Raise ValueError for a name that leaves the folder it is put into, on whichever system."""
    for name in names:
        parts = name.replace("\\", "/").split("/")
        if any(part in ("", ".", "..") or ":" in part for part in parts):
            raise ValueError(f"{name} is no name below it")


class Standing(StrEnum):
    """How the record here and the one in the store stand to each other."""

    EMPTY = "empty"  # nothing is there yet
    OURS = "ours"  # what is there came from here, and nobody has written it since
    NEWER = "newer"  # somebody has gone on with what was here, or nothing is here
    UNFINISHED = "unfinished"  # the same, and how far they came is not known
    APART = "apart"  # both have gone on alone
    OTHER = "other"  # another output folder's


@dataclass(frozen=True, kw_only=True, slots=True)
class Here:
    """What the record here says of itself; `untouched`: no other command has owned it since its last mark."""

    folder_id: str
    marks: tuple[str, ...]
    untouched: bool
    attempts: int


def here(record: Checkpoint) -> Here:
    """The same, read from the record."""
    said = _said(record)
    return Here(
        folder_id=record.fact("folder_id") or "",
        marks=tuple(said.get("marks", ())),
        untouched=said.get("epoch") == record.fact("epoch"),
        attempts=record.last_attempt_id(),
    )


def stand(card: Card | None, record: Here | None) -> Standing:
    """Decide it by what both say."""
    if card is None:
        return Standing.EMPTY
    newer = Standing.NEWER if card.final else Standing.UNFINISHED
    if record is None:
        return newer
    if card.folder_id != record.folder_id:
        return Standing.OTHER
    last = record.marks[-1] if record.marks else ""
    if last == card.marks[-1] + _ONLY_A_COPY:  # taken from here, and killed before anything was sent
        return Standing.OURS
    if card.marks[-1] in record.marks:
        # the same run's, but from before: a disk that was put back from a copy
        is_behind = card.marks[-1] == last and record.attempts < card.attempts
        return newer if is_behind else Standing.OURS
    return newer if last in card.marks and record.untouched else Standing.APART


def was_up(record: Checkpoint) -> bool:
    """Whether a run into this folder ever put it up into a store."""
    return record.fact(_FACT) is not None


def mark(record: Checkpoint, mark_: str) -> tuple[str, ...]:
    """Give the record this run's mark; the marks it has now. It must be owned already."""
    said = _said(record)
    marks = (*said.get("marks", ()), mark_)[-_MOST_MARKS:]
    record.set_facts({_FACT: json.dumps({"marks": marks, "epoch": record.fact("epoch")})})
    return marks


def only_a_copy(record: Checkpoint, card: Card) -> None:
    """Let the record say that it does not know how the card's run ended: it is no later form of that run's own."""
    marks = (*card.marks[:-1], card.marks[-1].removesuffix(_ONLY_A_COPY) + _ONLY_A_COPY)
    said = json.dumps({"marks": marks, "epoch": record.fact("epoch")})
    record.set_facts({_FACT: said, _UNKNOWN_SINCE: card.at, _LOOKED_FOR: "[]"})


def unknown_since(record: Checkpoint) -> str | None:
    """Since when (ISO 8601) requests may have been sent that this record does not know; None where it knows all."""
    return record.fact(_UNKNOWN_SINCE) or None


def looked_for(record: Checkpoint) -> Sequence[str]:
    """For whose rows the histories were asked about what may have been unknown to the record since."""
    found: list[str] = json.loads(record.fact(_LOOKED_FOR) or "[]")
    return found


def was_looked_for(record: Checkpoint, whose: str) -> None:
    """Let the record say that the histories were asked for all of these rows; those of others may be unknown still."""
    record.set_facts({_LOOKED_FOR: json.dumps([*looked_for(record), whose])})


def _said(record: Checkpoint) -> Mapping[str, Any]:
    said: Mapping[str, Any] = json.loads(record.fact(_FACT) or "{}")
    return said


def unfinished(record: Checkpoint) -> tuple[Mapping[str, Any], ...]:
    """The requests that are under way or uncertain, as a card shows them."""
    works = record.unfinished()[:_MOST_SHOWN]
    return tuple(
        {
            "ids": _ids(record, work.work_id, work.job_key),
            "provider": work.provider,
            "status": work.status.value,
            "request_id": work.request_id,
        }
        for work in works
    )


def _ids(record: Checkpoint, work_id: int, job_key: str) -> Sequence[str]:
    return [each.id for each in record.deliveries_of(work_id)] or list(record.rows_of(job_key))


def refusal(standing: Standing, card: Card, store: str, shown: str) -> str:
    """Why a run does not go on with what a card tells of, and what can be done. `shown`: the folder here."""
    if standing is Standing.OTHER:
        return (
            f"{store} belongs to another output folder: that of the manifest '{card.manifest}', run by {card.machine}. "
            "Nothing was sent. Choose another --output."
        )
    if standing is Standing.APART:
        return (
            f"the record in {shown} and the one in {store} ({card.machine}, {card.at}) have gone on apart: each knows "
            "requests that the other does not, and neither may take the other's place. Nothing was sent. To go on with "
            f"the one in the store, move {shown} away; to go on with the one here, choose another --output."
        )
    return (
        f"{store} holds only a copy of the record of a run that did not end in good order: {card.machine}, run "
        f"{card.run_id}, copied at {card.at}. What it sent later is not known here, and could be paid for twice. "
        "Nothing was sent. Run on that machine again; if it is lost for good, --take-copy goes on with the copy, and "
        "first looks into the providers' histories for what that run has sent later."
    )
