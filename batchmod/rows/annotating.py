"""A sheet and its problems → a copy with a column that says them, row by row."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from batchmod.errors import Problem
from batchmod.rows import decoding, tables, workbooks

HEADER: Final = "batchmod: problems"
_RED: Final = "FFF4CCCC"
_WIDTH: Final = 80


def noted(problems: Iterable[Problem]) -> dict[int, str]:
    """Line → what is wrong there, `C (mode): 'flex_9' is not a mode`; 0 for the whole file."""
    said: dict[int, list[str]] = {}
    for problem in problems:
        place = problem.place
        where = " ".join(part for part in (place.cell, f"({problem.field})" if problem.field else None) if part)
        words = problem.message if problem.hint is None else f"{problem.message}; {problem.hint}"
        # a text that begins with a letter is no formula in any spreadsheet
        said.setdefault(place.line or 0, []).append(f"{where}: {words}" if where else f"Here: {words}")
    return {line: " · ".join(each) for line, each in said.items()}


def text(data: bytes, *, encoding: str | None, delimiter: str, problems: Iterable[Problem]) -> bytes | None:
    """A CSV with the column added, in its own encoding; None where it cannot be read to its end."""
    decoded = decoding.decode(data, file="", encoding=encoding)
    if isinstance(decoded, Problem):
        return None
    declared, body = tables.declaration(decoded.text)
    rows: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, strict=True)
    first = 1 + bool(declared)
    line = first
    try:
        for cells in reader:
            rows.append((line, cells))
            line = reader.line_num + first
    except csv.Error:
        return None
    out = io.StringIO(newline="")
    out.write(declared)
    ending = "\r\n" if "\r\n" in body else "\n"
    writer = csv.writer(out, delimiter=delimiter, lineterminator=ending)
    writer.writerows(_with_column(rows, noted(problems)))
    codec = "utf-8-sig" if decoded.encoding == "UTF-8" else decoded.encoding
    return out.getvalue().encode(codec, "replace")


def _with_column(rows: list[tuple[int, list[str]]], said: Mapping[int, str]) -> Iterable[list[str]]:
    header = next((n for n, (_, cells) in enumerate(rows) if any(cell.strip() for cell in cells)), None)
    if header is None:
        return
    at = next((n for n, cell in enumerate(rows[header][1]) if cell.startswith(HEADER)), None)
    width = max(len(cells) for _, cells in rows) if at is None else at
    for n, (line, cells) in enumerate(rows):
        words = said.get(line, "")
        if n == header:
            words = "; ".join(each for each in (HEADER, said.get(0), words) if each)
        padded = cells + [""] * (width - len(cells))
        yield [*padded[:width], words, *padded[width + 1 :]] if words or (n >= header and cells) else cells


def workbook(data: bytes, *, sheet: str | None, problems: Iterable[Problem]) -> bytes:
    """A workbook with the column added to the sheet that was read, and the cells in question in red."""
    found, book = workbooks.writable(data, sheet)
    problems = list(problems)
    said = noted(problems)
    header = next((row for row in range(1, found.max_row + 1) if _filled(found, row)), 1)
    titles = {str(cell.value or ""): cell.column for cell in found[header]}
    at = next((column for title, column in titles.items() if title.startswith(HEADER)), found.max_column + 1)
    for row in range(header + 1, found.max_row + 1):
        found.cell(row, at).value = None
    whole = "; ".join(each for each in (HEADER, said.pop(0, None), said.pop(header, None)) if each)
    for line, words in {header: whole, **said}.items():
        found.cell(line, at).value = words
    found.column_dimensions[tables.letters(at - 1)].width = _WIDTH
    _paint(found, problems)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _filled(sheet: Any, row: int) -> bool:
    return any(cell.value not in (None, "") for cell in sheet[row])


def _paint(sheet: Any, problems: Iterable[Problem]) -> None:
    from openpyxl.styles import PatternFill

    red = PatternFill("solid", start_color=_RED, end_color=_RED)
    for problem in problems:
        place = problem.place
        if place.cell is not None and re.fullmatch("[A-Z]{1,3}", place.cell):
            sheet[f"{place.cell}{place.line}"].fill = red
