"""The nine modes: how closely the output keeps to the source."""

from dataclasses import dataclass
from typing import Final

from batchmod.engine.patch import Weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """How much of the source's luma replaces the output's, 0..1 per band of detail."""

    fine: float = 0.0
    """Detail below 1.5 px at the reference size."""
    middle: float = 0.0
    """Detail from 1.5 to 6 px."""
    low: float = 0.0
    """Light and shade."""

    def __bool__(self) -> bool:
        return bool(self.fine or self.middle or self.low)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mode:
    """One mode's settings."""

    name: str
    source: Shares = Shares()
    texture: float = 0.0
    """By how much the look's own texture is amplified."""
    weights: Weights
    anchor: float = 6.0
    """How firmly patches stay where the flow puts them."""
    look_strength: float = 1.0
    """Strength, 0..1, of a look that is made from a prompt."""


def _weights(style: float, guide: float, blur: float = 0.0) -> Weights:
    return Weights(style=style, guide=guide, edge=0.7, guide_blur=blur)


_ALL = (
    Mode(
        name="adhere_1",
        source=Shares(fine=0.80, middle=0.75, low=0.35),
        weights=_weights(0.5, 1.0),
        look_strength=0.6,
    ),
    Mode(
        name="adhere_2",
        source=Shares(fine=0.62, middle=0.60, low=0.22),
        weights=_weights(0.5, 1.0),
        look_strength=0.68,
    ),
    Mode(
        name="adhere_3",
        source=Shares(fine=0.45, middle=0.45, low=0.12),
        weights=_weights(0.6, 1.0),
        look_strength=0.76,
    ),
    Mode(
        name="flex_1",
        source=Shares(fine=0.28, middle=0.30, low=0.05),
        weights=_weights(0.7, 1.0),
        look_strength=0.82,
    ),
    Mode(name="flex_2", source=Shares(fine=0.14, middle=0.15), weights=_weights(0.7, 1.0), look_strength=0.88),
    Mode(name="flex_3", weights=_weights(0.8, 0.9), look_strength=0.92),
    Mode(name="reimagine_1", texture=0.15, weights=_weights(0.9, 0.7, 1.0), anchor=8.0, look_strength=0.95),
    Mode(name="reimagine_2", texture=0.35, weights=_weights(1.0, 0.55, 1.5), anchor=10.0, look_strength=0.98),
    Mode(name="reimagine_3", texture=0.60, weights=_weights(1.0, 0.4, 2.0), anchor=12.0),
)

MODES: Final = {mode.name: mode for mode in _ALL}
"""From the closest to the source to the freest."""
