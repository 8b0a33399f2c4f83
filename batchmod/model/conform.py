"""How an output is made fit for use beside its source: the settings of a delivered copy."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

_FORM: Final = 1
"""Of what is made of the same settings: another number, and every copy is made anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conform:
    """What a delivered copy takes from its source, what from the provider's output."""

    codec: Literal["h264", "prores"]
    sound: Literal["source", "output", "none"]
    fps: Literal["source", "output"] | Fraction
    size: Literal["source", "output"]
    fit: Literal["pad", "crop", "stretch"]
    duration: Literal["source", "output"]
    hold_s: float
    """For how long, in seconds, the last frame of an output may stand that is shorter than its source."""
    fetch: bool
    """Whether clips that rows name by a URL are fetched."""

    @property
    def recipe(self) -> str:
        """What comes out: two copies with one recipe, of one output and one source, are the same."""
        parts = (self.codec, self.sound, str(self.fps), self.size, self.fit, self.duration, f"{self.hold_s:g}")
        return " ".join((str(_FORM), *parts))

    @property
    def suffix(self) -> str:
        """Of a copy's file: ProRes lives in QuickTime files."""
        return ".mov" if self.codec == "prores" else ".mp4"

    @property
    def needs_source(self) -> bool:
        """Whether anything of the source goes into the copy."""
        return "source" in (self.sound, self.fps, self.size, self.duration)
