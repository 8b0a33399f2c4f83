"""The record, open: what it knows."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from batchmod.checkpoint.opening import make, refuse_broken, refuse_foreign, unreadable
from batchmod.checkpoint.values import WORK_COLUMNS, StoredRow, Totals, attempt_of, work_of
from batchmod.errors import RecordRefused, StoppedEarly
from batchmod.model import Attempt, Delivery, Work

_MONEY: Final = (
    "SELECT coalesce(sum(cost_usd), 0), "
    "coalesce(sum(CASE WHEN status IN ('submitting', 'submitted', 'uncertain') THEN reserved_usd END), 0)"
)


class Reader:
    """One output folder's record, open."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path

    @classmethod
    def open(cls, path: Path, *, create: bool = True) -> Self:
        """Open the record at `path`, or make it. Raises RecordRefused for a foreign, newer or broken one."""
        if not path.exists():
            if not create:
                raise RecordRefused(f"{path}: there is no record; has `batchmod run` been here?")
            make(path)
        try:
            refuse_foreign(path)
            db = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        except (OSError, sqlite3.DatabaseError) as error:
            raise unreadable(path, error) from error
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                db.execute(f"PRAGMA {pragma}")
            refuse_broken(db)
        except sqlite3.DatabaseError as error:
            db.close()
            raise unreadable(path, error) from error
        return cls(db, path)

    def close(self) -> None:
        """Close; the write-ahead log goes back into the one file."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, durable at the end. Raises StoppedEarly where the disk does not take it."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._roll_back()
            slug = "disk_full" if "full" in str(error) else "record_failed"
            raise StoppedEarly(f"{self.path} cannot be written: {error}", slug=slug) from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._db.in_transaction:  # a full disk ends a transaction by itself, or does not
            self._db.execute("ROLLBACK")

    def fact(self, name: str) -> str | None:
        """A fact of the folder, such as `folder_id` or `manifest_name`."""
        row = self._db.execute("SELECT value FROM folder WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def stored_rows(self) -> Iterator[StoredRow]:
        """The manifest's rows in their order."""
        query = "SELECT number, id, job_key, status, fields FROM manifest_row ORDER BY number"
        for number, row_id, key, status, fields in self._db.execute(query):
            yield StoredRow(number, row_id, key, status, json.loads(fields))

    def works(self) -> Iterator[Work]:
        """Every work, oldest first."""
        query = f"SELECT {WORK_COLUMNS} FROM work ORDER BY work_id"  # noqa: S608 - a constant
        return (work_of(row) for row in self._db.execute(query))

    def work(self, work_id: int) -> Work:
        """One work."""
        query = f"SELECT {WORK_COLUMNS} FROM work WHERE work_id = ?"  # noqa: S608 - a constant
        return work_of(self._db.execute(query, (work_id,)).fetchone())

    def unfinished(self) -> tuple[Work, ...]:
        """Every work that is submitting, submitted or uncertain: paid, or perhaps paid."""
        query = f"SELECT {WORK_COLUMNS} FROM work WHERE status IN ('submitting', 'submitted', 'uncertain')"  # noqa: S608
        return tuple(work_of(row) for row in self._db.execute(query))

    def deliveries(self) -> dict[int, tuple[Delivery, ...]]:
        """work_id → its deliveries."""
        found: dict[int, list[Delivery]] = {}
        query = "SELECT id, version, work_id, path, delivered FROM delivery ORDER BY id_folded, version"
        for row_id, version, work_id, path, delivered in self._db.execute(query):
            item = Delivery(id=row_id, version=version, work_id=work_id, path=path, delivered=bool(delivered))
            found.setdefault(work_id, []).append(item)
        return {work_id: tuple(items) for work_id, items in found.items()}

    def deliveries_of(self, work_id: int) -> tuple[Delivery, ...]:
        """The deliveries of one work."""
        query = "SELECT id, version, path, delivered FROM delivery WHERE work_id = ? ORDER BY id_folded"
        return tuple(
            Delivery(id=row[0], version=row[1], work_id=work_id, path=row[2], delivered=bool(row[3]))
            for row in self._db.execute(query, (work_id,))
        )

    def totals(self) -> Totals:
        """Counts by status, what is spent and what is reserved."""
        counts = dict(self._db.execute("SELECT status, count(*) FROM work GROUP BY status"))
        spent, reserved = self._db.execute(f"{_MONEY} FROM work").fetchone()
        return Totals(counts, float(spent), float(reserved))

    def money_of_this_run(self) -> tuple[float, float]:
        """(spent, reserved) since the run's first start: a resumed run is the same one until it ends with 0 or 1."""
        last = "(SELECT coalesce(max(ended_at), 0) FROM run WHERE exit_code IN (0, 1))"
        spent, reserved = self._db.execute(f"{_MONEY} FROM work WHERE submitted_at > {last}").fetchone()
        return float(spent), float(reserved)

    def reservations(self) -> dict[int, float]:
        """work_id → what is reserved for it while it is in flight or uncertain."""
        return {work.work_id: work.reserved_usd for work in self.unfinished()}

    def uncertain_attempts(self) -> tuple[Attempt, ...]:
        """The last attempt of every uncertain work."""
        query = (
            "SELECT max(a.attempt_id), a.work_id, a.provider, a.origin, a.body, a.sent_at, a.seen_dead_at, "
            "a.request_id "
            "FROM attempt a JOIN work w USING (work_id) WHERE w.status = 'uncertain' GROUP BY a.work_id"
        )
        return tuple(attempt_of(row) for row in self._db.execute(query))

    def open_attempt(self, work_id: int) -> int | None:
        """The attempt of a work that has neither receipt nor refusal."""
        query = "SELECT max(attempt_id) FROM attempt WHERE work_id = ? AND outcome = 'open'"
        found = self._db.execute(query, (work_id,)).fetchone()[0]
        return None if found is None else int(found)

    def accepted_attempts(self, provider: str, origin: str) -> tuple[Attempt, ...]:
        """Attempts whose request id we hold: they prove a history, and their rows are taken."""
        query = (
            "SELECT attempt_id, work_id, provider, origin, body, sent_at, seen_dead_at, request_id FROM attempt "
            "WHERE request_id IS NOT NULL AND provider = ? AND origin = ?"
        )
        return tuple(attempt_of(row) for row in self._db.execute(query, (provider, origin)))

    def uploaded(self, provider: str, origin: str, sha256: str) -> str | None:
        """The URL a file already has at a provider."""
        query = "SELECT url FROM upload WHERE provider = ? AND origin = ? AND sha256 = ?"
        row = self._db.execute(query, (provider, origin, sha256)).fetchone()
        return None if row is None else str(row[0])
