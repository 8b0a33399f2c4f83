"""What the numbers of a picture mean (ITU-T H.273), carried over from a source to the copy of an output."""

from dataclasses import dataclass, replace
from typing import Final

import av
from av.video.reformatter import ColorRange

from batchmod.media.reading import matrix_for

UNSAID: Final = (0, 2)
"""Numbers of primaries and transfer that say nothing."""
_HDR: Final = (16, 18)
_BT709: Final = 1
_MATRICES: Final = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
"""Those that the scaler converts between, by their numbers."""
_USUAL: Final = frozenset({1, 5, 6, 7})
"""Primaries that hardly differ: BT.709, and BT.601 in its forms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Colours:
    """The tags of a picture by their numbers; `full` is the range 0 to 255."""

    primaries: int
    transfer: int
    matrix: int
    full: bool

    @property
    def matrix_name(self) -> str:
        """As FFmpeg's scaler calls it."""
        return _MATRICES[self.matrix]

    @property
    def range_name(self) -> str:
        """As FFmpeg's scaler calls it."""
        return "full" if self.full else "limited"


def colours_of(frame: av.VideoFrame) -> Colours:
    """What a decoded frame says of itself; its matrix as players take it where it does not say."""
    is_full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj") or frame.format.is_rgb
    said = int(frame.colorspace)
    matrix = said if said in _MATRICES else int(matrix_for(frame.width, frame.height))
    return Colours(primaries=frame.color_primaries, transfer=frame.color_trc, matrix=matrix, full=is_full)


def wanted(source: Colours | None, output: Colours, *, codec: str) -> tuple[Colours, str | None]:
    """The tags of the copy, and what must be said about them.

    Matrix and range say how numbers become red, green and blue, and are reckoned with. Primaries are not: services
    take a clip's red, green and blue as they are and give such ones back, whatever they write on them.
    """
    found, note = source or output, None
    if source is not None and source.transfer in _HDR and output.transfer != source.transfer:
        found = replace(source, primaries=_BT709, transfer=_BT709, matrix=_BT709, full=False)
        note = "its source is HDR and the output is not: the copy is tagged as BT.709"
    elif source is not None and _is_another_gamut(source.primaries, output.primaries):
        note = "the output says other primaries than its source: its colours are taken for its source's"
    # A ProRes frame cannot say that its range is full.
    return (replace(found, full=False) if codec == "prores" else found), note


def _is_another_gamut(one: int, other: int) -> bool:
    return one not in UNSAID and other not in UNSAID and one != other and not {one, other} <= _USUAL
