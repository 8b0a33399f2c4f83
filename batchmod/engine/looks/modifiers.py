"""The modifiers there are: changes of light and colour that go with any look, or stand alone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from batchmod.engine.looks import colours, grades
from batchmod.engine.looks.catalogue import Look

Rgb = NDArray[np.uint8]

_OPACITY_POWER: Final = 0.6
"""At strength 0.6, the weakest mode's, nearly three quarters of the modifier."""
_WHOLE: Final = 0.08
"""The power for what is nothing by halves: a picture with a third of its colours is not black and white."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Modifier:
    """One modifier: the words that ask for it, and how to apply it.

    `apply(rgb, strength)`: HxWx3 uint8 to the same; strength 0 changes nothing, 1 is the modifier at its fullest.
    None has a texture, so that each may be applied to every frame alone without flicker.
    `scene`: it changes what a look is drawn from; the others change the drawing.
    """

    name: str
    words: tuple[str, ...]
    apply: Callable[[Rgb, float], Rgb]
    scene: bool = False


def _applied(grade: grades.Grade, power: float = _OPACITY_POWER) -> Callable[[Rgb, float], Rgb]:
    def apply(rgb: Rgb, strength: float) -> Rgb:
        strength = float(np.clip(strength, 0, 1))
        if strength == 0:
            return rgb.copy()
        source = rgb.astype(np.float32) / np.float32(255)
        changed = source + (grade(source) - source) * np.float32(strength**power)
        return np.clip(changed * 255 + np.float32(0.5), 0, 255).astype(np.uint8)

    return apply


MODIFIERS: Final[tuple[Modifier, ...]] = (
    Modifier(
        name="black_and_white",
        words=(
            "black and white",
            "black white",
            "b&w",
            "bw",
            "b w",
            "monochrome",
            "monochromatic",
            "greyscale",
            "grayscale",
            "colourless",
            "without colour",
            "without color",
            "no colour",
            "no color",
        ),
        apply=_applied(grades.black_and_white, _WHOLE),
    ),
    Modifier(
        name="vivid",
        words=(
            "vivid",
            "vibrant",
            "saturated",
            "more saturated",
            "more saturation",
            "high saturation",
            "colourful",
            "colorful",
            "more colourful",
            "more colorful",
            "bright colours",
            "bright colors",
            "bold colours",
            "bold colors",
            "rich colours",
            "rich colors",
            "strong colours",
            "strong colors",
        ),
        apply=_applied(grades.vivid),
    ),
    Modifier(
        name="muted",
        words=(
            "muted",
            "subdued",
            "desaturated",
            "less saturated",
            "less saturation",
            "low saturation",
            "less colourful",
            "less colorful",
            "pale colours",
            "pale colors",
        ),
        apply=_applied(grades.muted),
    ),
    Modifier(name="pastel", words=("pastel", "soft colours", "soft colors"), apply=_applied(grades.pastel)),
    Modifier(
        name="more_contrast",
        words=(
            "more contrast",
            "high contrast",
            "higher contrast",
            "strong contrast",
            "stronger contrast",
            "contrasty",
        ),
        apply=_applied(grades.more_contrast),
    ),
    Modifier(
        name="less_contrast",
        words=("less contrast", "low contrast", "lower contrast", "soft contrast", "softer contrast"),
        apply=_applied(grades.less_contrast),
    ),
    Modifier(
        name="brighter",
        words=("brighter", "bright", "lighter", "more light", "bright light", "brightly lit", "overexposed"),
        apply=_applied(grades.brighter),
    ),
    Modifier(
        name="darker",
        words=("darker", "dark", "dimmer", "dim", "dim light", "less light", "low light", "underexposed"),
        apply=_applied(grades.darker),
    ),
    Modifier(
        name="high_key",
        words=("high key", "airy", "light and airy", "bright and airy"),
        apply=_applied(grades.high_key),
    ),
    Modifier(
        name="low_key",
        words=("low key", "moody", "moodier", "dark and moody", "dramatic light", "dramatic lighting", "chiaroscuro"),
        apply=_applied(grades.low_key),
    ),
    Modifier(
        name="warmer",
        words=("warmer", "warm", "warm colours", "warm colors", "warm tones", "warm light", "warm lighting"),
        apply=_applied(grades.warmer),
    ),
    Modifier(
        name="cooler",
        words=("cooler", "colder", "cold", "cool colours", "cool colors", "cool tones", "cool light", "cool lighting"),
        apply=_applied(grades.cooler),
    ),
    Modifier(
        name="faded",
        words=("faded", "vintage", "retro", "washed out", "aged", "70s", "1970s", "seventies"),
        apply=_applied(grades.faded),
    ),
    Modifier(
        name="foggy",
        words=("foggy", "fog", "in fog", "in the fog", "misty", "mist", "in mist", "in the mist", "hazy", "haze"),
        apply=_applied(grades.foggy),
        scene=True,
    ),
)
"""In the order in which they are applied."""


def of_look(look: Look) -> Modifier:
    """A look that only changes colours, as the modifier of another look."""
    assert look.pure_colour
    return Modifier(name=look.name, words=look.words, apply=look.apply, scene=look.scene)


@lru_cache(maxsize=64)  # so that the same colours are the same modifier
def of_colours(names: tuple[str, ...]) -> Modifier:
    """The picture in the named colours, of `colours.COLOURS`."""
    grade = partial(colours.graded, names=names)
    return Modifier(name=f"in {' and '.join(names)}", words=(), apply=_applied(grade, _WHOLE))
