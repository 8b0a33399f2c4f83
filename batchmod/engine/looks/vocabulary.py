"""The words of a prompt that ask for nothing by themselves."""

from typing import Final

from batchmod.engine.looks.colours import COLOURS, SPELLINGS


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS: Final = _set("a an the this that these those her his their its my our your some one two three")
"""They stay before a phrase that is quoted."""

TONES: Final = _set(
    "tone tint hue shade palette colour color scheme grade grading light lighting lit filter wash cast duotone tritone "
    "tinted toned theme style look only monochrome"
)
"""After or before a colour, they say that the whole picture is meant."""

STOP: Final = (
    DETERMINERS
    | TONES
    | _set(
        "and or but instead with of in on at by for from to into onto as like than over under through across out up "
        "down off "
        "it them they he she him hers we i you me us there here is are be being was were will would should shall can "
        "could may must do does did done has have had not so too very much more most less slightly little bit quite "
        "rather really strongly fully completely totally entirely just also all every everything whole entire overall "
        "each both now again please want need let get give given put add make made making turn turned turning "
        "transform convert change changed render rendered restyle style stylise stylize stylised stylized redraw draw "
        "drawn drawing paint painted painting repaint apply use using create generate show shown see seen appear seem "
        "become becoming set setting "
        "aesthetic effect feel mood atmosphere vibe appearance impression touch kind sort type version technique "
        "medium art artwork artistic illustration illustrated picture image photo photograph photography "
        "film movie video clip footage scene shot frame sequence animated animation sketch sketched canvas "
        "paper page panel sheet print printed poster book card landscape scenery "
        "portrait view weather season time day "
        "hand handmade brush stroke line outline contour hatched hatching texture detail detailed pattern edge surface "
        "thick thin fine bold rough soft loose clean crisp sharp smooth gentle subtle strong heavy simple elegant "
        "beautiful nice pretty lovely stunning gorgeous high low quality resolution hd 4k 8k masterpiece professional "
        "classic traditional same"
    )
)
"""Words of asking, of pictures in general, and of grammar."""

GENERIC: Final = frozenset({
    ("painting",),
    ("painterly",),
    ("hand", "painted"),
    ("brush", "stroke"),
    ("brushstroke",),
    ("sketch",),
    ("drawing",),
    ("hand", "drawn"),
    ("animation",),
    ("animated", "film"),
})  # fmt: skip
"""Phrases that mean a look only where no other look is named: a watercolour sketch is a watercolour."""

KEEPING: Final = _set("keep keeping preserve preserving retain retaining maintain maintaining")
"""What follows one of these is granted: the engine keeps what is in the picture."""

ASKING: Final = _set("add put give insert place replace remove turn make wear change")
"""They end what `KEEPING` began."""

NEGATING: Final = _set("not no never without instead rather nor neither avoid avoiding dont doesnt isnt wont shouldnt")
"""What is named after one of these is not wanted."""

SCENIC: Final = _set("snowy wintry frosty autumnal moonlit foggy misty hazy")
"""They mean the whole picture also before the name of a thing: a snowy hill, but not a warm coat."""

NEUTRAL: Final = _set("black white grey silver")
"""Alone they are the colour of a thing or of nothing; together, black and white."""

COLOUR_WORDS: Final = frozenset(COLOURS) | frozenset(SPELLINGS)
