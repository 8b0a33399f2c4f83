"""The copies of the record in the store: one every so often while a run changes it, and the last one when it has ended.

A copy counts for nothing until the card names it, and only then the copy before it goes.
"""

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from batchmod import clock, files
from batchmod.app.storing import carding, mirroring, taking
from batchmod.app.storing.carding import Card
from batchmod.app.storing.connection import Connection
from batchmod.app.storing.mirroring import Mirror
from batchmod.checkpoint import Checkpoint, copy_record, drop_copy
from batchmod.errors import RecordRefused, StoppedEarly, StorageError

EVERY_S: Final = 60.0
"""How often the record goes up while a run changes it; seldomer where that takes more than a tenth of the time."""
_SHARE: Final = 10.0
_COPY: Final = ".checkpoint.copy"
_ROOM_BYTES: Final = 64 << 20


class RecordCopies:
    """Puts copies of one run's record up. `mirror` knows which outputs and pages are up, for the card to say."""

    def __init__(self, connection: Connection, mirror: Mirror) -> None:
        self._connection, self._mirror = connection, mirror
        self._keeping: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    def begin(self, record: Checkpoint) -> None:
        """From now on the record goes up every so often."""
        self._keeping = asyncio.ensure_future(self._keep(record))

    async def _keep(self, record: Checkpoint) -> None:
        seen, pause_s = record.changes, EVERY_S
        while not await _is_set(self._ending, pause_s):
            if record.changes == seen:
                continue
            seen, began = record.changes, clock.ticks()
            # what is not up by the end is said there
            with suppress(StorageError, StoppedEarly, OSError, RecordRefused):
                await asyncio.to_thread(self.put, record.path, final=False)
            pause_s = max(EVERY_S, _SHARE * (clock.ticks() - began))

    async def rest(self) -> None:
        """Put no further ones up, since the record is about to be closed."""
        self._ending.set()
        if self._keeping is not None:
            await asyncio.gather(self._keeping, return_exceptions=True)

    def leave(self) -> None:
        """Put no further ones up, not even the one under way."""
        if self._keeping is not None:
            self._keeping.cancel()

    def put(self, record: Path, *, final: bool) -> None:
        """Put a copy of the record up, and the card that names it; the copy before it goes.

        `final`: whether the run that the record tells of has ended in good order. Raises StorageError, StoppedEarly,
        RecordRefused and OSError.
        """
        self._connection.refuse_strangers()
        copy = record.with_name(_COPY)
        if shutil.disk_usage(record.parent).free < record.stat().st_size + _ROOM_BYTES:
            raise StorageError(f"there is no room in {record.parent} for a copy of the record", slug="disk_full")
        copy_record(record, copy)
        try:
            self._put_copy(copy, final=final)
        finally:
            drop_copy(copy)

    def _put_copy(self, copy: Path, *, final: bool) -> None:
        sha256 = files.sha256_of(copy)
        name = f"{carding.RECORDS}/{sha256[:16]}.sqlite3"
        card = self._card_of(copy, name, sha256, final=final)
        before = self._connection.card.record if self._connection.card is not None else None
        if name != before:
            self._connection.stores.put(copy, f"{self._connection.store}/{name}")
        self._connection.put_card(card)
        with suppress(StorageError):  # it is in nobody's way
            self._drop_copies(but=name, before=before, final=final)

    def _card_of(self, copy: Path, name: str, sha256: str, *, final: bool) -> Card:
        mirror = self._mirror
        lacking = [each for each in mirror.not_up() if each.startswith(f"{mirroring.VIDEOS}/")] if final else []
        with Checkpoint.look_at(copy, whole=False) as seen:
            said = carding.here(seen)
            card = Card(
                folder_id=said.folder_id,
                manifest=seen.fact("manifest_name") or "",
                marks=said.marks,
                run_id=self._connection.run_id,
                machine=self._connection.machine,
                at=clock.iso(clock.now()),
                final=final,
                record=name,
                sha256=sha256,
                attempts=said.attempts,
                pages=tuple(sorted(filter(mirroring.is_page, mirror.book.names))),
                only_there=len(lacking),
                unfinished=carding.unfinished(seen),
            )
        taking.drop_sides(copy)
        return card

    def _drop_copies(self, *, but: str, before: str | None, final: bool) -> None:
        """Remove the copy before this one; at the end all others, such as a kill has left behind."""
        stores, store = self._connection.stores, self._connection.store
        older = [f"{store}/{before}"] if before is not None else []
        if final:
            older = [each.url for each in stores.list(f"{store}/{carding.RECORDS}", few=True)]
        for url in older:
            if url != f"{store}/{but}":
                stores.remove(url)


async def _is_set(event: asyncio.Event, within_s: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), within_s)
    return event.is_set()
