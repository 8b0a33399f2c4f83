"""The caps as reservations: what is done, in flight and uncertain, kept per work so that nothing counts twice."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from batchmod.limits import Budget


class Purse:
    """Holds the upper estimate of each request that may be paid, until its true cost is known."""

    def __init__(self, *caps: tuple[Budget, Mapping[int, float]]) -> None:
        """Each cap comes with what it holds already: work_id → US dollars."""
        self._caps = [budget for budget, _ in caps]
        self._holds = [dict(held) for _, held in caps]
        self._held: dict[int, float] = {}
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
        while usd > 0 and not all(cap.allows(usd) for cap in self._caps):
            if self._closed or not any(held.get(other) for other in self._carried for held in self._holds):
                return False
            self._moved.clear()
            await self._moved.wait()
        self._held[work_id] = usd
        for number, cap in enumerate(self._caps):
            self._caps[number] = cap.reserve(usd)
            self._holds[number][work_id] = self._holds[number].get(work_id, 0.0) + usd
        return True

    def held(self, work_id: int) -> float:
        """What is reserved for a work."""
        return self._held.get(work_id, 0.0)

    def settle(self, work_id: int, *, cost: float = 0.0) -> None:
        """Turn a work's reservation into its true cost (0 where nothing was billed).

        A cap that holds nothing for it has counted it already, or it is of an earlier run and none of its business.
        """
        self._held.pop(work_id, None)
        for number, cap in enumerate(self._caps):
            if work_id in self._holds[number]:
                self._caps[number] = cap.settle(reserved=self._holds[number].pop(work_id), cost=cost)
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
