"""Workbooks that people work in: a header that stays, columns that fit, lists to choose from, texts that stay texts.

Rows go out as they are appended, so that a long sheet needs no more memory than a short one. openpyxl is imported on
use.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from batchmod.errors import MissingExtra
from batchmod.rows.tables import letters

_LAST_ROW: Final = 1_048_576
_LONGEST: Final = 32_767
"""What a cell holds, in characters."""

_HEADER: Final = "FFE8EDF3"
_NARROWEST, _WIDEST = 8, 60
_NOTE_WIDTH, _NOTE_HEIGHT = 320, 110
_NO_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "'")


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

    sheet.freeze_panes = "A2"
    for index, width in enumerate(widths):
        sheet.column_dimensions[letters(index)].width = width
    cells = []
    for header in headers:
        cell = text(sheet, header)
        cell.font = Font(bold=True)
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


def text(sheet: Any, value: str) -> Any:
    """A cell that holds this text as a text, also after somebody has edited it, whatever it begins with."""
    from openpyxl.cell import WriteOnlyCell

    cell = WriteOnlyCell(sheet)
    cell.value = _NO_XML.sub("\ufffd", value)[:_LONGEST]
    cell.data_type = "s"
    if value.startswith(_FORMULA):
        cell.quotePrefix = True
    return cell


def width_of(texts: Iterable[str]) -> float:
    """How wide a column of these texts is, in characters; long ones are cut short by the next column."""
    return min(_WIDEST, max([_NARROWEST, *(len(line) + 2 for each in texts for line in each.splitlines())]))
