"""The record's file, open: how it is written, alone or together, and what it says of its folder."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from batchmod.checkpoint.migrating import migrate, stand_in
from batchmod.checkpoint.opening import make, refuse_broken, refuse_foreign, unreadable
from batchmod.errors import RecordRefused, StoppedEarly


def _uri_to_look(path: Path) -> str:
    """How to open a record without changing it.

    Not read-only where one may write: such a connection leaves its -wal and -shm files behind. Where one may not,
    SQLite could not make them: then a record whose log is empty is taken as a file that nobody changes.
    """
    uri = path.absolute().as_uri()
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return f"{uri}?mode=rw"
    log = path.with_name(f"{path.name}-wal")
    return f"{uri}?mode=ro" if log.exists() and log.stat().st_size else f"{uri}?mode=ro&immutable=1"


class NotTogether(Exception):
    """A group of steps was not written."""


class Opened:
    """One output folder's record, open."""

    _grouped = False
    """Whether the steps of a group are being taken: none of them commits by itself."""
    _spoiled: Exception | None = None
    """What one of them raised when it had written something."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path

    @classmethod
    def look_at(cls, path: Path, *, whole: bool = True) -> Self:
        """Open to read only: a run that is going on is not disturbed, and nothing is made.

        `whole`: read all of it first, since a damaged page may hide a paid request.
        """
        if not path.exists():
            raise RecordRefused(f"{path}: there is no record; has `batchmod run` been here?")
        try:
            refuse_foreign(path)
            db = sqlite3.connect(_uri_to_look(path), uri=True, isolation_level=None, timeout=10.0)
        except (OSError, sqlite3.DatabaseError) as error:
            raise unreadable(path, error) from error
        try:
            stand_in(db, path)
            db.execute("PRAGMA query_only=ON")
            if whole:
                refuse_broken(db)
        except RecordRefused:
            db.close()
            raise
        except sqlite3.DatabaseError as error:
            db.close()
            raise unreadable(path, error) from error
        return cls(db, path)

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
            migrate(db, path)
        except (RecordRefused, StoppedEarly):
            db.close()
            raise
        except sqlite3.DatabaseError as error:
            db.close()
            raise unreadable(path, error) from error
        return cls(db, path)

    def close(self) -> None:
        """Close; what was written goes from the write-ahead log back into the one file, where there is room."""
        if self._db.total_changes:
            with suppress(sqlite3.OperationalError):  # it is durable in the log too
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Take several steps, durable at the end and all at once.

        Raises NotTogether, with nothing written, where the disk does not take them, or one of them raised when it had
        written something: then each is to be taken by itself.
        """
        self._spoiled = None
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._grouped = True
            yield
            self._commit_group()
        except sqlite3.OperationalError as error:
            self._roll_back()
            raise NotTogether from error
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._grouped = False

    def _commit_group(self) -> None:
        if self._spoiled is not None:
            raise NotTogether from self._spoiled
        self._db.execute("COMMIT")

    @contextmanager
    def _transaction(self, work_id: int | None = None, *, delivers: bool = True) -> Iterator[sqlite3.Connection]:
        """All or nothing, durable at the end. Raises StoppedEarly where the disk does not take it.

        `work_id`: the work it changes, where no other is changed; `delivers`: whether its deliveries are changed too.
        """
        if self._grouped:
            with self._step():
                yield self._db
            self._forget(work_id, delivers=delivers)
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._forget(work_id, delivers=delivers)
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._roll_back()
            slug = "disk_full" if "full" in str(error) else "record_failed"
            raise StoppedEarly(f"{self.path} cannot be written: {error}", slug=slug) from error
        except BaseException:
            self._roll_back()
            raise

    @contextmanager
    def _step(self) -> Iterator[None]:
        """One of a group: durable with it. A savepoint for each would be a quarter of all statements of a run."""
        before = self._db.total_changes
        try:
            yield
        except sqlite3.OperationalError as error:
            raise NotTogether from error
        except Exception as error:
            if self._db.total_changes == before:
                raise
            self._spoiled = error
            raise NotTogether from error

    def _forget(self, work_id: int | None = None, *, delivers: bool = True) -> None:
        """What was read of this work may have changed; of all of them, where none is named."""

    def _roll_back(self) -> None:
        self._forget()
        if self._db.in_transaction:  # a full disk ends a transaction by itself, or does not
            self._db.execute("ROLLBACK")

    @property
    def changes(self) -> int:
        """How many rows were written since it was opened: the same number is the same record."""
        return self._db.total_changes

    def fact(self, name: str) -> str | None:
        """A fact of the folder, such as `folder_id` or `manifest_name`."""
        row = self._db.execute("SELECT value FROM folder WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])
