"""The looks there are: the words that ask for each, and how it is drawn on a picture without any model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from batchmod.engine import raster
from batchmod.engine.looks import cells, colour, drawing, grids, painting
from batchmod.engine.looks.brushes import Picture

Rgb = NDArray[np.uint8]
Recipe = Callable[[Picture, float], Picture]
"""Draws a look on HxWx3 RGB in 0..1; the number is the width in pixels of the look's finest stroke."""

_OPACITY_POWER: Final = 0.4
"""Strong from early on: at strength 0.4 seven tenths of the picture are the look."""

_FINEST: Final = 0.25
"""Below this fraction of the engine's reference size strokes stop shrinking with the picture."""


@dataclass(frozen=True)
class Look:
    """One look: the words that ask for it, and how to draw it.

    `apply(rgb, strength)`: HxWx3 uint8 to the same; strength 0 changes nothing, 1 is the look at its fullest.
    `pure_colour`: no texture, so that it may be drawn on every frame alone without flicker.
    `lattice`: made of cells, which tear where the flow has no evidence.
    `scene`: where another look is drawn too, this one changes what that look is drawn from, not the drawing.
    """

    name: str
    words: tuple[str, ...]
    apply: Callable[[Rgb, float], Rgb]
    pure_colour: bool = False
    lattice: bool = False
    scene: bool = False


def _applied(recipe: Recipe) -> Callable[[Rgb, float], Rgb]:
    def apply(rgb: Rgb, strength: float) -> Rgb:
        strength = float(np.clip(strength, 0, 1))
        if strength == 0:
            return rgb.copy()
        size = max(raster.unit(rgb), _FINEST) * (0.8 + 0.3 * strength)
        opacity = np.float32(strength**_OPACITY_POWER)
        source = rgb.astype(np.float32) / np.float32(255)
        drawn = recipe(source, size)
        return np.clip((source + (drawn - source) * opacity) * 255 + np.float32(0.5), 0, 255).astype(np.uint8)

    return apply


LOOKS: Final[tuple[Look, ...]] = (
    Look(
        "pencil",
        (
            "pencil",
            "pencil drawing",
            "pencil sketch",
            "sketch",
            "graphite",
            "hand drawn",
            "hand-drawn animation",
            "drawing",
        ),
        _applied(drawing.pencil),
    ),
    Look("charcoal", ("charcoal", "charcoal drawing", "charcoal sketch", "coal drawing"), _applied(drawing.charcoal)),
    Look(
        "ink",
        (
            "ink",
            "ink drawing",
            "ink sketch",
            "pen and ink",
            "pen drawing",
            "manga",
            "line art",
            "line drawing",
            "inked",
            "black ink",
            "sumi",
        ),
        _applied(drawing.pen),
    ),
    Look(
        "engraving",
        ("engraving", "engraved", "etching", "etched", "woodcut", "linocut", "copperplate", "banknote"),
        _applied(drawing.engraving),
    ),
    Look(
        "blueprint",
        ("blueprint", "cyanotype", "technical drawing", "construction drawing"),
        _applied(drawing.blueprint),
    ),
    Look(
        "neon",
        ("neon", "neon light", "neon glow", "cyberpunk", "synthwave", "vaporwave", "retrowave", "tron"),
        _applied(drawing.neon),
    ),
    Look(
        "watercolour",
        (
            "watercolour",
            "watercolor",
            "water colour",
            "water color",
            "watercolour painting",
            "watercolor painting",
            "aquarelle",
            "gouache",
        ),
        _applied(painting.watercolour),
    ),
    Look(
        "oil",
        (
            "oil",
            "oil painting",
            "oil paint",
            "oil on canvas",
            "oil colour",
            "oil color",
            "impasto",
            "painting",
            "hand painted",
            "painterly",
            "impressionist",
            "impressionism",
            "van gogh",
            "monet",
            "brush stroke",
            "brushstroke",
            "acrylic",
        ),
        _applied(painting.oil),
    ),
    Look(
        "cel",
        (
            "cel",
            "cel shading",
            "cel shaded",
            "cell shading",
            "cell shaded",
            "anime",
            "cartoon",
            "cartoonish",
            "toon",
            "animation",
            "ghibli",
            "2d animation",
            "animated film",
            "flat colour",
            "flat color",
        ),
        _applied(painting.cel),
    ),
    Look(
        "comic",
        (
            "comic",
            "comic book",
            "halftone",
            "half tone",
            "pop art",
            "graphic novel",
            "ben day",
            "lichtenstein",
            "newspaper print",
        ),
        _applied(painting.comic),
        lattice=True,
    ),
    Look(
        "clay",
        (
            "clay",
            "claymation",
            "clay animation",
            "plasticine",
            "play doh",
            "playdough",
            "stop motion",
            "modelling clay",
            "modeling clay",
        ),
        _applied(painting.clay),
    ),
    Look("mosaic", ("mosaic", "mosaic tile", "tesserae"), _applied(cells.mosaic), lattice=True),
    Look(
        "stained_glass",
        ("stained glass", "stained glass window", "leaded glass", "church window", "cathedral glass"),
        _applied(cells.stained_glass),
        lattice=True,
    ),
    Look(
        "pixel_art",
        (
            "pixel",
            "pixel art",
            "pixelated",
            "8 bit",
            "8bit",
            "16 bit",
            "16bit",
            "retro game",
            "retro video game",
            "video game sprite",
        ),
        _applied(grids.pixel_art),
        lattice=True,
    ),
    Look(
        "knit",
        (
            "knit",
            "knitted",
            "knitting",
            "knitwear",
            "yarn",
            "yarn doll",
            "crochet",
            "crocheted",
            "amigurumi",
            "made of wool",
            "wool doll",
        ),
        _applied(grids.knit),
        lattice=True,
    ),
    Look(
        "cross_stitch",
        (
            "cross stitch",
            "cross stitched",
            "crossstitch",
            "stitched",
            "stitch",
            "embroidery",
            "embroidered",
            "needlepoint",
            "needlework",
        ),
        _applied(grids.cross_stitch),
        lattice=True,
    ),
    Look(
        "sepia",
        (
            "sepia",
            "sepia tone",
            "daguerreotype",
            "old photograph",
            "old photo",
            "vintage photograph",
            "vintage photo",
            "vintage film",
            "antique photo",
        ),
        _applied(colour.sepia),
        pure_colour=True,
    ),
    Look(
        "noir",
        ("noir", "film noir", "silent film", "detective film"),
        _applied(colour.noir),
        pure_colour=True,
    ),
    Look(
        "night",
        (
            "night",
            "at night",
            "nighttime",
            "night time",
            "night scene",
            "midnight",
            "moonlight",
            "moonlit",
            "by moonlight",
            "after dark",
        ),
        _applied(colour.night),
        pure_colour=True,
    ),
    Look(
        "golden_hour",
        (
            "golden hour",
            "sunset",
            "sunrise",
            "at sunset",
            "at sunrise",
            "evening",
            "evening sun",
            "golden light",
            "warm sunlight",
            "dusk",
            "dawn",
        ),
        _applied(colour.golden_hour),
        pure_colour=True,
    ),
    Look(
        "autumn",
        (
            "autumn",
            "autumnal",
            "in autumn",
            "fall leaves",
            "autumn leaves",
            "fall foliage",
            "fall colours",
            "fall colors",
            "in the fall",
        ),
        _applied(colour.autumn),
        pure_colour=True,
        scene=True,
    ),
    Look(
        "winter",
        (
            "winter",
            "wintry",
            "in winter",
            "snow",
            "snowy",
            "snow covered",
            "frost",
            "frosty",
        ),
        _applied(colour.winter),
        pure_colour=True,
        scene=True,
    ),
)


def names() -> tuple[str, ...]:
    """The names of all looks, in their order."""
    return tuple(look.name for look in LOOKS)
