"""Finished files get their names: those of one moment in one trip to a thread, with one sync of their folder."""

import asyncio
from pathlib import Path

from batchmod import files


class Placer:
    """Puts files in place for many jobs; who comes while others are under way goes with the next trip."""

    def __init__(self) -> None:
        self._waiting: list[tuple[files.Move, asyncio.Future[Exception | None]]] = []
        self._trips: asyncio.Task[None] | None = None

    async def put(self, part: Path, target: Path, *, durable: bool) -> None:
        """`files.put_in_place`; `durable`: what is in the part file is on disk already."""
        placed: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((files.Move(part=part, target=target, durable=durable), placed))
        if self._trips is None:
            self._trips = asyncio.ensure_future(self._go())
        if (error := await placed) is not None:
            raise error

    async def _go(self) -> None:
        try:
            while self._waiting:
                waiting = [each for each in self._waiting if not each[1].done()]  # nobody waits for a cancelled one
                self._waiting.clear()
                errors = await _placed([move for move, _ in waiting])
                for (_, placed), error in zip(waiting, errors, strict=True):
                    if not placed.done():
                        placed.set_result(error)
        finally:
            self._trips = None


async def _placed(moves: list[files.Move]) -> list[OSError | None] | list[Exception]:
    try:
        return await asyncio.to_thread(files.put_all_in_place, moves)
    except Exception as error:  # noqa: BLE001 - it is raised where the file was to be put in place
        return [error for _ in moves]
