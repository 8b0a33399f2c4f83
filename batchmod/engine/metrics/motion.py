"""Warp error: how far a frame is from the one before, moved with the source."""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from batchmod.engine.flow import FlowEstimator, Motion, along
from batchmod.engine.raster import LANCZOS, Rgb, luma, sampled


def motions(frames: Sequence[Rgb]) -> list[Motion]:
    """How each frame but the first moved since the one before."""
    estimator = FlowEstimator()
    tones = [luma(frame) for frame in frames]
    return [estimator.motion(now, before) for before, now in pairwise(tones)]


def warp_error(output: Sequence[Rgb], source_motions: Sequence[Motion]) -> float:
    """Mean colour difference, in levels, of each frame to the last one moved with the source; about 2 is the floor.

    Only where the source's flow can be trusted (Lai et al. 2018). `source_motions` are those of the source's
    frames. Sampling between pixels with Lanczos's window costs sharp pictures some levels even where they move
    perfectly.
    """
    errors = [
        moved_difference(now, before, motion)
        for (before, now), motion in zip(pairwise(output), source_motions, strict=True)
    ]
    return float(np.mean(errors))


def moved_difference(now: Rgb, before: Rgb, motion: Motion) -> float:
    """Mean absolute colour difference to the frame before, moved, where the motion is trusted; 0 where nowhere."""
    if not motion.trusted.any():
        return 0.0
    moved = sampled(before, along(motion.backward), LANCZOS)
    return float(cv2.absdiff(moved, now).mean(-1)[motion.trusted].mean())
