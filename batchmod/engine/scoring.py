"""Measures an output against its source at a few dozen moments, whatever the rate, size and length of the two.

Frames are paired by the time at which they are shown, at one small size, the source's shape. At each moment two
frames of each clip are looked at, `STEP_S` apart; the cost of that does not grow with the clips, only decoding does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np

from batchmod import media
from batchmod.engine.flow import FlowEstimator, along
from batchmod.engine.metrics.meter import EXACT
from batchmod.engine.metrics.pictures import Style, psnr, structure
from batchmod.engine.metrics.source import working_size
from batchmod.engine.raster import CUBIC, Points, Rgb, length, luma, resized, sampled
from batchmod.engine.shots import CutDetector
from batchmod.engine.stretches import Stretch, black, frozen

PIXELS: Final = 320 * 180
"""Of the largest picture that is compared as it is."""
MOMENTS: Final = 24
"""Spread evenly over what both clips show."""
STEP_S: Final = 1 / 12
"""Between the two frames of a moment; longer where a clip has fewer frames."""
_GLANCES_PER_S: Final = 12
_MOST_GLANCES: Final = 1200
_FALLBACK_RATE: Final = 25.0
_MOVES: Final = 0.5
"""Pixels between two frames from which on a place moves; the flow of what stands is not more exact."""
_MOVING_SHARE: Final = 0.005
"""Of the pixels that can be followed: where fewer move, there is no motion that could be kept."""
_STRETCH: Final = (0.55, 1.8)
"""By how much the output's motion between two frames may be the longer one: clips of other rates show other moments,
up to half a frame away."""
_RESTLESS: Final = 0.5
"""Levels; a source steadier than this is taken to be this unsteady, so that no ratio explodes."""
_FLAT: Final = 4.0
"""Levels of contrast that any picture is taken to have."""
_STYLES: Final = 3
"""Frames at each end of a clip that its look is taken from."""
_FEWEST: Final = 10
"""Moments below which a clip has no beginning and no end."""
_SMALLEST_SIDE: Final = 16


class Moment(NamedTuple):
    """Two frames of a clip, shortly after each other, at the working size."""

    before: Rgb
    now: Rgb


@dataclass(frozen=True, kw_only=True, slots=True)
class Looks:
    """Distances between looks, in levels: of texture and of colour, as `StyleDistance` has them, added up."""

    output: float
    """Between the beginning of the output and its end."""
    source: float
    """The same of the source, where other things come into view."""
    apart: float
    """Between the two at the beginning: how far the look is from the source."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What was seen of an output; None where it cannot be said."""

    moments: int
    cuts: int
    """Of the source."""
    agreement: float | None
    """0..1: the mean over the moments of 1 - |difference of the flows| / (|one| + |other|), summed over all that moves
    and weighed by how much that is; None where the source stands."""
    restlessness: float | None
    """Temporal warp error (Lai et al. 2018) by contrast, as a multiple of the source's own: 1 as steady as that."""
    structure: float | None
    """Mean SSIM contrast-structure, -1..1."""
    first_frame: float | None
    """PSNR to the first frame that was given, in dB, 100 for equal pictures."""
    looks: Looks | None
    """None for short or tiny clips, and where the source has a cut."""
    black: tuple[Stretch, ...]
    """Where the output is black and the source is not."""
    frozen: tuple[Stretch, ...]
    """Where the output stands still and the source moves."""


def measure(source: Path, output: Path, first_frame: Path | None) -> Measured:
    """Measure a whole output. Raises MediaError where one of the files cannot be read."""
    own, made = media.probe_video(source), media.probe_video(output)
    size = working_size(own.width, own.height, PIXELS)
    shared_s = min(own.duration_s or 0.0, made.duration_s or 0.0)
    step_s = max(STEP_S, *(1 / float(facts.fps or _FALLBACK_RATE) for facts in (own, made)))
    starts = np.linspace(0.0, max(0.0, shared_s - step_s), MOMENTS).tolist()
    spacing_s = max(1 / _GLANCES_PER_S, shared_s / _MOST_GLANCES)
    pictures = sorted({*starts, *(start + step_s for start in starts)})
    glances = np.arange(0.0, shared_s, spacing_s).tolist()
    one, other = (media.sample(clip, pictures=pictures, glances=glances, size=size) for clip in (source, output))
    reach = dict(zip(pictures, range(min(len(one.pictures), len(other.pictures))), strict=False))
    places = [(reach[at], reach[at + step_s]) for at in starts if at + step_s in reach]
    reference = None if first_frame is None else resized(media.read_image(first_frame), *size)
    theirs = other.pictures[0].rgb if other.pictures else None
    return compared(
        _moments(one.pictures, places),
        _moments(other.pictures, places),
        first_frame=None if reference is None or theirs is None else min(EXACT, psnr(theirs, reference)),
        black=black(other.glances, one.glances, spacing_s),
        frozen=frozen(other.glances, one.glances, spacing_s),
    )


def _moments(pictures: Sequence[media.Taken], places: Sequence[tuple[int, int]]) -> list[Moment]:
    return [Moment(pictures[before].rgb, pictures[now].rgb) for before, now in places]


def compared(
    source: Sequence[Moment],
    output: Sequence[Moment],
    *,
    first_frame: float | None = None,
    black: tuple[Stretch, ...] = (),
    frozen: tuple[Stretch, ...] = (),
) -> Measured:
    """Compare the same moments of two clips, all of one size; what was seen of the whole clips is passed on."""
    cut, cuts = _cuts(source)
    motion = _Motion()
    likeness = [structure(theirs.now, own.now) for own, theirs in zip(source, output, strict=True)]
    for number, (own, theirs) in enumerate(zip(source, output, strict=True)):
        if number not in cut:
            motion.add(own, theirs)
    return Measured(
        moments=len(source),
        cuts=cuts,
        agreement=motion.agreement,
        restlessness=motion.restlessness,
        structure=float(np.mean(likeness)) if likeness else None,
        first_frame=first_frame,
        looks=None if cuts else _looks(source, output),
        black=black,
        frozen=frozen,
    )


def _cuts(clip: Sequence[Moment]) -> tuple[set[int], int]:
    """The moments with a cut between their two frames, and how many cuts were seen at all."""
    detector, within, count = CutDetector(), set[int](), 0
    for number, moment in enumerate(clip):
        count += detector.is_cut(moment.before)
        if detector.is_cut(moment.now):
            count += 1
            within.add(number)
    return within, count


class _Motion:
    """Follows both clips from moment to moment."""

    def __init__(self) -> None:
        self._own, self._theirs = FlowEstimator(), FlowEstimator()
        self._shared = self._weights = 0.0
        self._moving = self._followed = 0
        self._restless: list[float] = []
        self._own_restless: list[float] = []

    def add(self, own: Moment, theirs: Moment) -> None:
        """Judge a moment."""
        motion = self._own.motion(luma(own.now), luma(own.before))
        trusted = motion.trusted
        if not trusted.any():
            return
        flow = self._theirs.flow(luma(theirs.now), luma(theirs.before))
        expected = motion.backward * np.float32(_stretch(motion.backward[trusted], flow[trusted]))
        speeds = length(expected), length(flow)
        self._followed += int(trusted.sum())
        self._moving += int((trusted & (length(motion.backward) >= _MOVES)).sum())
        moves = trusted & ((speeds[0] >= _MOVES) | (speeds[1] >= _MOVES))
        amounts = [float(speed[moves].sum(dtype=np.float64)) for speed in speeds]
        if weight := max(amounts):
            apart = float(length(flow - expected)[moves].sum(dtype=np.float64))
            self._shared += weight * (1 - apart / sum(amounts))
            self._weights += weight
        self._restless.append(_left(theirs, expected)[trusted].mean() / _contrast(theirs))
        self._own_restless.append(max(_RESTLESS, _left(own, motion.backward)[trusted].mean()) / _contrast(own))

    @property
    def agreement(self) -> float | None:
        if not self._followed or self._moving / self._followed < _MOVING_SHARE:
            return None
        return self._shared / self._weights

    @property
    def restlessness(self) -> float | None:
        return float(np.sum(self._restless) / np.sum(self._own_restless)) if self._restless else None


def _stretch(own: Points, theirs: Points) -> float:
    """The factor by which the source's motion fits the output's best; 1 where rates cannot explain it."""
    power = float(np.square(own).sum(dtype=np.float64))
    best = float(np.multiply(own, theirs).sum(dtype=np.float64)) / power if power else 1.0
    return best if _STRETCH[0] <= best <= _STRETCH[1] else 1.0


def _left(moment: Moment, backward: Points) -> Points:
    """What is left of the difference of the two frames when the first one is moved, in levels."""
    return np.asarray(cv2.absdiff(sampled(moment.before, along(backward), CUBIC), moment.now).mean(-1), np.float32)


def _contrast(moment: Moment) -> float:
    return max(_FLAT, float(luma(moment.now).std()))


def _looks(source: Sequence[Moment], output: Sequence[Moment]) -> Looks | None:
    """The looks at the beginning, once its first tenth is over, and at the end."""
    count = len(source)
    if count < _FEWEST or min(source[0].now.shape[:2]) < _SMALLEST_SIDE:
        return None
    first = count // 10
    early, late = range(first, first + _STYLES), range(count - _STYLES, count)
    own, made = ({place: Style(clip[place].now) for place in (*early, *late)} for clip in (source, output))
    return Looks(
        output=_mean_distance((made[a], made[b]) for a, b in zip(early, late, strict=True)),
        source=_mean_distance((own[a], own[b]) for a, b in zip(early, late, strict=True)),
        apart=_mean_distance((own[place], made[place]) for place in early),
    )


def _mean_distance(pairs: Iterable[tuple[Style, Style]]) -> float:
    found = [one.apart(other) for one, other in pairs]
    return float(np.mean([each.texture + each.colour for each in found]))
