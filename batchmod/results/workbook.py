"""results.xlsx: the user's own sheet, and behind each row what became of it; for people."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

from batchmod import files
from batchmod.rows import dressing
from batchmod.rows.returning import HIDDEN, NAMES_PAGE, READ_BACK, SHOWN, Names
from batchmod.rows.tables import letters

FILE_NAME: Final = "results.xlsx"
MOST_PICTURES: Final = 500
"""More would make a workbook that takes its program a minute to open."""

PICTURE_WIDTH: Final = 128
_PICTURE_HEIGHT: Final = 72
_POINTS: Final = 0.75  # of a pixel, in which heights of rows are said
_SAMPLE: Final = 100
_MOST_LINKS: Final = 65_000
"""A sheet takes 65,530."""

_REVIEWS: Final = ("keep", "redo", "hold")
_WIDTHS: Final = {"version": 8, "output": 32, "problem": 45, "thumbnail": 19}
_WIDTH: Final = 11
_WRONG: Final = frozenset({"failed", "uncertain", "invalid"})
_NOTES: Final = {
    "status": "What became of the row.",
    "output": "The video; a click opens it while the workbook lies in its folder.",
    "problem": "What went wrong, or what to look at.",
    "review": "Your word on the output: keep locks it, redo asks for one new version, hold leaves the row out. "
    "Save the workbook and run it like any manifest.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class UsersSheet:
    """What the user's sheet was called, and its columns: ours by field, the user's own by name, both by their index."""

    title: str
    headers: tuple[str, ...]
    fields: Mapping[str, int]
    own: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A row: its results line, the cells the user wrote (None: the row is not from this sheet), and what it says."""

    results: Mapping[str, Any]
    cells: Sequence[str] | None
    row: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A small JPEG, which is read when the workbook is saved, and its size."""

    file: Path
    width: int
    height: int


def write(
    folder: Path,
    sheet: UsersSheet,
    lines: Iterable[Line],
    *,
    further: Sequence[str],
    modes: Sequence[str],
    picture: Callable[[Mapping[str, Any]], Picture | None],
) -> Path:
    """Write results.xlsx whole, row by row; returns where it stands. Raises MissingExtra without openpyxl.

    `further`: own columns of rows that the sheet has none for; `picture`: a results line's thumbnail.
    """
    book, page = dressing.new_book(sheet.title)
    layout = _Layout(sheet, tuple(further))

    def fill(file: IO[bytes]) -> None:
        try:
            _fill(page, layout, iter(lines), modes, picture)
            names = book.create_sheet(NAMES_PAGE)
            names.sheet_state = "hidden"
            for row in layout.names.page():
                names.append([dressing.text(names, cell) for cell in row])
            book.save(file)
        except BaseException:
            dressing.abandon(book)
            raise

    return files.write_whole(folder / FILE_NAME, fill)


class _Layout:
    """Which column says what."""

    def __init__(self, sheet: UsersSheet, further: tuple[str, ...]) -> None:
        self.sheet = sheet
        self.further = further
        back = [name for name in READ_BACK if name not in sheet.fields]
        self.behind = [name for name in back if name not in HIDDEN]
        self.behind += [name for name in HIDDEN if name in back or name not in READ_BACK]
        was = [*sheet.headers, *further]
        self.users = [*_told_apart(was, {*SHOWN, *self.behind})]
        fields = {index: name for name, index in sheet.fields.items()}
        self.names = Names(
            columns={
                header: (before, fields.get(index, ""))
                for index, (header, before) in enumerate(zip(self.users, was, strict=True))
                if header
            }
        )
        self.headers = [*self.users, *SHOWN, *self.behind]

    def cells(self, line: Line) -> list[str]:
        """The user's columns: as they were written, else what the row says."""
        own = line.row["own"]
        added = [own.get(name, "") for name in self.further]
        if line.cells is not None:
            return [*line.cells, *added]
        cells = [""] * len(self.sheet.headers)
        for name, index in self.sheet.own.items():
            cells[index] = own.get(name, "")
        for name, index in self.sheet.fields.items():
            value = line.row.get(name)
            text = "" if value is None else str(value)
            cells[index] = text.replace("{", "{{").replace("}", "}}") if name == "prompt" else text
        return [*cells, *added]


def _told_apart(headers: Sequence[str], ours: Collection[str]) -> Iterator[str]:
    """The user's headers; one that has the name of one of ours is kept as `my_<name>`."""
    taken = {*headers, *ours}
    for header in headers:
        name = header
        while name in ours or (name != header and name in taken):
            name = f"my_{name}"
        yield name


def _fill(
    page: Any,
    layout: _Layout,
    lines: Iterator[Line],
    modes: Sequence[str],
    picture: Callable[[Mapping[str, Any]], Picture | None],
) -> None:
    sample = list(islice(lines, _SAMPLE))
    first = len(layout.users)
    _head(page, layout, sample)
    writer = _Writer(page, layout, picture)
    for line in chain(sample, lines):
        writer.append(line)
    page.auto_filter.ref = f"A1:{letters(len(layout.headers) - 1)}{writer.row}"
    if "mode" in layout.sheet.fields:
        dressing.offer(page, layout.sheet.fields["mode"], modes)
    own = layout.sheet.fields.get("review")
    dressing.offer(page, layout.headers.index("review", first) if own is None else own, _REVIEWS)


def _head(page: Any, layout: _Layout, sample: Sequence[Line]) -> None:
    """The header, and columns as wide as what stands in the first rows."""
    ours = layout.headers[len(layout.users) :]
    columns = zip(layout.users, *(layout.cells(line) for line in sample), strict=True)
    widths = [*map(dressing.width_of, columns), *(_WIDTHS.get(name, _WIDTH) for name in ours)]
    for index, name in enumerate(ours, start=len(layout.users)):
        if name in HIDDEN:
            dressing.hide(page, index)
    dressing.begin(page, layout.headers, widths, {name: text for name, text in _NOTES.items() if name in ours})


class _Writer:
    def __init__(self, page: Any, layout: _Layout, picture: Callable[[Mapping[str, Any]], Picture | None]) -> None:
        self._page = page
        self._layout = layout
        self._picture = picture
        self._pictures = 0
        self.row = 1

    def append(self, line: Line) -> None:
        """One row; its picture stands over its cell."""
        self.row += 1
        page, results = self._page, line.results
        cells = [dressing.value(page, text) for text in self._layout.cells(line)]
        shown = self._picture(results) if self._pictures < MOST_PICTURES else None
        if shown is not None:
            self._pictures += 1
            height = min(_PICTURE_HEIGHT, shown.height)
            page.row_dimensions[self.row].height = (height + 4) * _POINTS
            at = f"{letters(len(cells) + SHOWN.index('thumbnail'))}{self.row}"
            dressing.place(
                page, shown.file.read_bytes, at, width=round(shown.width * height / shown.height), height=height
            )
        cells += [
            dressing.text(page, results["status"], wrong=results["status"] in _WRONG),
            results["version"],
            self._link(results["output"]),
            results["cost_usd"],
            dressing.value(page, _problem(results)),
            None,
        ]
        cells += [_plain(page, line, name) for name in self._layout.behind]
        page.append(cells)

    def _link(self, output: str | None) -> Any:
        if not output:
            return None
        return dressing.text(self._page, output, link=quote(output) if self.row < _MOST_LINKS else None)


def _plain(page: Any, line: Line, name: str) -> Any:
    value = line.results.get(name)
    return dressing.value(page, value) if isinstance(value, str) else value


def _problem(results: Mapping[str, Any]) -> str:
    """In words: why there is no output, or why one should look at it."""
    said = (results["error"], results["flag_reason"], results["warnings"])
    return next((text for text in said if text), "")
