"""The map from the current frame to the keyframe, carried along by flow and re-anchored at every frame."""

from typing import cast

import cv2
import numpy as np

from batchmod.engine.flow import FlowEstimator, Motion
from batchmod.engine.fused import anchoring, carried, densities, settled
from batchmod.engine.raster import NEAREST, Floats, Gray, Points, blurred, eroded, own_positions, sampled

_MISMATCH_SIDE = 7


class Correspondence:
    """Where each pixel of the current frame lies in the keyframe, and how far that can be believed.

    Flow alone drifts; at every frame a second flow search, from the keyframe and started at the map, pulls it
    back. Without that the map is off by 27 px after 720 frames, with it by 5.
    """

    def __init__(self, key: Gray, estimator: FlowEstimator) -> None:
        height, width = key.shape
        self._key = key
        self._estimator = estimator
        self.points: Points = own_positions(height, width).copy()
        """Position in the keyframe, per pixel."""
        self.geometric: Floats = np.ones((height, width), np.float32)
        """0..1: the flow was consistent all the way from the keyframe."""
        self.confidence: Floats = np.ones((height, width), np.float32)
        """0..1: `geometric`, and the frame still looks like the keyframe there."""
        self.mismatch: Floats = np.zeros((height, width), np.float32)
        """Mean luma difference to the keyframe, in levels."""

    def advance(self, now: Gray, motion: Motion) -> None:
        """Follow the clip to its next frame."""
        own = own_positions(*now.shape)
        moved, held = carried(self.points, self.confidence, motion.backward, eroded(motion.trusted))
        guess = cast(Points, cv2.subtract(moved, own))
        found = cast(Points, cv2.add(self._estimator.refined(now, self._key, guess), own))
        before, after = self._mismatch(now, moved), self._mismatch(now, found)
        wanted = anchoring(moved, held, found, before, after)
        self.points, self.mismatch, self.geometric, self.confidence = settled(
            moved, held, found, before, after, wanted, blurred(wanted, 2)
        )

    def pulled(self, picture: Floats) -> Floats:
        """A smooth picture of the keyframe, seen from the current frame."""
        return sampled(picture, self.points, NEAREST)

    def density(self) -> Floats:
        """Pixels of the keyframe per pixel of the frame, along the direction in which they are fewest.

        The smaller singular value of the map's gradient: 1 for what only moved, near 0 where the keyframe is
        drawn out into streaks, 0 where the map folds.
        """
        return densities(self.points)

    def _mismatch(self, now: Gray, points: Points) -> Floats:
        difference = cv2.absdiff(sampled(self._key, points), now)
        return cast(Floats, cv2.boxFilter(difference, cv2.CV_32F, (_MISMATCH_SIDE, _MISMATCH_SIDE)))
