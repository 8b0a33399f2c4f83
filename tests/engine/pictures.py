"""Pictures and clips for the engine's tests: a real one, generated ones, and a harsh look to carry through them."""

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from batchmod import media
from batchmod.engine.modes import MODES
from batchmod.engine.synth import Synthesizer

Rgb = NDArray[np.uint8]
DEMO = Path(__file__).parents[2] / "manifests" / "demo" / "bunny.mp4"


@cache
def demo_frames(count: int, width: int = 256, height: int = 144) -> tuple[Rgb, ...]:
    """The first frames of the demo clip, made smaller."""
    frames = media.read_frames(DEMO)
    chosen = [frame.rgb for frame, _ in zip(frames, range(count), strict=False)]
    return tuple(_frozen(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)) for rgb in chosen)


def noise(width: int, height: int, *, seed: int = 0, sigma: float = 2.0) -> Rgb:
    """Smooth coloured noise over the whole range of levels."""
    values = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = cv2.GaussianBlur(values, (0, 0), sigma).reshape(height, width, 3)
    return _bytes(128 + smooth * (60 / smooth.std()))


def panning(count: int, width: int, height: int, *, speed: float = 1.5, seed: int = 0) -> list[Rgb]:
    """A clip that looks along a large picture, between pixels."""
    scene = noise(width + int(count * speed) + 4, height, seed=seed)
    centre_y = (height - 1) / 2
    return [
        cv2.getRectSubPix(scene, (width, height), (k * speed + (width - 1) / 2, centre_y)).astype(np.uint8)
        for k in range(count)
    ]


def hatched(rgb: Rgb) -> Rgb:
    """A harsh look: few tones, other colours, pen strokes that follow nothing in the picture, ink at edges."""
    tones = cv2.cvtColor(cv2.bilateralFilter(rgb, 9, 60, 9), cv2.COLOR_RGB2GRAY)
    ramp = np.array([[20, 10, 50], [120, 40, 95], [235, 120, 70], [255, 240, 190]], np.float32)
    picture = ramp[np.minimum(tones // 64, 3)]
    grain: NDArray[np.float64] = np.random.default_rng(0).normal(size=tones.shape[:2])
    strokes = cv2.filter2D(grain, -1, np.eye(9)) * 6
    ink = cv2.GaussianBlur(cv2.Canny(tones, 60, 140), (0, 0), 0.7)[..., None] / 255
    return _bytes((picture + strokes[..., None]) * (1 - 0.8 * ink))


def with_hat(rgb: Rgb) -> Rgb:
    """A local edit: a red disc in the upper left."""
    edited = rgb.copy()
    height, width = rgb.shape[:2]
    cv2.circle(edited, (width // 3, height // 3), height // 7, (220, 20, 30), -1, cv2.LINE_AA)
    return edited


def carried(frames: tuple[Rgb, ...] | list[Rgb], style: Rgb, mode: str = "flex_3", *, patch: int = 5) -> list[Rgb]:
    """A clip in the style of its styled first frame."""
    synthesizer = Synthesizer(frames[0], style, MODES[mode], patch=patch)
    return [synthesizer.first(), *(synthesizer.step(frame) for frame in frames[1:])]


def write_clip(path: Path, frames: tuple[Rgb, ...] | list[Rgb]) -> Path:
    """Encode a clip of the demo clip's rate, without anything else of it."""
    import av

    with av.open(str(path), "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=24, options={"crf": "12"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv444p"
        for rgb in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")))
        output.mux(stream.encode(None))
    return path


def _bytes(values: NDArray[Any]) -> Rgb:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def _frozen(rgb: NDArray[np.generic]) -> Rgb:
    frozen = np.ascontiguousarray(rgb, np.uint8)
    frozen.flags.writeable = False
    return frozen
