"""Clips made here, the ways of styling them that the engine is measured against, and the bars it must clear."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from batchmod.engine import metrics
from batchmod.engine.flow import along
from batchmod.engine.metrics import Quality, QualityMeter, SourceTrack, Step
from batchmod.engine.modes import MODES
from batchmod.engine.raster import CUBIC, Points, Rgb, own_positions, sampled
from batchmod.engine.synth import Synthesizer
from tests.engine.pictures import noise

Look = Callable[[Rgb], Rgb]
Frames = Sequence[Rgb]


@cache
def scene(width: int, height: int, seed: int = 0) -> Rgb:
    """A picture with shapes, shading and texture at several scales, so that flow has something to hold on to."""
    rng = np.random.default_rng(seed)
    tint = rng.uniform(0.4, 1.1, 3).astype(np.float32)
    picture: NDArray[np.float32] = noise(width, height, seed=seed, sigma=height / 5).astype(np.float32) * tint
    for _ in range(60):
        centre = int(rng.integers(width)), int(rng.integers(height))
        axes = (
            int(rng.integers(height // 30 + 2, height // 6 + 3)),
            int(rng.integers(height // 30 + 2, height // 8 + 3)),
        )
        colour = [float(level) for level in rng.integers(20, 235, 3)]
        cv2.ellipse(picture, centre, axes, float(rng.integers(180)), 0, 360, colour, -1, cv2.LINE_AA)
    for sigma, share in ((1.0, 0.10), (2.5, 0.15), (6.0, 0.15)):
        picture += share * (noise(width, height, seed=seed + 1, sigma=sigma).astype(np.float32) - 128)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def turning(count: int, width: int, height: int) -> list[Rgb]:
    """A camera that pans, turns and closes in on a scene."""
    large = scene(width * 2, height * 2)
    return [_seen(large, width, height, angle=0.25 * k, zoom=1 + 0.004 * k, x=0.9 * k, y=0.3 * k) for k in range(count)]


def occluded(count: int, width: int, height: int) -> list[Rgb]:
    """A slow pan that something large crosses, hiding and revealing a third of the picture."""
    background, foreground = scene(width * 2, height * 2, seed=2), scene(width, height, seed=9)
    clip = []
    for k in range(count):
        frame = _seen(background, width, height, angle=0.0, zoom=1.0, x=0.5 * k, y=0.0)
        centre = int(width * (-0.2 + 1.4 * k / (count - 1))), height // 2
        mask = cv2.circle(np.zeros((height, width), np.float32), centre, int(height * 0.38), 1.0, -1, cv2.LINE_AA)
        moved = np.roll(foreground, centre[0] - width // 2, 1)
        clip.append(np.asarray(frame + (moved.astype(np.float32) - frame) * mask[..., None], np.uint8))
    return clip


def talking(count: int, width: int, height: int) -> list[Rgb]:
    """A camera that hardly moves, a mouth that opens and closes, and light that changes."""
    large = scene(width * 2, height * 2, seed=4)
    clip = []
    for k in range(count):
        frame = _seen(large, width, height, angle=0.0, zoom=1.0, x=2 * np.sin(k / 5), y=np.cos(k / 7))
        opening = int(height * 0.09 * (1 - np.cos(k / 2)) / 2)
        cv2.ellipse(
            frame, (width // 2, height // 2), (height // 8, 1 + opening), 0, 0, 360, (60, 12, 20), -1, cv2.LINE_AA
        )
        clip.append(np.asarray(frame * (0.9 + 0.1 * np.cos(k / 6)), np.uint8))
    return clip


def _seen(large: Rgb, width: int, height: int, *, angle: float, zoom: float, x: float, y: float) -> Rgb:
    """What a camera sees of a picture of twice its size."""
    matrix = cv2.getRotationMatrix2D((width, height), angle, zoom)
    matrix[:, 2] -= np.array([width / 2 + x, height / 2 + y])
    flags = cv2.INTER_CUBIC
    return cv2.warpAffine(large, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT).astype(np.uint8)


MADE: dict[str, Callable[[int, int, int], list[Rgb]]] = {"turning": turning, "occluded": occluded, "talking": talking}


def flat(rgb: Rgb) -> Rgb:
    """A smooth look: flat tones in other colours, with dark outlines."""
    smooth = cv2.bilateralFilter(cv2.bilateralFilter(rgb, 9, 35, 7), 9, 35, 7)
    tones = cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY).astype(np.float32)
    steps_ = tones / 255 * 6
    base = np.floor(steps_)
    level = (base + np.clip((steps_ - base - 0.5) * 5 + 0.5, 0, 1)) / 6
    light, dark = np.array([255, 225, 170], np.float32), np.array([10, 60, 100], np.float32)
    tint = dark + (light - dark) * level[..., None]
    lines = cv2.GaussianBlur(tones, (0, 0), 1.0) - cv2.GaussianBlur(tones, (0, 0), 1.8)
    ink = np.clip(1 + lines / 4, 0.15, 1)[..., None]
    return np.asarray(np.clip((0.5 * smooth + 0.5 * tint) * ink, 0, 255), np.uint8)


def steps(frames: Frames, *, largest: int = 1280 * 720) -> list[Step]:
    """A short clip's steps, to be shared between several outputs."""
    track = SourceTrack(largest)
    return [track.advance(frame) for frame in frames]


def engine(frames: Frames, style: Rgb, mode: str = "flex_3", *, patch: int = 5) -> Iterator[Rgb]:
    """The engine itself."""
    synthesizer = Synthesizer(frames[0], style, MODES[mode], patch=patch)
    yield synthesizer.first()
    for frame in frames[1:]:
        yield synthesizer.step(frame)


def flow_warp(clip: Sequence[Step], style: Rgb) -> Iterator[Rgb]:
    """The style pulled through the chained flow, always from the first frame: it smears what is new."""
    points: Points = own_positions(*style.shape[:2])
    for step in clip:
        if step.motion is not None:
            points = sampled(points, along(step.motion.backward))
        yield sampled(style, points, CUBIC)


def recursive_warp(clip: Sequence[Step], style: Rgb) -> Iterator[Rgb]:
    """The last output moved on: the lowest warp error there is, and mush."""
    output = style
    for step in clip:
        if step.motion is not None:
            output = sampled(output, along(step.motion.backward), CUBIC)
        yield output


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One clip and look, made in four ways."""

    engine: Quality
    filter: Quality
    flow_warp: Quality
    recursive_warp: Quality


def replaced(found: Compared, way: Quality) -> Compared:
    """As if the engine had made what another way did."""
    return replace(found, engine=way)


def compared(frames: Frames, look: Look, *, patch: int = 5) -> Compared:
    """Measure the engine in mode flex_3 beside the look on each frame alone and beside both warps."""
    clip, style = steps(frames), look(frames[0])
    return Compared(
        engine=quality(clip, engine(frames, style, patch=patch), style),
        filter=quality(clip, (look(frame) for frame in frames), style),
        flow_warp=quality(clip, flow_warp(clip, style), style),
        recursive_warp=quality(clip, recursive_warp(clip, style), style),
    )


def quality(clip: Sequence[Step], output: Iterator[Rgb], style: Rgb) -> Quality:
    """Measure one output."""
    meter = QualityMeter(style, largest=1280 * 720)
    for step, picture in zip(clip, output, strict=True):
        meter.judge(step, picture)
    return meter.result()


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A number and the range it must lie in."""

    name: str
    value: float
    low: float = float("-inf")
    high: float = float("inf")

    @property
    def passed(self) -> bool:
        return self.low <= self.value <= self.high

    def __str__(self) -> str:
        within = f">= {self.low:.3g}" if self.high == float("inf") else f"<= {self.high:.3g}"
        if float("inf") not in {-self.low, self.high}:
            within = f"{self.low:.3g} to {self.high:.3g}"
        return f"{'PASS' if self.passed else 'FAIL'}  {self.name}: {self.value:.3f} ({within})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Demands:
    """What is demanded of a look in mode flex_3, as shares of the baselines of the same run."""

    warp_of_filter: float
    sharpness: float
    texture_of_flow_warp: float
    motion_error: float


HARSH = Demands(warp_of_filter=0.5, sharpness=0.5, texture_of_flow_warp=0.75, motion_error=0.25)
"""For looks with strong texture of their own, drawn anew by a filter at every frame."""
SMOOTH = Demands(warp_of_filter=0.8, sharpness=0.45, texture_of_flow_warp=0.8, motion_error=0.4)
"""For flat looks, which flicker less when they are drawn anew."""
HARD = 1.6
"""Pixels of motion error on clips of which much is hidden and revealed, or moves fast: flow itself is off there."""


def loosened(demands: Demands) -> Demands:
    """What is demanded on hard clips: there a flat look that is drawn anew is as steady as anything can be."""
    return replace(demands, warp_of_filter=1.3 * demands.warp_of_filter, motion_error=HARD)


def value(number: float | None) -> float:
    """A number that a clip of this length has."""
    assert number is not None
    return number


def late_texture(found: Quality) -> float:
    """Texture distance over the last two fifths, where a warp has smeared and a wrong correspondence has drifted."""
    last = found.style.timeline[-1][0]
    return float(np.mean([distance for number, distance in found.style.timeline if number >= 0.6 * last]))


def steadiness_bars(found: Compared, demands: Demands) -> list[Bar]:
    """Steady, sharp and in the style at once: each of them alone is easily had.

    Texture must be clearly nearer to the style than the warp's, or about as near as that of the look drawn anew:
    of a flat look on a slow clip, even a warp leaves nothing to be desired. Sharpness is a share of the first
    frame's, or of what the look drawn anew has where the clip itself goes soft.
    """
    ours = found.engine
    texture = max(demands.texture_of_flow_warp * late_texture(found.flow_warp), 1.3 * late_texture(found.filter))
    sharpest = min(1.0, value(found.filter.style.sharpness))
    warp = value(ours.warp.short) / value(found.filter.warp.short)
    return [
        Bar(name="warp error / filter's", value=warp, high=demands.warp_of_filter),
        Bar(name="sharpness", value=value(ours.style.sharpness), low=demands.sharpness * sharpest),
        Bar(name="texture distance at the end", value=late_texture(ours), high=texture),
        Bar(name="motion error, px", value=value(ours.motion.error), high=demands.motion_error),
        Bar(name="first frame, dB", value=value(ours.first_frame), low=50),
    ]


LEAST_DB = {"flex_1": 30, "flex_2": 36, "flex_3": 50, "reimagine_1": 36, "reimagine_2": 30}
"""The first output frame to the given one."""


def ladder_bars(frames: Frames, style: Rgb) -> list[Bar]:
    """The modes go away from the source step by step, and frame 0 stays what was given."""
    clip = steps(frames)
    found = {mode: quality(clip, engine(frames, style, mode), style) for mode in MODES}
    shapes = {mode: value(one.structure) for mode, one in found.items()}
    falls = [shapes[a] - shapes[b] for a, b in zip(list(MODES), list(MODES)[1:], strict=False)]
    return [
        *(Bar(name=f"{m}: first frame, dB", value=value(found[m].first_frame), low=low) for m, low in LEAST_DB.items()),
        Bar(name="structure falls from mode to mode by", value=min(falls), low=1e-4),
        Bar(name="adhere_1: structure", value=shapes["adhere_1"], low=0.85),
        Bar(name="structure, flex_3 - reimagine_3", value=shapes["flex_3"] - shapes["reimagine_3"], low=0.05),
    ]


def local_edit_bars(frame: Rgb, edited: Rgb) -> list[Bar]:
    """An added object stays solid wherever the source is mixed in."""
    modes = [mode for mode in MODES if not mode.startswith("reimagine")]
    first = {mode: Synthesizer(frame, edited, MODES[mode]).first() for mode in modes}
    return [
        Bar(name=f"{mode}: local edit, dB", value=min(100.0, metrics.psnr(first[mode], edited)), low=45)
        for mode in modes
    ]


def endurance_bars(there: Frames, style: Rgb, count: int, *, least_db: float = 18) -> list[Bar]:
    """A clip that goes to and fro for `count` frames comes back to what it was, again and again."""
    period = 2 * (len(there) - 1)
    track, meter = SourceTrack(1280 * 720), QualityMeter(style, largest=1280 * 720)
    synthesizer = Synthesizer(there[0], style, MODES["flex_3"])
    returns = []
    for number in range(count):
        frame = there[min(number % period, period - number % period)]
        output = synthesizer.step(frame) if number else synthesizer.first()
        meter.judge(track.advance(frame), output)
        if number and number % period == 0:
            returns.append(metrics.psnr(output, style))
    found = meter.result().style
    return [
        Bar(name="sharpness", value=value(found.sharpness), low=0.5, high=0.85),
        Bar(name="drift of texture distance", value=value(found.drift), high=1.3),
        Bar(name="first frame on its returns, least dB", value=min(returns), low=least_db),
        Bar(
            name="the same, last return - one at a third, dB", value=returns[-1] - returns[len(returns) // 3], low=-0.5
        ),
    ]
