"""Rows as a manifest holds them: few are kept, those of a long sheet are made anew whenever they are asked for."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, overload

from batchmod.errors import Place
from batchmod.model import Row
from batchmod.rows.checking import Checker
from batchmod.rows.plain import Plain
from batchmod.rows.raw import RawRow

MOST_KEPT: Final = 5_000
"""So many rows are kept as they are, since a short sheet is gone through many times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Plain rows of a manifest that stand together: the number of the first, and those that are left out."""

    first: int
    plain: Plain
    checker: Checker
    left_out: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.plain) - len(self.left_out)

    def __iter__(self) -> Iterator[Row]:
        for number, raw in enumerate(self.plain.raw(), self.first):
            if number not in self.left_out:
                yield self._row(raw, number)

    def _row(self, raw: RawRow, number: int) -> Row:
        return row_of(raw, number, self.checker.meant(raw), self.checker.places(raw))

    @property
    def head(self) -> Row:
        """Its first row."""
        if self.first in self.left_out:
            return next(iter(self))
        return self._row(self.plain.sheet.head(self.plain.span), self.first)

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of its rows."""
        every = range(self.first, self.first + len(self.plain))
        return [number for number in every if number not in self.left_out] if self.left_out else every

    def columns(self) -> dict[str, Sequence[Any]]:
        """Field → its value in each row."""
        columns = self.plain.columns(self.checker)
        if not self.left_out:
            return columns
        kept = [number - self.first for number in self.numbers]
        return {name: [column[at] for at in kept] for name, column in columns.items()}

    def digest(self) -> str:
        """Of all that its rows are made from: another one where one of them would be another."""
        return f"{self.first} {sorted(self.left_out)} {self.plain.digest()}"

    def kinds(self) -> set[tuple[str | None, str | None]]:
        """The provider and the model that its rows name, as they occur together."""
        if self.could_say(("provider", "model")):
            columns = self.columns()
            return set(zip(columns["provider"], columns["model"], strict=True))
        return {(None, None)}

    def without(self, numbers: Collection[int]) -> "Stretch":
        """All of it but the rows of these numbers."""
        left_out = self.left_out.union(number for number in self.numbers if number in numbers)
        return self if left_out == self.left_out else replace(self, left_out=left_out)

    def could_say(self, names: Collection[str]) -> bool:
        """Whether one of these fields is set in some row, or by the document's defaults."""
        return not self.plain.says.isdisjoint(names) or not self.plain.sheet.defaults.keys().isdisjoint(names)


class Rows(Sequence[Row]):
    """The rows of a manifest in their order."""

    def __init__(self, parts: Sequence[Sequence[Row] | Stretch]) -> None:
        self.parts = tuple(part for part in parts if len(part))

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[Row]:
        for part in self.parts:
            yield from part

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        return tuple(self)[index]


def row_of(raw: RawRow, number: int, values: Mapping[str, Any], places: Mapping[str, Place]) -> Row:
    """A complete row; `places` are those of its document's defaults."""
    return Row(
        number=number,
        own=raw.own,
        # a table of results names what came from defaults too
        explicit=frozenset() if raw.literal else frozenset(raw.texts),
        place=raw.place,
        places={**places, **raw.places} if places else raw.places,
        **values,
    )


def parts_of(rows: Sequence[Row]) -> Sequence[Sequence[Row] | Stretch]:
    """The rows in parts: those that are kept, and those that are best looked at column by column."""
    return rows.parts if isinstance(rows, Rows) else (rows,)


def few_or_made_anew(parts: Sequence[Sequence[Row] | Stretch]) -> Sequence[Row]:
    """The rows of all parts as a sequence."""
    rows = Rows(parts)
    return tuple(rows) if len(rows) <= MOST_KEPT or not any(isinstance(part, Stretch) for part in parts) else rows


def without(rows: Sequence[Row], numbers: Collection[int]) -> Sequence[Row]:
    """The rows but for those of these numbers."""
    if not numbers:
        return rows
    return few_or_made_anew(
        [
            part.without(numbers) if isinstance(part, Stretch) else [row for row in part if row.number not in numbers]
            for part in parts_of(rows)
        ]
    )


def those(rows: Sequence[Row], numbers: Collection[int]) -> Iterator[Row]:
    """The rows of these numbers, in their order."""
    for part in parts_of(rows) if numbers else ():
        if not isinstance(part, Stretch) or any(number in numbers for number in part.numbers):
            yield from (row for row in part if row.number in numbers)


def numbers_of(rows: Sequence[Row]) -> Iterator[int]:
    """The rows' numbers."""
    for part in parts_of(rows):
        yield from part.numbers if isinstance(part, Stretch) else (row.number for row in part)


def saying(rows: Sequence[Row], *names: str) -> Iterator[Row]:
    """The rows of which some may set one of these fields, or have it from a document's defaults."""
    for part in parts_of(rows):
        if not isinstance(part, Stretch) or part.could_say(names):
            yield from part
