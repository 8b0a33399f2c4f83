"""A CSV text, block by block → its records, which keep their physical lines."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress, islice
from typing import TYPE_CHECKING, Final, NamedTuple

from batchmod.rows.decoding import in_words

BLOCK_BYTES: Final = 1 << 18
"""So much of a text stands in memory at a time, or as much as a longer record needs."""

if TYPE_CHECKING:
    from _csv import Reader

_LONGER: Final = 4
_CUT: Final = "unexpected end of data"


class Record(NamedTuple):
    """A line of a table: the physical line where it starts, and its cells, as many as the header has."""

    line: int
    cells: tuple[str, ...]
    surplus: int = 0
    """How many more cells were written than the header has."""


class Block(NamedTuple):
    """Records that stand together, blank ones left out: the line of each, and its cells as they are written."""

    lines: Sequence[int]
    cells: Sequence[Sequence[str]]


class Span(NamedTuple):
    """Where a block stands in its text: its bytes, its first line, and how many records are in it."""

    start: int
    end: int
    line: int
    records: int


class NotCsv(Exception):
    """What keeps csv from reading on; the line and the byte at which the record in question starts."""

    def __init__(self, said: str, *, line: int, start: int) -> None:
        super().__init__(said)
        self.line = line
        self.start = start


class _Read(NamedTuple):
    """What was read of a text at once, up to the end or what is wrong."""

    block: Block
    end: int
    line: int
    """The first line behind it."""
    wrong: NotCsv | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A CSV text in UTF-8, from a byte and a line on."""

    data: bytes
    delimiter: str
    start: int = 0
    line: int = 1

    def spans(self) -> Iterator[tuple[Span, Block]]:
        """Its blocks in their order, each of whole records. Raises NotCsv behind the last good record."""
        start, line = self.start, self.line
        while start < len(self.data):
            read = self._read(start, line)
            yield Span(start, read.end, line, len(read.block.cells)), read.block
            if read.wrong is not None:
                raise read.wrong
            start, line = read.end, read.line

    def block(self, span: Span) -> Block:
        """The records of one of its spans."""
        return self._read(span.start, span.line, end=span.end).block

    def head(self, span: Span) -> Record:
        """The first record of one of its spans."""
        reader = self._reader(self._lines(span.start, span.end))
        line = span.line
        for cells in reader:
            if any(map(str.strip, cells)):
                return Record(line, tuple(cells))
            line = span.line + reader.line_num
        raise ValueError(span)

    def records(self) -> Iterator[Record]:
        """Its records one by one. Raises NotCsv behind the last good one."""
        for _, block in self.spans():
            yield from map(Record, block.lines, map(tuple, block.cells))

    def first(self) -> tuple[Record, "Text"] | None:
        """The first record, and the text under it; None where there is none. Raises NotCsv."""
        for span, block in self.spans():
            if block.cells:
                line, lines = block.lines[0], self._lines(span.start, span.end)
                above = _bytes(islice(lines, line - span.line))
                rest = list(lines)
                reader = self._reader(iter(rest))
                cells = next(reader)
                taken = _bytes(rest[: reader.line_num])
                under = replace(self, start=span.start + above + taken, line=line + reader.line_num)
                return Record(line, tuple(cells)), under
        return None

    def _read(self, start: int, line: int, *, end: int | None = None) -> _Read:
        size = BLOCK_BYTES
        stop = self._line_end(start + size) if end is None else end
        while True:
            reader = self._reader(self._lines(start, stop))
            try:
                rows = list(reader)
            except csv.Error as error:
                if str(error) != _CUT or stop == len(self.data):
                    break
                size *= _LONGER
                stop = self._line_end(start + size)
                continue
            if reader.line_num != len(rows):
                break
            return _Read(_filled(range(line, line + len(rows)), rows), stop, line + len(rows))
        return self._read_one_by_one(start, line, stop)

    def _read_one_by_one(self, start: int, line: int, stop: int) -> _Read:
        """As `_read`, where records have several lines, or where they end before their text does."""
        reader = self._reader(self._lines(start, stop))
        lines: list[int] = []
        rows: list[list[str]] = []
        at, wrong = line, None
        try:
            for cells in reader:
                lines.append(at)
                rows.append(cells)
                at = line + reader.line_num
        except csv.Error as error:
            before = _bytes(islice(self._lines(start, stop), at - line))
            wrong = NotCsv(str(error), line=at, start=start + before)
        return _Read(_filled(lines, rows), stop, at, wrong)

    def _reader(self, lines: Iterator[str]) -> "Reader":
        return csv.reader(lines, delimiter=self.delimiter, strict=True)

    def _lines(self, start: int, stop: int) -> Iterator[str]:
        return io.StringIO(in_words(self.data[start:stop]), newline="")

    def _line_end(self, at: int) -> int:
        """The end of the line that this byte stands in."""
        return self.data.find(b"\n", at) + 1 or len(self.data)


def _bytes(lines: Iterable[str]) -> int:
    return sum(len(each.encode("utf-8", "surrogatepass")) for each in lines)


def _filled(lines: Sequence[int], rows: Sequence[Sequence[str]]) -> Block:
    filled = [any(map(str.strip, cells)) for cells in rows]
    if all(filled):
        return Block(lines, rows)
    return Block(list(compress(lines, filled)), list(compress(rows, filled)))
