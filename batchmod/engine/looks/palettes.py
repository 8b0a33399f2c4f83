"""Finds the colours a prompt asks for the whole picture: not a red coat, but "in red and black" or "blue tones"."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from batchmod.engine.looks import vocabulary
from batchmod.engine.looks.colours import SPELLINGS
from batchmod.engine.looks.words import Word


@dataclass(frozen=True, kw_only=True, slots=True)
class Palette:
    """The colours named by the words `start` to `end` (exclusive)."""

    start: int
    end: int
    colours: tuple[str, ...]

    @property
    def colourless(self) -> bool:
        """Black and white, and greys."""
        return vocabulary.NEUTRAL.issuperset(self.colours)


def palettes_in(words: Sequence[Word], *, plain: Sequence[bool], taken: Container[int]) -> Iterator[Palette]:
    """The palettes among the words; `plain` words name no thing, `taken` places mean something else already."""
    place = 0
    while place < len(words):
        end, names = _run(words, place, taken)
        if names and _meant(words, place, end, names, plain):
            yield Palette(start=place, end=end, colours=names)
        place = max(end, place + 1)


def _run(words: Sequence[Word], start: int, taken: Container[int]) -> tuple[int, tuple[str, ...]]:
    """Where a list of colours that begins at `start` ends (exclusive), and its colours."""
    names: list[str] = []
    place = end = start
    while place < len(words) and words[place].text in vocabulary.COLOUR_WORDS and place not in taken:
        names.append(SPELLINGS.get(words[place].text, words[place].text))
        end = place + 1
        place = end + 1 if end < len(words) and words[end].text == "and" else end
    return end, tuple(dict.fromkeys(names))


def _meant(words: Sequence[Word], start: int, end: int, names: tuple[str, ...], plain: Sequence[bool]) -> bool:
    """Whether the colours are those of the picture, not of a thing in it."""
    after = end if end < len(words) and words[end].clause == words[end - 1].clause else None
    only_neutral = vocabulary.NEUTRAL.issuperset(names)
    if len(names) == 1 and only_neutral:
        return False
    if (after is not None and words[after].text in vocabulary.TONES) or _of_tones(words, start):
        return True
    if after is not None and not plain[after]:
        return False
    if only_neutral:
        return True
    single_thing = len(names) == 1 and start > 0 and words[start - 1].text in vocabulary.DETERMINERS
    return not single_thing and not _thing_before(words, start, plain)


def _of_tones(words: Sequence[Word], start: int) -> bool:
    """Whether "shades of" or the like stands before."""
    return start > 1 and words[start - 1].text in ("of", "in") and words[start - 2].text in vocabulary.TONES


def _thing_before(words: Sequence[Word], start: int, plain: Sequence[bool]) -> bool:
    """Whether the colours follow the name of a thing: a woman in red."""
    for place in range(start - 1, -1, -1):
        if words[place].clause != words[start].clause:
            return False
        if words[place].text not in vocabulary.STOP:
            return not plain[place]
    return False
