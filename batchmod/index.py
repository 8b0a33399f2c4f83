"""The per-user index of paid work: what other output folders of this user have paid for, or are paying for now.

It is a hint, rebuilt from a folder's record whenever that is opened; the records are the truth. What it must never
miss is a claim: a hosted request is claimed here before its intent is written, so that two folders cannot both send
it. Work of the embedded engine is free and never stands here.
"""

import os
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final, Self

from batchmod import clock
from batchmod.errors import StoppedEarly
from batchmod.model import Claim, Status, Work

FILE_NAME: Final = "paid.sqlite3"
_VERSION: Final = 1
CLAIMED: Final = (Status.SUBMITTING, Status.SUBMITTED, Status.UNCERTAIN, Status.SUCCEEDED)


def hold(work: Work) -> int:
    """How strongly a work holds its key's claim: 0 not at all; 1 for what is lost, but was paid or may have been."""
    if work.status in CLAIMED:
        return 2
    return int(work.status is Status.FAILED and work.billed is not False)


_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS folder (folder_id TEXT PRIMARY KEY, path TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS claim (
    job_key    TEXT PRIMARY KEY,
    folder_id  TEXT NOT NULL,
    status     TEXT NOT NULL,
    output     TEXT,               -- relative to the folder
    sha256     TEXT,
    cost_usd   REAL,
    at         REAL NOT NULL       -- Unix seconds
) STRICT;
"""


def elsewhere(path: Path, folder_id: str | None) -> dict[str, Claim]:
    """job_key → what another folder than `folder_id` holds; read only, and empty where there is no index yet."""
    query = (
        "SELECT c.job_key, f.path, c.status, c.output, c.sha256, c.cost_usd, c.at "
        "FROM claim c JOIN folder f USING (folder_id) WHERE c.folder_id != ?"
    )
    return {row[0]: _claim(row) for row in _look_up(path, query, folder_id or "")}


def folder_of(path: Path, folder_id: str) -> str | None:
    """Where a folder was when it was opened last."""
    found = _look_up(path, "SELECT path FROM folder WHERE folder_id = ?", folder_id)
    return str(found[0][0]) if found else None


def claims_of(path: Path, folder_id: str) -> dict[str, Claim]:
    """job_key → what this folder holds; read only, and empty where there is no index."""
    query = (
        "SELECT c.job_key, f.path, c.status, c.output, c.sha256, c.cost_usd, c.at "
        "FROM claim c JOIN folder f USING (folder_id) WHERE c.folder_id = ?"
    )
    return {row[0]: _claim(row) for row in _look_up(path, query, folder_id)}


def folder_at(path: Path, folder: Path) -> str | None:
    """The id of the folder that was last seen at this place."""
    query = "SELECT folder_id FROM folder WHERE path = ? ORDER BY rowid DESC LIMIT 1"
    found = _look_up(path, query, str(folder))
    return str(found[0][0]) if found else None


def folders_but(path: Path, folder_id: str) -> tuple[Path, ...]:
    """Where every other output folder of this user was when it was opened last."""
    return tuple(Path(row[0]) for row in _look_up(path, "SELECT path FROM folder WHERE folder_id != ?", folder_id))


def new_folder_id() -> str:
    """An id for a folder that nobody knows."""
    return uuid.uuid4().hex


def _look_up(path: Path, query: str, value: str) -> list[tuple[Any, ...]]:
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as db:
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                return []  # begun, and never finished: it has no tables
            return db.execute(query, (value,)).fetchall()
    except sqlite3.Error as error:
        raise _refused(path, error) from error


def _claim(row: tuple[Any, ...]) -> Claim:
    return Claim(
        folder=row[1],
        status=Status(row[2]),
        output=row[3],
        sha256=row[4],
        cost_usd=row[5],
        on=clock.iso(row[6])[:10],
    )


def _refused(path: Path, error: Exception) -> StoppedEarly:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        text = f"the disk of the index of paid work ({path}) is full; make room and run again. Nothing more is sent"
        return StoppedEarly(text, slug="disk_full")
    if isinstance(error, OSError) or not os.access(path.parent, os.W_OK) or not os.access(path, os.F_OK):
        cure = "set BATCHMOD_HOME to a folder that can be written and that stays"
    else:
        cure = "move it away, it is made anew from the records"
    text = f"the index of paid work cannot be used: {path}: {error}; {cure}"
    return StoppedEarly(text, slug="index_refused")


def _make(path: Path) -> None:
    """Make the index whole beside its place and give it its name, so that a kill leaves no half-made one there.

    Where another run was faster its index is the one that counts; where files cannot have a second name it is made in
    its place, and what a kill leaves of it is taken for empty.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    try:
        with closing(sqlite3.connect(beside, isolation_level=None)) as db:
            _lay_out(db)
        with suppress(OSError):
            os.link(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _lay_out(db: sqlite3.Connection) -> None:
    """An index's tables, all or none."""
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={_VERSION}; COMMIT;")


class NotTogether(Exception):
    """A group of steps was not written."""


class Index:
    """One user's index, open, seen from one output folder."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, folder_id: str) -> None:
        self._db = connection
        self._path = path
        self._folder_id = folder_id
        self.told_all = True
        """Whether nothing was kept from it."""
        self._grouped = False

    @classmethod
    def open(cls, path: Path, *, folder: Path, folder_id: str) -> Self:
        """Open or make the index, and say where this folder is now. Raises StoppedEarly where it cannot be used."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                _make(path)
            db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            db.execute("PRAGMA synchronous=FULL")
            if db.execute("PRAGMA user_version").fetchone()[0] not in (0, _VERSION):
                raise StoppedEarly(f"{path} was written by a newer batchmod", slug="index_refused")
            _lay_out(db)
        except (sqlite3.Error, OSError) as error:
            raise _refused(path, error) from error
        index = cls(db, path, folder_id=folder_id)
        with index._usable(), index._transaction():
            db.execute("INSERT OR REPLACE INTO folder VALUES (?, ?)", (folder_id, str(folder)))
        return index

    def close(self) -> None:
        """Close."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Raises StoppedEarly where the index cannot be written."""
        try:
            yield
        except sqlite3.Error as error:
            raise _refused(self._path, error) from error

    @contextmanager
    def together(self) -> Iterator[None]:
        """Take several steps, durable at the end and all at once. Raises NotTogether, with nothing written."""
        try:
            with self._transaction():
                self._grouped = True
                yield
        except sqlite3.Error as error:
            raise NotTogether from error
        finally:
            self._grouped = False

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._grouped:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise NotTogether from error
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def standing(self) -> str:
        """What it holds of this folder, in so many words: another one where anything of it was changed or lost."""
        sums = "count(*), total(at), total(cost_usd), count(sha256), sum(status = 'succeeded')"
        with self._usable():
            found = self._db.execute(f"SELECT {sums} FROM claim WHERE folder_id = ?", (self._folder_id,)).fetchone()  # noqa: S608
        return " ".join((self._folder_id, *map(repr, found)))

    def rebuild(self, works: Iterable[tuple[Work, str | None]]) -> None:
        """Take over what this folder's record says: (its latest work of a key, the output's path) each."""
        with self._usable(), self._transaction() as db:
            db.execute("DELETE FROM claim WHERE folder_id = ?", (self._folder_id,))
            for work, output in works:
                self._put(db, work, output, force=False)

    def claim(self, job_key: str, *, at: float, force: bool = False) -> bool:
        """Claim a request before its intent; False where another folder holds it (and `force` does not say so).

        Raises StoppedEarly where the index cannot be written: without a claim nothing is sent.
        """
        with self._usable(), self._transaction() as db:
            holder = db.execute("SELECT folder_id FROM claim WHERE job_key = ?", (job_key,)).fetchone()
            if holder is not None and holder[0] != self._folder_id and not force:
                return False
            values = (job_key, self._folder_id, Status.SUBMITTING.value, at)
            db.execute("INSERT OR REPLACE INTO claim (job_key, folder_id, status, at) VALUES (?, ?, ?, ?)", values)
        return True

    def keep(self, work: Work, output: str | None = None) -> None:
        """Take over a work's state; one that was refused, or failed and was not billed, gives its claim back.

        A failure to write is passed over: the next run that opens the folder tells the index again.
        """
        try:
            with self._transaction() as db:
                self._put(db, work, output, force=True)
        except sqlite3.Error:
            self.told_all = False

    def _put(self, db: sqlite3.Connection, work: Work, output: str | None, *, force: bool) -> None:
        if not hold(work):
            mine = (work.job_key, self._folder_id)
            db.execute("DELETE FROM claim WHERE job_key = ? AND folder_id = ?", mine)
            return
        verb = "INSERT OR REPLACE" if force else "INSERT OR IGNORE"
        at = work.finished_at or work.submitted_at or 0.0
        db.execute(
            f"{verb} INTO claim VALUES (?, ?, ?, ?, ?, ?, ?)",
            (work.job_key, self._folder_id, work.status.value, output, work.sha256, work.cost_usd, at),
        )


class NoIndex:
    """For runs that cost nothing: there is nothing to claim."""

    told_all = False

    def together(self) -> AbstractContextManager[None]:
        """Nothing is written."""
        return nullcontext()

    def claim(self, job_key: str, *, at: float, force: bool = False) -> bool:  # noqa: ARG002 - the index's own face
        """Everything may be made."""
        return True

    def keep(self, work: Work, output: str | None = None) -> None:
        """Free work is not kept."""

    def standing(self) -> str:
        """Nothing."""
        return ""

    def close(self) -> None:
        """Nothing is open."""
