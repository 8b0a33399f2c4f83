"""The delivered copies that a run makes beside its requests: it never waits for one until its end."""

import asyncio
from contextlib import ExitStack
from typing import Final

from batchmod import clock
from batchmod.app import copying
from batchmod.app import folder as folders
from batchmod.app.copying import Asked, Copier, Outcome, workers
from batchmod.app.loading import Loaded
from batchmod.app.log import Log
from batchmod.app.options import Options
from batchmod.checkpoint import Checkpoint
from batchmod.errors import FolderInUse
from batchmod.model import Event

_HOME: Final = ("succeeded", "copied")


class Copies:
    """Copies of what is there already, and of each output as soon as it is home; nothing where none are wanted."""

    def __init__(self, record: Checkpoint, loaded: Loaded, options: Options, log: Log, *, run_id: str) -> None:
        self._record, self._loaded, self._log, self._run_id = record, loaded, log, run_id
        self._wish = copying.wish_of(loaded.manifest.deliver, options.deliver)
        self._waits = not options.no_wait
        self._open = ExitStack()
        self._copier: Copier | None = None
        self._asked: Asked | None = None
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopped = False
        self._problems: list[str] = []

    @property
    def warnings(self) -> list[str]:
        """What could not be made, and why: a row is not failed for that."""
        outcomes = self._copier.outcomes.values() if self._copier is not None else ()
        return [*self._problems, *copying.warnings_of(outcomes)]

    def begin(self) -> None:
        """Begin with what is there; from then on `hear` adds what comes home."""
        copying.remember(self._record, self._wish)
        if self._wish is None or not self._waits or self._is_stopped:
            return
        folder = self._loaded.folder
        copier = Copier(folder=folder, wish=self._wish, services=self._loaded.services, tell=self._tell)
        try:
            self._copier = self._open.enter_context(copier)
        except FolderInUse as error:
            self._problems.append(f"no copies in this run: {error} [{error.slug}]")
            return
        except OSError as error:
            self._problems.append(f"no copies in this run: {error.filename}: {error.strerror or error} [system]")
            return
        first, own = self._record.fact("manifest_file") or "", folders.where(self._loaded)
        chosen = self._loaded.chosen
        self._asked = Asked(self._record, folder, lambda row: (row.manifest or first) == own and row.number in chosen)
        self._tasks = [asyncio.ensure_future(self._first(copier, self._asked))]
        self._tasks += [asyncio.ensure_future(self._follow(copier, self._asked)) for _ in range(workers())]

    def heard(self, event: Event) -> None:
        """An output may have come home."""
        if event.kind in _HOME and event.job_key is not None:
            self._queue.put_nowait(event.job_key)

    def stop(self) -> None:
        """Make no further copies."""
        self._is_stopped = True
        for task in self._tasks:
            task.cancel()

    async def finish(self) -> None:
        """Wait until every copy is made or refused; not at all where the run was stopped: the next one goes on."""
        for _ in self._tasks[1:]:
            self._queue.put_nowait(None)
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                self._problems.append(f"no further copies: {ended!r} [copy_failed]")

    async def close(self) -> None:
        """Let go of the workers and of the folder's copies."""
        for task in self._tasks:
            task.cancel()
        self._open.close()

    def _tell(self, outcome: Outcome) -> None:
        if outcome.state == "made" and outcome.path is not None:
            path = outcome.path.relative_to(self._loaded.folder).as_posix()
            about = {"output": outcome.output, "copy": path}
            at = clock.iso(clock.now())
            self._log.write(Event(kind="conformed", at=at, run_id=self._run_id, id=outcome.id, facts=about))

    async def _first(self, copier: Copier, asked: Asked) -> None:
        await copying.make_all(copier, list(asked.wanted()))

    async def _follow(self, copier: Copier, asked: Asked) -> None:
        while (key := await self._queue.get()) is not None:
            for wanted in list(asked.wanted([key])):
                await copier.make(wanted)
