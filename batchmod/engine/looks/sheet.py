"""Draws the contact sheet: one picture in every look and with every modifier, each with its name and words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from batchmod.engine import raster
from batchmod.engine.looks.catalogue import LOOKS
from batchmod.engine.looks.modifiers import MODIFIERS, of_colours
from batchmod.engine.looks.words import tokens

Rgb = NDArray[np.uint8]

_COLUMNS: Final = 4
_TILE_WIDTH: Final = 400
_DRAWN_SIDE: Final = 270
"""Pixels of the shorter side at which the looks are drawn: their textures are then seen on the sheet."""
_LONGEST_RATIO: Final = 4.0
_GAP: Final = 12
_LABEL: Final = 46
_PAGE: Final = 250
_INK: Final = (24, 24, 28)
_FAINT: Final = (112, 112, 120)
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_PALETTES: Final = (("blue",), ("teal", "orange"), ("red", "black"))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tile:
    name: str
    words: str
    apply: Callable[[Rgb, float], Rgb]


def sheet(rgb: Rgb, *, strength: float = 1.0) -> Rgb:
    """A page with the picture (HxWx3) as it is, in every look, and with every modifier, at `strength` 0..1."""
    picture = _fitted(rgb)
    cells = [_cell(tile, picture, strength) for tile in _tiles()]
    blank = np.full_like(cells[0], _PAGE)
    cells += [blank] * (-len(cells) % _COLUMNS)
    rows = [np.hstack(cells[start : start + _COLUMNS]) for start in range(0, len(cells), _COLUMNS)]
    return np.pad(np.vstack(rows), ((_GAP, 0), (_GAP, 0), (0, 0)), constant_values=_PAGE)


def _tiles() -> Iterator[_Tile]:
    yield _Tile(name="the picture", words="as it is", apply=lambda rgb, _strength: rgb)
    yield from (_Tile(name=look.name, words=_words(look.name, look.words), apply=look.apply) for look in LOOKS)
    for modifier in MODIFIERS:
        yield _Tile(name=modifier.name, words=_words(modifier.name, modifier.words), apply=modifier.apply)
    for names in _PALETTES:
        graded = of_colours(names)
        yield _Tile(name=graded.name, words="or any of the colours", apply=graded.apply)


def _words(name: str, words: Sequence[str]) -> str:
    """The words that say more than the name, or all where none does."""
    others = [word for word in words if tokens(word)[0] != tokens(name)[0]]
    return ", ".join((others or words)[:6])


def _fitted(rgb: Rgb) -> Rgb:
    """The picture at the size at which it is drawn; very long ones are cut to their middle."""
    height, width = rgb.shape[:2]
    wide, high = min(width, int(height * _LONGEST_RATIO)), min(height, int(width * _LONGEST_RATIO))
    left, top = (width - wide) // 2, (height - high) // 2
    scale = _DRAWN_SIDE / min(wide, high)
    cut = np.ascontiguousarray(rgb[top : top + high, left : left + wide])
    return raster.resized(cut, max(1, round(wide * scale)), max(1, round(high * scale)))


def _cell(tile: _Tile, picture: Rgb, strength: float) -> Rgb:
    """A drawn tile with its label below and a gap beside."""
    drawn = tile.apply(picture, strength)
    height = max(1, round(drawn.shape[0] * _TILE_WIDTH / drawn.shape[1]))
    cell = np.full((height + _LABEL + _GAP, _TILE_WIDTH + _GAP, 3), _PAGE, np.uint8)
    cell[:height, :_TILE_WIDTH] = raster.resized(drawn, _TILE_WIDTH, height)
    _write(cell, tile.name, height + 19, scale=0.55, colour=_INK)
    _write(cell, _cut_to(tile.words, 0.42), height + 38, scale=0.42, colour=_FAINT)
    return cell


def _write(cell: Rgb, text: str, baseline: int, *, scale: float, colour: tuple[int, int, int]) -> None:
    cv2.putText(cell, text, (1, baseline), _FONT, scale, colour, 1, cv2.LINE_AA)


def _cut_to(text: str, scale: float) -> str:
    """As many of the words as fit under a tile."""
    while cv2.getTextSize(text, _FONT, scale, 1)[0][0] > _TILE_WIDTH and ", " in text:
        text = text.rpartition(", ")[0]
    return text
