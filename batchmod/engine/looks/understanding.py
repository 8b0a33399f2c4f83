"""Reads a prompt: the look, the modifiers, and what it asks for beyond them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from batchmod.engine.looks import vocabulary
from batchmod.engine.looks.catalogue import LOOKS, Look
from batchmod.engine.looks.modifiers import MODIFIERS, Modifier, of_colours, of_look
from batchmod.engine.looks.palettes import Palette, palettes_in
from batchmod.engine.looks.unwanted import unwanted
from batchmod.engine.looks.words import Phrase, Word, phrase_index, phrases_in, split

Rgb = NDArray[np.uint8]

_QUOTED: Final = 3
_QUOTED_LENGTH: Final = 60
"""A warning quotes no more phrases, and no longer ones."""

_LOOKS: Final = {look.name: look for look in LOOKS}
_MODIFIERS: Final = {modifier.name: modifier for modifier in MODIFIERS}
_BLACK_AND_WHITE: Final = "black_and_white"
_ORDER: Final = (*(look.name for look in reversed(LOOKS)), *_MODIFIERS)
"""What is there before the light that falls on it, and that before the medium: autumn, night, sepia."""
_INDEX: Final = phrase_index({name: item.words for name, item in (_LOOKS | _MODIFIERS).items()})


@dataclass(frozen=True, kw_only=True, slots=True)
class Understanding:
    """What a prompt asks for, as far as the engine can do it, and what remains."""

    look: Look | None = None
    modifiers: tuple[Modifier, ...] = ()
    """In the order in which they are applied; looks that only change colours are among them where another leads."""
    left_over: tuple[str, ...] = ()
    """Phrases, as they were written, that ask for what the engine cannot make."""
    passed_over: tuple[Look, ...] = ()
    """Looks that were named too; one picture is drawn in one way."""

    def __bool__(self) -> bool:
        return self.look is not None or bool(self.modifiers)

    @property
    def pure_colour(self) -> bool:
        """Whether it may be drawn on every frame alone without flicker."""
        return self.look is None or self.look.pure_colour

    @property
    def lattice(self) -> bool:
        """Whether it is made of cells."""
        return self.look is not None and self.look.lattice

    def apply(self, rgb: Rgb, strength: float) -> Rgb:
        """The picture with the look and the modifiers, HxWx3 to the same, each at `strength` 0..1."""
        drawn = [self.look.apply] if self.look else []
        scene = [modifier.apply for modifier in self.modifiers if modifier.scene]
        others = [modifier.apply for modifier in self.modifiers if not modifier.scene]
        for step in (*drawn, *scene, *others) if self.pure_colour else (*scene, *drawn, *others):
            rgb = step(rgb, strength)
        return rgb

    def warnings(self) -> tuple[str, ...]:
        """What the prompt asks for and will not be seen, in words for a user."""
        return (*self._about_looks(), *self._about_things())

    def _about_looks(self) -> Iterator[str]:
        if self.look and self.passed_over:
            others = ", ".join(look.name for look in self.passed_over)
            yield f"the prompt names several looks, and one can be drawn: {self.look.name}, not {others}"

    def _about_things(self) -> Iterator[str]:
        if named := self._left_over_named():
            yield f"the embedded engine cannot make {named}: it changes the whole picture and keeps what is in it"

    def led(self, by: str) -> tuple[str, ...]:
        """The same where an edited frame leads: it may show them already."""
        named = self._left_over_named()
        return (f"{by} leads: {named} will be seen as far as that picture shows it",) if named else ()

    def _left_over_named(self) -> str:
        """What is left over, quoted, as far as it fits a sentence."""
        named = ", ".join(f"'{_shortened(phrase)}'" for phrase in self.left_over[:_QUOTED])
        more = len(self.left_over) - _QUOTED
        return f"{named} and {more} more" if more > 0 else named


def _shortened(phrase: str) -> str:
    return phrase if len(phrase) <= _QUOTED_LENGTH else phrase[: _QUOTED_LENGTH - 1].rstrip() + "…"


def understand(prompt: str) -> Understanding:
    """What a prompt asks for, by whole English words and phrases; never raises.

    Of several looks the longest phrase leads, then the earliest; one that only changes colours yields to any other.
    """
    reading = _Reading(split(prompt))
    palettes = reading.palettes()
    drawn = reading.drawn_looks()
    asked = reading.asked() or ([] if drawn or palettes else reading.named_colour_looks())
    if any(palette.colourless for palette in palettes):
        asked.append(_BLACK_AND_WHITE)
    moods = sorted({name for name in asked if name in _LOOKS}, key=_ORDER.index)
    leader = drawn[0] if drawn else moods.pop(0) if moods else None
    return Understanding(
        look=_LOOKS[leader] if leader else None,
        modifiers=_in_order(moods, asked, palettes),
        left_over=tuple(prompt[start:end] for start, end in reading.left_over()),
        passed_over=tuple(_LOOKS[name] for name in dict.fromkeys(drawn[1:]) if name != leader),
    )


def _in_order(moods: Sequence[str], asked: Sequence[str], palettes: Sequence[Palette]) -> tuple[Modifier, ...]:
    """Colours come after black and white, which would take them away, and before light and warmth."""
    own = sorted({name for name in asked if name in _MODIFIERS}, key=_ORDER.index)
    grey = [_MODIFIERS[name] for name in own if name == _BLACK_AND_WHITE]
    rest = [_MODIFIERS[name] for name in own if name != _BLACK_AND_WHITE]
    colours = {palette.colours: of_colours(palette.colours) for palette in palettes if not palette.colourless}
    return (*(of_look(_LOOKS[name]) for name in moods), *grey, *colours.values(), *rest)


class _Reading:
    """A prompt's words, and which of them are understood already."""

    def __init__(self, words: Sequence[Word]) -> None:
        self._words = words
        self._said = [word.text for word in words]
        phrases = [phrase for phrase in phrases_in(self._said, _INDEX) if self._in_one_clause(phrase)]
        self._unwanted = unwanted(words, _ends(self._said, phrases))
        self._phrases = [phrase for phrase in phrases if self._unwanted.isdisjoint(range(phrase.start, phrase.end))]
        self._understood = [place in self._unwanted for place in range(len(words))]
        begun = {phrase.start for phrase in phrases}
        self._plain = [
            word in vocabulary.STOP or place in begun or word in vocabulary.COLOUR_WORDS
            for place, word in enumerate(self._said)
        ]

    def _in_one_clause(self, phrase: Phrase) -> bool:
        return self._words[phrase.start].clause == self._words[phrase.end - 1].clause

    def palettes(self) -> list[Palette]:
        """The colours that the whole picture shall have."""
        taken = self._unwanted | {
            place
            for phrase in self._phrases
            if phrase.end - phrase.start > 1 and phrase.name != _BLACK_AND_WHITE
            for place in range(phrase.start, phrase.end)
        }
        found = list(palettes_in(self._words, plain=self._plain, taken=taken))
        for palette in found:
            self._understood[palette.start : palette.end] = [True] * (palette.end - palette.start)
        return found

    def drawn_looks(self) -> list[str]:
        """The looks with a texture, the leading one first; a general word counts only where nothing else does."""
        drawn = [phrase for phrase in self._phrases if phrase.name in _LOOKS and not _LOOKS[phrase.name].pure_colour]
        special = [phrase for phrase in drawn if self._text(phrase) not in vocabulary.GENERIC]
        general = [phrase for phrase in drawn if self._text(phrase) in vocabulary.GENERIC]
        clear = [phrase for phrase in special if not self._belongs_to_a_thing(phrase)]
        return self._take(clear) or self._take(special) or self._take(general)

    def asked(self) -> list[str]:
        """The modifiers and colour looks that are clearly meant."""
        return self._take([phrase for phrase in self._moods() if not self._belongs_to_a_thing(phrase)])

    def named_colour_looks(self) -> list[str]:
        """The colour looks named in any way."""
        return self._take([phrase for phrase in self._moods() if phrase.name in _LOOKS])

    def _moods(self) -> list[Phrase]:
        return [phrase for phrase in self._phrases if phrase.name in _MODIFIERS or _LOOKS[phrase.name].pure_colour]

    def _text(self, phrase: Phrase) -> tuple[str, ...]:
        return tuple(self._said[phrase.start : phrase.end])

    def _belongs_to_a_thing(self, phrase: Phrase) -> bool:
        """Whether a single word stands before the name of a thing: a warm coat, an oil lamp, a black and white dog."""
        after = phrase.end
        single = phrase.end - phrase.start == 1 or phrase.name == _BLACK_AND_WHITE
        if not single or self._said[phrase.start] in vocabulary.SCENIC or after >= len(self._words):
            return False
        return self._words[after].clause == self._words[phrase.start].clause and not self._plain[after]

    def _take(self, phrases: Sequence[Phrase]) -> list[str]:
        """The names of the phrases whose words are still free, which then are not."""
        names = []
        for phrase in phrases:
            if not any(self._understood[phrase.start : phrase.end]):
                self._understood[phrase.start : phrase.end] = [True] * (phrase.end - phrase.start)
                names.append(phrase.name)
        return names

    def left_over(self) -> Iterator[tuple[int, int]]:
        """Where in the prompt the phrases stand that nothing understood, from `start` to `end` (exclusive)."""
        run: list[int] = []
        kept = self._kept()
        for place, word in enumerate(self._words):
            if self._understood[place] or kept[place] or (run and self._words[run[-1]].clause != word.clause):
                yield from self._trimmed(run)
                run = []
            if not self._understood[place] and not kept[place]:
                run.append(place)
        yield from self._trimmed(run)

    def _kept(self) -> list[bool]:
        """The words of clauses that ask to keep something."""
        kept, keeping, clause = [], False, -1
        for word in self._words:
            keeping = (keeping and word.clause == clause and word.text not in vocabulary.ASKING) or (
                word.text in vocabulary.KEEPING
            )
            clause = word.clause
            kept.append(keeping)
        return kept

    def _trimmed(self, run: list[int]) -> Iterator[tuple[int, int]]:
        """The run without words that ask for nothing at its ends; one determiner may stay in front."""
        content = [place for place in run if self._said[place] not in vocabulary.STOP]
        if content:
            first = content[0]
            if first - 1 in run and self._said[first - 1] in vocabulary.DETERMINERS:
                first -= 1
            yield self._words[first].start, self._words[content[-1]].end


def _ends(said: Sequence[str], phrases: Sequence[Phrase]) -> dict[int, int]:
    """Where each known phrase and colour that begins at a place ends, the longest one's end."""
    ends = {place: place + 1 for place, word in enumerate(said) if word in vocabulary.COLOUR_WORDS}
    for phrase in phrases:
        ends[phrase.start] = max(phrase.end, ends.get(phrase.start, 0))
    return ends
