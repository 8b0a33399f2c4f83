"""The marks that a person has set in a report, as its file says them; and a sheet with marks written into it."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from batchmod.errors import Place, Problem
from batchmod.rows import decoding, tables, workbooks
from batchmod.rows.returning import Returned
from batchmod.rows.tables import Table

NOTE: Final = "review_note"
"""The column of a mark's note, in files of marks, in results and in sheets: one of the user's own."""

HEADERS: Final = ("id", "review", "review_of", NOTE, "job_key")
"""What the header of a file of marks has, and no table of results or of rows: neither clip nor status."""

REVIEWS: Final = ("keep", "redo", "hold", "")
_NOT_MARKS: Final = frozenset({"status", "video_url"})
_GUARDED: Final = "=+-@\t\r'"
_SOME: Final = 50
_HEAD: Final = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A person's word on a row: keep, redo, hold, or nothing; the version it is about, and a note."""

    id: str
    review: str
    review_of: int | None
    note: str
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Marked:
    """What a file of marks says, what is wrong with it, and by what its output folder is known."""

    marks: tuple[Mark, ...]
    problems: tuple[Problem, ...]
    of: Returned


def may_be_marks(data: bytes, kind: str | None) -> bool:
    """Whether a document could be a file of marks, at a glance."""
    head = data[:_HEAD].replace(b"\0", b"")
    return kind in ("csv", "tsv") and NOTE.encode() in head and b"job_key" in head


def read(data: bytes, *, file: str) -> Marked | None:
    """A file of marks; None where the document is something else."""
    decoded = decoding.decode(data, file=file)
    if isinstance(decoded, Problem):
        return None
    table = tables.parse(decoded.data, file=file, start=decoded.start, is_header=lambda cells: set(cells) >= {*HEADERS})
    if not set(table.headers) >= {*HEADERS} or _NOT_MARKS.intersection(table.headers):
        return None
    found: dict[str, Mark] = {}
    problems = list(table.problems)
    problems += [
        Problem(place=mark.place, field="id", message=f"'{mark.id}' is marked twice")
        for mark in _marks(table, problems)
        if found.setdefault(mark.id.casefold(), mark) is not mark
    ]
    return Marked(marks=tuple(found.values()), problems=tuple(problems), of=_returned(table))


def _marks(table: Table, problems: list[Problem]) -> Iterator[Mark]:
    at = {name: table.headers.index(name) for name in HEADERS}
    for record in table.records:
        cells = {name: _unguarded(record.cells[index].strip()) for name, index in at.items()}
        review, of = cells["review"].casefold(), cells["review_of"]
        if not any(cells.values()):
            continue
        wrong = _wrong(cells["id"], review, of)
        if wrong is not None:
            field, message = wrong
            problems.append(Problem(place=table.place(record.line, at[field]), field=field, message=message))
            continue
        place = table.place(record.line, at["id"])
        number = int(of) if of else None
        yield Mark(id=cells["id"], review=review, review_of=number, note=cells[NOTE], place=place)


def _wrong(row_id: str, review: str, of: str) -> tuple[str, str] | None:
    if not row_id:
        return "id", "a mark names its row"
    if review not in REVIEWS:
        return "review", f"a mark is {', '.join(filter(None, REVIEWS))} or nothing, not '{review}'"
    if of and not (of.isascii() and of.isdigit() and int(of)):
        return "review_of", f"the version a mark is about is a number from 1, not '{of}'"
    if review == "redo" and not of:
        return "review_of", "a redo says which version it is about: without it nobody knows whether it was done"
    return None


def _unguarded(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(tuple(_GUARDED)) else text


def _returned(table: Table) -> Returned:
    def some(name: str) -> tuple[str, ...]:
        if name not in table.headers:
            return ()
        index = table.headers.index(name)
        cells = (_unguarded(record.cells[index].strip()) for record in table.records)
        return tuple(dict.fromkeys(filter(None, cells)))[:_SOME]

    manifests, runs, keys = some("manifest"), some("run_id"), some("job_key")
    return Returned(manifests=manifests, run_ids=runs, job_keys=keys, place=table.place(table.line))


Cells = Mapping[int, Mapping[str, str]]
"""Line → header → what is to stand there."""


def into_text(data: bytes, *, encoding: str | None, delimiter: str, cells: Cells) -> bytes | None:
    """A CSV with these cells; columns that it lacks are added, and other records stay as they are, byte by byte.

    None where it cannot be read to its end.
    """
    decoded = decoding.decode(data, file="", encoding=encoding)
    if isinstance(decoded, Problem):
        return None
    declared, body = tables.declaration(decoded.text)
    lines = io.StringIO(body, newline="").readlines()
    ending = "\r\n" if "\r\n" in body else "\n"
    out = io.StringIO(newline="")
    out.write(declared)
    headers: list[str] = []
    try:
        for line, record, raw in _records(lines, delimiter):
            number = line + bool(declared)
            if not headers and any(cell.strip() for cell in record):
                headers = [cell.strip() for cell in record]
                added = [name for name in dict.fromkeys(name for each in cells.values() for name in each)
                         if name not in headers]  # fmt: skip
                headers += added
                out.write(_written([*record, *added], delimiter, ending) if added else raw)
            elif number in cells:
                full = [*record, *([""] * (len(headers) - len(record)))]
                for name, text in cells[number].items():
                    full[headers.index(name)] = _guarded(text)
                out.write(_written(full, delimiter, ending))
            else:
                out.write(raw)
    except csv.Error:
        return None
    codec = {"UTF-8": "utf-8-sig" if data.startswith(b"\xef\xbb\xbf") else "utf-8"}
    return out.getvalue().encode(codec.get(decoded.encoding, decoded.encoding), "replace")


def _records(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str], str]]:
    """Each record with the line it begins in and its own text."""
    reader = csv.reader(iter(lines), delimiter=delimiter, strict=True)
    before = 0
    for record in reader:
        yield before + 1, record, "".join(lines[before : reader.line_num])
        before = reader.line_num


def _written(cells: Sequence[str], delimiter: str, ending: str) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=ending).writerow(cells)
    return out.getvalue()


def _guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f" {text}" if text.startswith(tuple(_GUARDED)) else text


def into_workbook(data: bytes, *, sheet: str | None, cells: Cells) -> bytes:
    """A workbook with these cells on the sheet that was read; columns that it lacks are added."""
    found, book = workbooks.writable(data, sheet)
    head = next(
        (row for row in range(1, found.max_row + 1) if any(cell.value not in (None, "") for cell in found[row])), 1
    )
    titles = {str(cell.value or "").strip(): cell.column for cell in found[head]}
    for name in dict.fromkeys(name for each in cells.values() for name in each):
        if name not in titles:
            titles[name] = max((column for title, column in titles.items() if title), default=0) + 1
            found.cell(head, titles[name]).value = name
    for line, each in cells.items():
        for name, text in each.items():
            cell = found.cell(line, titles[name])
            cell.value = int(text) if text.isdigit() else text or None
            if cell.data_type == "f":  # a note is a text, whatever it begins with
                cell.data_type = "s"
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()
