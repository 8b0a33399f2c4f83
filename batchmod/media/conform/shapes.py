"""Where a picture of one shape goes in a frame of another, without a distorted pixel unless that is wished."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

_ALIKE: Final = Fraction(1, 100)
"""Shapes that differ by less are one: services round sizes to multiples of 8 or 16."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A frame's size in stored pixels, and a pixel's width by its height."""

    width: int
    height: int
    pixel: Fraction = Fraction(1)

    @property
    def seen(self) -> Fraction:
        """Width by height as a player shows it."""
        return self.width * self.pixel / self.height

    @property
    def words(self) -> str:
        """The size, for people."""
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Placing:
    """How large a picture is drawn, and whether what is around it is filled or what is beyond is cut."""

    width: int
    height: int
    changed: Literal["padded", "cropped", "stretched"] | None = None


def placed(picture: Shape, frame: Shape, *, fit: Literal["pad", "crop", "stretch"]) -> Placing:
    """A picture in a frame.

    A service that overlooks pixels that are not square gives back a picture of the stored shape: it fills the frame.
    """
    stored = Fraction(frame.width, frame.height)
    as_stored = picture.pixel == 1 and _alike(picture.seen, stored)
    if as_stored or _alike(picture.seen, frame.seen):
        return Placing(width=frame.width, height=frame.height)
    if fit == "stretch":
        return Placing(width=frame.width, height=frame.height, changed="stretched")
    by_width = (picture.seen > frame.seen) == (fit == "pad")
    if by_width:
        height = _even(frame.height * frame.seen / picture.seen)
        return Placing(width=frame.width, height=height, changed="padded" if fit == "pad" else "cropped")
    width = _even(frame.width * picture.seen / frame.seen)
    return Placing(width=width, height=frame.height, changed="padded" if fit == "pad" else "cropped")


def _alike(one: Fraction, other: Fraction) -> bool:
    return abs(one / other - 1) < _ALIKE


def _even(size: Fraction) -> int:
    return max(2, 2 * round(size / 2))
