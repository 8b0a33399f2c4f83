"""Texts with `{names}` in braces: taken apart and filled by plain replacement, never by `str.format`."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final, NamedTuple

from batchmod.schema import did_you_mean

_PIECE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_VERSION: Final = re.compile(r"version(:0[1-9]d)?")
# characters that some file system refuses, or takes for something else than a name
_UNSAFE: Final = re.compile(r'[\\:*?"<>|\x00-\x1f\x7f]')


class Piece(NamedTuple):
    """Literal text, or a hole and its name."""

    text: str
    hole: bool = False


class StrayBrace(ValueError):
    """A `{` or `}` that is neither doubled nor part of a pair."""


def parse(text: str) -> tuple[Piece, ...]:
    """The pieces in order, `{{` and `}}` as plain braces; raises StrayBrace."""
    pieces = []
    for match in _PIECE.finditer(text):
        written = match[0]
        if match[1] is not None:
            pieces.append(Piece(match[1], hole=True))
        elif written in {"{{", "}}"}:
            pieces.append(Piece(written[0]))
        elif written in {"{", "}"}:
            raise StrayBrace(f"a single '{written}' at character {match.start() + 1}")
        else:
            pieces.append(Piece(written))
    return tuple(pieces)


def holes(pieces: tuple[Piece, ...]) -> tuple[str, ...]:
    """The names in braces, in order."""
    return tuple(piece.text for piece in pieces if piece.hole)


def fill(pieces: tuple[Piece, ...], values: Mapping[str, str]) -> str:
    """The text with every hole replaced; raises KeyError for a name that is not in `values`."""
    return "".join(values[piece.text] if piece.hole else piece.text for piece in pieces)


def naming_faults(naming: str, columns: Collection[str]) -> Iterator[tuple[str, str | None]]:
    """What is wrong with a template for file names whose holes may name `columns`: message and hint."""
    try:
        pieces = parse(naming)
    except StrayBrace as stray:
        yield str(stray), "a column's name goes between { and }"
        return
    names = holes(pieces)
    if "id" not in names:
        yield "naming must hold {id}, or two rows would share a file", None
    if not any(_VERSION.fullmatch(name) for name in names):
        yield "naming must hold {version}, or a new output would overwrite an old one", "such as {version:03d}"
    for name in dict.fromkeys(names):
        if name not in columns and not _VERSION.fullmatch(name):
            yield f"{{{name}}} is no column of any row", _hole_hint(name, columns)
    yield from _path_faults("".join("x" if piece.hole else piece.text for piece in pieces))


def _hole_hint(name: str, columns: Collection[str]) -> str | None:
    if name.startswith("version"):
        return "write {version}, or {version:03d} for three digits"
    return did_you_mean(name, columns)


def _path_faults(path: str) -> Iterator[tuple[str, str | None]]:
    if bad := _UNSAFE.search(path):
        yield f"naming holds '{bad[0]}', which could not be in a file name", "folders are separated by /"
    if any(part.strip(" .") == "" for part in path.split("/")):
        yield "naming has an empty part, or one of dots alone, between its /", "it stays below videos/"
