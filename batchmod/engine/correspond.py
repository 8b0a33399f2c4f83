"""The map from the current frame to the keyframe, carried along by flow and re-anchored at every frame."""

from typing import cast

import cv2
import numpy as np

from batchmod.engine.flow import FlowEstimator, Motion, along
from batchmod.engine.raster import Floats, Gray, Points, blurred, eroded, inside, length, own_positions, sampled

_MISMATCH_SIDE = 7
_LARGEST_DRIFT = 6.0
"""Pixels; a farther jump is no drift but another match."""
_LIKE = 6.0
"""Mismatch, in levels, below which two places show the same."""
_LOST = 0.3
"""Confidence below which the map may be won anew."""
_FLOOR = 0.02
"""No confidence is lower: a weight of 0 would leave places without any anchor."""


def _mixed(first: Floats, second: Floats, share: Floats) -> Floats:
    """`first` with `share` (0..1) of it replaced by `second`."""
    return first + (second - first) * share


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
        origin = along(motion.backward)
        carried = sampled(self.points, origin)
        held = sampled(self.confidence, origin) * motion.trusted
        held = np.minimum(held, eroded(motion.trusted))
        points, mismatch, recovered = self._anchored(now, carried, held)
        held = np.maximum(held, recovered)
        self.points = inside(points, now.shape[1], now.shape[0])
        self.mismatch = mismatch
        self.geometric = np.minimum(1, held + _FLOOR)
        likeness = np.clip(np.exp(-np.maximum(mismatch - 10, 0) / 12), 0.2, 1)
        self.confidence = np.minimum(1, held * likeness + _FLOOR)

    def pulled(self, picture: Floats) -> Floats:
        """A picture of the keyframe, seen from the current frame."""
        return sampled(picture, self.points)

    def density(self) -> Floats:
        """Pixels of the keyframe per pixel of the frame, along the direction in which they are fewest.

        The smaller singular value of the map's gradient: 1 for what only moved, near 0 where the keyframe is
        drawn out into streaks, 0 where the map folds.
        """
        across = cv2.Scharr(self.points, cv2.CV_32F, 1, 0, scale=1 / 32)
        down = cv2.Scharr(self.points, cv2.CV_32F, 0, 1, scale=1 / 32)
        total = np.square(across).sum(-1) + np.square(down).sum(-1)
        area = np.maximum(across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0], 0)
        smaller = (total - np.sqrt(np.maximum(total * total - 4 * area * area, 0))) / 2
        return cast(Floats, np.sqrt(np.maximum(smaller, 0)))

    def _anchored(self, now: Gray, carried: Points, held: Floats) -> tuple[Points, Floats, Floats]:
        """The carried map pulled back to the keyframe: the map, its mismatch, the confidence won anew."""
        own = own_positions(*now.shape)
        found = self._estimator.refined(now, self._key, carried - own) + own
        before, after = self._mismatch(now, carried), self._mismatch(now, found)
        drift = (after < before - 0.3) & (length(found - carried) < _LARGEST_DRIFT)
        # A far jump is believed only where nothing is known and it explains the frame far better:
        # something that was hidden has come back.
        returned = ((after < before * 0.5 - 2) & (held < _LOST)).astype(np.float32)
        share = blurred(np.maximum(drift.astype(np.float32) * np.float32(0.5), returned), 2)
        points = _mixed(carried, found, share[..., None])
        recovered = (after < _LIKE) * returned * np.float32(0.7)
        return points, _mixed(before, after, share), recovered

    def _mismatch(self, now: Gray, points: Points) -> Floats:
        difference = cv2.absdiff(sampled(self._key, points), now).astype(np.float32)
        return cv2.blur(difference, (_MISMATCH_SIDE, _MISMATCH_SIDE)).astype(np.float32, copy=False)
