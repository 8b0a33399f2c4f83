"""The record: what was asked for, sent, paid and delivered, in one SQLite file (the only room with SQL).

Every method that writes is one transaction, durable when it returns (WAL with `synchronous=FULL`). The order of
calls around a paid request is the whole promise: `intend` before the POST, `accept` before anything else.
"""

import json
import sqlite3
import struct
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from batchmod import files
from batchmod.errors import RecordRefused, StoppedEarly
from batchmod.jobs import output_path
from batchmod.model import Attempt, Delivery, Job, Source, Status, VideoFacts, Work

FILE_NAME: Final = "checkpoint.sqlite3"
APPLICATION_ID: Final = 1651336036
VERSION: Final = 1
_HEADER_BYTES: Final = 100

_WORK_COLUMNS: Final = (
    "work_id, job_key, provider, model, origin, options, inputs, status, attempts, request_id, state, output_location, "
    "error_code, error, billed, cost_usd, cost_source, reserved_usd, facts, sha256, warnings, flag_reason, "
    "submitted_at, finished_at, run_id"
)

_MONEY: Final = (
    "SELECT coalesce(sum(cost_usd), 0), "
    "coalesce(sum(CASE WHEN status IN ('submitting', 'submitted', 'uncertain') THEN reserved_usd END), 0)"
)


class StoredRow(NamedTuple):
    """A manifest row as the last run saw it."""

    number: int
    id: str
    job_key: str | None
    status: str | None
    fields: Mapping[str, Any]


class Totals(NamedTuple):
    """Counts by status and money over the whole record."""

    by_status: Mapping[str, int]
    spent_usd: float
    reserved_usd: float


class Checkpoint:
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
            _make(path)
        try:
            _refuse_foreign(path)
            db = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        except (OSError, sqlite3.DatabaseError) as error:
            raise _unreadable(path, error) from error
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                db.execute(f"PRAGMA {pragma}")
            _refuse_broken(db)
        except sqlite3.DatabaseError as error:
            db.close()
            raise _unreadable(path, error) from error
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

    # --- the folder ---

    def fact(self, name: str) -> str | None:
        """A fact of the folder, such as `folder_id` or `manifest_name`."""
        row = self._db.execute("SELECT value FROM folder WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_facts(self, facts: Mapping[str, str]) -> None:
        """Write facts of the folder."""
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO folder VALUES (?, ?)", facts.items())

    def store_rows(self, rows: Iterable[StoredRow], *, digest: str) -> None:
        """Replace the manifest's rows, unless they are (by `digest`) the ones already here."""
        if self.fact("rows_digest") == digest:
            return
        with self._transaction() as db:
            db.execute("DELETE FROM manifest_row")
            db.executemany(
                "INSERT INTO manifest_row VALUES (?, ?, ?, ?, ?)",
                ((r.number, r.id, r.job_key, r.status, _dump(r.fields)) for r in rows),
            )
            db.execute("INSERT OR REPLACE INTO folder VALUES ('rows_digest', ?)", (digest,))

    def stored_rows(self) -> Iterator[StoredRow]:
        """The manifest's rows in their order."""
        query = "SELECT number, id, job_key, status, fields FROM manifest_row ORDER BY number"
        for number, row_id, key, status, fields in self._db.execute(query):
            yield StoredRow(number, row_id, key, status, json.loads(fields))

    # --- reading ---

    def works(self) -> Iterator[Work]:
        """Every work, oldest first."""
        query = f"SELECT {_WORK_COLUMNS} FROM work ORDER BY work_id"  # noqa: S608 - a constant
        return (_work(row) for row in self._db.execute(query))

    def work(self, work_id: int) -> Work:
        """One work."""
        query = f"SELECT {_WORK_COLUMNS} FROM work WHERE work_id = ?"  # noqa: S608 - a constant
        return _work(self._db.execute(query, (work_id,)).fetchone())

    def unfinished(self) -> tuple[Work, ...]:
        """Every work that is submitting, submitted or uncertain: paid, or perhaps paid."""
        query = f"SELECT {_WORK_COLUMNS} FROM work WHERE status IN ('submitting', 'submitted', 'uncertain')"  # noqa: S608
        return tuple(_work(row) for row in self._db.execute(query))

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

    # --- the life of a work ---

    def open_work(self, job: Job, *, run_id: str) -> Work:
        """The work a job needs sent: its planned or failed one again, else a new one."""
        with self._transaction() as db:
            query = "SELECT work_id, status FROM work WHERE job_key = ? ORDER BY work_id DESC LIMIT 1"
            row = db.execute(query, (job.key,)).fetchone()
            if row is not None and row[1] in (Status.PLANNED, Status.FAILED, Status.SUCCEEDED):
                db.execute(
                    "UPDATE work SET status = 'planned', error_code = NULL, error = NULL, request_id = NULL, "
                    "state = NULL, output_location = NULL, billed = NULL, finished_at = NULL, facts = NULL, "
                    "sha256 = NULL, warnings = '[]', flag_reason = NULL, inputs = ?, run_id = ? WHERE work_id = ?",
                    (_dump(_inputs(job)), run_id, row[0]),
                )
                work_id = row[0]
            else:
                work_id = db.execute(
                    "INSERT INTO work (job_key, provider, model, origin, options, inputs, status, run_id) "
                    "VALUES (?, ?, ?, ?, ?, ?, 'planned', ?)",
                    (
                        job.key,
                        job.provider,
                        job.model,
                        job.origin,
                        _dump(job.options),
                        _dump(_inputs(job)),
                        run_id,
                    ),
                ).lastrowid
        return self.work(int(work_id or 0))

    def intend(
        self,
        work_id: int,
        *,
        body: Any,
        at: float,
        reserved_usd: float,
        jobs: Sequence[Job],
        state: Mapping[str, Any],
    ) -> int:
        """Write down a POST that is about to leave, and give its outputs their versions; the attempt's number."""
        with self._transaction() as db:
            db.execute(
                "UPDATE work SET status = 'submitting', attempts = attempts + 1, reserved_usd = ?, state = ?, "
                "submitted_at = ? WHERE work_id = ?",
                (reserved_usd, _dump(state), at, work_id),
            )
            attempt = db.execute(
                "INSERT INTO attempt (work_id, provider, origin, body, sent_at) "
                "SELECT work_id, provider, origin, ?, ? FROM work WHERE work_id = ?",
                (_dump(body), at, work_id),
            ).lastrowid
            for job in jobs:
                _give_version(db, job, work_id)
        return int(attempt or 0)

    def accept(self, work_id: int, attempt_id: int | None, *, request_id: str, state: Mapping[str, Any]) -> bool:
        """Write down the receipt; False, and nothing written, where the id belongs to another attempt."""
        try:
            with self._transaction() as db:
                db.execute(
                    "UPDATE attempt SET outcome = 'accepted', request_id = ? WHERE attempt_id = ?",
                    (_text(request_id), attempt_id),
                )
                db.execute(
                    "UPDATE work SET status = 'submitted', request_id = ?, state = ?, error_code = NULL, error = NULL "
                    "WHERE work_id = ?",
                    (_text(request_id), _dump(state), work_id),
                )
        except sqlite3.IntegrityError:
            return False
        return True

    def refuse(self, work_id: int, attempt_id: int, *, outcome: str, note: str) -> None:
        """Write down that an attempt created nothing; its work is planned again."""
        with self._transaction() as db:
            _end_attempt(db, attempt_id, outcome, note)
            db.execute(
                "UPDATE work SET status = 'planned', reserved_usd = 0, error_code = NULL, error = NULL "
                "WHERE work_id = ?",
                (work_id,),
            )

    def doubt(self, work_id: int, attempt_id: int | None, *, reason: str, at: float) -> None:
        """Write down that nobody can say whether a paid job exists."""
        with self._transaction() as db:
            db.execute(
                "UPDATE attempt SET outcome = 'unknown', note = ?, seen_dead_at = coalesce(seen_dead_at, ?) "
                "WHERE attempt_id = ?",
                (_text(reason), at, attempt_id),
            )
            db.execute(
                "UPDATE work SET status = 'uncertain', error_code = 'uncertain', error = ? WHERE work_id = ?",
                (_text(reason), work_id),
            )

    def resend(self, work_id: int) -> None:
        """The user's word: whatever became of the uncertain attempt, the job is planned again."""
        with self._transaction() as db:
            db.execute(
                "UPDATE work SET status = 'planned', request_id = NULL, error_code = NULL, error = NULL, "
                "reserved_usd = 0 WHERE work_id = ? AND status = 'uncertain'",
                (work_id,),
            )

    def never_accepted(self, attempt: Attempt) -> None:
        """The provider's history has shown that an attempt created nothing."""
        self.refuse(attempt.work_id, attempt.attempt_id, outcome="never_accepted", note="not in the history")

    def output_known(self, work_id: int, *, location: str, cost_usd: float | None) -> None:
        """Write down where the finished output is and what it cost."""
        with self._transaction() as db:
            db.execute(
                "UPDATE work SET output_location = ?, billed = coalesce(?, billed), cost_usd = coalesce(?, cost_usd), "
                "cost_source = CASE WHEN ? IS NULL THEN cost_source ELSE 'provider' END WHERE work_id = ?",
                (_text(location), None if cost_usd is None else cost_usd > 0, cost_usd, cost_usd, work_id),
            )

    def succeed(
        self,
        work_id: int,
        *,
        facts: VideoFacts,
        sha256: str,
        at: float,
        flag_reason: str | None = None,
        warnings: Sequence[str] = (),
        estimated_usd: float | None = None,
    ) -> None:
        """Write down that the output is in place; `estimated_usd` where the provider named no cost."""
        with self._transaction() as db:
            db.execute(
                "UPDATE work SET status = 'succeeded', facts = ?, sha256 = ?, finished_at = ?, flag_reason = ?, "
                "warnings = ?, error_code = NULL, error = NULL, reserved_usd = 0, "
                "cost_source = CASE WHEN cost_usd IS NULL AND ? IS NOT NULL THEN 'estimate' ELSE cost_source END, "
                "cost_usd = coalesce(cost_usd, ?), billed = coalesce(billed, ? IS NOT NULL) WHERE work_id = ?",
                (
                    _dump(_facts_as_json(facts)), sha256, at, flag_reason, _dump(list(warnings)),
                    estimated_usd, estimated_usd, estimated_usd, work_id,
                ),
            )  # fmt: skip
            db.execute("UPDATE delivery SET delivered = 1 WHERE work_id = ?", (work_id,))

    def reuse(self, work_id: int, *, facts: VideoFacts, sha256: str, at: float) -> None:
        """Write down an output that another folder has paid for: here it cost nothing."""
        with self._transaction() as db:
            db.execute(
                "UPDATE work SET status = 'succeeded', facts = ?, sha256 = ?, finished_at = ?, cost_usd = 0, "
                "cost_source = 'reused', billed = 0, error_code = NULL, error = NULL WHERE work_id = ?",
                (_dump(_facts_as_json(facts)), sha256, at, work_id),
            )
            db.execute("UPDATE delivery SET delivered = 1 WHERE work_id = ?", (work_id,))

    def fail(self, work_id: int, *, code: str, message: str, billed: bool | None, at: float) -> None:
        """Write down a definite failure; whatever attempt was open was answered.

        A billed one whose cost nobody named counts with what was reserved for it.
        """
        with self._transaction() as db:
            if billed:
                db.execute(
                    "UPDATE work SET cost_usd = reserved_usd, cost_source = 'estimate' "
                    "WHERE work_id = ? AND cost_usd IS NULL AND reserved_usd > 0",
                    (work_id,),
                )
            db.execute(
                "UPDATE work SET status = 'failed', error_code = ?, error = ?, billed = ?, finished_at = ?, "
                "reserved_usd = 0 WHERE work_id = ?",
                (code, _text(message), billed, at, work_id),
            )
            db.execute(
                "UPDATE attempt SET outcome = 'refused', note = ? WHERE work_id = ? AND outcome = 'open'",
                (_text(message), work_id),
            )

    def put_back(self, work_id: int) -> None:
        """A local work that was broken off is planned again: nothing was paid."""
        with self._transaction() as db:
            db.execute("UPDATE work SET status = 'planned', reserved_usd = 0 WHERE work_id = ?", (work_id,))
            db.execute(
                "UPDATE attempt SET outcome = 'never_accepted' WHERE work_id = ? AND outcome = 'open'",
                (work_id,),
            )

    def add_delivery(self, job: Job, work_id: int) -> Delivery:
        """Give a further id its version of a work's output."""
        with self._transaction() as db:
            _give_version(db, job, work_id)
        folded = job.id.casefold()
        return next(d for d in self.deliveries_of(work_id) if d.id.casefold() == folded)

    def delivered(self, delivery: Delivery) -> None:
        """Write down that a copy is in place."""
        with self._transaction() as db:
            db.execute("UPDATE delivery SET delivered = 1 WHERE path = ?", (delivery.path,))

    # --- attempts and uploads ---

    def uncertain_attempts(self) -> tuple[Attempt, ...]:
        """The last attempt of every uncertain work."""
        query = (
            "SELECT max(a.attempt_id), a.work_id, a.provider, a.origin, a.body, a.sent_at, a.seen_dead_at, "
            "a.request_id "
            "FROM attempt a JOIN work w USING (work_id) WHERE w.status = 'uncertain' GROUP BY a.work_id"
        )
        return tuple(_attempt(row) for row in self._db.execute(query))

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
        return tuple(_attempt(row) for row in self._db.execute(query, (provider, origin)))

    def uploaded(self, provider: str, origin: str, sha256: str) -> str | None:
        """The URL a file already has at a provider."""
        query = "SELECT url FROM upload WHERE provider = ? AND origin = ? AND sha256 = ?"
        row = self._db.execute(query, (provider, origin, sha256)).fetchone()
        return None if row is None else str(row[0])

    def remember_upload(self, provider: str, origin: str, sha256: str, *, url: str, at: float) -> None:
        """Remember a file's URL at a provider."""
        with self._transaction() as db:
            values = (provider, origin, sha256, url, at)
            db.execute("INSERT OR REPLACE INTO upload VALUES (?, ?, ?, ?, ?)", values)

    def forget_upload(self, provider: str, origin: str, sha256: str) -> None:
        """Forget a file's URL, which the provider no longer knows."""
        with self._transaction() as db:
            db.execute(
                "DELETE FROM upload WHERE provider = ? AND origin = ? AND sha256 = ?",
                (provider, origin, sha256),
            )

    # --- runs ---

    def begin_run(self, run_id: str, *, at: float) -> None:
        """Write down that a run began."""
        with self._transaction() as db:
            db.execute("INSERT INTO run (run_id, started_at) VALUES (?, ?)", (run_id, at))

    def end_run(self, run_id: str, *, at: float, exit_code: int, stop_reason: str | None) -> None:
        """Write down how a run ended."""
        with self._transaction() as db:
            db.execute(
                "UPDATE run SET ended_at = ?, exit_code = ?, stop_reason = ? WHERE run_id = ?",
                (at, exit_code, stop_reason, run_id),
            )


def _make(path: Path) -> None:
    """Make the record whole beside its place and rename it in, so that no half-made one is ever met."""
    if path.with_name(f"{path.name}-wal").exists():
        raise RecordRefused(
            f"{path} is gone, but its last entries (-wal) are still there: put the record back, or choose another "
            "--output."
        )
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    db = sqlite3.connect(beside, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(resources.files("batchmod").joinpath("checkpoint.sql").read_text(encoding="utf-8"))
        db.execute("INSERT INTO folder VALUES ('folder_id', ?)", (uuid.uuid4().hex,))
    finally:
        db.close()
    beside.replace(path)
    files.sync_folder(path.parent)


def _refuse_foreign(path: Path) -> None:
    """Look at the file's first bytes only: SQLite itself may write to whatever it opens."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
        raise RecordRefused(f"{path} is not a record of batchmod's, or a broken one. Choose another --output.")
    version, application = struct.unpack_from(">I4xI", header, 60)
    if application != APPLICATION_ID:
        raise RecordRefused(f"{path} is not a record of batchmod's. Choose another --output.")
    if version != VERSION:
        text = f"{path} has form {version}; this batchmod reads form {VERSION}"
        raise RecordRefused(f"{text}. Use the batchmod that wrote it, or a newer one.")


def _refuse_broken(db: sqlite3.Connection) -> None:
    """A damaged page may hide a paid request."""
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _unreadable(path: Path, error: Exception) -> RecordRefused:
    text = f"{path}: the record cannot be read ({error}). Nothing was sent. Keep the file; restore a copy of it"
    return RecordRefused(f"{text}, or choose another --output.")


def _give_version(db: sqlite3.Connection, job: Job, work_id: int) -> None:
    """The next version of an id, bound to its work; one already given stays."""
    folded = job.id.casefold()
    query = "SELECT 1 FROM delivery WHERE id_folded = ? AND work_id = ?"
    if db.execute(query, (folded, work_id)).fetchone():
        return
    last = db.execute("SELECT coalesce(max(version), 0) FROM delivery WHERE id_folded = ?", (folded,)).fetchone()[0]
    version = last + 1
    while db.execute("SELECT 1 FROM delivery WHERE path = ?", (output_path(job.stem, version),)).fetchone():
        version += 1
    path = output_path(job.stem, version)
    db.execute("INSERT INTO delivery VALUES (?, ?, ?, ?, ?, 0)", (job.id, folded, version, work_id, path))


def _end_attempt(db: sqlite3.Connection, attempt_id: int, outcome: str, note: str) -> None:
    db.execute("UPDATE attempt SET outcome = ?, note = ? WHERE attempt_id = ?", (outcome, _text(note), attempt_id))


def _inputs(job: Job) -> dict[str, Any]:
    return {
        "mode": job.mode,
        "prompt": job.prompt,
        "video": asdict(job.video),
        "first_frame": asdict(job.first_frame) if job.first_frame else None,
    }


def source_of(stored: Mapping[str, Any] | None) -> Source | None:
    """A source as a work's `inputs` keep it."""
    return None if stored is None else Source(**stored)


def _work(row: Sequence[Any]) -> Work:
    values = dict(zip(_WORK_COLUMNS.split(", "), row, strict=True))
    for name in ("options", "inputs", "state", "facts", "warnings"):
        values[name] = None if values[name] is None else json.loads(values[name])
    values["status"] = Status(values["status"])
    values["billed"] = None if values["billed"] is None else bool(values["billed"])
    values["warnings"] = tuple(values["warnings"])
    values["facts"] = _facts_from_json(values["facts"])
    return Work(**values)


def _attempt(row: Sequence[Any]) -> Attempt:
    return Attempt(
        attempt_id=row[0],
        work_id=row[1],
        provider=row[2],
        origin=row[3],
        body=json.loads(row[4]),
        sent_at=row[5],
        seen_dead_at=row[6],
        request_id=row[7],
    )


def _facts_as_json(facts: VideoFacts) -> dict[str, Any]:
    return {**asdict(facts), "fps": None if facts.fps is None else str(facts.fps)}


def _facts_from_json(stored: dict[str, Any] | None) -> VideoFacts | None:
    if stored is None:
        return None
    return VideoFacts(**{**stored, "fps": None if stored["fps"] is None else Fraction(stored["fps"])})


def _dump(value: Any) -> str:
    return _text(json.dumps(value, ensure_ascii=False))


def _text(text: str) -> str:
    """The text as a file can hold it: an answer may name half a character, and must not keep a receipt out."""
    return text.encode("utf-8", "replace").decode()
