"""The start timecode of a clip (SMPTE ST 12), as QuickTime's tmcd track and other containers' tags keep it."""

import re
from fractions import Fraction
from typing import Final

from av.container import InputContainer

_TIMECODE: Final = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d\d?)")
_DROPPING: Final = (Fraction(30000, 1001), Fraction(60000, 1001))
"""The rates at which frame numbers may be dropped, so that timecode keeps up with the clock."""
_DROP: Final = ";."


def timecode_of(container: InputContainer) -> str | None:
    """`01:00:00:00`, with `;` before the frames where it drops; None where the clip has none."""
    tagged = (container.metadata, *(stream.metadata for stream in container.streams))
    for tags in tagged:
        for name, value in tags.items():
            if name.casefold() == "timecode" and (found := _TIMECODE.fullmatch(value.strip())):
                hours, minutes, seconds, sign, frames = found.groups()
                return f"{hours}:{minutes}:{seconds}{';' if sign in _DROP else ':'}{frames}"
    return None


def at_rate(timecode: str, was: Fraction, rate: Fraction) -> str:
    """The same moment of the clock at another rate: the frame within its second is counted anew."""
    if was == rate:
        return timecode
    head, frames = timecode[:8], int(timecode[9:])
    counted, per_second = round(was), round(rate)
    drops = ";" if timecode[8] == ";" and rate in _DROPPING else ":"
    number = min(per_second - 1, round(Fraction(frames * per_second, counted)))
    if drops == ";" and head[6:] == "00" and head[4] != "0" and number < per_second // 15:
        number = per_second // 15  # the first numbers of such a minute do not exist
    return f"{head}{drops}{number:02d}"
