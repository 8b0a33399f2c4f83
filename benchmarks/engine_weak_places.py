"""Draws docs/images/weak-places.jpg: what large revealed areas and looks made of cells gained.

    python -m benchmarks.engine_weak_places [--target FILE]

On a quick look along a picture of the demo's clip, three fifths of which are new at the end: the source, one keyframe
in patches of 5 px carried through it, and the engine, which draws new content anew and takes larger patches for looks
made of cells.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from batchmod import media
from batchmod.engine import compiled, looks
from batchmod.engine.keyframes import Paint, Painted
from batchmod.engine.modes import MODES
from batchmod.engine.moments import moments
from batchmod.engine.raster import Rgb, resized
from batchmod.engine.styling import Makers, ShotByShot
from batchmod.engine.synth import Synthesizer
from tests.engine.pictures import DEMO

_MODE = MODES["flex_3"]
_WIDE = (780, 439)
_SIZE = (480, 270)
_STEP = 8
_LOOKS = (("oil", 5), ("cross_stitch", 7))


def look_along() -> list[Rgb]:
    """The clip, from the left of the picture to its right."""
    picture = resized(media.first_frame(DEMO), *_WIDE)
    width, height = _SIZE
    top = (_WIDE[1] - height) // 2
    starts = range(0, _WIDE[0] - width, _STEP)
    return [np.ascontiguousarray(picture[top : top + height, left : left + width]) for left in starts]


def one_keyframe(frames: list[Rgb], paint: Paint) -> Rgb:
    """The last frame after the first one alone."""
    synthesizer = Synthesizer(frames[0], paint(frames[0], _MODE.look_strength), _MODE)
    output = synthesizer.first()
    for frame in frames[1:]:
        output = synthesizer.step(frame)
    return output


def renewed(frames: list[Rgb], paint: Paint, patch: int) -> Rgb:
    """The last frame as the engine makes it."""
    styling = ShotByShot(Makers(first=Painted(paint, _MODE, patch=patch)), _MODE)
    output = frames[0]
    for frame, moment in moments((frame, number / 24) for number, frame in enumerate(frames)):
        output = styling.step(frame, moment)
    return output


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=Path, default=Path("docs/images/weak-places.jpg"))
    target: Path = parser.parse_args().target
    compiled.use_threads(1)
    frames = look_along()
    paints = {look.name: look.apply for look in looks.LOOKS}
    rows = [
        np.hstack([frames[-1], one_keyframe(frames, paints[name]), renewed(frames, paints[name], patch)])
        for name, patch in _LOOKS
    ]
    cv2.imwrite(str(target), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 74])


if __name__ == "__main__":
    main()
