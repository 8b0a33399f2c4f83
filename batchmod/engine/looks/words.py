"""Finds the phrase of a prompt that names a look."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")


def tokens(text: str) -> tuple[str, ...]:
    """Words without case, accents and punctuation, in the singular: `Oil-Paintings` is `oil`, `painting`."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return tuple(_singular(word) for word in _WORD.findall(plain))


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


def best_match(prompt: str, index: Mapping[tuple[str, ...], str]) -> str | None:
    """The name whose phrase stands in the prompt: the longest wins, then the earliest."""
    said = tokens(prompt)
    longest = max(map(len, index), default=0)
    for length in range(min(longest, len(said)), 0, -1):
        for start in range(len(said) - length + 1):
            if name := index.get(said[start : start + length]):
                return name
    return None
