"""Which header is which field of ours, which is the user's own, and which is a slip."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from batchmod.schema import Schema, did_you_mean, is_near_miss, shown, squash, suggestion


class Slip(NamedTuple):
    """A header that cannot stand as it is."""

    header: str
    column: int
    message: str
    hint: str | None = None
    meant: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """The names a row knows, from its schema."""

    aliases: Mapping[str, str]
    """Every spelling → its field, the fields themselves included."""
    loose: frozenset[str]
    """Spellings that sheets may write in any case and with spaces or hyphens."""
    exact: frozenset[str]
    """Spellings that count only as they are: a studio's `Model` is a 3-D model."""

    @classmethod
    def of(cls, row: Schema) -> "Fields":
        """The fields of the row schema."""
        properties = row["properties"]
        return cls(
            aliases={name: inner.get("x-alias-of", name) for name, inner in properties.items()},
            loose=frozenset(name for name, inner in properties.items() if inner.get("x-loose")),
            exact=frozenset(name for name, inner in properties.items() if inner.get("x-exact")),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The fields without their aliases."""
        return tuple(name for name, target in self.aliases.items() if name == target)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the user said about columns: field → header, and headers that are meant as they are."""

    columns: Mapping[str, str] = field(default_factory=dict)
    extra: frozenset[str] = frozenset()
    in_file: bool = False
    """Whether the document itself may say so (`extra_columns:`), so that hints name that way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Roles:
    """What each header is: indices of our fields, indices of the user's own columns, and slips."""

    ours: Mapping[str, int]
    own: Mapping[str, int]
    slips: tuple[Slip, ...]

    def meant(self, name: str) -> bool:
        """Whether a field is there, or a slip of it that is reported already."""
        return name in self.ours or any(slip.meant == name for slip in self.slips)


def roles(headers: Sequence[str], *, fields: Fields, wishes: Wishes, sheet: bool) -> Roles:
    """The role of each header; sheets are read with more leniency than YAML, where names are typed for us."""
    ours: dict[str, int] = {}
    rest: list[int] = []
    slips: list[Slip] = []
    for index, header in enumerate(headers):
        name = _field_of(header, fields, wishes, sheet=sheet)
        if name is None:
            rest.append(index)
        elif name in ours:
            first = headers[ours[name]]
            slips.append(_twice(name, header, index, first))
        else:
            ours[name] = index
    absent = [name for name, target in fields.aliases.items() if target not in ours]
    found = (_slip(headers[index], index, absent, fields, wishes, sheet=sheet) for index in rest)
    slips += [slip for slip in found if slip]
    slipped = {slip.column for slip in slips}
    own = _own_names(headers, [index for index in rest if index not in slipped])
    return Roles(ours=ours, own=own, slips=tuple(slips))


def unmapped(headers: Iterable[str], wishes: Wishes) -> list[tuple[str, str, str | None]]:
    """Wished headers that a sheet does not have: field, header, hint."""
    there = list(headers)
    return [
        (name, header, did_you_mean(header, there)) for name, header in wishes.columns.items() if header not in there
    ]


def wished_twice(wishes: Wishes) -> list[tuple[str, str]]:
    """Wishes that cannot both come true: the later field, and what is wrong."""
    first: dict[str, str] = {}
    return [
        (name, f"columns names {shown(header)} for {first[header]} and for {name}")
        for name, header in wishes.columns.items()
        if first.setdefault(header, name) != name
    ]


def _field_of(header: str, fields: Fields, wishes: Wishes, *, sheet: bool) -> str | None:
    for name, wished in wishes.columns.items():
        if header == wished:
            return name
    if header in wishes.extra:
        return None
    spelling = header
    if sheet and (loosened := re.sub(r"[\s-]+", "_", header.casefold())) in fields.loose:
        spelling = loosened
    target = fields.aliases.get(spelling)
    # a sheet whose own column is named for a field has the name free for itself
    return None if target in wishes.columns and sheet else target


def _twice(name: str, header: str, index: int, first: str) -> Slip:
    both = f"'{header}' is there twice" if first == header else f"'{first}' and '{header}' are both {name}"
    return Slip(header, index, both, "rename one, or declare it an extra column", meant=name)


def _slip(
    header: str, index: int, absent: Sequence[str], fields: Fields, wishes: Wishes, *, sheet: bool
) -> Slip | None:
    if not header and not sheet:
        return Slip(header, index, "a field without a name")
    if header in wishes.extra or not header:
        return None
    if sheet and any(squash(header) == squash(name) for name in fields.exact):
        return None
    candidates = [name for name in absent if is_near_miss(header, name, any_case=name not in fields.exact or not sheet)]
    meant = suggestion(header, candidates)
    if meant is None:
        return None
    message = f"unknown field {shown(header)}"
    declared = f"extra_columns: [{header}]" if wishes.in_file else f"--extra-column '{header}'"
    hint = f"did you mean '{meant}'? If it is a column of your own, {declared} says so"
    return Slip(header, index, message, hint, meant=fields.aliases[meant])


def _own_names(headers: Sequence[str], indices: Sequence[int]) -> dict[str, int]:
    """Own column → index; a second `Notes` becomes `Notes (2)`; columns without a name are left out."""
    own: dict[str, int] = {}
    for index in indices:
        name, count = headers[index], 1
        while name in own:
            count += 1
            name = f"{headers[index]} ({count})"
        if name:
            own[name] = index
    return own
