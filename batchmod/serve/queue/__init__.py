"""The queue: what was accepted is on disk before it is answered, and is still there after a kill."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any, Final, Self

from batchmod.errors import RecordRefused

FILE_NAME: Final = "queue.sqlite3"
_APPLICATION_ID: Final = 1651340662
_VERSION: Final = 1
_COLUMNS: Final = (
    "request_id, state, inputs, accepted_at, started_at, ended_at, beginnings, error, of_input, warnings, output, "
    "output_bytes"
)


class State(StrEnum):
    """A job's life, in Segmind's words."""

    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        """Whether nothing more will become of it."""
        return self in (State.COMPLETED, State.FAILED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """An accepted request; times in Unix seconds."""

    request_id: str
    state: State
    inputs: Mapping[str, Any]
    """As it was sent."""
    accepted_at: float
    started_at: float | None = None
    ended_at: float | None = None
    beginnings: int = 0
    """How often the engine began with it; a stop on purpose does not count."""
    error: str | None = None
    of_input: bool = False
    """It failed because of what was sent, not because of the service."""
    warnings: Sequence[str] = ()
    output: str | None = None
    """The name of its file."""
    output_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file that may be fetched by whoever knows its name."""

    name: str
    kind: str
    """`assets` or `outputs`."""
    media_type: str
    bytes: int
    expires_at: float


class Queue:
    """The queue of one service, open for one thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or make it. Raises RecordRefused for a file that is another's, newer or broken."""
        try:
            db = sqlite3.connect(path, isolation_level=None, timeout=10.0, check_same_thread=False)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            if db.execute("PRAGMA schema_version").fetchone()[0] == 0:
                schema = resources.files("batchmod.serve.queue").joinpath("schema.sql").read_text(encoding="utf-8")
                db.executescript(f"BEGIN IMMEDIATE;\n{schema}\nCOMMIT;")
            application, version = (
                db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
            )
            if application != _APPLICATION_ID or version != _VERSION:
                raise RecordRefused(f"{path} is not this batchmod's queue; choose another --data")
        except sqlite3.Error as error:
            raise RecordRefused(f"{path}: the queue cannot be read ({error}); choose another --data") from error
        return cls(db)

    def close(self) -> None:
        """Close."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def accept(self, request_id: str, inputs: Mapping[str, Any], *, at: float) -> Job:
        """Keep a request; it is on disk when this returns."""
        text = json.dumps(inputs, ensure_ascii=False)
        values = (request_id, State.QUEUED.value, text, at)
        with self._transaction() as db:
            db.execute("INSERT INTO job (request_id, state, inputs, accepted_at) VALUES (?, ?, ?, ?)", values)
        return Job(request_id=request_id, state=State.QUEUED, inputs=inputs, accepted_at=at)

    def job(self, request_id: str) -> Job | None:
        """A request by its id."""
        found = self._db.execute(f"SELECT {_COLUMNS} FROM job WHERE request_id = ?", (request_id,)).fetchone()  # noqa: S608 - constants
        return None if found is None else _job(found)

    def unfinished(self) -> list[Job]:
        """What waits or is worked on, in the order in which it came."""
        query = f"SELECT {_COLUMNS} FROM job WHERE state IN ('QUEUED', 'PROCESSING') ORDER BY job_id"  # noqa: S608 - constants
        return [_job(row) for row in self._db.execute(query)]

    def waiting(self) -> int:
        """How many are unfinished."""
        return int(self._db.execute("SELECT count(*) FROM job WHERE state IN ('QUEUED', 'PROCESSING')").fetchone()[0])

    def ahead_of(self, request_id: str) -> int:
        """How many that came before it are unfinished."""
        query = (
            "SELECT count(*) FROM job WHERE state IN ('QUEUED', 'PROCESSING') "
            "AND job_id < (SELECT job_id FROM job WHERE request_id = ?)"
        )
        return int(self._db.execute(query, (request_id,)).fetchone()[0])

    def begin(self, request_id: str, *, at: float) -> None:
        """The engine begins with it."""
        change = "state = 'PROCESSING', started_at = ?, beginnings = beginnings + 1"
        self._db.execute(f"UPDATE job SET {change} WHERE request_id = ?", (at, request_id))  # noqa: S608 - constants

    def put_back(self, request_id: str, *, on_purpose: bool) -> None:
        """It waits again; `on_purpose`: the service was stopped, and the job is not to blame."""
        change = "state = 'QUEUED', started_at = NULL, beginnings = max(0, beginnings - ?)"
        where = "request_id = ? AND state = 'PROCESSING'"
        self._db.execute(f"UPDATE job SET {change} WHERE {where}", (int(on_purpose), request_id))  # noqa: S608 - constants

    def complete(self, request_id: str, output: File, *, warnings: Sequence[str], at: float) -> None:
        """Its video is there."""
        with self._transaction() as db:
            _insert(db, output)
            db.execute(
                "UPDATE job SET state = 'COMPLETED', ended_at = ?, warnings = ?, output = ?, output_bytes = ? "
                "WHERE request_id = ?",
                (at, json.dumps(list(warnings), ensure_ascii=False), output.name, output.bytes, request_id),
            )

    def fail(self, request_id: str, error: str, *, of_input: bool, at: float) -> None:
        """Nothing will become of it."""
        change = "state = 'FAILED', ended_at = ?, error = ?, of_input = ?"
        self._db.execute(f"UPDATE job SET {change} WHERE request_id = ?", (at, error, int(of_input), request_id))  # noqa: S608 - constants

    def history(
        self, *, since: float, until: float, states: Iterable[State], newest_first: bool, skip: int, take: int
    ) -> tuple[list[Job], int]:
        """The requests accepted from `since` up to, not including, `until`: a page of them, and how many there are."""
        wanted = tuple(state.value for state in states)
        where = f"accepted_at >= ? AND accepted_at < ? AND state IN ({', '.join('?' * len(wanted))})"
        values = (since, until, *wanted)
        total = self._db.execute(f"SELECT count(*) FROM job WHERE {where}", values).fetchone()[0]  # noqa: S608 - constants
        order = f"ORDER BY job_id {'DESC' if newest_first else 'ASC'} LIMIT ? OFFSET ?"
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM job WHERE {where} {order}", (*values, take, skip))  # noqa: S608 - constants
        return [_job(row) for row in rows], int(total)

    def keep(self, file: File) -> None:
        """A file may be fetched from now on."""
        with self._transaction() as db:
            _insert(db, file)

    def file(self, kind: str, name: str, *, at: float) -> File | None:
        """A file by its name; None where it is not there, or not any more."""
        query = "SELECT name, kind, media_type, bytes, expires_at FROM file WHERE name = ? AND kind = ?"
        found = self._db.execute(f"{query} AND expires_at > ?", (name, kind, at)).fetchone()
        return None if found is None else _file(found)

    def names(self) -> set[str]:
        """The names of all files."""
        return {row[0] for row in self._db.execute("SELECT name FROM file")}

    def forget(self, *, expired_by: float, ended_before: float) -> None:
        """Drop files whose time is over, and requests that ended long ago."""
        with self._transaction() as db:
            db.execute("DELETE FROM file WHERE expires_at <= ?", (expired_by,))
            db.execute("DELETE FROM job WHERE ended_at < ?", (ended_before,))


def _insert(db: sqlite3.Connection, file: File) -> None:
    values = (file.name, file.kind, file.media_type, file.bytes, file.expires_at)
    db.execute("INSERT INTO file (name, kind, media_type, bytes, expires_at) VALUES (?, ?, ?, ?, ?)", values)


def _job(row: tuple[Any, ...]) -> Job:
    return Job(
        request_id=row[0],
        state=State(row[1]),
        inputs=json.loads(row[2]),
        accepted_at=row[3],
        started_at=row[4],
        ended_at=row[5],
        beginnings=row[6],
        error=row[7],
        of_input=bool(row[8]),
        warnings=tuple(json.loads(row[9])),
        output=row[10],
        output_bytes=row[11],
    )


def _file(row: tuple[Any, ...]) -> File:
    return File(name=row[0], kind=row[1], media_type=row[2], bytes=row[3], expires_at=row[4])
