"""Cuts a prompt into words that can be compared, and finds phrases among them."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|&")
_PAUSE: Final = re.compile(r"[,.;:!?()\[\]{}|\n\"“”„«»]|(?<!\b\w)/|/(?!\w\b)|\s[-–—]+\s")
"""A slash parts words, but not single letters: B/W."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """A word of a prompt: as it is compared, where it stands, and the part between pauses it belongs to."""

    text: str
    start: int
    end: int
    clause: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Phrase:
    """A known phrase in a prompt: the words `start` to `end` (exclusive), and the name it asks for."""

    start: int
    end: int
    name: str


def split(prompt: str) -> tuple[Word, ...]:
    """The words of a prompt, in their order; `'`, `-` and accents never part a word's meaning from it."""
    return tuple(
        Word(text=_plain(found[0]), start=found.start(), end=found.end(), clause=clause)
        for clause, (start, end) in enumerate(_between_pauses(prompt))
        for found in _WORD.finditer(prompt, start, end)
    )


def _between_pauses(prompt: str) -> Iterator[tuple[int, int]]:
    start = 0
    for pause in _PAUSE.finditer(prompt):
        yield start, pause.start()
        start = pause.end()
    yield start, len(prompt)


def tokens(text: str) -> tuple[str, ...]:
    """Words without case, accents and punctuation, in the singular: `Oil-Paintings` is `oil`, `painting`."""
    return tuple(_plain(word) for word in _WORD.findall(text))


def _plain(word: str) -> str:
    if word == "&":
        return "and"
    letters = unicodedata.normalize("NFKD", word.casefold())
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter) and letter not in "'’")
    return _singular(bare)


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > len("pies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > len("gas"):
        return word[:-1]
    return word


def phrase_index(phrases: Mapping[str, Iterable[str]]) -> dict[tuple[str, ...], str]:
    """Every phrase of every name as tokens; ValueError where two names share one."""
    index: dict[tuple[str, ...], str] = {}
    for name, own in phrases.items():
        for phrase in own:
            if index.setdefault(tokens(phrase), name) != name:
                raise ValueError(f"{phrase!r} means both {index[tokens(phrase)]} and {name}")
    return index


def phrases_in(said: Sequence[str], index: Mapping[tuple[str, ...], str]) -> Iterator[Phrase]:
    """Every phrase of the index among the words, the longest first, then the earliest; they may overlap."""
    for length in range(min(max(map(len, index), default=0), len(said)), 0, -1):
        for start in range(len(said) - length + 1):
            if name := index.get(tuple(said[start : start + length])):
                yield Phrase(start=start, end=start + length, name=name)
