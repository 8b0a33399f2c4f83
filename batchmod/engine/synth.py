"""Example-based synthesis: one styled keyframe is carried through a clip, frame by frame."""

from typing import cast

import cv2
import numpy as np

from batchmod.engine.correspond import Correspondence
from batchmod.engine.detail import mixed, restored, with_live_detail
from batchmod.engine.exemplar import Exemplar, Guess, Settings, half_size, on_grid
from batchmod.engine.flow import FlowEstimator, Motion, along
from batchmod.engine.fused import expected, missing, unexplained
from batchmod.engine.modes import Mode
from batchmod.engine.patch import STEP, Field
from batchmod.engine.raster import (
    CUBIC,
    LANCZOS,
    NEAREST,
    Floats,
    Points,
    Rgb,
    between,
    blurred,
    luma,
    own_positions,
    sampled,
    shrunk,
    stretched,
    to_bytes,
    unit,
)

_SPECK = 3.0
"""Pixels, at the reference size, below which an unknown place is left to the patches around it."""


class Synthesizer:
    """Carries a styled keyframe through the frames that follow it; its memory does not grow with the clip.

    `key` is the first frame and `style` the same frame styled, both `height x width x 3`. Content that the
    keyframe does not show is put together from its patches; nothing is invented.
    """

    def __init__(self, key: Rgb, style: Rgb, mode: Mode, *, patch: int = 5) -> None:
        settings = Settings(weights=mode.weights, anchor=mode.anchor, patch=patch)
        self._mode = mode
        self._exemplar = Exemplar(key, style, settings)
        self._flow = FlowEstimator()
        self._before = luma(key)
        self._map = Correspondence(self._before, self._flow)
        self._output = style
        self._live = style
        self._offsets: Points | None = None
        """Where patches were found at half size, as distances from the flow's position."""

    def first(self) -> Rgb:
        """The keyframe's own output: the styled picture, exactly, unless the mode mixes in the source."""
        return self._mixed(self._live, self._exemplar.key, self._exemplar.edited)

    def step(self, frame: Rgb) -> Rgb:
        """The output for the clip's next frame."""
        now = luma(frame)
        motion = self._flow.motion(now, self._before)
        self._map.advance(now, motion)
        self._before = now
        picture = self._synthesised(frame, motion)
        # The next frame is built on this one before live detail is added: a mouth must not stay open.
        self._output = restored(picture, self._map.pulled(self._exemplar.energy))
        self._live = self._with_live_detail(self._output, frame)
        return self._mixed(self._live, frame, self._map.pulled(self._exemplar.edited))

    def unknown(self) -> Floats:
        """Where, 0..1, the last frame shows what the keyframe does not; single pixels do not count."""
        lost = missing(self._map.confidence, self._map.density())
        return cast(Floats, np.clip(2 * blurred(lost, _SPECK * unit(lost)) - np.float32(0.5), 0, 1))

    def renewed(self, frame: Rgb, style: Rgb) -> "Synthesizer":
        """A synthesis that starts at the last frame: as it was made, but styled like `style` where unknown."""
        # The keyframe sampled anew loses less to each renewal than the average of patches that was shown.
        pulled = sampled(self._exemplar.style, self._map.points, LANCZOS)
        pulled = restored(pulled, self._map.pulled(self._exemplar.energy))
        kept = self._with_live_detail(pulled, frame)
        share = self.unknown()[..., None]
        anew = Synthesizer(frame, _blended(kept, style, share), self._mode, patch=self._exemplar.settings.patch)
        anew._output = anew._live = _blended(self._live, style, share)
        return anew

    def _synthesised(self, frame: Rgb, motion: Motion) -> Rgb:
        guess = Guess(
            style=self._expected(frame, motion),
            source=frame,
            points=self._map.points,
            confidence=self._map.confidence,
        )
        coarse_guess = guess.halved()
        coarse_points = on_grid(coarse_guess.points)
        height, width = coarse_guess.style.shape[:2]
        start = _field(coarse_points + self._carried(motion, coarse_points), width, height)
        coarse = self._exemplar.search_coarse(coarse_guess, start)
        self._offsets = (coarse - coarse_points).astype(np.float32)

        points = on_grid(guess.points)
        rows, columns = points.shape[:2]
        height, width = frame.shape[:2]
        start = _field(points + stretched(self._offsets, columns, rows, NEAREST) * 2, width, height)
        return self._exemplar.voted(self._exemplar.search_fine(guess, start), guess.points)

    def _expected(self, frame: Rgb, motion: Motion) -> Rgb:
        """What the output probably looks like: the last output moved on, else the keyframe, else its colours."""
        exemplar, state = self._exemplar, self._map
        moved = sampled(self._output, along(motion.backward), CUBIC)
        unknown = blurred(unexplained(state.confidence, state.mismatch), 3 * unit(frame))
        trusted = blurred(motion.trusted.astype(np.float32), 1.5)
        return expected(moved, trusted, exemplar.style, state.points, exemplar.palette.coarse(frame), unknown)

    def _carried(self, motion: Motion, points: Points) -> Points:
        """The last frame's offsets, moved on with the flow; 0 at the first frame."""
        if self._offsets is None:
            return np.zeros_like(points)
        height, width = half_size(*motion.backward.shape[:2])
        flow = on_grid(shrunk(motion.backward, width, height)) / np.float32(2 * STEP)
        return sampled(self._offsets, own_positions(*points.shape[:2]) + flow, NEAREST)

    def _with_live_detail(self, picture: Rgb, frame: Rgb) -> Rgb:
        exemplar, state = self._exemplar, self._map
        beyond = cv2.subtract(frame, between(exemplar.key_doubled, state.points), dtype=cv2.CV_32F)
        slope, explained = state.pulled(exemplar.response.slope), state.pulled(exemplar.response.explained)
        return with_live_detail(picture, cast(Floats, beyond), slope, explained, state.geometric)

    def _mixed(self, picture: Rgb, source: Rgb, edited: Floats) -> Rgb:
        return mixed(picture, source, self._mode.source, self._mode.texture, edited)


def _blended(picture: Rgb, other: Rgb, share: Floats) -> Rgb:
    """`picture` with `share` (0..1) of it replaced by `other`."""
    first = picture.astype(np.float32)
    return to_bytes(first + (other - first) * share)


def _field(points: Points, width: int, height: int) -> Field:
    """Positions rounded to a picture's pixels."""
    limit = np.array([width - 1, height - 1], np.float32)
    return np.clip(np.rint(points), 0, limit).astype(np.int32)
