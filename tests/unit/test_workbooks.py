"""Workbooks that openpyxl wrote, read back: what is shown, what is hidden, what has no value, and what is refused."""

import io
import re
import struct
import sys
import zipfile
from collections.abc import Callable
from datetime import date
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchmod.errors import MissingExtra
from batchmod.manifest import Reading, Ways, may_be_returned, read
from batchmod.rows import workbooks
from tests.unit.published import schemas

_HEADER = ("id", "Video URL", "mode", "prompt", "Notes")


def _saved(book: Any) -> bytes:
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _book(*rows: tuple[object, ...], change: Callable[[Any], object] = lambda _: None) -> bytes:
    book: Any = openpyxl.Workbook()
    for row in (_HEADER, *rows):
        book.active.append(row)
    change(book.active)
    return _saved(book)


def _read(data: bytes, **ways: Any) -> Reading:
    return read(data, file="shots.xlsx", schemas=schemas(), ways=Ways(**ways))


def _said(reading: Reading) -> list[str]:
    return [str(problem) for problem in reading.problems]


def test_a_workbook_is_read_as_it_is_shown() -> None:
    def formats(sheet: Any) -> None:
        sheet["A2"].number_format = "000"
        sheet["E2"].number_format = "dd.mm.yyyy"
        sheet["E3"].number_format = "0%"

    reading = _read(
        _book((7, "a.mp4", "flex_1", "wool, {Notes}", date(2026, 5, 3)), (8.0, "b.mp4", None, "x", 0.5), change=formats)
    )

    assert reading.problems == ()
    assert reading.manifest is not None
    first, second = reading.manifest.rows
    assert (first.id, first.prompt, first.own, str(first.place)) == (
        "007",
        "wool, 03.05.2026",
        {"Notes": "03.05.2026"},
        "shots.xlsx:2",
    )
    assert (second.id, second.mode, second.own) == ("8", "adhere_1", {"Notes": "50%"})
    assert [note.text for note in reading.notes] == ["shots.xlsx: sheet 'Sheet', 2 rows"]


def test_a_mistake_is_named_by_its_cell() -> None:
    reading = _read(_book(("a", "a.mp4", "flex_1", "", ""), (), ("b", "b.mp4", "flex_9", "", "")))

    assert _said(reading) == ["shots.xlsx:4:C (mode): 'flex_9' is not a mode; did you mean 'flex_3'?"]


def test_a_sheet_is_taken_by_its_name_and_the_first_visible_one_without() -> None:
    book: Any = openpyxl.Workbook()
    book.active.title = "Secret"
    book.active.sheet_state = "hidden"
    book.active.append(["nothing"])
    for name in ("Day 1", "Day 2"):
        sheet = book.create_sheet(name)
        sheet.append(["video_url"])
        sheet.append([f"{name}.mp4"])
    data = _saved(book)

    first, second = _read(data), _read(data, sheet="Day 2")

    assert first.manifest is not None
    assert second.manifest is not None
    assert (first.manifest.rows[0].video_url, second.manifest.rows[0].video_url) == ("Day 1.mp4", "Day 2.mp4")
    assert first.notes[0].text == "shots.xlsx: sheet 'Day 1' (not 'Secret', 'Day 2'; --sheet chooses), 1 row"
    assert _said(_read(data, sheet="Day2")) == ["shots.xlsx: there is no sheet 'Day2'; did you mean 'Day 2'?"]


def test_hidden_rows_are_read_and_said_or_left_out() -> None:
    def hide(sheet: Any) -> None:
        sheet.row_dimensions[3].hidden = True
        sheet.auto_filter.ref = "A1:E4"

    data = _book(*((name, f"{name}.mp4", "", "", "") for name in "abc"), change=hide)
    every, visible = _read(data), _read(data, visible_only=True)

    assert every.manifest is not None
    assert visible.manifest is not None
    assert [row.id for row in every.manifest.rows] == ["a", "b", "c"]
    assert every.notes[0].text == (
        "shots.xlsx: sheet 'Sheet', 3 rows; 1 row hidden or filtered out, read like the others; "
        "--visible-only leaves them out"
    )
    assert [(row.id, str(row.place)) for row in visible.manifest.rows] == [("a", "shots.xlsx:2"), ("c", "shots.xlsx:4")]
    assert visible.notes[0].text.endswith("2 rows; 1 row hidden or filtered out, left out")


def test_a_formula_without_a_value_is_refused_with_the_cure() -> None:
    reading = _read(_book(("a", '=A2&".mp4"', "", "", ""), ("b", "b.mp4", "", "", "=1+1")))

    cure = "open the file in Excel or LibreOffice and save it there: that computes it"
    assert _said(reading) == [
        f"shots.xlsx:2:B (video_url): the formula in this cell has no value yet; {cure}",
        f"shots.xlsx:3:E: the formula in this cell has no value yet; {cure}",
    ]


def test_a_cell_that_shows_an_error_is_no_prompt() -> None:
    def broken(sheet: Any) -> None:
        sheet["D2"].value = "#N/A"
        sheet["D2"].data_type = "e"

    assert _said(_read(_book(("a", "a.mp4", "", "", ""), change=broken))) == [
        "shots.xlsx:2:D (prompt): this cell shows the error #N/A; mend the formula, or clear the cell"
    ]


def test_without_openpyxl_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = _book(("a", "a.mp4", "", "", ""))
    monkeypatch.setitem(sys.modules, "openpyxl", None)

    with pytest.raises(MissingExtra, match=r"pip install 'batchmod\[xlsx\]'.*or export the sheet as `CSV UTF-8`"):
        _read(data)


def test_a_cell_far_below_is_no_million_rows() -> None:
    def far(sheet: Any) -> None:
        sheet["E1048576"] = " "
        sheet["XFD2"] = "x"

    reading = _read(_book(("a", "a.mp4", "", "", ""), change=far))

    assert _said(reading) == [
        "shots.xlsx:2:F: 16384 cells, but the header has 5; give the column a header",
    ]


def test_what_is_no_workbook_is_said() -> None:
    assert "cannot be read as an .xlsx workbook" in _said(_read(b"PK\x03\x04nothing"))[0]
    assert "old .xls workbook, or one with a password" in _said(_read(workbooks.OLD_MARK + b"\0" * 600))[0]
    assert "the manifest is empty" in _said(_read(_saved(openpyxl.Workbook())))[0]


def _with_part(data: bytes, name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, content if part == name else old.read(part))
        if name not in old.namelist():
            new.writestr(name, content)
    return stream.getvalue()


def _answered(data: bytes) -> bool:
    """Whether a workbook is refused with the reason; else it is read. Nothing else may come of it."""
    may_be_returned(data, "xlsx")
    said = _said(_read(data))
    return any("cannot be read as an .xlsx workbook" in each for each in said)


def test_a_workbook_with_damaged_bytes_is_refused_or_read_and_never_a_crash() -> None:
    good = _book(*((f"row {number}", "a.mp4", "", "wool", "") for number in range(40)))
    damaged = (good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :] for place in range(0, len(good), 29))

    assert sum(map(_answered, damaged)) > len(good) / 29 / 2


@pytest.mark.parametrize("content", [b"", b"<a/>", b"<worksheet><sheetData><row", b"\xff"])
def test_a_workbook_with_a_part_that_is_something_else_is_refused_or_read_and_never_a_crash(content: bytes) -> None:
    good = _book(("7", "a.mp4", "", "wool", date(2026, 5, 3)))
    parts = zipfile.ZipFile(io.BytesIO(good)).namelist()

    assert sum(_answered(_with_part(good, part, content)) for part in parts) > 0


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (0, 99, "zip file version 9.9"),
        (2, 1, "it has a password"),
        (2, 0x20, "compressed patched data"),
        (4, 9, "packed in a way that no spreadsheet uses"),
        (4, 14, "packed in a way that no spreadsheet uses"),
    ],
)
def test_a_workbook_that_is_locked_or_oddly_packed_is_refused(field: int, value: int, said: str) -> None:
    data = bytearray(_book(("7", "a.mp4", "", "wool", "")))
    for mark, fields in ((b"PK\x03\x04", 4), (b"PK\x01\x02", 6)):
        for header in re.finditer(re.escape(mark), bytes(data)):
            struct.pack_into("<H", data, header.start() + fields + field, value)

    assert may_be_returned(bytes(data), "xlsx") is False
    assert said in _said(_read(bytes(data)))[0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_that_declares_entities_is_refused_unread(encoding: str) -> None:
    bomb = '<!DOCTYPE w [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><workbook>&b;</workbook>'
    data = _with_part(_book(), "xl/workbook.xml", bomb.encode(encoding))

    assert "declares a document type" in _said(_read(data))[0]


def test_a_workbook_that_unpacks_beyond_measure_is_refused_unread() -> None:
    data = _with_part(_book(), "xl/media/zeros.bin", bytes(workbooks.MAX_BYTES))

    assert len(data) < workbooks.MAX_BYTES / 100
    assert _said(_read(data))[0].startswith("shots.xlsx: this workbook unpacks to 210 MB")


def test_a_sheet_of_too_many_cells_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbooks, "MAX_CELLS", 20)
    data = _book(*((str(n), "a.mp4", "", "", "") for n in range(10)))

    assert "more than 20 cells" in _said(_read(data))[0]


_CELLS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="\ufffe\uffff"), min_size=1, max_size=20
).filter(lambda text: text.strip() and not text.startswith("=") and not text.startswith("#"))


@settings(max_examples=40, deadline=None)
@given(st.lists(_CELLS, min_size=1, max_size=4))
def test_any_text_in_a_users_cell_comes_through_a_workbook_unchanged(cells: list[str]) -> None:
    reading = _read(_book(*((str(n), "a.mp4", "", "", cell) for n, cell in enumerate(cells, 1))))

    assert reading.manifest is not None
    assert [row.own["Notes"] for row in reading.manifest.rows] == cells
