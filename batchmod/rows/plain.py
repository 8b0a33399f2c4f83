"""Rows of a long sheet that are good at a glance: looked at column by column, and not kept."""

import hashlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchmod import urls
from batchmod.rows import ids
from batchmod.rows.checking import Checker
from batchmod.rows.raw import RawRow
from batchmod.rows.records import Span
from batchmod.rows.sheet_rows import SheetRows

_OF_FEW_VALUES: Final = ("mode", "provider", "model", "variant", "hold", "review", "review_of")
_DEFAULTS: Final = frozenset({"mode", "provider", "model", "variant", "hold"})
"""What a document may say for all its rows without there being more to look at."""
_READ: Final = frozenset({"id", "video_url", "first_frame_url", "prompt", *_OF_FEW_VALUES})


@dataclass(frozen=True, kw_only=True, slots=True)
class Plain:
    """A block of a sheet whose rows have no problem, stand for themselves, and say all that they say in their cells.

    Each has an id, its clip and its picture are URLs that are their own identity, its prompt is final.
    """

    sheet: SheetRows
    span: Span
    says: frozenset[str]
    """The fields that some row of it sets."""
    named: Sequence[int]
    """The hash of each row's id, as ids are compared: so much of it is kept."""

    def __len__(self) -> int:
        return self.span.records

    def raw(self) -> Iterator[RawRow]:
        """Its rows one by one."""
        return self.sheet.of(self.span)

    def digest(self) -> str:
        """Of the bytes its rows stand in, and of how these are read."""
        sheet, table = self.sheet, self.sheet.table
        said = {name: default.text for name, default in sheet.defaults.items()}
        how = repr((table.headers, table.delimiter, sorted(sheet.roles.ours.items()), [*sheet.roles.own.items()], said))
        return hashlib.sha256(sheet.written(self.span) + how.encode("utf-8", "surrogatepass")).hexdigest()

    def columns(self, checker: Checker) -> dict[str, Sequence[Any]]:
        """Field → its value in each row, as `Row` has it; None in all of them for one that is nowhere set."""
        texts, base = self.sheet.texts(self.span), checker.defaults(self.sheet.defaults)
        assert texts is not None
        columns: dict[str, Sequence[Any]] = {name: [base.get(name)] * len(self) for name in _READ}
        for name in self.says:
            nothing = base.get(name)
            if name in _OF_FEW_VALUES:
                meant = {text: checker.verdict(name, text).value if text else nothing for text in set(texts[name])}
                columns[name] = [meant[text] for text in texts[name]]
            else:
                columns[name] = [text or nothing for text in texts[name]]
        return columns


def glance(sheet: SheetRows, span: Span, checker: Checker) -> Plain | None:
    """The block, where one glance at each of its columns shows that it is plain; else its rows are looked at singly."""
    if not _could_be(sheet):
        return None
    texts = sheet.texts(span)
    if texts is None or not all(_is_good(name, column, checker) for name, column in texts.items()):
        return None
    return Plain(
        sheet=sheet,
        span=span,
        says=frozenset(name for name, column in texts.items() if any(column)),
        named=array("q", map(hash, map(ids.folded, texts["id"]))),
    )


def _could_be(sheet: SheetRows) -> bool:
    """What must hold for the sheet as a whole."""
    quiet = not (sheet.literal or sheet.base or sheet.excused or sheet.table.faults)
    return quiet and {"id", "video_url"} <= sheet.roles.ours.keys() and sheet.defaults.keys() <= _DEFAULTS


def _is_good(name: str, column: Sequence[str], checker: Checker) -> bool:
    if name in _LOOKS:
        return _LOOKS[name](column, checker.row_schema["properties"][name])
    if name in _OF_FEW_VALUES:
        return not any(checker.verdict(name, text).faults for text in set(column) if text)
    return not any(column)


def _are_prompts(column: Sequence[str], schema: Mapping[str, Any]) -> bool:
    text = "".join(column)
    return "{" not in text and "}" not in text and max(map(len, column)) <= schema["maxLength"]


_LOOKS: Final[Mapping[str, Callable[[Sequence[str], Mapping[str, Any]], bool]]] = {
    "id": lambda column, _: ids.are_simple(column),
    "video_url": lambda column, _: urls.are_plain(column),
    "first_frame_url": lambda column, _: urls.are_plain(filter(None, column)),
    "prompt": _are_prompts,
}
