"""One run and the store that its outputs go to: who owns it, whose record counts, and what is put up at which moment.

The order is the promise. The store is owned, and looked at, before the record is opened; it says that a run is on
before the first request leaves; the record goes up at intervals, and a last time when the run has closed it; only then
the card says that this is all.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from batchmod import clock, files, results
from batchmod.app import carding, mirroring, pointer, rebuilding, recounting, rescuing, sheets, taking, tenancy
from batchmod.app import folder as folders
from batchmod.app.beside import Companion
from batchmod.app.carding import Card, Standing
from batchmod.app.ending import SIGNALLED, Summary, write_run_json
from batchmod.app.loading import Loaded
from batchmod.app.log import Log
from batchmod.app.mirroring import Mirror, Uploads
from batchmod.app.options import Options
from batchmod.app.staying import Nowhere
from batchmod.checkpoint import Checkpoint, copy_record, drop_copy
from batchmod.errors import MissingExtra, RecordElsewhere, RecordRefused, StoppedEarly, StorageError, StoreRefused
from batchmod.lease import Holder
from batchmod.planning import Action, Plan
from batchmod.report import FILE_NAME as REPORT
from batchmod.runner import Runner
from batchmod.storage import Stores, WebDav
from batchmod.urls import is_stored

LEFT_OVER: Final = "not_stored"
"""Why a run has not ended whose outputs are not all in their store."""
EVERY_S: Final = 60.0
"""How often the record goes up while a run changes it; seldomer where that takes more than a tenth of the time."""
_EMPTIED: Final = (
    "{} says nothing any more of what was put there: has somebody emptied it? All of it is put there anew; what "
    "another machine has done since is not known"
)
_SHARE: Final = 10.0
_COPY: Final = ".checkpoint.copy"
_RECORDS: Final = "record"
_USER: Final = "BATCHMOD_STORE_USER"
_PASSWORD: Final = "BATCHMOD_STORE_PASSWORD"  # noqa: S105 - the variable's name
_SHOWN: Final = 5
_HISTORY_S: Final = 7 * 86400.0
"""How far before a copy its histories are read: a list stamps requests by a clock of its own."""
_ROOM_BYTES: Final = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A record that was taken down from the store at the beginning of a run."""

    card: Card
    only_a_copy: bool
    """Whether requests that its run has sent later may be unknown to it."""

    def words(self, store: str) -> str:
        """What to say of it."""
        said = f"went on with the record of {store}, put there at {self.card.at} by {self.card.machine}"
        if self.only_a_copy:
            said += "; it is a copy from before the end of that run: requests sent later are not known to it"
        if self.card.only_there:
            said += f"; {self.card.only_there:,} outputs were not put there and lie on that machine alone"
        return said


class Session(Nowhere):
    """One run's dealings with its store."""

    def __init__(self, loaded: Loaded, options: Options, *, run_id: str, store: str) -> None:
        self.folder, self.store = loaded.folder, store
        self._loaded, self._options, self._run_id = loaded, options, run_id
        self._stores = _stores_of(store, loaded)
        self._stack = ExitStack()
        self._tenancy: tenancy.Tenancy | None = None
        self._card: Card | None = None
        self._mirror: Mirror | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._is_emptied = False
        self.is_on = False
        """Whether the store says that this run is on."""
        self._me = str(Holder.me())
        self.taken: Taken | None = None

    @property
    def mirror(self) -> Mirror:
        """What sends the folder's files up."""
        assert self._mirror is not None
        return self._mirror

    def check(self) -> None:
        """Raise StoppedEarly where another run has taken the store over."""
        if self._tenancy is not None:
            self._tenancy.check()

    # --- the beginning ---

    def begin(self) -> None:
        """Own the store, and see that the record here is the one that counts, or take it down.

        Raises FolderInUse, RecordRefused, MissingExtra, and UsageError or StoppedEarly for a store that cannot be used.
        """
        try:
            held = tenancy.held(self._stores, self.store, run_id=self._run_id)
            self._tenancy = self._stack.enter_context(held)
            taking.end(self.folder)
            self._card = _read_card(self._stores, self.store)
            self._settle()
            self._mirror = Mirror(self.folder, self.store, self._stores, check=self.check)
            self._look_again()
        except StorageError as error:
            raise _as_an_end(error, self.folder) from error

    def _settle(self) -> None:
        card = self._card
        match standing := carding.stand(card, self._here()):
            case Standing.EMPTY:
                self._refuse_traces()
            case Standing.OURS:
                return
            case Standing.NEWER:
                self._take(only_a_copy=False)
            case Standing.UNFINISHED if self._options.take_copy:
                self._take(only_a_copy=True)
            case Standing.UNFINISHED | Standing.APART | Standing.OTHER:
                assert card is not None
                raise RecordElsewhere(carding.refusal(standing, card, self.store, files.shortest(self.folder)))

    def _here(self) -> carding.Here | None:
        """What the record here says; None where there is none."""
        try:
            record = folders.look_if_there(self.folder, state=self._options.state)
        except RecordRefused as error:
            if self._card is None or pointer.record_file(self.folder, self._options.state).exists():
                raise
            text = f"{error} {self.store} holds a record of {self._card.at}: move {self.folder} away to go on with that"
            raise RecordRefused(f"{text} one.") from error
        if record is None:
            return None
        with record:
            return carding.here(record)

    def _refuse_traces(self) -> None:
        """Raise RecordRefused where outputs lie there of which nobody knows what was paid for them."""
        if self._here() is not None:
            return
        for folder in (*mirroring.FOLDERS, _RECORDS):
            if (found := next(iter(self._stores.list(f"{self.store}/{folder}")), None)) is not None:
                raise RecordRefused(
                    f"{found.url} lies there, but no {carding.NAME} in {self.store} says whose it is, and there is no "
                    f"record in {self.folder}: nobody knows what was paid. Nothing was sent. Put the record back, or "
                    "choose another --output."
                )

    def _take(self, *, only_a_copy: bool) -> None:
        assert self._card is not None
        record = pointer.record_file(self.folder, self._options.state)
        taking.take(self._stores, self.store, self._card, self.folder, record)
        if only_a_copy:
            rebuilding.rebuilt(self.folder, self._loaded.services)  # the event log that came with it may know more
            with folders.open_record(self.folder, create=False, state=self._options.state) as taken:
                carding.only_a_copy(taken, self._card)
        self.taken = Taken(card=self._card, only_a_copy=only_a_copy)

    def _look_again(self) -> None:
        """Let the book say what is up; whoever has just taken a record down has looked already."""
        has_card = self._card is not None
        self._is_emptied = not has_card and bool(self.mirror.book.names)
        if self.taken is None:
            recounting.recount(self.mirror, has_card=has_card)

    async def settled(self, record: Checkpoint, log: Log, run_id: str) -> list[str]:
        """The record is owned: from now on the store says that a run is on. Raises StoppedEarly where it cannot."""
        marks = carding.mark(record, self._run_id)
        try:
            if self._card is None or self._card.record is None:
                await asyncio.to_thread(self._push, record.path, final=False)
            else:
                on = replace(self._card, marks=marks, final=False, run_id=self._run_id, machine=self._me)
                await asyncio.to_thread(self._put_card, on)
        except StorageError as error:
            raise _as_an_end(error, self.folder) from error
        self.is_on = True
        if self.taken is not None:
            log.tell("taken_over", run_id=run_id, message=self.taken.words(self.store))
        return [_EMPTIED.format(self.store)] if self._is_emptied else []

    async def look_for_unknown(self, record: Checkpoint, runner: Runner) -> tuple[str, ...]:
        """Where the record is a copy, book what the histories show of requests it does not know; what cannot be known.

        Raises StoppedEarly where rows are left that may have been paid for: whoever sends them could pay twice.
        """
        since = carding.unknown_since(record)
        if since is None or (asked := _asked(self._loaded)) in carding.looked_for(record):
            return ()
        at = min(clock.now() - _HISTORY_S, datetime.fromisoformat(since).timestamp() - _HISTORY_S)
        choices, mute = await rescuing.book_unknown(self._loaded, self._options, runner, since=at)
        is_said_once_more = self._options.take_copy and self.taken is None
        if choices and not is_said_once_more:
            ids = ", ".join(choice.job.id for choice in choices[:_SHOWN])
            text = f"{ids}: may have been paid for by the run that was lost, and nobody can say which request is whose"
            advice = "see `batchmod rescue MANIFEST`, which shows them and takes --pair; or say --take-copy once more"
            raise StoppedEarly(f"{text}. Nothing was sent: {advice}", slug="record_elsewhere")
        if mute and not is_said_once_more:
            self._refuse_strangers_outputs(record, mute)
        if self._loaded.is_whole:
            carding.was_looked_for(record, asked)
        return tuple(f"{name} has no history: what the lost run sent there after {since} is not known" for name in mute)

    def _refuse_strangers_outputs(self, record: Checkpoint, mute: Sequence[str]) -> None:
        """Raise StoppedEarly where outputs lie there that the record does not know, and no history can tell whose."""
        known = {each.path for some in record.deliveries().values() for each in some}
        outputs = (name for name in self.mirror.book.names if name.startswith(f"{mirroring.VIDEOS}/"))
        if strange := sorted(name for name in outputs if name not in known):
            raise StoppedEarly(
                f"{len(strange):,} outputs in {self.store} are not known to the copy of the record, such as "
                f"{', '.join(strange[:_SHOWN])}: the lost run has paid for them, and {' and '.join(mute)} has no "
                "history to take them from. Nothing was sent: fetch them from there, let their rows say `hold: true`, "
                "and remove them there; or say --take-copy once more, which pays for them again and writes over them",
                slug="record_elsewhere",
            )

    # --- while it goes on ---

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
        self._keeping = asyncio.ensure_future(self._keep(record))

    async def _keep(self, record: Checkpoint) -> None:
        seen, pause_s = record.changes, EVERY_S
        while not await _is_set(self._ending, pause_s):
            if record.changes == seen:
                continue
            seen, began = record.changes, clock.ticks()
            with suppress(
                StorageError, StoppedEarly, OSError, RecordRefused
            ):  # what is not up by the end is said there
                await asyncio.to_thread(self._push, record.path, final=False)
            pause_s = max(EVERY_S, _SHARE * (clock.ticks() - began))

    async def rest(self) -> int:
        """Put no further copies up, since the record is about to be closed; how many files are not up so far."""
        self._ending.set()
        if self._keeping is not None:
            await asyncio.gather(self._keeping, return_exceptions=True)
        return len(self.mirror.lacking) if self._mirror is not None else 0

    def _push(self, record: Path, *, final: bool) -> None:
        """Put a copy of the record up, and the card that names it; the copy before it goes."""
        self._refuse_strangers()
        copy = record.with_name(_COPY)
        if shutil.disk_usage(record.parent).free < record.stat().st_size + _ROOM_BYTES:
            raise StorageError(f"there is no room in {record.parent} for a copy of the record", slug="disk_full")
        copy_record(record, copy)
        try:
            sha256 = files.sha256_of(copy)
            name = f"{_RECORDS}/{sha256[:16]}.sqlite3"
            card = self._card_of(copy, name, sha256, final=final)
            before = self._card.record if self._card is not None else None
            if name != before:
                self._stores.put(copy, f"{self.store}/{name}")
            self._put_card(card)
            with suppress(StorageError):  # it is in nobody's way
                self._drop_copies(but=name, before=before, final=final)
        finally:
            drop_copy(copy)

    def _drop_copies(self, *, but: str, before: str | None, final: bool) -> None:
        """Remove the copy before this one; at the end all others, such as a kill has left behind."""
        older = [f"{self.store}/{before}"] if before is not None else []
        if final:
            older = [each.url for each in self._stores.list(f"{self.store}/{_RECORDS}", few=True)]
        for url in older:
            if url != f"{self.store}/{but}":
                self._stores.remove(url)

    def _refuse_strangers(self) -> None:
        """Raise StoppedEarly where another run has written the card since: its record is not to be lost for ours."""
        assert self._tenancy is not None
        self._tenancy.look()
        self._tenancy.check()
        found = _read_card(self._stores, self.store)
        # one of this very run may have come there though its answer was lost; where none is, nobody's is lost
        if found is not None and found != self._card and found.run_id != self._run_id:
            text = f"another run has put its record into {self.store} meanwhile; this one's stays in {self.folder}"
            raise StoppedEarly(text, slug="lease_lost")

    def _card_of(self, copy: Path, name: str, sha256: str, *, final: bool) -> Card:
        lacking = [each for each in self.mirror.not_up() if each.startswith(f"{mirroring.VIDEOS}/")] if final else []
        with Checkpoint.look_at(copy, whole=False) as seen:
            said = carding.here(seen)
            card = Card(
                folder_id=said.folder_id,
                manifest=seen.fact("manifest_name") or "",
                marks=said.marks,
                run_id=self._run_id,
                machine=self._me,
                at=clock.iso(clock.now()),
                final=final,
                record=name,
                sha256=sha256,
                attempts=said.attempts,
                pages=tuple(sorted(filter(mirroring.is_page, self.mirror.book.names))),
                only_there=len(lacking),
                unfinished=carding.unfinished(seen),
            )
        taking.drop_sides(copy)
        return card

    def _put_card(self, card: Card) -> None:
        self._stores.write(card.as_json(), f"{self.store}/{carding.NAME}")
        self._card = card

    # --- the end ---

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
            await asyncio.to_thread(self._push, record, final=True)
        except (StorageError, StoppedEarly, RecordRefused, OSError) as error:
            slug = "system" if isinstance(error, OSError) else error.slug
            return f"the record is not in {self.store} as it is now: {error} [{slug}]"
        return None

    def leave(self) -> None:
        """End at once: the store is told nothing more, and its card says that a run is on."""
        if self._keeping is not None:
            self._keeping.cancel()
        if self._tenancy is not None:
            self._tenancy.leave()

    def close(self) -> None:
        """Let go of the store."""
        if self._mirror is not None:
            self._mirror.close()
        self._stack.close()
        self._stores.close()


def _asked(loaded: Loaded) -> str:
    """Whose requests a look into the histories is for: a manifest's, at the places that its rows go to."""
    places = sorted({(job.provider, job.origin) for job in loaded.jobs if job.origin})
    return json.dumps([folders.where(loaded), *places])


async def _is_set(event: asyncio.Event, within_s: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), within_s)
    return event.is_set()


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


def _as_an_end(error: StorageError, folder: Path) -> StoppedEarly | StoreRefused:
    """A store that cannot be used, before anything was sent: what its user has to mend, or what may pass."""
    if not error.retry:
        return StoreRefused(f"{error} Nothing was sent.", slug=error.slug)
    shown = files.shortest(folder)
    text = f"{error} Nothing was sent. Run again when it is back; `--output {shown}` goes on without it until then"
    return StoppedEarly(text, slug=error.slug)


def _stores_of(store: str, loaded: Loaded) -> Stores:
    """What speaks to the store; a web server's user and password come from the environment."""
    if is_stored(store):
        return Stores()
    environ = loaded.services.environ
    return WebDav(user=environ.get(_USER) or "", password=environ.get(_PASSWORD) or "")


def _read_card(stores: Stores, store: str) -> Card | None:
    """What the store says of itself. Raises StorageError, and RecordRefused for what is no card."""
    url = f"{store}/{carding.NAME}"
    try:
        return Card.of(stores.read(url), url=url)
    except StorageError as error:
        if error.slug != "object_missing":
            raise
        return None


def glimpse(loaded: Loaded, options: Options) -> str | None:
    """What is worth knowing of the store before a run, looked up without writing; None where that is nothing."""
    if loaded.store is None:
        return None
    stores = _stores_of(loaded.store, loaded)
    try:
        card = _read_card(stores, loaded.store)
    except (StorageError, MissingExtra, RecordRefused) as error:
        return f"a run could not use the store: {error} [{error.slug}]"
    finally:
        stores.close()
    if card is None or pointer.record_file(loaded.folder, options.state).exists():
        return None
    does = "a run takes it down first and sends only what it lacks" if card.final else "a run refuses to go on with it"
    return f"{loaded.store} holds a record of {card.at} by {card.machine}, and there is none here: {does}"
