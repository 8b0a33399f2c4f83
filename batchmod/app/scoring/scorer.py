"""The one that looks at outputs and writes down what it found, as it comes."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from batchmod import clock, executors, judgement, work
from batchmod.app.scoring import thumbnails
from batchmod.app.scoring.fetching import Fetcher
from batchmod.app.scoring.orders import Order, Wishes, order_of
from batchmod.app.scoring.workers import Workers
from batchmod.app.services import engine_installed
from batchmod.checkpoint import Checkpoint
from batchmod.errors import StoppedEarly
from batchmod.model import Scored, Scores, Source
from batchmod.providers.base import Executor
from batchmod.runner.delivering import doubt

_KEPT_EVERY_S: Final = 5.0


class Scorer:
    """Looks at outputs, some at a time; what it found is kept as it comes. `workers`, `machines`: as `Workers`."""

    def __init__(
        self, record: Checkpoint, folder: Path, wishes: Wishes, *, workers: int, machines: Executor | None = None
    ) -> None:
        self._record, self._folder = record, folder
        self._workers = Workers(workers, machines)
        self._rooms = asyncio.Semaphore(workers)
        self._scores = wishes.scores and engine_installed()
        self._fetcher = Fetcher() if wishes.remote else None
        self._found: list[Scored] = []
        self._kept_at = clock.ticks()
        self.kept = 0
        """Works that scores, or why there are none, were written down for."""
        self.problems: dict[str, int] = {}
        """Why there are no scores → for how many works."""

    def widen(self, workers: int) -> None:
        """Look at so many at a time from now on; before the first."""
        self._rooms = asyncio.Semaphore(workers)

    async def look(self, work_id: int) -> None:
        """Make what an output lacks of thumbnails and scores; nothing that goes wrong with them goes further."""
        try:
            async with self._rooms:
                order = order_of(self._record, self._folder, work_id)
                if order is not None:
                    await self._look(order)
        except Exception as error:  # noqa: BLE001 - they are no part of what a run is for; the text is shown
            self._count(f"{type(error).__name__}: {error}")

    async def _look(self, order: Order) -> None:
        clip, frame = await self._at_hand(order.video), await self._at_hand(order.first_frame)
        await self._draw(order, clip)
        if not self._scores or self._has(order.work_id):
            return
        if isinstance(clip, work.Refusal):
            self._note(order, clip)
        elif clip is not None:
            self._note(order, await self._scored(order, clip, frame))

    async def _at_hand(self, source: Source | None) -> "Path | work.Refusal | None":
        """A source as a file; None where there is none, or it is on the web and not to be fetched."""
        if source is None:
            return None
        if source.local:
            return Path(source.location)
        return None if self._fetcher is None else await self._fetcher.fetch(source.location)

    async def _draw(self, order: Order, video: "Path | work.Refusal | None") -> None:
        """Small pictures of the output's first frame and the source's; one that cannot be made is done without."""
        for path in order.delivered:
            for clip, name in ((order.output, thumbnails.of_output(path)), (video, thumbnails.of_source(path))):
                target = self._folder / name
                if isinstance(clip, Path) and not target.exists():
                    values = str(clip), str(target), thumbnails.WIDTH
                    await self._workers.run(work.write_thumbnail, *values, reads=(str(clip),))

    def _has(self, work_id: int) -> bool:
        known = self._record.scores_of([work_id]).get(work_id)
        return known is not None and known.scores is not None

    async def _scored(self, order: Order, video: Path, frame: "Path | work.Refusal | None") -> "Scores | work.Refusal":
        first = str(frame) if isinstance(frame, Path) else None
        hashes = _hash(order.video), None if order.first_frame is None else _hash(order.first_frame)
        reads = (str(video), str(order.output), *((first,) if first else ()))
        found = await self._workers.run(work.score, str(video), str(order.output), first, hashes, reads=reads)
        if isinstance(frame, work.Refusal) and isinstance(found, Scores):
            return replace(found, notes=(*found.notes, f"the first frame was not compared: {frame.message}"))
        return found

    def _note(self, order: Order, found: "Scores | work.Refusal") -> None:
        scores = found if isinstance(found, Scores) else None
        problem = found.message if isinstance(found, work.Refusal) else None
        if problem is not None:
            self._count(problem)
        if scores is not None and order.work.flag_reason is None and order.work.facts is not None:
            scores = replace(scores, differs=doubt(scores.source, order.work.facts))
        new = Scored(work_id=order.work_id, sha256=order.sha256, scores=scores, problem=problem)
        if scores is None and self._record.scores_of([order.work_id]).get(order.work_id) == new:
            return  # known already: a run with nothing new must write nothing anew
        self._found.append(new)
        if clock.ticks() - self._kept_at >= _KEPT_EVERY_S:
            self.keep()

    def _count(self, problem: str) -> None:
        self.problems[problem] = self.problems.get(problem, 0) + 1

    def keep(self) -> None:
        """Write down what was found; where the disk does not take it, nothing is lost that cannot be made again."""
        found, self._found, self._kept_at = self._found, [], clock.ticks()
        if found:
            with contextlib.suppress(StoppedEarly):
                self._record.keep_scores(found, form=judgement.FORM)
                self.kept += len(found)

    async def close(self) -> None:
        """Stop at once, and keep what there is."""
        self._workers.close()
        if self._fetcher is not None:
            await self._fetcher.close()
        self.keep()


async def look_at_all(scorer: Scorer, work_ids: Iterable[int], tell: Callable[[int, int], None]) -> None:
    """Look at these outputs, as many at a time as there are workers; tells (done, of)."""
    todo, done = list(work_ids), 0
    waiting = iter(todo)

    async def carry() -> None:
        nonlocal done
        for work_id in waiting:
            await scorer.look(work_id)
            done += 1
            tell(done, len(todo))

    tell(0, len(todo))
    carriers = [asyncio.ensure_future(carry()) for _ in range(2 * executors.cores())]
    try:
        await asyncio.gather(*carriers)
    finally:
        for carrier in carriers:
            carrier.cancel()


def _hash(source: Source) -> str | None:
    """The hash a local file had when the request was made; None where nobody knows it."""
    if not source.local:
        return None
    kind, _, value = source.identity.partition(":")
    return source.sha256 or (value if kind == "sha256" else None)
