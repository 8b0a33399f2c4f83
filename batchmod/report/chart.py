"""A Timeline → two small drawings, progress and cost over time, as inline SVG with the same in words."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from batchmod.report.cards import cost_text, duration_text
from batchmod.report.timeline import Point

_WIDTH: Final = 560
_HEIGHT: Final = 150
_LEFT: Final = 52
_RIGHT: Final = 12
_TOP: Final = 10
_BOTTOM: Final = 24
_DAY_S: Final = 86_400.0
_ENOUGH: Final = 2
"""Moments that it takes to draw a line."""


def charts(points: Sequence[Point], *, rows: int, is_estimated: bool) -> str:
    """Progress and, where any was spent, cost; nothing where there is no line to draw.

    `is_estimated`: a part of the cost was not confirmed by its provider.
    """
    if len(points) < _ENOUGH:
        return ""
    parts = [_progress(points, rows)]
    parts += [_cost(points, is_estimated=is_estimated)] if points[-1].cost_usd > 0 else []
    return f'<div class="charts">{"".join(parts)}</div>\n'


def _progress(points: Sequence[Point], rows: int) -> str:
    last = points[-1]
    said = f"{last.done:,} of {rows:,} rows had ended after {_spanned(points)}"
    return _drawn(
        points, title="Progress", said=said, kind="progress", top=max(rows, last.done),
        height_of=lambda point: float(point.done), label=lambda value: f"{value:,.0f}",
    )  # fmt: skip


def _cost(points: Sequence[Point], *, is_estimated: bool) -> str:
    last = points[-1]
    said = f"{cost_text(last.cost_usd, estimated=is_estimated)} after {_spanned(points)}"
    return _drawn(
        points, title="Cost", said=said, kind="cost", top=last.cost_usd,
        height_of=lambda point: point.cost_usd, label=lambda value: cost_text(value, estimated=False),
    )  # fmt: skip


def _drawn(
    points: Sequence[Point],
    *,
    title: str,
    said: str,
    kind: str,
    top: float,
    height_of: Callable[[Point], float],
    label: Callable[[float], str],
) -> str:
    began, ended = points[0].at, points[-1].at
    top = _rounded_up(top)
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(at: float) -> float:
        return _LEFT + wide * (at - began) / (ended - began)

    def y(value: float) -> float:
        return _TOP + high * (1 - value / top)

    # a step, not a slope: nothing came between two moments
    line = f"M{_LEFT} {y(height_of(points[0])):.1f}" + "".join(
        f"H{x(point.at):.1f}V{y(height_of(point)):.1f}" for point in points[1:]
    )
    floor = y(0)
    levels = "".join(
        f'<path class="grid" d="M{_LEFT} {y(top * share):.1f}H{_WIDTH - _RIGHT}"/>'
        f'<text class="level" x="{_LEFT - 8}" y="{y(top * share) + 4:.1f}">{escape(label(top * share))}</text>'
        for share in (0, 0.5, 1)
    )
    times = "".join(
        f'<text class="time" x="{at:.0f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{escape(words)}</text>'
        for at, anchor, words in (
            (_LEFT, "start", _clock(began, ended - began)),
            (_LEFT + wide / 2, "middle", _clock((began + ended) / 2, ended - began)),
            (_WIDTH - _RIGHT, "end", _clock(ended, ended - began)),
        )
    )
    return (
        f'<figure class="chart {kind}"><figcaption><b>{title}</b> {escape(said)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title} over time: {escape(said)}">'
        f'{levels}{times}<path class="area" d="{line}V{floor:.1f}H{_LEFT}Z"/><path class="line" d="{line}"/>'
        "</svg></figure>"
    )


def _rounded_up(value: float) -> float:
    """The next 1, 2, 2.5 or 5 times a power of ten, so that the levels are numbers that one can say."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 4, 5, 6, 8, 10) if step * power >= value - 1e-12)


def _spanned(points: Sequence[Point]) -> str:
    return duration_text(points[-1].at - points[0].at)


def _clock(at: float, span_s: float) -> str:
    """A moment in UTC, as finely as the span asks."""
    form = "%H:%M:%S" if span_s < 600 else "%H:%M" if span_s < _DAY_S else "%d %b %H:%M"  # noqa: PLR2004 - ten minutes
    return datetime.fromtimestamp(at, UTC).strftime(form)
