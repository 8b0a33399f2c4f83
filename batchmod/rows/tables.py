"""CSV text → records of cells that keep their physical line."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from batchmod.errors import Place, Problem

_DELIMITERS: Final = (",", ";", "\t")
_ALPHABET: Final = 26


class Record(NamedTuple):
    """A line of a table: the physical line where it starts, and its cells, as many as the header has."""

    line: int
    cells: tuple[str, ...]
    surplus: int = 0
    """How many more cells were written than the header has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A header and its records; without a header there are no records."""

    file: str
    line: int = 1
    headers: tuple[str, ...] = ()
    records: tuple[Record, ...] = ()
    problems: tuple[Problem, ...] = ()

    def place(self, line: int, index: int | None = None) -> Place:
        """A line, or the cell at `index` in it."""
        return Place(file=self.file, line=line, cell=None if index is None else letters(index))


def letters(index: int) -> str:
    """A column's letters as spreadsheets have them: A, B, … Z, AA."""
    text = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, _ALPHABET)
        text = chr(ord("A") + rest) + text
    return text


def parse(text: str, *, file: str, is_header: Callable[[Sequence[str]], bool]) -> Table:
    """The table in a CSV text, separated by commas, or by `;` or tabs where only so `is_header` holds."""
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        message = "a NUL character stands here; this is no CSV file"
        return Table(file=file, problems=(Problem(place=Place(file=file, line=line), message=message),))
    problems: list[Problem] = []
    records = list(_records(text, _delimiter(text, is_header), file, problems))
    if not records:
        return Table(file=file, problems=tuple(problems))
    header, *rest = records
    headers = tuple(cell.strip() for cell in header.cells)
    while headers and not headers[-1]:
        headers = headers[:-1]
    table = Table(file=file, line=header.line, headers=headers)
    body = tuple(_squared(each, len(headers)) for each in rest)
    problems += _nameless(table, body)
    return Table(file=file, line=header.line, headers=headers, records=body, problems=tuple(problems))


def _delimiter(text: str, is_header: Callable[[Sequence[str]], bool]) -> str:
    for delimiter in _DELIMITERS:
        first = next(_records(text, delimiter, "", []), None)
        if first and is_header([cell.strip() for cell in first.cells]):
            return delimiter
    return _DELIMITERS[0]


def _records(text: str, delimiter: str, file: str, problems: list[Problem]) -> Iterator[Record]:
    """The records that are not blank; the reader cannot go on after its first problem."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield Record(line, tuple(cells))
            line = reader.line_num + 1
    except csv.Error as error:
        problems.append(Problem(place=Place(file=file, line=line), message=_said(error, delimiter)))


def _said(error: csv.Error, delimiter: str) -> str:
    if "unexpected end" in str(error) or "field limit" in str(error):
        return "a quote that opens in this record is never closed"
    if "expected after" in str(error):
        name = "a tab" if delimiter == "\t" else f"'{delimiter}'"
        return f"after a closing quote comes {name} or the end of the line; write a quote in a quoted cell twice"
    return f"not CSV: {error}"


def _squared(record: Record, width: int) -> Record:
    """The record with as many cells as there are headers."""
    cells = record.cells
    surplus = len(cells) - width if any(cell.strip() for cell in cells[width:]) else 0
    return Record(record.line, cells[:width] + ("",) * (width - len(cells)), surplus)


def _nameless(table: Table, body: Sequence[Record]) -> Iterator[Problem]:
    for index, header in enumerate(table.headers):
        filled = next((each for each in body if not header and each.cells[index].strip()), None)
        if filled:
            place = table.place(filled.line, index)
            yield Problem(place=place, message=f"column {letters(index)} has content but no header")
