"""Finds what a prompt asks not to have: "not a cartoon", "instead of watercolour", "without blue tones"."""

from collections.abc import Mapping, Sequence

from batchmod.engine.looks import vocabulary
from batchmod.engine.looks.words import Word


def unwanted(words: Sequence[Word], ends: Mapping[int, int]) -> set[int]:
    """The places of what a negation takes back: that of the negation, and of the first thing named after it.

    `ends` says of every place where something known begins where it ends (exclusive). Another one joined by "or"
    or "nor" is taken back too; a name that is not known ends it: "no people, noir" asks for noir.
    """
    places: set[int] = set()
    for start, word in enumerate(words):
        if word.text in vocabulary.NEGATING and start not in ends:
            named = _named_after(words, start + 1, ends)
            places |= named | ({start} if named else set())
    return places


def _named_after(words: Sequence[Word], place: int, ends: Mapping[int, int]) -> set[int]:
    """The places of the known things that follow without anything else between."""
    named: set[int] = set()
    clause, wanted = words[place - 1].clause, True
    while place < len(words) and words[place].clause == clause:
        if wanted and place in ends:
            named |= set(range(place, ends[place]))
            place, wanted = ends[place], False
        elif words[place].text in ("or", "nor"):
            place, wanted = place + 1, True
        elif words[place].text in (vocabulary.STOP - {"but"} if wanted else vocabulary.TONES):
            place += 1
        else:
            break
    return named
