"""Raw rows → complete Rows, and every problem of theirs with its place."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from batchmod.errors import Problem
from batchmod.model import NamedFile, Row
from batchmod.rows import ids, prompts
from batchmod.rows.checking import Checker, field_problem
from batchmod.rows.kept import Stretch, few_or_made_anew, row_of
from batchmod.rows.named import named_files
from batchmod.rows.plain import Plain
from batchmod.rows.raw import RawRow
from batchmod.rows.repeats import Repeats
from batchmod.schema import Schemas, shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A row that is being completed: what it says, and the values that come of it."""

    number: int
    raw: RawRow
    values: dict[str, Any]

    @property
    def label(self) -> str:
        """Its id, as far as it has one."""
        return str(self.values.get("id", ""))


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """The good rows, the user's own columns in first-seen order, and the problems of the bad rows."""

    rows: Sequence[Row]
    own_columns: tuple[str, ...]
    problems: tuple[Problem, ...]
    rejected: tuple[Draft, ...] = ()
    """The rows that are not good."""
    named: tuple[NamedFile, ...] = ()
    """The files the bad rows name: what is wrong with those is said at once too."""


def complete(pieces: Sequence[Plain | Sequence[RawRow]], *, schemas: Schemas) -> Completed:
    """Rows with defaults, ids and prompts filled in; a row with a problem is left out, its number stays."""
    checker = Checker(row_schema=schemas.row)
    faults: list[Problem] = []
    parts: list[Stretch | list[Draft]] = []
    number = 1
    for piece in pieces:
        parts.append(_begun(piece, number, checker, faults))
        number += len(piece)
    faults += _label(parts)
    longest = schemas.row["properties"]["prompt"].get("maxLength")
    for part in parts:
        if not isinstance(part, Stretch):
            for draft in part:
                faults += prompts.fill(draft.raw, draft.number, draft.values, longest=longest)
    bad = frozenset(fault.row for fault in faults if fault.row is not None)
    rejected = tuple(draft for part in parts for draft in _rejected(part, bad))
    return Completed(
        rows=few_or_made_anew([_good(part, bad, checker) for part in parts]),
        own_columns=tuple(dict.fromkeys(name for part in parts for name in _own_names(part))),
        problems=tuple(faults),
        rejected=rejected,
        named=tuple(
            found
            for draft in rejected
            if draft.number in bad
            for found in named_files(
                draft.number, draft.values, {**checker.places(draft.raw), **draft.raw.places}, draft.raw.place
            )
        ),
    )


def _begun(
    piece: Plain | Sequence[RawRow], first: int, checker: Checker, faults: list[Problem]
) -> Stretch | list[Draft]:
    """A piece of which each row has its number, and, where it is not plain, its values."""
    if isinstance(piece, Plain):
        return Stretch(first=first, plain=piece, checker=checker)
    drafts = []
    for number, raw in enumerate(piece, first):
        values, wrong = checker.values(raw, number)
        faults += wrong
        drafts.append(Draft(number=number, raw=raw, values=values))
    return drafts


def _drafts(part: Stretch | list[Draft]) -> Iterator[Draft]:
    if not isinstance(part, Stretch):
        yield from part
        return
    for number, raw in enumerate(part.plain.raw(), part.first):
        yield Draft(number=number, raw=raw, values=part.checker.values(raw, number)[0])


def _rejected(part: Stretch | list[Draft], bad: frozenset[int]) -> Iterator[Draft]:
    if isinstance(part, Stretch) and bad.isdisjoint(part.numbers):
        return
    yield from (draft for draft in _drafts(part) if draft.number in bad or "video_url" not in draft.values)


def _good(part: Stretch | list[Draft], bad: frozenset[int], checker: Checker) -> Stretch | Sequence[Row]:
    if isinstance(part, Stretch):
        return part.without(bad)
    return [
        row_of(draft.raw, draft.number, draft.values, checker.places(draft.raw))
        for draft in part
        if draft.number not in bad and "video_url" in draft.values
    ]


def _own_names(part: Stretch | list[Draft]) -> Iterator[str]:
    if isinstance(part, Stretch):
        return iter(part.plain.sheet.roles.own)
    return (name for draft in part for name in draft.raw.own)


def _label(parts: Sequence[Stretch | list[Draft]]) -> list[Problem]:
    """Gives each nameless row its id, and each its suffix; says which ids are taken twice."""
    faults: dict[int, list[Problem]] = {}
    drafts = [draft for part in parts if not isinstance(part, Stretch) for draft in part]
    for draft in drafts:
        if draft.raw.suffix and "id" in draft.raw.texts:
            faults[draft.number] = _suffixed(draft.raw, draft.number, draft.values)
    first: dict[str, Draft] = {}
    for draft in _likely_twice(parts):
        if (before := first.setdefault(ids.folded(draft.label), draft)) is not draft:
            taken = _taken(draft.raw, draft.number, draft.label, before.raw, before.label)
            faults.setdefault(draft.number, []).append(taken)
    if nameless := [draft for draft in drafts if "id" not in draft.raw.texts]:
        stems = (ids.stem(draft.values.get("video_url", "")) + draft.raw.suffix for draft in nameless)
        named = (draft.label for part in parts for draft in _drafts(part) if "id" in draft.raw.texts)
        made = ids.assign(stems, taken=named)
        for draft, label in zip(nameless, made, strict=True):
            draft.values["id"] = label
    return [fault for number in sorted(faults) for fault in faults[number]]


def _likely_twice(parts: Sequence[Stretch | list[Draft]]) -> Iterator[Draft]:
    """The rows whose ids are there twice, in their order, and hardly any other."""
    repeats = Repeats()
    for part in parts:
        repeats.add(_named(part))
    for part in parts if repeats else ():
        if repeats.any_of(_named(part)):
            yield from (each for each in _drafts(part) if "id" in each.raw.texts and ids.folded(each.label) in repeats)


def _named(part: Stretch | list[Draft]) -> Iterable[int]:
    """The hashes of the ids that a part's rows give themselves, as they are compared."""
    if isinstance(part, Stretch):
        return part.plain.named
    return [hash(ids.folded(draft.label)) for draft in part if "id" in draft.raw.texts]


def _suffixed(raw: RawRow, number: int, values: dict[str, Any]) -> list[Problem]:
    """The id with what tells rows made of one apart; a problem where that is no id any more."""
    written, values["id"] = values["id"], values["id"] + raw.suffix
    if ids.fault(written) is not None or (reason := ids.fault(values["id"])) is None:
        return []
    message = f"{shown(values['id'])} could not be a file name: it {reason}"
    return [field_problem(raw, number, "id", message, "a shorter id leaves room for what is added to it")]


def _taken(raw: RawRow, number: int, label: str, other: RawRow, before: str) -> Problem:
    written = "" if label == before else f", written '{before}'"
    message = f"duplicate id '{label}': it stands at {other.places['id']} already{written}"
    return field_problem(raw, number, "id", message)
