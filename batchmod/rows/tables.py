"""CSV text → records of cells that keep their physical line."""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, overload

from batchmod.errors import Place, Problem
from batchmod.model import DELIMITERS
from batchmod.rows.decoding import in_words
from batchmod.rows.records import NotCsv, Record, Span, Text

_ALPHABET: Final = 26
_SAMPLE: Final = 200
_DECLARATION: Final = 64
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
# what Excel itself writes and reads as a first line
_DECLARED: Final = re.compile(r"\"?sep=(?P<delimiter>[^\"\r\n])\"?(?:\r\n?|\n|$)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A header and its records; without a header there are no records."""

    file: str
    sheet: str | None = None
    """As places name it."""
    line: int = 1
    headers: tuple[str, ...] = ()
    records: Sequence[Record] = ()
    problems: tuple[Problem, ...] = ()
    delimiter: str = ","
    """What separates cells; empty in a workbook."""
    faults: Mapping[tuple[int, int], tuple[str, str]] = field(default_factory=dict)
    """(line, index) → what is wrong with that cell whatever it is for, and the cure."""

    def place(self, line: int, index: int | None = None) -> Place:
        """A line, or the cell at `index` in it."""
        return Place(file=self.file, sheet=self.sheet, line=line, cell=None if index is None else letters(index))


def letters(index: int) -> str:
    """A column's letters as spreadsheets have them: A, B, … Z, AA."""
    text = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, _ALPHABET)
        text = chr(ord("A") + rest) + text
    return text


class Records(Sequence[Record]):
    """The records under a header, read from their text whenever they are asked for."""

    def __init__(self, text: Text, spans: Sequence[Span], *, width: int) -> None:
        self.text = text
        self.spans = spans
        self._width = width

    def __len__(self) -> int:
        return sum(span.records for span in self.spans)

    def __iter__(self) -> Iterator[Record]:
        for span in self.spans:
            yield from self.of(span)

    def of(self, span: Span) -> Iterator[Record]:
        """Those of one span."""
        lines, rows = self.text.block(span)
        return (_squared(Record(line, tuple(row)), self._width) for line, row in zip(lines, rows, strict=True))

    def head(self, span: Span) -> Record:
        """The first of one span."""
        return _squared(self.text.head(span), self._width)

    def columns(self, span: Span, wanted: Mapping[str, int]) -> dict[str, list[str]] | None:
        """Name → its stripped cells in a block, by index; None where a record has more cells than the header has."""
        cells, width = self.text.block(span).cells, self._width
        widths = set(map(len, cells))
        if max(widths) > width and any(cell.strip() for row in cells for cell in row[width:]):
            return None
        if min(widths) < width:
            cells = [[*row, *([""] * (width - len(row)))] for row in cells]
        return {name: [row[index].strip() for row in cells] for name, index in wanted.items()}

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        return tuple(self)[index]


def parse(
    data: bytes,
    *,
    file: str,
    is_header: Callable[[Sequence[str]], bool],
    start: int = 0,
    delimiter: str | None = None,
) -> Table:
    """The table in a CSV text in UTF-8, which begins with the byte `start`.

    `delimiter` is the user's word for what separates cells; else it is what `sep=` in the first line says, or the one
    of DELIMITERS that makes a header of the first line. Where two do, and the rows differ, there is a problem instead.
    """
    if (at := data.find(b"\0", start)) >= 0:
        message = "a NUL character stands here; this is no CSV file"
        return Table(file=file, problems=(Problem(place=_place_of(data, at, file, start=start), message=message),))
    declared = declaration(data[start : start + _DECLARATION].decode("utf-8", "replace"))[0]
    if match := _DECLARED.match(declared):
        delimiter = delimiter or match["delimiter"]
    text = Text(data=data, delimiter="", start=start + len(declared.encode()), line=2 if declared else 1)
    chosen = delimiter or _delimiter(text, file, is_header)
    if isinstance(chosen, Problem):
        return Table(file=file, problems=(chosen,))
    return _under_its_header(replace(text, delimiter=chosen), Table(file=file, delimiter=chosen))


def _under_its_header(text: Text, table: Table) -> Table:
    """The table with the header of the text, and the records under it up to what cannot be read."""
    spans: list[Span] = []
    headers: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    line, under = table.line, text
    try:
        if (first := text.first()) is not None:
            (line, cells, _), under = first
            headers = _headers(cells)
            for span, _ in under.spans():
                spans += [span] * bool(span.records)
    except NotCsv as wrong:
        problems = (_not_csv(wrong, text, table.file),)
    records = Records(under, tuple(spans), width=len(headers))
    full = replace(table, line=line, headers=headers, records=records if headers else (), problems=problems)
    return replace(full, problems=(*problems, *_nameless(full)))


def declaration(text: str) -> tuple[str, str]:
    """The first line, where it says `sep=;`, and the rest."""
    match = _DECLARED.match(text)
    return (match[0], text[match.end() :]) if match else ("", text)


def with_records(table: Table, records: Sequence[Record]) -> Table:
    """The table whose header is the first of the records, and the others under it, squared."""
    if not records:
        return table
    header, *rest = records
    headers = _headers(header.cells)
    body = tuple(_squared(each, len(headers)) for each in rest)
    faults = {at: fault for at, fault in table.faults.items() if at[1] < len(headers)}
    full = replace(table, line=header.line, headers=headers, records=body, faults=faults)
    return replace(full, problems=(*table.problems, *_nameless(full)))


def _headers(cells: Sequence[str]) -> tuple[str, ...]:
    headers = tuple(cell.strip() for cell in cells)
    while headers and not headers[-1]:
        headers = headers[:-1]
    return headers


def named(delimiter: str) -> str:
    """A separator as a message shows it: `';'`, or `a tab`."""
    return "a tab" if delimiter == "\t" else f"'{delimiter}'"


def _delimiter(text: Text, file: str, is_header: Callable[[Sequence[str]], bool]) -> str | Problem:
    samples = {each: _sample(replace(text, delimiter=each)) for each in DELIMITERS.values()}
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


def _sample(text: Text) -> tuple[Record, ...]:
    """Its first records, as far as it is CSV."""
    found: list[Record] = []
    with suppress(NotCsv):
        for record in islice(text.records(), _SAMPLE):
            found.append(record)  # noqa: PERF402 - those before one that cannot be read are kept
    return tuple(found)


def _cells(sample: Sequence[Record]) -> list[tuple[str, ...]]:
    return [record.cells for record in sample]


def _undecided(file: str, fit: Sequence[str]) -> Problem:
    words = {delimiter: word for word, delimiter in DELIMITERS.items()}
    message = f"{' and '.join(map(named, fit))} both make a table of this, and not the same one"
    hint = " or ".join(f"`--delimiter {words[each]}`" for each in fit) + " decides"
    return Problem(place=Place(file=file, line=1), message=message, hint=hint)


def _not_csv(wrong: NotCsv, text: Text, file: str) -> Problem:
    rest = in_words(text.data[wrong.start :])
    follows = "expected after" in str(wrong)
    at = _after_a_quote(rest, text.delimiter) if follows else _open_quote(rest)
    place = Place(file=file, line=wrong.line) if at is None else _place_in(rest, at, file, first_line=wrong.line)
    unclosed = not follows and at is not None
    return Problem(place=place, message=_said(str(wrong), text.delimiter, unclosed=unclosed))


def _place_of(data: bytes, at: int, file: str, *, start: int) -> Place:
    """Line and column of a byte."""
    before = in_words(data[start:at])
    return _place_in(before, len(before), file)


def _place_in(text: str, at: int, file: str, *, first_line: int = 1) -> Place:
    """Line and column of a character."""
    ends = [match.end() for match in _LINE_END.finditer(text, 0, at)]
    return Place(file=file, line=len(ends) + first_line, column=at - (ends[-1] if ends else 0) + 1)


def _open_quote(text: str) -> int | None:
    """Where the quote stands that is still open at the end of a text; doubled ones inside are text."""
    opened, at = None, text.find('"')
    while at >= 0:
        if opened is None:
            opened = at
        elif text[at + 1 : at + 2] == '"':
            at += 1
        else:
            opened = None
        at = text.find('"', at + 1)
    return opened


def _after_a_quote(text: str, delimiter: str) -> int | None:
    """Where a separator should stand behind the quote that ends a cell, and does not."""
    cell = re.compile(rf'"(?:[^"]|"")*"|[^{re.escape(delimiter)}\r\n]*')
    at = 0
    while at < len(text):
        match = cell.match(text, at)
        at = match.end() if match else at
        if match and match[0].startswith('"') and text[at : at + 1] not in ("", delimiter, "\r", "\n"):
            return at
        at += 1
    return None


def _said(error: str, delimiter: str, *, unclosed: bool) -> str:
    if unclosed:
        return "the quote that opens here is never closed"
    if "field limit" in error:
        return f"a cell in this record is longer than {csv.field_size_limit():,} characters"
    if "expected after" in error:
        ends = f"after a closing quote comes {named(delimiter)} or the end of the line"
        return f"{ends}; write a quote in a quoted cell twice"
    return f"not CSV: {error}"


def _squared(record: Record, width: int) -> Record:
    """The record with as many cells as there are headers."""
    cells = record.cells
    surplus = len(cells) - width if any(cell.strip() for cell in cells[width:]) else 0
    return Record(record.line, cells[:width] + ("",) * (width - len(cells)), surplus)


def _nameless(table: Table) -> Iterator[Problem]:
    for index in (index for index, header in enumerate(table.headers) if not header):
        filled = next((each for each in table.records if each.cells[index].strip()), None)
        if filled:
            place = table.place(filled.line, index)
            yield Problem(place=place, message=f"column {letters(index)} has content but no header")
