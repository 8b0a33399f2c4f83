"""A table of results that comes back as a manifest: what it says about where it is from."""

import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from typing import Any, Final

from batchmod.errors import Place
from batchmod.rows.archives import DAMAGED, objection
from batchmod.rows.columns import Wishes
from batchmod.rows.tables import Table

MARKS: Final = frozenset({"job_key", "status"})
"""The headers that tell a sheet that it is a table of results of ours."""

COPY: Final = "delivered"
"""The column of the delivered copies, behind all others, where there are any: no row sets it."""

NAMES_PAGE: Final = "batchmod"
"""The hidden sheet of a workbook of results: which of its columns are the user's, and what they were called."""

SHOWN: Final = ("status", "version", "output", "cost_usd", "problem", "thumbnail")
"""What a workbook of results has behind the user's own columns."""

READ_BACK: Final = ("id", "review", "provider", "variant", "review_of")
"""Fields of a row that it has behind those, where the user has no column for them."""

HIDDEN: Final = ("provider", "variant", "review_of", "run_id", "job_key", "manifest")
"""Those of the columns behind the user's own that no person needs to see."""

_TITLE: Final = "batchmod results"
_HEADS: Final = ("header", "was", "field")
_SOME: Final = 50
_MOST_COLUMNS: Final = 16_384
_HEAD: Final = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Returned:
    """Which manifest a table of results names, and by what its output folder knows it."""

    manifests: tuple[str, ...]
    """The files that its rows name, as seen from the output folder."""
    run_ids: tuple[str, ...]
    job_keys: tuple[str, ...]
    """Some of each."""
    place: Place
    """Where the manifest is named."""


def returned(table: Table) -> Returned | None:
    """What a sheet says about where it is from; None where it is no table of results."""
    if not set(table.headers) >= MARKS:
        return None
    where = _column(table, "manifest")
    return Returned(
        manifests=tuple(dict.fromkeys(where)),
        run_ids=tuple(islice(dict.fromkeys(_column(table, "run_id")), _SOME)),
        job_keys=tuple(islice(dict.fromkeys(_column(table, "job_key")), _SOME)),
        place=table.place(table.line, table.headers.index("manifest") if "manifest" in table.headers else None),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """The user's columns in a workbook of results: header there → (header in their own sheet, field or nothing)."""

    columns: Mapping[str, tuple[str, str]]
    fields_known: bool = True
    """Whether nothing is the user's own that is not said to be a field."""

    def page(self) -> Iterator[tuple[str, ...]]:
        """What the hidden sheet says."""
        yield (_TITLE,)
        yield _HEADS
        for header, (was, field) in self.columns.items():
            yield (header, was, field)

    def users(self, table: Table) -> Table:
        """The table without the columns that we wrote."""
        ours = {*SHOWN, *HIDDEN, *READ_BACK}
        kept = [index for index, header in enumerate(table.headers) if header in self.columns or header not in ours]
        records = (each._replace(cells=tuple(each.cells[index] for index in kept)) for each in table.records)
        headers = (table.headers[index] for index in kept)
        was = tuple(self.columns[header][0] if header in self.columns else header for header in headers)
        return replace(table, headers=was, records=tuple(records))

    def undone(self, table: Table, wishes: Wishes) -> tuple[Table, Wishes]:
        """The user's sheet as it was, with what was written in it since; our own columns have no header any more."""
        ours = {*SHOWN, *HIDDEN} - {*READ_BACK}
        headers = tuple(
            self.columns[each][0] if each in self.columns else "" if each in ours else each for each in table.headers
        )
        fields = {field: was for was, field in self.columns.values() if field and was in headers}
        meant = (was for was, field in self.columns.values() if not field) if self.fields_known else ()
        wishes = replace(wishes, columns={**fields, **wishes.columns}, extra=wishes.extra.union(meant))
        return replace(table, headers=headers), wishes


def names_of(book: Any) -> Names | None:
    """What the hidden sheet of a workbook says, if it is one of results."""
    for sheet in book.worksheets:
        if sheet.sheet_state != "visible" and sheet.title.startswith(NAMES_PAGE):
            written = islice(sheet.iter_rows(values_only=True), _MOST_COLUMNS)
            rows = [tuple("" if cell is None else str(cell) for cell in row) for row in written]
            if rows and rows[0][0] == _TITLE:
                return Names(columns={row[0]: (row[1], row[2]) for row in rows[2:] if len(row) == len(_HEADS)})
    return None


def names_lost(table: Table) -> Names | None:
    """For a workbook of results saved as something else: what we wrote is known, what `columns` said is not."""
    if not set(table.headers) >= {*MARKS, *SHOWN}:
        return None
    ours = {*SHOWN, *HIDDEN, *READ_BACK}
    names = {each: (as_it_was(each, table.headers, ours), "") for each in table.headers if each not in ours}
    return Names(columns=names, fields_known=False)


def as_it_was(header: str, headers: Sequence[str], ours: Collection[str]) -> str:
    """The name of a user's column that stands in a table of results as `my_<name>`, since the name is one of ours."""
    name = header.removeprefix("my_")
    return name if name in ours and f"my_{header}" not in headers else header


def _column(table: Table, name: str) -> Iterator[str]:
    """The cells of a column that are not empty."""
    if name not in table.headers:
        return iter(())
    index = table.headers.index(name)
    return (text for record in table.records if (text := record.cells[index].strip().removeprefix("'")))


def may_be_returned(data: bytes, kind: str | None) -> bool:
    """Whether a document could be a table of results, at a glance."""
    if kind != "xlsx":
        return kind in ("csv", "tsv") and b"job_key" in data[:_HEAD].replace(b"\0", b"")
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            part = archive.getinfo("xl/workbook.xml")
            if objection(part) is not None:
                return False
            with archive.open(part) as text:
                return f'name="{NAMES_PAGE}"'.encode() in text.read(_HEAD)
    except DAMAGED:  # whoever reads it says so
        return False
