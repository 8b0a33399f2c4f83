"""An output folder's files on their way into its store: beside a run as they come home, and what is written last.

What goes up is named here, and nothing else does: no lock, no lease, no scratch, no key. Files go some at a time, in
threads of their own, so that neither requests nor checks of outputs wait for them.
"""

import asyncio
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from batchmod import clock, files
from batchmod.app import delivered, rotating
from batchmod.app.bookkeeping import Book, Up
from batchmod.checkpoint import Checkpoint
from batchmod.errors import NO_ROOM, StoppedEarly, StorageError
from batchmod.model import Event
from batchmod.report import THUMBS
from batchmod.storage import Stores

VIDEOS: Final = "videos"
FOLDERS: Final = (VIDEOS, delivered.FOLDER, THUMBS)
"""Below the output folder: all finished files in these are in the store."""
PAGES: Final = ("results.csv", "results.xlsx", "report.html", "run.json", "hooks.jsonl", "sources.json")
"""What a run writes last, or what the next one, maybe on another machine, has to know."""
LEDGER: Final = f"{delivered.FOLDER}/{delivered.LEDGER}"
AT_ONCE: Final = 4
_HOME: Final = ("succeeded", "copied")
_SAID: Final = 5
_MOST_PAUSE_S: Final = 60.0

Tell = Callable[[str, StorageError], None]
"""Hears the name of a file that could not be sent, and why."""


class Mirror:
    """Sends an output folder's files up, one session at a time; its calls are made in one event loop."""

    def __init__(self, folder: Path, store: str, stores: Stores, *, check: Callable[[], None]) -> None:
        """`check`: raises StoppedEarly where the store is another run's by now."""
        self.folder, self.store, self.stores = folder, store, stores
        self._check = check
        self.book = Book(folder, store)
        self.lacking: dict[str, StorageError] = {}
        """What is not up, and why."""
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="upload")
        self._down: StorageError | None = None

    async def send(self, name: str, path: Path | None = None, *, patient: bool = True) -> bool:
        """Send a file, unless it is up as it is; False where that could not be. `path`: where it lies, if not there.

        `patient`: it is tried also where the store could not be reached a moment ago.
        """
        if self._down is not None and not patient:
            self.lacking.setdefault(name, self._down)
            return False
        try:
            self._check()
            await self._run(self._sent, name, path or self.folder / name)
        except StoppedEarly as error:
            self.lacking[name] = StorageError(str(error), slug=error.slug)
            return False
        except StorageError as error:
            self.lacking[name] = error
            self._down = error if error.retry else self._down
            return False
        except OSError as error:
            slug = "disk_full" if error.errno in NO_ROOM else "system"
            self.lacking[name] = StorageError(f"{error.filename or name}: {error.strerror or error}", slug=slug)
            return False
        self.lacking.pop(name, None)
        self._down = None
        return True

    def _sent(self, name: str, path: Path) -> None:
        try:
            stat = path.stat()
        except FileNotFoundError:  # gone since: what is up stays there
            return
        known = self.book.get(name)
        if known is not None and known.bytes == stat.st_size:
            if known.mtime_ns == stat.st_mtime_ns:
                return
            if known.sha256 is not None and known.sha256 == files.sha256_of(path):
                return
        sha256 = files.sha256_of(path)
        put = self.stores.put(path, f"{self.store}/{name}")
        self.book.note(
            name,
            Up(
                bytes=stat.st_size,
                sha256=sha256,
                etag=put.etag.strip('"') or None,
                mtime_ns=stat.st_mtime_ns,
                at=clock.iso(clock.now()),
            ),
        )

    @property
    def is_away(self) -> bool:
        """Whether the store could not be reached when it was asked last."""
        return self._down is not None

    async def fetch(self, name: str) -> None:
        """Bring a file down from the store. Raises StorageError."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        await self._run(self.stores.fetch, f"{self.store}/{name}", target)

    async def _run(self, function: Callable[..., object], *values: object) -> object:
        return await asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(function, *values))

    def not_up(self) -> Iterator[str]:
        """The finished files in the folders that go up which are not up as they are here."""
        for folder in FOLDERS:
            for name, entry in files.finished(self.folder, folder):
                if name != LEDGER and self._lacks(name, entry):  # the ledger is written anew until the end
                    yield name

    def _lacks(self, name: str, entry: "os.DirEntry[str]") -> bool:
        """Whether the book does not know a file as it is now."""
        try:
            stat = entry.stat()
        except OSError:  # gone since, or a link that leads nowhere
            return False
        known = self.book.get(name)
        return known is None or (known.bytes, known.mtime_ns) != (stat.st_size, stat.st_mtime_ns)

    def log_parts(self) -> Iterator[str]:
        """The event log, the oldest part first; packed ones change no more."""
        for part in rotating.parts(self.folder):
            yield part.path.name
        if (self.folder / rotating.FILE_NAME).exists():
            yield rotating.FILE_NAME

    def words(self) -> list[str]:
        """What to say of the files that are not up."""
        outputs = {name: error for name, error in self.lacking.items() if name.startswith(f"{VIDEOS}/")}
        shown = [*outputs, *(name for name in self.lacking if name not in outputs)]
        said = [f"{name} is not in {self.store}: {self.lacking[name]} [{self.lacking[name].slug}]" for name in shown]
        if len(said) > _SAID:
            said = [*said[:_SAID], f"{len(said) - _SAID:,} more files are not in {self.store}"]
        return [*said, f"all of it is safe in {self.folder}: run again to send it"] if said else []

    def close(self) -> None:
        """Begin nothing more; what is being sent ends by itself, or comes to nothing with the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Uploads:
    """The mirror beside a run: each output goes up as it comes home, and what earlier runs have left over."""

    def __init__(self, mirror: Mirror, record: Checkpoint, tell: Tell) -> None:
        self._mirror, self._record, self._tell = mirror, record, tell
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._told: set[str] = set()
        self._is_stopped = False
        self._ending = asyncio.Event()

    @property
    def warnings(self) -> list[str]:
        """Nothing yet: what is not up is said at the very end, since it is tried once more before."""
        return []

    def begin(self) -> None:
        """Begin with what is there."""
        if self._is_stopped:
            return
        for name in self._mirror.not_up():
            self._waiting.put_nowait(name)
        self._tasks = [asyncio.ensure_future(self._carry()) for _ in range(AT_ONCE)]

    def heard(self, event: Event) -> None:
        """An output, or a copy of one, may have come home."""
        if event.kind in _HOME and event.job_key is not None:
            work = self._record.latest_work(event.job_key)
            of = () if work is None else self._record.deliveries_of(work.work_id)
            names = [each.path for each in of if each.delivered]
        else:
            names = [str(event.facts["copy"])] if event.kind == "conformed" else []
        for name in names:
            self._waiting.put_nowait(name)

    async def _carry(self) -> None:
        pause_s = 1.0
        while (name := await self._waiting.get()) is not None:
            if await self._mirror.send(name):
                pause_s = 1.0
                continue
            error = self._mirror.lacking[name]
            if name not in self._told:
                self._told.add(name)
                self._tell(name, error)
            if error.retry:  # it is sent again at the end; until then a store that is away is asked ever less often
                if self._ending.is_set():
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), pause_s)
                pause_s = min(2.0 * pause_s, _MOST_PAUSE_S)

    def stop(self) -> None:
        """Begin nothing more; the next run sends the rest."""
        self._is_stopped = True
        for task in self._tasks:
            task.cancel()

    async def finish(self) -> None:
        """Send what waits, and once more what could not be sent; where the store is away, only one file is tried."""
        self._ending.set()
        for _ in self._tasks:
            self._waiting.put_nowait(None)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._is_stopped:
            return
        names = dict.fromkeys([*self._mirror.lacking, *self._mirror.not_up()])
        await send_all(self._mirror, {name: self._mirror.folder / name for name in names})

    async def close(self) -> None:
        """Let go of everything."""
        self.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def send_all(mirror: Mirror, paths: Mapping[str, Path]) -> None:
    """Send files, some at a time; the first alone, and none of the others where the store cannot be reached."""
    waiting = iter(paths.items())
    for name, path in waiting:
        await mirror.send(name, path)
        break

    async def carry() -> None:
        for name, path in waiting:
            await mirror.send(name, path, patient=False)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(carry())


def is_page(name: str) -> bool:
    """Whether a file that is up is a table, a page, or a part of the log, and no output."""
    return name == LEDGER or name.partition("/")[0] not in FOLDERS


def is_ours(page: str) -> bool:
    """Whether a page is one that runs write, and nothing that could stand in the way of one, such as a lock."""
    return page in (*PAGES, LEDGER, rotating.FILE_NAME) or rotating.is_part(page)
