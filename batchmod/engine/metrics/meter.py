"""Sums up a clip: every metric, frame by frame, in memory that does not grow."""

from dataclasses import dataclass

from batchmod.engine.metrics.moving import MotionAgreement, MotionMeter, WarpErrorMeter, WarpErrors
from batchmod.engine.metrics.pictures import psnr, structure
from batchmod.engine.metrics.source import WORKING_PIXELS, SourceTrack, Step
from batchmod.engine.metrics.stillness import Stillness, StillnessMeter
from batchmod.engine.metrics.styles import StyleMeter, StyleOverTime
from batchmod.engine.metrics.timeline import Timeline
from batchmod.engine.raster import Rgb, resized

EXACT = 100.0
"""dB that stand for equal pictures."""
_SAME_SHAPE = 0.02
"""Relative difference of the aspect ratios up to which a picture counts as unstretched."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """What was measured on one clip; None where a clip is too short or too small for a number."""

    frames: int
    """Pairs that were compared."""
    warp: WarpErrors
    motion: MotionAgreement
    first_frame: float | None
    """PSNR of the first output frame to the given one at the output's size, in dB, 100 for equal pictures.

    None where none was given.
    """
    structure: float | None
    """Mean likeness of shapes to the source's; see `structure`."""
    style: StyleOverTime
    stillness: Stillness
    same_shape: bool
    """Whether the output has the source's aspect ratio; if not it was stretched, and motion and structure suffer."""


class QualityMeter:
    """Measures a clip while its frames go by; `reference` is the edited first frame, where there is one.

    The output may be of any size: it is resized to the working size. For one of another rate see `paired`.
    Of frames after the first, structure and style are measured at every `every`-th, and more rarely in long clips.
    """

    def __init__(self, reference: Rgb | None = None, *, largest: int = WORKING_PIXELS, every: int = 4) -> None:
        self._track = SourceTrack(largest)
        self._reference = reference
        self._warp, self._motion, self._still = WarpErrorMeter(), MotionMeter(every), StillnessMeter()
        self._style, self._structure = StyleMeter(reference, every), Timeline(every)
        self._first_frame: float | None = None
        self._same_shape = True
        self._frames = 0

    def add(self, source: Rgb, output: Rgb) -> None:
        """Judge the next frame."""
        self.judge(self._track.advance(source), output)

    def judge(self, step: Step, output: Rgb) -> None:
        """The same with a step of a `SourceTrack`, which several meters can share."""
        if not self._frames:
            shape, other = step.frame.shape, output.shape
            self._same_shape = abs(shape[1] * other[0] / (shape[0] * other[1]) - 1) <= _SAME_SHAPE
            if self._reference is not None:
                self._first_frame = min(EXACT, psnr(output, resized(self._reference, other[1], other[0])))
        output = step.fitted(output)
        self._frames += 1
        for meter in (self._warp, self._motion, self._still, self._style):
            meter.add(step, output)
        if self._structure.wants(step.number):
            self._structure.add(step.number, structure(output, step.frame))

    def result(self) -> Quality:
        """What was measured so far."""
        values = [value for _, value in self._structure.points]
        return Quality(
            frames=self._frames,
            warp=self._warp.result(),
            motion=self._motion.result(),
            first_frame=self._first_frame,
            structure=sum(values) / len(values) if values else None,
            style=self._style.result(),
            stillness=self._still.result(),
            same_shape=self._same_shape,
        )
