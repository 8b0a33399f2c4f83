"""The caps as reservations: what is done, in flight and uncertain, kept per work so that nothing counts twice."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from batchmod.limits import Budget


class Purse:
    """Holds the upper estimate of each request that may be paid, until its true cost is known."""

    def __init__(self, *caps: Budget, held: Mapping[int, float] | None = None) -> None:
        self._caps = caps
        self._held = dict(held or {})
        self._carried: set[int] = set()
        self._closed = False
        self._moved = asyncio.Event()

    @contextmanager
    def carried(self, work_id: int) -> Iterator[None]:
        """While the block runs, the work may still give back what is reserved for it; later only another run can."""
        self._carried.add(work_id)
        try:
            yield
        finally:
            self._carried.discard(work_id)
            self.wake()

    async def hold(self, work_id: int, usd: float) -> bool:
        """Reserve, waiting for money that others may give back; False where none will come in this run."""
        while not all(cap.allows(usd) for cap in self._caps):
            if self._closed or not any(self._held.get(other) for other in self._carried):
                return False
            self._moved.clear()
            await self._moved.wait()
        self._held[work_id] = usd
        self._caps = tuple(cap.reserve(usd) for cap in self._caps)
        return True

    def held(self, work_id: int) -> float:
        """What is reserved for a work."""
        return self._held.get(work_id, 0.0)

    def settle(self, work_id: int, *, cost: float = 0.0) -> None:
        """Turn a work's reservation into its true cost (0 where nothing was billed)."""
        reserved = self._held.pop(work_id, 0.0)
        self._caps = tuple(cap.settle(reserved=reserved, cost=cost) for cap in self._caps)
        self.wake()

    def close(self) -> None:
        """Nobody waits for money any more: nothing new is sent."""
        self._closed = True
        self.wake()

    def wake(self) -> None:
        """Let those who wait for money look again."""
        self._moved.set()

    def words(self) -> str:
        """`$1.20 of $5.00 is committed`."""
        tight = [cap for cap in self._caps if cap.cap_usd is not None]
        return "; ".join(f"${cap.committed_usd:.2f} of ${cap.cap_usd:.2f} is committed" for cap in tight)
