"""An Excel workbook's bytes → the table on one of its sheets; openpyxl is imported on use."""

import io
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Final
from xml.parsers import expat

from batchmod.errors import MissingExtra, Place, Problem
from batchmod.rows.archives import DAMAGED, objection
from batchmod.rows.formats import shown
from batchmod.rows.records import Record
from batchmod.rows.returning import NAMES_PAGE, Names, names_of
from batchmod.rows.tables import Table, with_records
from batchmod.schema import did_you_mean
from batchmod.schema import shown as quoted

MAX_BYTES: Final = 200 * 1024**2
MAX_CELLS: Final = 2_000_000
ZIP_MARK: Final = b"PK\x03\x04"
OLD_MARK: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_CHUNK: Final = 1 << 16
_UNREADABLE: Final = "this cannot be read as an .xlsx workbook"
_SAVE_ANEW: Final = "save it once more as .xlsx, without a password"
_NO_VALUE: Final = "the formula in this cell has no value yet"
_COMPUTE: Final = "open the file in Excel or LibreOffice and save it there: that computes it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A table, and what should be said of the sheet it stands on."""

    table: Table
    name: str = ""
    others: tuple[str, ...] = ()
    """The workbook's other sheets."""
    hidden: int = 0
    """How many rows under the header are hidden or filtered out."""
    names: Names | None = None
    """What the user's columns were called, where this is a workbook of our own results."""


class _Refused(Exception):
    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def parse(data: bytes, *, file: str, sheet: str | None = None, visible_only: bool = False) -> Sheet:
    """The table on the sheet of this name, else on the first that is not hidden; texts as the spreadsheet shows them.

    `visible_only` leaves out hidden and filtered rows. Raises MissingExtra where openpyxl is not installed.
    """
    try:
        return _parse(data, file, sheet, visible_only=visible_only)
    except _Refused as refused:
        message, hint = str(refused), refused.hint
    except (*DAMAGED, expat.ExpatError) as error:
        message, hint = f"{_UNREADABLE}: {error}", _SAVE_ANEW
    problem = Problem(place=Place(file=file), message=message, hint=hint)
    return Sheet(table=Table(file=file, problems=(problem,)))


def _parse(data: bytes, file: str, wanted: str | None, *, visible_only: bool) -> Sheet:
    if data.startswith(OLD_MARK):
        raise _Refused("this is an old .xls workbook, or one with a password", "save it as .xlsx, without a password")
    archive = zipfile.ZipFile(io.BytesIO(data))
    _refuse_unsafe(archive)
    book = _load(data)
    found = _chosen(book, wanted)
    with archive.open(found._worksheet_path) as part:  # noqa: SLF001 - openpyxl says nowhere else which part it is
        form = _form(part)
    faults: dict[tuple[int, int], tuple[str, str]] = {}
    records = list(_records(found, form, faults, visible_only=visible_only))
    table = with_records(Table(file=file, faults=faults, delimiter=""), records)
    under = [line for line in form.hidden if line > table.line]
    names = names_of(book)
    pages = [each for each in book.worksheets if names is None or not each.title.startswith(NAMES_PAGE)]
    others = tuple(each.title for each in pages if each.title != found.title)
    hidden = len(form.filled.intersection(under))
    return Sheet(table=table, name=found.title, others=others, hidden=hidden, names=names)


def _load(data: bytes) -> Any:
    try:
        from openpyxl import load_workbook
    except ImportError:
        message = "reading .xlsx needs openpyxl, which is not installed: pip install 'batchmod[xlsx]'"
        raise MissingExtra(f"{message}; or export the sheet as `CSV UTF-8`") from None
    with warnings.catch_warnings():
        # drop-down lists and the like, which say nothing about cells
        warnings.simplefilter("ignore")
        return load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)


def writable(data: bytes, wanted: str | None) -> tuple[Any, Any]:
    """The sheet that `parse` reads, and its workbook, with formulas as they are: to be changed and saved elsewhere."""
    from openpyxl import load_workbook

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        book = load_workbook(io.BytesIO(data))
    return _chosen(book, wanted), book


def _chosen(book: Any, wanted: str | None) -> Any:
    sheets = {each.title: each for each in book.worksheets}
    if not sheets:
        raise _Refused("this workbook has no sheet with cells")
    if wanted is None:
        return next((each for each in sheets.values() if each.sheet_state == "visible"), next(iter(sheets.values())))
    if wanted not in sheets:
        hint = did_you_mean(wanted, sheets) or f"there are {', '.join(map(quoted, sheets))}"
        raise _Refused(f"there is no sheet {quoted(wanted)}", hint)
    return sheets[wanted]


def _refuse_unsafe(archive: zipfile.ZipFile) -> None:
    """Nothing that unpacks beyond measure, and no XML that declares entities: cells need none."""
    size = sum(part.file_size for part in archive.infolist())
    if size > MAX_BYTES:
        raise _Refused(f"this workbook unpacks to {size / 1e6:,.0f} MB; {MAX_BYTES / 1e6:,.0f} MB are the most")
    for part in archive.infolist():
        if (why := objection(part)) is not None:
            raise _Refused(f"{_UNREADABLE}: {why}", _SAVE_ANEW)
        if part.filename.endswith((".xml", ".rels", ".vml")):
            with archive.open(part) as stream:
                _refuse_doctype(stream, part.filename)


class _Begun(Exception):
    """A part's first element begins: no declaration can follow."""


def _refuse_doctype(stream: IO[bytes], name: str) -> None:
    parser = expat.ParserCreate()

    def declared(*_: object) -> None:
        raise _Refused(f"{name} in this workbook declares a document type, which no spreadsheet writes")

    def begun(*_: object) -> None:
        raise _Begun

    parser.StartDoctypeDeclHandler = declared
    parser.StartElementHandler = begun
    try:
        while chunk := stream.read(_CHUNK):
            parser.Parse(chunk)
    except _Begun:
        pass


@dataclass(kw_only=True, slots=True)
class _Form:
    """Rows and cells of a sheet by number, both from 1."""

    cells: int = 0
    filled: set[int] = field(default_factory=set)
    hidden: set[int] = field(default_factory=set)
    without_value: set[tuple[int, int]] = field(default_factory=set)


def _form(stream: IO[bytes]) -> _Form:
    form = _Form()
    reader = _FormReader(form)
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    while chunk := stream.read(_CHUNK):
        parser.Parse(chunk)
    return form


class _FormReader:
    def __init__(self, form: _Form) -> None:
        self._form = form
        self._row = 0
        self._column = 0
        self._formula = False
        self._value = False
        self._inside = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        if local == "row":
            self._row = int(attributes.get("r", self._row + 1))
            self._column = 0
            if attributes.get("hidden") in ("1", "true"):
                self._form.hidden.add(self._row)
        elif local == "c":
            self._cell(attributes)
        elif local == "f":
            self._formula = True
        self._inside = local

    def _cell(self, attributes: dict[str, str]) -> None:
        self._form.cells += 1
        if self._form.cells > MAX_CELLS:
            raise _Refused(f"this sheet has more than {MAX_CELLS:,} cells", "export it as `CSV UTF-8`")
        reference = attributes.get("r", "").rstrip("0123456789")
        self._column = _number_of(reference) if reference else self._column + 1
        self._formula = False
        # a formula may come to an empty text, and then it is said to be a text
        self._value = attributes.get("t") == "str"

    def text(self, text: str) -> None:
        if self._inside in ("v", "t") and text:
            self._value = True
            self._form.filled.add(self._row)

    def end(self, name: str) -> None:
        if name.rpartition(":")[2] == "c" and self._formula and not self._value:
            self._form.without_value.add((self._row, self._column))
        self._inside = ""


def _number_of(reference: str) -> int:
    number = 0
    for letter in reference:
        number = number * 26 + ord(letter.upper()) - ord("A") + 1
    return number


def _records(
    sheet: Any, form: _Form, faults: dict[tuple[int, int], tuple[str, str]], *, visible_only: bool
) -> Iterator[Record]:
    """The rows that are not blank, and what is wrong with single cells."""
    sheet.reset_dimensions()  # what a file says of its own size may be wrong
    formulas: dict[int, set[int]] = {}
    for row, column in form.without_value:
        formulas.setdefault(row, set()).add(column)
    for line, cells in enumerate(sheet.iter_rows(), start=1):
        if visible_only and line in form.hidden:
            continue
        texts = []
        for index, cell in enumerate(cells):
            if cell.value is None:
                texts.append("")
                continue
            if cell.data_type == "e":
                cure = "mend the formula, or clear the cell"
                faults[line, index] = (f"this cell shows the error {cell.value}", cure)
            texts.append(shown(cell.value, cell.number_format))
        for column in formulas.get(line, ()):
            faults[line, column - 1] = (_NO_VALUE, _COMPUTE)
            texts += [""] * (column - len(texts))
        if line in formulas or any(text.strip() for text in texts):
            yield Record(line, tuple(texts))
