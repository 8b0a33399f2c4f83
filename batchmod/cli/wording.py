"""How counts, money and times are said."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, TextIO

from batchmod.model import Estimate

_SMALL_USD: Final = 0.1
_MINUTE_S: Final = 60
_ORDER: Final = ("succeeded", "failed", "uncertain", "submitted", "submitting", "planned", "held", "invalid")


def counted(number: int, noun: str) -> str:
    """`1 video`, `3 videos`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def counts(by_status: Mapping[str, int]) -> str:
    """`3 succeeded, 1 failed`."""
    return ", ".join(f"{by_status[name]:,} {name}" for name in _ORDER if by_status.get(name)) or "nothing to do"


def usd(amount: float) -> str:
    """`$1.80`; four places below ten cents."""
    return f"${amount:,.4f}" if 0 < amount < _SMALL_USD else f"${amount:,.2f}"


def estimate(cost: Estimate) -> str:
    """What stands after "estimated cost": `about $1.20 ($0.96 to $1.80; …)`, and `unknown` where no price is known."""
    if cost.unpriced:
        known = f"{estimate(replace(cost, unpriced=0))} and " if cost.high else ""
        return f"{known}unknown for {counted(cost.unpriced, 'request')}"
    if cost.exact or cost.low == cost.high:
        return usd(cost.likely)
    return f"about {usd(cost.likely)} ({usd(cost.low)} to {usd(cost.high)}; the exact price is not published)"


def json_line(value: object, stream: TextIO, *, indent: int | None = None) -> str:
    """JSON as this stream can hold it: what it would write in a way of its own is escaped as JSON has it."""
    is_utf8 = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
    return json.dumps(value, ensure_ascii=not is_utf8, indent=indent)


def duration(seconds: float) -> str:
    """`12.3 s`, `4 min 5 s`, `2 h 40 min`, `3 days 4 h`."""
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    hours, minutes_left = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min {rest} s"
    days, hours_left = divmod(hours, 24)
    return f"{counted(days, 'day')} {hours_left} h" if days else f"{hours} h {minutes_left} min"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned to the left, two spaces between them."""
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
