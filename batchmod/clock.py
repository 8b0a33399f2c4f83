"""Now and sleep: the only reader of the time, so that everything else takes it as an argument."""

import asyncio
import time
from datetime import UTC, datetime


def now() -> float:
    """Seconds since 1970 by the machine's clock; for the record, which must outlive the process."""
    return time.time()


def ticks() -> float:
    """Monotonic seconds; for pacing within a process."""
    return time.monotonic()


async def sleep(seconds: float) -> None:
    """Give the loop away for `seconds` (none for zero or less)."""
    await asyncio.sleep(max(0.0, seconds))


def iso(seconds: float) -> str:
    """`2026-05-03T10:00:00.123Z`: ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
