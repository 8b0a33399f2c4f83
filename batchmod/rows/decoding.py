"""A sheet's bytes → its text, in the one encoding that makes sense of them; two are one too many."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from batchmod.errors import Place, Problem
from batchmod.rows.languages import is_sensible, is_windows_english
from batchmod.schema import shown

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_CANDIDATES: Final = (
    *("cp1252", "mac_roman", "cp850", "cp1250", "cp1251", "cp1253", "cp1254"),
    *("shift_jis", "gb18030", "big5", "euc_kr"),
)
"""What spreadsheet programs write that do not write Unicode: Windows, the Mac, DOS; the West first."""

_FAR: Final = frozenset(_CANDIDATES[3:])
_ENOUGH: Final = 4
"""How many letters of a script must be there before one believes that it is one."""
_BETWEEN: Final = re.compile(rb"[,;\t\r\n\"]+")
_CELLS: Final = 3000
"""How many different cells are looked at: a file of more is in the encoding of these."""
_MANY_NULS: Final = 0.3
_SAMPLE: Final = 4096
_PIECE: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """A text, and the name of the encoding it was in.

    It stands in UTF-8, as a long one mostly came: it is read block by block, and never as a whole.
    """

    data: bytes
    encoding: str
    start: int = 0
    """The byte it begins with, behind a byte order mark."""

    @property
    def text(self) -> str:
        """All of it."""
        return in_words(self.data[self.start :])


def in_words(data: bytes) -> str:
    """Bytes of a decoded text as that text; half a character, as odd encodings may hold one, stays what it is."""
    return data.decode("utf-8", "surrogatepass")


def _of(text: str, encoding: str) -> Decoded:
    return Decoded(data=text.encode("utf-8", "surrogatepass"), encoding=encoding)


def decode(data: bytes, *, file: str, encoding: str | None = None) -> Decoded | Problem:
    """The text in `data`, without a byte order mark.

    `encoding` is the user's word for it; else a mark, UTF-8, or the only other encoding that makes words of it.
    """
    if encoding is not None:
        return _as_told(data, file, encoding)
    for mark, codec, name in _MARKS:
        if data.startswith(mark):
            return _decoded(data, file, codec, name)
    if (silent := _silent_utf16(data)) is not None:
        return _decoded(data, file, silent, "UTF-16")
    try:
        return _utf8(data, "UTF-8", start=0)
    except UnicodeDecodeError as error:
        return _legacy(data, file, error.start)


def _utf8(data: bytes, name: str, *, start: int) -> Decoded:
    """The bytes as they are, where they are UTF-8. Raises UnicodeDecodeError with the first that is not."""
    if not data.isascii():
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            for at in range(start, len(data), _PIECE):
                decoder.decode(data[at : at + _PIECE])
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            data[start:].decode()  # says where, as seen from the text's beginning
            raise
    return Decoded(data=data, encoding=name, start=start)


def _as_told(data: bytes, file: str, encoding: str) -> Decoded | Problem:
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)
    except (LookupError, ValueError):
        message = f"--encoding: {shown(encoding)} is no encoding"
        return Problem(place=Place(file=file), message=message, hint="such as utf-8, utf-16, cp1252 or mac_roman")
    codec = "utf-8-sig" if name == "utf-8" else name
    decoded = _decoded(data, file, codec, encoding)
    if isinstance(decoded, Problem):
        return decoded
    mark = codecs.BOM_UTF8 if decoded.data.startswith(codecs.BOM_UTF8, decoded.start) else b""
    return Decoded(data=decoded.data, encoding=name, start=decoded.start + len(mark))


def _decoded(data: bytes, file: str, codec: str, name: str) -> Decoded | Problem:
    try:
        if codec == "utf-8-sig":
            return _utf8(data, name, start=len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0)
        return _of(data.decode(codec), name)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"not {name}: " + (f"the byte 0x{data[error.start]:02X} stands here" if data[error.start :] else "cut")
        return Problem(place=Place(file=file, line=line), message=found, hint="--encoding says what else it is")


def _silent_utf16(data: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of plain text is NUL."""
    head = data[:_SAMPLE]
    if len(head) < 2 or len(data) % 2:  # noqa: PLR2004 - a code unit has two bytes
        return None
    least = _MANY_NULS * len(head) / 2
    even, odd = head[::2].count(0), head[1::2].count(0)
    if odd > least and not even:
        return "utf-16-le"
    return "utf-16-be" if even > least and not odd else None


def place_of_byte(data: bytes, at: int, file: str) -> Place:
    """Line and column of a byte, all before it in UTF-8."""
    start = data.rfind(b"\n", 0, at) + 1
    column = len(data[start:at].decode("utf-8", "replace").lstrip("\ufeff")) + 1
    return Place(file=file, line=data.count(b"\n", 0, at) + 1, column=column)


def _legacy(data: bytes, file: str, first: int) -> Decoded | Problem:
    strange = dict.fromkeys(cell for cell in _BETWEEN.split(data) if not cell.isascii())
    cells = b"\n".join(islice(strange, _CELLS))
    readings = {name: text for name in _CANDIDATES if (text := _sensible(data, cells, name)) is not None}
    place = place_of_byte(data, first, file)
    message = f"not UTF-8: the byte 0x{data[first]:02X} stands here"
    if not readings:
        hint = "save it as UTF-8 (in Excel: `CSV UTF-8`), or --encoding says what it is"
        return Problem(place=place, message=message, hint=hint)
    name, text = next(iter(readings.items()))
    others = {other: another for other, another in readings.items() if another != text}
    if name != _CANDIDATES[0]:
        others = {**_mixtures(data, cells, text), **others}
    sure = name not in _FAR or sum(not each.isascii() for each in text) >= _ENOUGH
    if (not others and sure) or is_windows_english(text):
        return _of(text, name)
    place, shown_as = _where_they_differ(file, {name: text, **others})
    hint = " or ".join(f"`--encoding {each}`" for each in shown_as) + (" decides" if others else " if so")
    words = " or ".join(f"{shown(word)} ({each})" for each, word in shown_as.items())
    return Problem(place=place, message=f"this is not UTF-8, and may be {words}", hint=hint)


def _mixtures(data: bytes, cells: bytes, text: str) -> dict[str, str]:
    """The other readings in which languages of the West are mixed: likelier than a far language by itself."""
    found = {name: _sensible(data, cells, name, one_language=False) for name in _CANDIDATES[:3]}
    return {name: another for name, another in found.items() if another is not None and another != text}


def _sensible(data: bytes, cells: bytes, name: str, *, one_language: bool = True) -> str | None:
    """The text, where this encoding makes words of it, of which `cells` are those in question."""
    try:
        sensible = is_sensible(cells.decode(name), name, one_language=one_language)
        return data.decode(name) if sensible else None
    except UnicodeDecodeError:
        return None


def _where_they_differ(file: str, readings: dict[str, str]) -> tuple[Place, dict[str, str]]:
    """The first line that is in doubt, and its word as each encoding has it."""
    rows = list(zip(*(text.split("\n") for text in readings.values()), strict=False))
    differ = ((n, each) for n, each in enumerate(rows, 1) if len(set(each)) > 1)
    strange = ((n, each) for n, each in enumerate(rows, 1) if not each[0].isascii())
    number, lines = next(differ, None) or next(strange)
    found: dict[str, str] = {}
    for name, word in zip(readings, _differing_words(lines), strict=True):
        if word not in found.values():
            found[name] = word
    return Place(file=file, line=number), found


def _differing_words(lines: tuple[str, ...]) -> Iterator[str]:
    split = [re.split(r"([\s,;\t\"|]+)", line) for line in lines]
    pieces = list(zip(*split, strict=False))
    differ = (n for n, each in enumerate(pieces) if len(set(each)) > 1)
    at = next(differ, next((n for n, each in enumerate(pieces) if not each[0].isascii()), 0))
    return (each[at] for each in split)
