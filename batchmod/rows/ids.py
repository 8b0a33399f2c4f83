"""Ids: which names are safe as file names everywhere, and which id a row without one gets."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final
from urllib.parse import unquote

from batchmod.urls import is_stored

_LONGEST: Final = 100
# file systems count bytes, 255 of them; the naming template, version and suffix need their share
_LONGEST_BYTES: Final = 200
_SIMPLE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,98}[A-Za-z0-9])?")
_PUNCTUATION: Final = " ._-"
_DEVICE: Final = re.compile(r"(?:CON|PRN|AUX|NUL|(?:COM|LPT)[0-9¹²³])(?:[ .].*)?", re.IGNORECASE | re.DOTALL)
_NAMELESS: Final = "clip"


def normal(text: str) -> str:
    """The one spelling of an id: NFC."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(label: str) -> str:
    """What two ids have in common when a file system cannot tell them apart."""
    return label.casefold() if label.isascii() else unicodedata.normalize("NFC", label.casefold())


def fault(label: str) -> str | None:
    """Why a normal text could not be an id, as the end of a sentence; None where it could."""
    if _SIMPLE.fullmatch(label) and not _DEVICE.fullmatch(label):
        return None
    if not label:
        return "is empty"
    if len(label) > _LONGEST:
        return f"has {len(label)} characters; at most {_LONGEST} fit a file name"
    if (size := len(label.encode("utf-8", "surrogatepass"))) > _LONGEST_BYTES:
        return f"takes {size} bytes in UTF-8; at most {_LONGEST_BYTES} fit a file name"
    if bad := next((each for each in label if not _allowed(each)), None):
        return f"holds {_name_of(bad)}, which could not be in a file name; letters, digits, spaces and . _ - may"
    return _bad_end(label) or _bad_whole(label)


def are_simple(labels: Sequence[str]) -> bool:
    """Whether all of these are ids at a glance: letters of ASCII, which `normal` leaves as they are."""
    return all(map(_SIMPLE.fullmatch, labels)) and not any(map(_DEVICE.fullmatch, labels))


def _bad_end(label: str) -> str | None:
    for end, word in ((label[0], "begins"), (label[-1], "ends")):
        if end in _PUNCTUATION:
            return f"{word} with {_name_of(end)}, which file names lose or hide"
    return None


def _bad_whole(label: str) -> str | None:
    if unicodedata.category(label[0])[0] == "M":
        return "begins with an accent without a letter"
    if _DEVICE.fullmatch(label):
        return "is the name of a device on Windows, which no file may have"
    return None


def clean(text: str) -> str:
    """The nearest legal id to any text."""
    runs = groupby(unicodedata.normalize("NFC", text), key=_allowed)
    short = _cut("".join("".join(run) if allowed else "-" for allowed, run in runs).strip(_PUNCTUATION))
    while short and unicodedata.category(short[0])[0] == "M":
        short = short[1:].strip(_PUNCTUATION)
    if not short:
        return _NAMELESS
    return f"{_NAMELESS}-{short}" if _DEVICE.fullmatch(short) else short


def stem(source: str) -> str:
    """The name of a clip without folders and suffix, from a path or a URL."""
    _, is_url, rest = source.partition("://")
    if is_stored(source):
        path = rest.partition("/")[2]
    else:
        path = unquote(re.split("[?#]", rest)[0].partition("/")[2]) if is_url else source
    name = re.split(r"[/\\]", path.rstrip("/\\"))[-1]
    return name.rpartition(".")[0] or name


def assign(stems: Iterable[str], *, taken: Iterable[str]) -> list[str]:
    """An id for each stem in turn: the stem, then `-2`, `-3`; never one that is `taken`."""
    used = {folded(each) for each in taken}
    counts: dict[str, int] = {}
    assigned = []
    for each in stems:
        base = clean(each)
        label, count = base, counts.get(folded(base), 1)
        while folded(label) in used:
            count += 1
            label = f"{_cut(base, spare=len(str(count)) + 1)}-{count}"
        counts[folded(base)] = count
        used.add(folded(label))
        assigned.append(label)
    return assigned


def _allowed(character: str) -> bool:
    if character.isascii():
        return character.isalnum() or character in _PUNCTUATION
    category = unicodedata.category(character)
    return category[0] in "LM" or category == "Nd"


def _cut(label: str, *, spare: int = 0) -> str:
    short = label[: _LONGEST - spare]
    while len(short.encode("utf-8", "surrogatepass")) > _LONGEST_BYTES - spare:
        short = short[:-1]
    return short.rstrip(_PUNCTUATION)


def _name_of(character: str) -> str:
    if character == " ":
        return "a space"
    return f"'{character}'" if character.isprintable() else f"U+{ord(character):04X}"
