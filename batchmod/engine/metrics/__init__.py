"""What a modified clip is judged by, without weights of any network; the numbers only mean something together.

Mush has the lowest warp error, noise the greatest sharpness, an untouched source the best structure and motion:
read warp error with sharpness and style distance, and structure with the mode that was asked for.

`QualityMeter` takes (source frame, output frame) one by one and sums up in a `Quality`; its memory does not grow
with the clip. `paired` brings clips of different rates together. Everything is computed at one working size, the
source's shape at no more than `WORKING_PIXELS`, to which frames of any other size are resized; distances
are pixels and levels (0..255) of that size.
"""

from batchmod.engine.metrics.meter import Quality, QualityMeter
from batchmod.engine.metrics.motion import motions, warp_error
from batchmod.engine.metrics.moving import MotionAgreement, MotionMeter, WarpErrorMeter, WarpErrors
from batchmod.engine.metrics.pairing import Pair, Timed, paired
from batchmod.engine.metrics.pictures import Style, StyleDistance, psnr, sharpness, structure, style_distance
from batchmod.engine.metrics.source import WORKING_PIXELS, SourceTrack, Step
from batchmod.engine.metrics.stillness import Stillness, StillnessMeter
from batchmod.engine.metrics.styles import StyleMeter, StyleOverTime
from batchmod.engine.metrics.timeline import Timeline

__all__ = [
    "WORKING_PIXELS",
    "MotionAgreement",
    "MotionMeter",
    "Pair",
    "Quality",
    "QualityMeter",
    "SourceTrack",
    "Step",
    "Stillness",
    "StillnessMeter",
    "Style",
    "StyleDistance",
    "StyleMeter",
    "StyleOverTime",
    "Timed",
    "Timeline",
    "WarpErrorMeter",
    "WarpErrors",
    "motions",
    "paired",
    "psnr",
    "sharpness",
    "structure",
    "style_distance",
    "warp_error",
]
