"""A table → raw rows: which column is what, and what batchmod itself wrote into a results.csv."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from batchmod.errors import Place, Problem
from batchmod.rows.columns import Fields, Roles, Wishes, roles, unmapped
from batchmod.rows.raw import Default, Gathered, RawRow
from batchmod.rows.returning import MARKS, as_it_was
from batchmod.rows.tables import Record, Table, letters
from batchmod.schema import Schemas

_GUARDED: Final = "=+-@\t\r'"


def is_header(cells: Iterable[str], *, schemas: Schemas, wishes: Wishes) -> bool:
    """Whether the cells name a clip column, or a slip of it: what a manifest's header must have."""
    return roles(list(cells), fields=Fields.of(schemas.row), wishes=wishes, sheet=True).meant("video_url")


def from_table(table: Table, *, schemas: Schemas, wishes: Wishes, defaults: Mapping[str, Default]) -> Gathered:
    """The raw rows of a sheet; empty cells are absent, and columns that batchmod itself wrote are dropped.

    `defaults` go with each row.
    """
    fields = Fields.of(schemas.row)
    results = table.headers if set(table.headers) >= MARKS else ()
    if results:  # our fields have exactly our names there, and whatever is called otherwise was meant so
        wishes = replace(wishes, columns={}, extra=frozenset(table.headers).difference(fields.names))
    ours_too = {*fields.names} | {*wishes.columns.values()}
    dropped = {*schemas.results["properties"]} - ours_too if results else set()
    headers = ["" if header in dropped else as_it_was(header, table.headers, dropped) for header in table.headers]
    found = roles(headers, fields=fields, wishes=wishes, sheet=True)
    faults = _header_problems(table, found, wishes)
    excused: frozenset[str] = frozenset()
    if table.headers and not found.meant("video_url") and "video_url" not in defaults:
        excused = frozenset({"video_url"})
        if not faults:
            faults.append(_no_clip_column(table, schemas))
    excused |= {slip.meant for slip in found.slips if slip.meant}
    build = _sheet_row(table, found, literal=bool(results), excused=excused, defaults=defaults)
    return Gathered(rows=tuple(build(record) for record in table.records), problems=tuple(faults))


def _header_problems(table: Table, found: Roles, wishes: Wishes) -> list[Problem]:
    if not table.headers:
        return []
    slips = [
        Problem(place=table.place(table.line, slip.column), message=slip.message, hint=slip.hint)
        for slip in found.slips
    ]
    absent = [
        Problem(
            place=table.place(table.line),
            message=f"there is no column '{header}', which columns names for {name}",
            hint=hint,
        )
        for name, header, hint in unmapped(table.headers, wishes)
    ]
    return slips + absent


def _no_clip_column(table: Table, schemas: Schemas) -> Problem:
    there = ", ".join(each for each in table.headers if each) or "none"
    why = schemas.row["properties"]["video_url"]["x-missing"]
    message = f"there is no column video_url: {why}"
    hint = f"the columns are {there}; `columns: {{video_url: …}}` or `--column video_url=…` names yours"
    return Problem(place=table.place(table.line), message=message, hint=hint)


@dataclass(frozen=True, slots=True)
class _CellPlaces(Mapping[str, Place]):
    """Field → place of its cell; made when asked for, since a sheet may have a million rows."""

    file: str
    line: int
    cells: Mapping[str, str]
    """Field → letters; shared by all rows that have the same cells."""

    def __getitem__(self, name: str) -> Place:
        return Place(file=self.file, line=self.line, cell=self.cells[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)


def _sheet_row(
    table: Table, found: Roles, *, literal: bool, excused: frozenset[str], defaults: Mapping[str, Default]
) -> Callable[[Record], RawRow]:
    headers = {name: table.headers[index] for name, index in found.ours.items()}
    ours, own = tuple(found.ours.items()), tuple(found.own.items())
    faulty = {line for line, _ in table.faults}
    lettered: dict[tuple[str, ...], dict[str, str]] = {}

    def build(record: Record) -> RawRow:
        line, cells, surplus = record
        if literal:
            cells = tuple(_unguarded(cell) for cell in cells)
        texts = {name: text for name, index in ours if (text := cells[index].strip())}
        wrong: tuple[Problem, ...] = ()
        faulted: frozenset[str] = frozenset()
        if surplus or line in faulty:
            wrong = _cell_problems(table, record, found)
            faulted = frozenset(name for name, index in ours if (line, index) in table.faults)
            texts = {name: text for name, text in texts.items() if name not in faulted}
        there = tuple(texts)
        if there not in lettered:
            lettered[there] = {name: letters(index) for name, index in ours if name in there or name == "video_url"}
        return RawRow(
            place=Place(file=table.file, line=line),
            texts=texts,
            places=_CellPlaces(table.file, line, lettered[there]),
            own={name: cells[index] for name, index in own},
            headers=headers,
            literal=literal,
            defaults=defaults,
            excused=excused | faulted,
            problems=wrong,
        )

    return build


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
