"""Makes of a video a light one to send: small H.264 in MP4, index first, with its clock and its sound."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from batchmod.media.reading import read_frames
from batchmod.media.writing import VideoWriter


def proxy(source: Path, target: Path, *, longest: int, bit_rate: int) -> None:
    """Write `source` anew as `target`, no side longer than `longest` pixels and even, at most `bit_rate` bits a second.

    Raises MediaError as `read_frames` does.
    """
    with VideoWriter(target, like=source, bit_rate=bit_rate) as writer:
        for frame in read_frames(source):
            writer.write(_small(frame.rgb, longest), frame.pts)


def _small(rgb: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    scale = min(Fraction(1), Fraction(longest, max(width, height)))
    small = [max(2, 2 * round(side * scale / 2)) for side in (width, height)]
    if small == [width, height]:
        return rgb
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    made = frame.reformat(width=small[0], height=small[1], format="rgb24", interpolation=Interpolation.AREA)
    return made.to_ndarray().astype(np.uint8, copy=False)
