"""Everything that is computed once per styled keyframe, and the search for its patches."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from batchmod.engine.detail import Response, edit_mask, texture_energy
from batchmod.engine.nearest import index_patches
from batchmod.engine.palette import Palette
from batchmod.engine.patch import (
    NOTHING,
    STEP,
    USED_CHANNELS,
    Features,
    Field,
    Keyframe,
    Rules,
    Target,
    Weights,
    packed,
    search_kernel,
    vote,
)
from batchmod.engine.raster import Floats, Points, Rgb, between, doubled, shrunk

_RELATIVES = 4
_GLOBAL = 2
_UNKNOWN = 0.3
"""Confidence below which patches are looked for in the whole keyframe."""
_REACH = 24.0
"""Distance, in pixels, from which on being away from the flow's position costs no more."""
_SNAP = 1.0
"""A patch within this many pixels of the flow's position follows the flow between pixels."""
_BLEND = {5: 1.0, 7: 1.5}
"""A patch's side → the sigma, in pixels, with which neighbouring patches are blended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the search goes by."""

    weights: Weights
    anchor: float = 6.0
    """Cost of leaving the flow's position where the flow is certain."""
    loose_anchor: float = 0.3
    """The same where it is not."""
    patch: int = 5
    """A patch's side in pixels: 5, or 7 for looks with cells larger than that."""

    def fine(self) -> Rules:
        """The rules at full size: little is left to find."""
        return self._rules(1, neighbours=2, relatives=False, step_below=0.15, good=100)

    def coarse(self, *, again: bool) -> Rules:
        """The rules at half size; a second pass looks only where the flow is not to be trusted."""
        rules = self._rules(2, neighbours=4, relatives=True, step_below=0.5, good=40)
        return rules._replace(only_below=0.5) if again else rules

    def _rules(self, factor: int, *, neighbours: int, relatives: bool, step_below: float, good: int) -> Rules:
        scale = factor * factor / 4
        return Rules(
            anchor=self.anchor * scale,
            loose_anchor=self.loose_anchor * scale,
            reach=(_REACH / factor) ** 2,
            neighbours=neighbours,
            relatives=relatives,
            relatives_share=1 / 1.5,
            step_below=step_below,
            only_below=2.0,
            good=good * USED_CHANNELS * self.patch**2,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess:
    """What is known about a frame before the search, per pixel of one level."""

    style: Rgb
    """What the output probably looks like."""
    source: Rgb
    points: Points
    """Position in the keyframe."""
    confidence: Floats

    def halved(self) -> "Guess":
        """The same at half size."""
        height, width = half_size(*self.style.shape[:2])
        return Guess(
            style=shrunk(self.style, width, height),
            source=shrunk(self.source, width, height),
            points=halved_points(self.points),
            confidence=shrunk(self.confidence, width, height),
        )


def half_size(height: int, width: int) -> tuple[int, int]:
    """Half a picture's size, rounded up."""
    return (height + 1) // 2, (width + 1) // 2


def halved_points(points: Points) -> Points:
    """Positions in a picture of half the size, per pixel of half the size."""
    height, width = half_size(*points.shape[:2])
    limit = np.array([width - 1, height - 1], np.float32)
    return np.clip((shrunk(points, width, height) + 0.5) / 2 - 0.5, 0, limit)


def on_grid(picture: Floats) -> Floats:
    """A picture's values at the patches' centres."""
    return np.ascontiguousarray(picture[::STEP, ::STEP])


class Exemplar:
    """A keyframe and its styled picture, of one size, made ready to be searched."""

    def __init__(self, key: Rgb, style: Rgb, settings: Settings) -> None:
        self.key = key
        self.style = style
        self.settings = settings
        self.edited = edit_mask(key, style)
        self.energy = texture_energy(style)
        self.response = Response.of(key, style)
        self.palette = Palette(key, style, 1 - self.edited)
        self._search = search_kernel(settings.patch)
        height, width = key.shape[:2]
        self.key_doubled = doubled(key)
        self._doubled = doubled(style)
        none = np.full((1, 1, 1, 2), NOTHING, np.int32)
        self._fine = _keyframe(self._packed(style, key), none)
        coarse = self._packed(*(shrunk(a, *half_size(height, width)[::-1]) for a in (style, key)))
        self._index = index_patches(coarse, settings.patch, _RELATIVES)
        self._coarse = _keyframe(coarse, self._index.similar)

    def search_coarse(self, guess: Guess, frozen: Field) -> Field:
        """Patches for a guess at half size; `frozen` is where they were thought to be."""
        target = self._target(guess, everywhere=True)
        for again in (False, True):
            result = np.empty_like(frozen)
            self._search(target, self._coarse, self.settings.coarse(again=again), frozen, result)
            frozen = result
        return frozen

    def search_fine(self, guess: Guess, frozen: Field) -> Field:
        """Patches for a guess at full size."""
        target = self._target(guess, everywhere=False)
        result = np.empty_like(frozen)
        self._search(target, self._fine, self.settings.fine(), frozen, result)
        return result

    def voted(self, field: Field, points: Points) -> Rgb:
        """The picture that a field of patches makes; `points`, per pixel, is where the flow has them."""
        return self._laid(self.style, self._doubled, field, points)

    def matched(self, field: Field, points: Points) -> Rgb:
        """What the key shows in the patches of a field, laid together in the same way."""
        return self._laid(self.key, self.key_doubled, field, points)

    def _laid(self, picture: Rgb, twice: Rgb, field: Field, points: Points) -> Rgb:
        output = between(twice, points)
        vote(picture, twice, field, on_grid(points), self._falloff, _SNAP, output)
        return output

    @cached_property
    def _falloff(self) -> Floats:
        sigma, radius = _BLEND[self.settings.patch], self.settings.patch // 2
        return np.exp(-np.arange(2 * radius**2 + 1) / (2 * sigma**2)).astype(np.float32)

    def _packed(self, style: Rgb, source: Rgb) -> Features:
        return packed(style, source, self.settings.weights, self.settings.patch)

    def _target(self, guess: Guess, *, everywhere: bool) -> Target:
        features = self._packed(guess.style, guess.source)
        confidence = on_grid(guess.confidence)
        found = np.full((*confidence.shape, _GLOBAL if everywhere else 1, 2), NOTHING, np.int32)
        if everywhere:
            rows, columns = np.nonzero(confidence < _UNKNOWN)
            places = np.stack([columns, rows], 1).astype(np.int32) * np.int32(STEP)
            found[rows, columns] = self._index.find(features, places, _GLOBAL)
        return Target(features.values, features.width, on_grid(guess.points), confidence, found)


def _keyframe(features: Features, similar: NDArray[np.int32]) -> Keyframe:
    return Keyframe(features.values, features.width, features.height, similar)
