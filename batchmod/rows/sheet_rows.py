"""The rows of a sheet as they are written, made from its records whenever they are asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, overload

from batchmod.errors import Place, Problem
from batchmod.rows.columns import Roles
from batchmod.rows.raw import Default, RawRow
from batchmod.rows.records import Record, Span
from batchmod.rows.tables import Records, Table, letters

_GUARDED: Final = "=+-@\t\r'"


@dataclass(frozen=True, slots=True)
class _CellPlaces(Mapping[str, Place]):
    """Field → place of its cell; made when asked for, since a sheet may have a million rows."""

    file: str
    sheet: str | None
    line: int
    cells: Mapping[str, str]
    """Field → letters; shared by all rows that have the same cells."""

    def __getitem__(self, name: str) -> Place:
        return Place(file=self.file, sheet=self.sheet, line=self.line, cell=self.cells[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)


@dataclass(frozen=True, kw_only=True, slots=True)
class SheetRows(Sequence[RawRow]):
    """A table's raw rows; empty cells are absent fields."""

    table: Table
    roles: Roles
    headers: Mapping[str, str]
    """Field → the user's own name for it."""
    literal: bool
    """Whether it is a results.csv of ours: cells are guarded, and prompts final."""
    excused: frozenset[str]
    defaults: Mapping[str, Default]
    base: str = ""
    _lettered: dict[tuple[str, ...], dict[str, str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table.records)

    def __iter__(self) -> Iterator[RawRow]:
        return map(self._row, self.table.records)

    @overload
    def __getitem__(self, index: int) -> RawRow: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RawRow]: ...
    def __getitem__(self, index: int | slice) -> RawRow | Sequence[RawRow]:
        found = self.table.records[index]
        return self._row(found) if isinstance(found, Record) else tuple(map(self._row, found))

    @property
    def spans(self) -> Sequence[Span]:
        """The blocks of its text; none where it was no text."""
        return self.table.records.spans if isinstance(self.table.records, Records) else ()

    def of(self, span: Span) -> Iterator[RawRow]:
        """The rows of a block."""
        assert isinstance(self.table.records, Records)
        return map(self._row, self.table.records.of(span))

    def head(self, span: Span) -> RawRow:
        """The first row of a block."""
        assert isinstance(self.table.records, Records)
        return self._row(self.table.records.head(span))

    def written(self, span: Span) -> bytes:
        """The bytes of a block."""
        assert isinstance(self.table.records, Records)
        return self.table.records.text.data[span.start : span.end]

    def texts(self, span: Span) -> dict[str, list[str]] | None:
        """Field → its text in each row of a block; None where a row has more cells than there are headers."""
        assert isinstance(self.table.records, Records)
        return self.table.records.columns(span, self.roles.ours)

    def _row(self, record: Record) -> RawRow:
        line, cells, surplus = record
        if self.literal:
            cells = tuple(map(_unguarded, cells))
        texts = {name: text for name, index in self.roles.ours.items() if (text := cells[index].strip())}
        wrong: tuple[Problem, ...] = ()
        faulted: frozenset[str] = frozenset()
        faults = self.table.faults
        if surplus or (faults and any((line, index) in faults for index in range(len(cells)))):
            wrong = _cell_problems(self.table, record, self.roles)
            faulted = frozenset(name for name, index in self.roles.ours.items() if (line, index) in faults)
            texts = {name: text for name, text in texts.items() if name not in faulted}
        return RawRow(
            place=self.table.place(line),
            texts=texts,
            places=_CellPlaces(self.table.file, self.table.sheet, line, self._letters(tuple(texts))),
            own={name: cells[index] for name, index in self.roles.own.items()},
            headers=self.headers,
            literal=self.literal,
            defaults=self.defaults,
            base=self.base,
            excused=self.excused | faulted,
            problems=wrong,
        )

    def _letters(self, there: tuple[str, ...]) -> dict[str, str]:
        if there not in self._lettered:
            ours = ((name, at) for name, at in self.roles.ours.items() if name in there or name == "video_url")
            self._lettered[there] = {name: letters(at) for name, at in (*ours, *self.roles.own.items())}
        return self._lettered[there]


def _cell_problems(table: Table, record: Record, found: Roles) -> tuple[Problem, ...]:
    """What is wrong with a record's cells whatever they say: too many, or no value behind one that is named."""
    fields = {index: name for name, index in found.ours.items()}
    wrong = [
        Problem(place=table.place(line, index), field=fields.get(index), message=message, hint=hint)
        for (line, index), (message, hint) in sorted(table.faults.items())
        if line == record.line and table.headers[index]
    ]
    return (*wrong, _surplus(table, record)) if record.surplus else tuple(wrong)


def _surplus(table: Table, record: Record) -> Problem:
    width = len(table.headers)
    return Problem(
        place=table.place(record.line, width),
        message=f"{width + record.surplus} cells, but the header has {width}",
        hint="a text that holds the separator needs quotes around it"
        if table.delimiter
        else "give the column a header",
    )


def _unguarded(cell: str) -> str:
    """A cell without the `'` that keeps spreadsheets from taking it for a formula."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _GUARDED and len(cell) > 1 else cell
