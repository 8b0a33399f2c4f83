"""Workbooks that people work in: a header that stays, columns that fit, lists to choose from, texts that stay texts.

Rows go out as they are appended, so that a long sheet needs no more memory than a short one. openpyxl is imported on
use.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Final

from batchmod.errors import MissingExtra
from batchmod.rows.formats import plain
from batchmod.rows.tables import letters

_LAST_ROW: Final = 1_048_576
_LONGEST: Final = 32_767
"""What a cell holds, in characters."""

_HEADER: Final = "FFE8EDF3"
_NARROWEST, _WIDEST = 8, 60
_NOTE_WIDTH, _NOTE_HEIGHT = 320, 110
_NO_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL: Final = ("=", "+", "-", "@", "\t", "\r", "'", "#")
"""What begins a formula, an error, or a mark of text, where somebody types it."""

_NUMBER: Final = re.compile(r"-?\d{1,15}(\.\d{1,10})?")
_FONT: Final = "Calibri"
_LINK: Final = "FF0563C1"
_WRONG: Final = "FFF4CCCC"


def new_book(title: str) -> tuple[Any, Any]:
    """A workbook and its first sheet, both to be written row by row. Raises MissingExtra without openpyxl."""
    try:
        from openpyxl import Workbook
    except ImportError:
        message = "writing .xlsx needs openpyxl, which is not installed: pip install 'batchmod[xlsx]'"
        raise MissingExtra(message) from None
    book = Workbook(write_only=True)
    return book, book.create_sheet(title)


def begin(sheet: Any, headers: Sequence[str], widths: Sequence[float], notes: Mapping[str, str]) -> None:
    """The header, which stays in view; a header's note says what its column is for. Before any row."""
    from openpyxl.comments import Comment
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.worksheet.properties import PageSetupProperties

    sheet.freeze_panes = "A2"
    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.fitToHeight = 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    for index, width in enumerate(widths):
        sheet.column_dimensions[letters(index)].width = width
    cells = []
    for header in headers:
        cell = text(sheet, header)
        cell.font = Font(name=_FONT, size=11, bold=True)
        cell.fill = PatternFill("solid", start_color=_HEADER, end_color=_HEADER)
        cell.alignment = Alignment(vertical="top")
        if header in notes:
            cell.comment = Comment(notes[header], "batchmod", width=_NOTE_WIDTH, height=_NOTE_HEIGHT)
        cells.append(cell)
    sheet.append(cells)


def offer(sheet: Any, index: int, words: Iterable[str]) -> None:
    """A drop-down list in the column at `index`; other texts are refused by the spreadsheet itself."""
    from openpyxl.worksheet.datavalidation import DataValidation

    listed = ",".join(words)
    choice = DataValidation(type="list", formula1=f'"{listed}"', allow_blank=True, showErrorMessage=True)
    choice.errorTitle, choice.error = "batchmod", f"one of {listed.replace(',', ', ')}"
    choice.add(f"{letters(index)}2:{letters(index)}{_LAST_ROW}")
    sheet.data_validations.append(choice)


def hide(sheet: Any, index: int, *, hidden: bool = True) -> None:
    """Keep a column from view. Before any row."""
    sheet.column_dimensions[letters(index)].hidden = hidden


def text(sheet: Any, value: str, *, link: str | None = None, wrong: bool = False) -> Any:
    """A cell that holds this text as a text, also after somebody has edited it, whatever it begins with."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font, PatternFill

    cell = WriteOnlyCell(sheet)
    cell.value = _clean(value)
    cell.data_type = "s"
    if value.startswith(_SPECIAL):
        cell.quotePrefix = True
    if link is not None:
        cell.hyperlink = link
        cell.value = _clean(value)
        cell.font = Font(name=_FONT, size=11, color=_LINK, underline="single")
    if wrong:
        cell.fill = PatternFill("solid", start_color=_WRONG, end_color=_WRONG)
    return cell


def value(sheet: Any, text_: str) -> Any:
    """What a cell is to hold so that it reads back as this text: a number where it looks the same, else the text."""
    if not text_:
        return None
    if _NUMBER.fullmatch(text_) and plain(float(text_)) == text_:
        return float(text_) if "." in text_ else int(text_)
    return text(sheet, text_) if text_.startswith(_SPECIAL) else _clean(text_)


def _clean(text_: str) -> str:
    return _NO_XML.sub("\ufffd", text_)[:_LONGEST]


@cache
def _jpeg() -> Any:
    """Openpyxl's picture for files that are JPEGs of a known size: its own class opens them with Pillow to find out."""
    from openpyxl.drawing.image import Image

    class Jpeg(Image):
        format = "jpeg"

        def __init__(self, read: Callable[[], bytes], width: int, height: int) -> None:
            self.read = read
            self.width = width
            self.height = height

        def _data(self) -> bytes:
            return self.read()

    return Jpeg


def place(sheet: Any, read: Callable[[], bytes], at: str, *, width: int, height: int) -> None:
    """A JPEG over the cell `at`, of this size in pixels; it is read when the workbook is saved."""
    sheet.add_image(_jpeg()(read, width, height), at)


def abandon(book: Any) -> None:
    """Let go of a workbook that will not be saved."""
    for sheet in book.worksheets:
        with suppress(Exception):  # whatever it was in the middle of
            sheet.close()
        with suppress(Exception):
            sheet._writer.cleanup()  # noqa: SLF001 - its temporary file has no other handle


def width_of(texts: Iterable[str]) -> float:
    """How wide a column of these texts is, in characters; long ones are cut short by the next column."""
    return min(_WIDEST, max([_NARROWEST, *(len(line) + 2 for each in texts for line in each.splitlines())]))
