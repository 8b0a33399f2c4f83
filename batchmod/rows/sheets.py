"""A sheet's bytes → its table, and in one line what was found out about them."""

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from batchmod.errors import Place, Problem
from batchmod.rows import decoding, tables, workbooks
from batchmod.rows.returning import Names
from batchmod.rows.tables import Table

_MARKS_READ_WRONG: Final = tuple(codecs.BOM_UTF8.decode(each).encode() for each in ("cp1252", "mac_roman"))
"""A byte order mark that was taken for text, in UTF-8."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ways:
    """How a sheet is to be read; None where its bytes decide."""

    encoding: str | None = None
    """A codec of Python's, such as `cp1252`."""
    delimiter: str | None = None
    """One character."""
    sheet: str | None = None
    """The name of a workbook's sheet; None is the first one that is not hidden."""
    visible_only: bool = False
    """Whether hidden and filtered rows of a workbook are left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A table, and what should be said of it: `shots.csv: cp1252, ';', 214 rows`."""

    table: Table
    said: str | None = None
    sheet: str | None = None
    """The name of the workbook's sheet that it stands on."""
    names: Names | None = None
    """What the user's columns were called, where this is a workbook of our own results."""
    usual: bool = True
    """Whether it is what everybody expects: UTF-8 and commas, or the only sheet with every row to be seen."""


def read(data: bytes, *, file: str, kind: str, ways: Ways, is_header: Callable[[Sequence[str]], bool]) -> Found:
    """The table in a `csv`, `tsv` or `xlsx`. Raises MissingExtra where a workbook cannot be read here."""
    if kind == "xlsx":
        return _workbook(data, file, ways)
    if data.startswith(workbooks.ZIP_MARK):
        message = "this is an Excel workbook or another zip file, not a text"
        hint = "call it .xlsx, or export it as `CSV UTF-8`"
        problem = Problem(place=Place(file=file), message=message, hint=hint)
        return Found(table=Table(file=file, problems=(problem,)))
    if data.removeprefix(codecs.BOM_UTF8).startswith(_MARKS_READ_WRONG):
        message = "this was UTF-8, read in another encoding and saved so: its words are no longer what they were"
        hint = "open the original as UTF-8 and save it again"
        problem = Problem(place=Place(file=file, line=1), message=message, hint=hint)
        return Found(table=Table(file=file, problems=(problem,)))
    decoded = decoding.decode(data, file=file, encoding=ways.encoding)
    if isinstance(decoded, Problem):
        return Found(table=Table(file=file, problems=(decoded,)))
    table = tables.parse(decoded.data, start=decoded.start, file=file, is_header=is_header, delimiter=ways.delimiter)
    if not table.headers:
        return Found(table=table)
    usual = decoded.encoding == "UTF-8" and table.delimiter == ("\t" if kind == "tsv" else ",")
    what = f"{decoded.encoding}, {tables.named(table.delimiter)}, {counted(len(table.records))}"
    return Found(table=table, said=f"{file}: {what}", usual=usual)


def _workbook(data: bytes, file: str, ways: Ways) -> Found:
    sheet = workbooks.parse(data, file=file, sheet=ways.sheet, visible_only=ways.visible_only)
    if not sheet.table.headers:
        return Found(table=sheet.table)
    what = f"sheet '{sheet.name}'"
    if sheet.others:
        named = ", ".join(f"'{name}'" for name in sheet.others)
        what += f" (not {named}; --sheet chooses)"
    what += f", {counted(len(sheet.table.records))}"
    if sheet.hidden:
        left = "left out" if ways.visible_only else "read like the others; --visible-only leaves them out"
        what += f"; {counted(sheet.hidden)} hidden or filtered out, {left}"
    return Found(
        table=sheet.table,
        said=f"{file}: {what}",
        sheet=sheet.name,
        names=sheet.names,
        usual=not (sheet.others or sheet.hidden),
    )


def counted(rows: int) -> str:
    """`1 row`, `1,214 rows`."""
    return f"{rows:,} row{'' if rows == 1 else 's'}"
