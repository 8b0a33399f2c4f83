"""One run's dealings with its store, moment by moment: before the record is opened, until it is closed, and at the end.

A run has one even where its outputs stay on this machine: `staying.Nowhere`, which does nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from batchmod import clock, files, results
from batchmod.app import pointer, sheets
from batchmod.app.beside import Companion
from batchmod.app.ending import SIGNALLED, Summary, write_run_json
from batchmod.app.loading import Loaded
from batchmod.app.log import Log
from batchmod.app.options import Options
from batchmod.app.storing import carding, comparing, mirroring, recounting, taking, unknown
from batchmod.app.storing.connection import Connection, stores_of
from batchmod.app.storing.mirroring import Mirror, Uploads
from batchmod.app.storing.record_copies import RecordCopies
from batchmod.app.storing.staying import Nowhere
from batchmod.checkpoint import Checkpoint
from batchmod.errors import RecordRefused, StoppedEarly, StorageError, StoreRefused
from batchmod.planning import Action, Plan
from batchmod.report import FILE_NAME as REPORT
from batchmod.runner import Runner

LEFT_OVER: Final = "not_stored"
"""Why a run has not ended whose outputs are not all in their store."""
_EMPTIED: Final = (
    "{} says nothing any more of what was put there: has somebody emptied it? All of it is put there anew; what "
    "another machine has done since is not known"
)


@asynccontextmanager
async def opened(loaded: Loaded, options: Options, *, run_id: str) -> AsyncIterator[Nowhere]:
    """The store of a run, owned for the block.

    A run that raises has closed its record all the same, so that it is put up as the last one.
    """
    if loaded.store is None:
        yield Nowhere()
        return
    session = Session(loaded, options, run_id=run_id, store=loaded.store)
    try:
        await asyncio.to_thread(session.begin)
        yield session
    except asyncio.CancelledError:
        session.leave()
        raise
    except Exception:
        await session.rest()
        if session.is_on:
            await session.seal()
        raise
    finally:
        await asyncio.to_thread(session.close)


class Session(Nowhere):
    """A run that has a store."""

    def __init__(self, loaded: Loaded, options: Options, *, run_id: str, store: str) -> None:
        self.folder, self.store = loaded.folder, store
        self._loaded, self._options, self._run_id = loaded, options, run_id
        stores = stores_of(store, loaded.services.environ)
        self._connection = Connection(stores, store, folder=loaded.folder, run_id=run_id)
        self._taken: comparing.Taken | None = None
        self._mirror: Mirror | None = None
        self._copies: RecordCopies | None = None
        self._is_emptied = False
        self.is_on = False
        """Whether the store says that this run is on."""

    @property
    def mirror(self) -> Mirror:
        """What sends the folder's files up."""
        assert self._mirror is not None
        return self._mirror

    @property
    def copies(self) -> RecordCopies:
        """What puts the record up."""
        assert self._copies is not None
        return self._copies

    def check(self) -> None:
        """Raise StoppedEarly where another run has taken the store over."""
        self._connection.check()

    def begin(self) -> None:
        """Own the store, and see that the record here is the one that counts, or take it down.

        Raises FolderInUse, RecordRefused, MissingExtra, and UsageError or StoppedEarly for a store that cannot be used.
        """
        try:
            self._connection.own()
            taking.end(self.folder)
            self._connection.read_card()
            self._taken = comparing.settle(self._connection, self._loaded, self._options)
            self._mirror = Mirror(self.folder, self.store, self._connection.stores, check=self.check)
            self._copies = RecordCopies(self._connection, self._mirror)
            self._look_again()
        except StorageError as error:
            raise _as_an_end(error, self.folder) from error

    def _look_again(self) -> None:
        """Let the book say what is up; whoever has just taken a record down has looked already."""
        has_card = self._connection.card is not None
        self._is_emptied = not has_card and bool(self.mirror.book.names)
        if self._taken is None:
            recounting.recount(self.mirror, has_card=has_card)

    async def settled(self, record: Checkpoint, log: Log, run_id: str) -> list[str]:
        """The record is owned: from now on the store says that a run is on. Raises StoppedEarly where it cannot."""
        marks = carding.mark(record, self._run_id)
        card = self._connection.card
        try:
            if card is None or card.record is None:
                await asyncio.to_thread(self.copies.put, record.path, final=False)
            else:
                on = replace(card, marks=marks, final=False, run_id=self._run_id, machine=self._connection.machine)
                await asyncio.to_thread(self._connection.put_card, on)
        except StorageError as error:
            raise _as_an_end(error, self.folder) from error
        self.is_on = True
        if self._taken is not None:
            log.tell("taken_over", run_id=run_id, message=self._taken.words(self.store))
        return [_EMPTIED.format(self.store)] if self._is_emptied else []

    async def look_for_unknown(self, record: Checkpoint, runner: Runner) -> tuple[str, ...]:
        """Book what a copy of the record does not know; what cannot be known.

        Raises StoppedEarly where rows are left that may have been paid for: whoever sends them could pay twice.
        """
        is_just_taken = self._taken is not None
        return await unknown.look_for(
            record, runner, self._loaded, self._options, self.mirror, is_just_taken=is_just_taken
        )

    def companions(self, record: Checkpoint, log: Log) -> Iterator[Companion]:
        """Who sends outputs up beside the run."""

        def tell(name: str, error: StorageError) -> None:
            log.tell("not_stored", run_id=self._run_id, output=name, code=error.slug, message=str(error))

        yield Uploads(self.mirror, record, tell)

    async def begun(self, record: Checkpoint, plan: Plan) -> None:
        """Fetch what is up, not here, and wanted for further ids; from now on the record goes up every so often.

        What cannot be had is left to the runner.
        """
        for item in plan.of(Action.COPY):
            of = () if item.work_id is None else record.deliveries_of(item.work_id)
            given = [each.path for each in of if each.delivered]
            up = next((path for path in given if path in self.mirror.book), None)
            if up is not None and not any((self.folder / path).exists() for path in given):
                with suppress(StorageError, OSError):
                    await self.mirror.fetch(up)
        self.copies.begin(record)

    async def rest(self) -> int:
        """Put no further copies up, since the record is about to be closed; how many files are not up so far."""
        if self._copies is not None:
            await self._copies.rest()
        return len(self._mirror.lacking) if self._mirror is not None else 0

    async def last(self, summary: Summary) -> Summary:
        """What is written last goes up, and the record, which nobody writes any more; the summary with what is not."""
        if summary.stop_reason not in SIGNALLED and not self.mirror.is_away:
            await mirroring.send_all(self.mirror, {name: self.folder / name for name in self.mirror.not_up()})
        await mirroring.send_all(self.mirror, self._pages(summary))
        problem = await self.seal()  # tried in any case: a single page may be all that cannot be put up
        said = [*self.mirror.words(), *([] if problem is None else [problem])]
        if not said and (left := sum(1 for _ in self.mirror.not_up())):  # it was told to stop while they went up
            said = [f"{left:,} files are not in {self.store} yet: run again to send them"]
        if not said:
            return replace(summary, store=self.store)
        code = summary.exit_code if summary.exit_code in SIGNALLED.values() else StoppedEarly.exit_code
        ended = replace(
            summary,
            exit_code=code,
            stop_reason=summary.stop_reason or LEFT_OVER,
            warnings=(*summary.warnings, *said),
        )
        write_run_json(ended, began=clock.now() - ended.seconds)
        return ended

    def _pages(self, summary: Summary) -> dict[str, Path]:
        """What is written last: name → file, which has another name here where a spreadsheet held the first."""
        pages = {name: self.folder / name for name in (*mirroring.PAGES, mirroring.LEDGER)}
        shown = {results.FILE_NAME: summary.results, REPORT: summary.report, sheets.FILE_NAME: summary.workbook}
        pages |= {name: path for name, path in shown.items() if path is not None}
        pages |= {name: self.folder / name for name in self.mirror.log_parts()}
        return {name: path for name, path in pages.items() if path.exists()}

    async def seal(self) -> str | None:
        """The record as it was closed, and the word that this is all; what kept it from being put up, in words."""
        record = pointer.record_file(self.folder, self._options.state)
        try:
            await asyncio.to_thread(self.copies.put, record, final=True)
        except (StorageError, StoppedEarly, RecordRefused, OSError) as error:
            slug = "system" if isinstance(error, OSError) else error.slug
            return f"the record is not in {self.store} as it is now: {error} [{slug}]"
        return None

    def leave(self) -> None:
        """End at once: the store is told nothing more, and its card says that a run is on."""
        if self._copies is not None:
            self._copies.leave()
        self._connection.leave()

    def close(self) -> None:
        """Let go of the store."""
        if self._mirror is not None:
            self._mirror.close()
        self._connection.close()


def _as_an_end(error: StorageError, folder: Path) -> StoppedEarly | StoreRefused:
    """A store that cannot be used, before anything was sent: what its user has to mend, or what may pass."""
    if not error.retry:
        return StoreRefused(f"{error} Nothing was sent.", slug=error.slug)
    shown = files.shortest(folder)
    text = f"{error} Nothing was sent. Run again when it is back; `--output {shown}` goes on without it until then"
    return StoppedEarly(text, slug=error.slug)
