"""Now and sleep: the only reader of the time, so that everything else takes it as an argument."""

import asyncio
import math
import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache


def now() -> float:
    """Seconds since 1970 by the machine's clock; for the record, which must outlive the process."""
    return time.time()


def ticks() -> float:
    """Monotonic seconds; for pacing within a process."""
    return time.monotonic()


async def sleep(seconds: float) -> None:
    """Give the loop away for `seconds` (none for zero or less)."""
    await asyncio.sleep(max(0.0, seconds))


def seconds_until(when: str, *, at: float) -> float:
    """Seconds from `at` until `06:00` (local time, the next one) or after `2h30m`, `90m`, `45s`.

    Raises ValueError for anything else.
    """
    text = when.strip().lower()
    day = re.fullmatch(r"(\d{1,2}):(\d{2})", text)
    if day:
        now_ = datetime.fromtimestamp(at).astimezone()
        then = now_.replace(hour=int(day.group(1)), minute=int(day.group(2)), second=0, microsecond=0)
        return (then if then > now_ else then + timedelta(days=1)).timestamp() - at
    span = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not text or span is None:
        raise ValueError(f"'{when}' is neither a time such as 06:00 nor a duration such as 2h30m")
    hours, minutes, seconds = (int(part or 0) for part in span.groups())
    return hours * 3600.0 + minutes * 60.0 + seconds


def time_of_day(seconds: float) -> str:
    """`10:00:00`, by the clock on this machine's wall."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S")


def iso(seconds: float) -> str:
    """`2026-05-03T10:00:00.123Z`: ISO 8601 in UTC, to the millisecond."""
    whole = math.floor(seconds)
    later, part = divmod(round((seconds - whole) * 1e6) // 1000, 1000)
    return f"{_iso_second(whole + later)}.{part:03d}Z"


@lru_cache(maxsize=8)
def _iso_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
