"""CSV text → records of cells that keep their physical line."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, NamedTuple

from batchmod.errors import Place, Problem
from batchmod.model import DELIMITERS

_ALPHABET: Final = 26
_SAMPLE: Final = 200
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
# what Excel itself writes and reads as a first line
_DECLARED: Final = re.compile(r"\"?sep=(?P<delimiter>[^\"\r\n])\"?(?:\r\n?|\n|$)", re.IGNORECASE)


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
    delimiter: str = ","
    """What separates cells; empty in a workbook."""
    faults: Mapping[tuple[int, int], tuple[str, str]] = field(default_factory=dict)
    """(line, index) → what is wrong with that cell whatever it is for, and the cure."""

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


def parse(text: str, *, file: str, is_header: Callable[[Sequence[str]], bool], delimiter: str | None = None) -> Table:
    """The table in a CSV text.

    `delimiter` is the user's word for what separates cells; else it is what `sep=` in the first line says, or the one
    of DELIMITERS that makes a header of the first line. Where two do, and the rows differ, there is a problem instead.
    """
    if "\0" in text:
        message = "a NUL character stands here; this is no CSV file"
        place = _place_in(text, text.index("\0"), file)
        return Table(file=file, problems=(Problem(place=place, message=message),))
    declared, text = declaration(text)
    first_line = 2 if declared else 1
    if match := _DECLARED.match(declared):
        delimiter = delimiter or match["delimiter"]
    chosen = delimiter or _delimiter(text, file, is_header)
    if isinstance(chosen, Problem):
        return Table(file=file, problems=(chosen,))
    problems: list[Problem] = []
    records = list(_records(text, chosen, file, problems, first_line=first_line))
    return with_records(Table(file=file, delimiter=chosen, problems=tuple(problems)), records)


def declaration(text: str) -> tuple[str, str]:
    """The first line, where it says `sep=;`, and the rest."""
    match = _DECLARED.match(text)
    return (match[0], text[match.end() :]) if match else ("", text)


def with_records(table: Table, records: Sequence[Record]) -> Table:
    """The table whose header is the first of the records, and the others under it, squared."""
    if not records:
        return table
    header, *rest = records
    headers = tuple(cell.strip() for cell in header.cells)
    while headers and not headers[-1]:
        headers = headers[:-1]
    body = tuple(_squared(each, len(headers)) for each in rest)
    faults = {at: fault for at, fault in table.faults.items() if at[1] < len(headers)}
    full = replace(table, line=header.line, headers=headers, records=body, faults=faults)
    return replace(full, problems=(*table.problems, *_nameless(full, body)))


# --- which separator ----------------------------------------------------------------------------------------


def named(delimiter: str) -> str:
    """A separator as a message shows it: `';'`, or `a tab`."""
    return "a tab" if delimiter == "\t" else f"'{delimiter}'"


def _delimiter(text: str, file: str, is_header: Callable[[Sequence[str]], bool]) -> str | Problem:
    samples = {each: tuple(islice(_records(text, each, "", []), _SAMPLE)) for each in DELIMITERS.values()}
    heads = {each: [cell.strip() for cell in sample[0].cells] for each, sample in samples.items() if sample}
    fit = [each for each, head in heads.items() if is_header(head)]
    if not fit:
        return max(heads, key=lambda each: len(heads[each]), default=",")
    distinct = {each: _cells(samples[each]) for each in fit}
    if any(cells != distinct[fit[0]] for cells in distinct.values()):
        whole = [each for each in fit if all(len(record.cells) <= len(heads[each]) for record in samples[each])]
        if not whole or any(distinct[each] != distinct[whole[0]] for each in whole):
            return _undecided(file, whole or fit)
        return whole[0]
    return fit[0]


def _cells(sample: Sequence[Record]) -> list[tuple[str, ...]]:
    return [record.cells for record in sample]


def _undecided(file: str, fit: Sequence[str]) -> Problem:
    words = {delimiter: word for word, delimiter in DELIMITERS.items()}
    message = f"{' and '.join(map(named, fit))} both make a table of this, and not the same one"
    hint = " or ".join(f"`--delimiter {words[each]}`" for each in fit) + " decides"
    return Problem(place=Place(file=file, line=1), message=message, hint=hint)


# --- records ------------------------------------------------------------------------------------------------


def _records(text: str, delimiter: str, file: str, problems: list[Problem], *, first_line: int = 1) -> Iterator[Record]:
    """The records that are not blank; the reader cannot go on after its first problem."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = first_line
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield Record(line, tuple(cells))
            line = reader.line_num + first_line
    except csv.Error as error:
        ends = [match.end() for match in islice(_LINE_END.finditer(text), line - first_line)]
        start = ends[-1] if ends else 0
        follows = "expected after" in str(error)
        at = _after_a_quote(text, start, delimiter) if follows else _open_quote(text, start)
        place = Place(file=file, line=line) if at is None else _place_in(text, at, file, first_line=first_line)
        problems.append(Problem(place=place, message=_said(error, delimiter, unclosed=not follows and at is not None)))


def _place_in(text: str, at: int, file: str, *, first_line: int = 1) -> Place:
    """Line and column of a character."""
    ends = [match.end() for match in _LINE_END.finditer(text, 0, at)]
    return Place(file=file, line=len(ends) + first_line, column=at - (ends[-1] if ends else 0) + 1)


def _open_quote(text: str, start: int) -> int | None:
    """Where the quote stands that is still open at the end of a text; doubled ones inside are text."""
    opened, at = None, start
    while at < len(text):
        if text[at] == '"':
            if opened is None:
                opened = at
            elif text[at + 1 : at + 2] == '"':
                at += 1
            else:
                opened = None
        at += 1
    return opened


def _after_a_quote(text: str, start: int, delimiter: str) -> int | None:
    """Where a separator should stand behind the quote that ends a cell, and does not."""
    cell = re.compile(rf'"(?:[^"]|"")*"|[^{re.escape(delimiter)}\r\n]*')
    at = start
    while at < len(text):
        match = cell.match(text, at)
        at = match.end() if match else at
        if match and match[0].startswith('"') and text[at : at + 1] not in ("", delimiter, "\r", "\n"):
            return at
        at += 1
    return None


def _said(error: csv.Error, delimiter: str, *, unclosed: bool) -> str:
    if unclosed:
        return "the quote that opens here is never closed"
    if "field limit" in str(error):
        return f"a cell in this record is longer than {csv.field_size_limit():,} characters"
    if "expected after" in str(error):
        ends = f"after a closing quote comes {named(delimiter)} or the end of the line"
        return f"{ends}; write a quote in a quoted cell twice"
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
