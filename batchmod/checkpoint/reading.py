"""The record, open: what it knows."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final, Self

from batchmod.checkpoint.migrating import migrate, stand_in
from batchmod.checkpoint.opening import make, refuse_broken, refuse_foreign, unreadable
from batchmod.checkpoint.values import (
    BOOKED,
    WORK_COLUMNS,
    StoredRow,
    Totals,
    attempt_of,
    delivery_of,
    scored_of,
    work_of,
)
from batchmod.errors import RecordRefused, StoppedEarly
from batchmod.model import WISHED, Attempt, Delivery, Review, Scored, Status, Work

_MONEY: Final = (
    "SELECT coalesce(sum(CASE WHEN status IN ('succeeded', 'failed') THEN cost_usd END), 0), "
    "coalesce(sum(CASE WHEN status IN ('submitting', 'submitted', 'uncertain') THEN reserved_usd END), 0)"
)


_LATEST: Final = f"ORDER BY (w.again = {WISHED} AND w.status = 'planned'), w.work_id DESC LIMIT 1"
"""Of a key's works the one that stands for it: a wish behind every other."""

_NO_FLOORS: Final[Mapping[str, float]] = {}


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


class Reader:
    """One output folder's record, open."""

    _grouped = False
    """Whether the steps of a group are being taken: none of them commits by itself."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path

    @classmethod
    def look_at(cls, path: Path) -> Self:
        """Open to read only: a run that is going on is not disturbed, and nothing is made."""
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
        """Take several steps, durable at the end and all at once; a step that raises is taken back alone.

        Raises NotTogether, with nothing written, where the disk does not take them: then each is taken by itself.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._grouped = True
            yield
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._roll_back()
            raise NotTogether from error
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._grouped = False

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, durable at the end. Raises StoppedEarly where the disk does not take it."""
        if self._grouped:
            with self._step() as db:
                yield db
            return
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

    @contextmanager
    def _step(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, durable with its group. Trouble of the disk is the whole group's."""
        try:
            self._db.execute("SAVEPOINT step")
            yield self._db
            self._db.execute("RELEASE step")
        except sqlite3.OperationalError as error:
            raise NotTogether from error
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK TO step")
                self._db.execute("RELEASE step")
            raise

    def _roll_back(self) -> None:
        if self._db.in_transaction:  # a full disk ends a transaction by itself, or does not
            self._db.execute("ROLLBACK")

    def fact(self, name: str) -> str | None:
        """A fact of the folder, such as `folder_id` or `manifest_name`."""
        row = self._db.execute("SELECT value FROM folder WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def manifests(self) -> dict[str, str]:
        """The manifests of the folder: file, as seen from it, → name."""
        query = "SELECT name, value FROM folder WHERE name LIKE 'added_manifest %'"
        found = {str(place): str(name).partition(" ")[2] for name, place in self._db.execute(query)}
        own, name = self.fact("manifest_file"), self.fact("manifest_name")
        return {own: name, **found} if own is not None and name is not None else found

    def stored_rows(self, *, first: str = "") -> Iterator[StoredRow]:
        """The rows in their order, manifest by manifest, that of the file `first` first."""
        names = [row[0] for row in self._db.execute("SELECT DISTINCT manifest FROM manifest_row ORDER BY manifest")]
        query = (
            "SELECT number, id, job_key, status, fields, manifest FROM manifest_row WHERE manifest = ? ORDER BY number"
        )
        for name in sorted(names, key=lambda name: name not in ("", first)):
            for number, row_id, key, status, fields, manifest in self._db.execute(query, (name,)):
                yield StoredRow(number, row_id, key, status, json.loads(fields), manifest)

    def statuses(self, manifest: str) -> Iterator[tuple[int, str]]:
        """Number and status of each of a manifest's rows, by its latest work where that is more than planned."""
        others, wishes = self.not_succeeded(), {work.work_id for work in self.wishes()}
        # of a key's works only the number is read: it stands in the index, and the table is a hundred times as long
        query = (
            "SELECT number, status, job_key, (SELECT max(work_id) FROM work w WHERE w.job_key = r.job_key) "
            "FROM manifest_row r WHERE manifest = ?"
        )
        for number, own, key, work_id in self._db.execute(query, (manifest,)):
            its = None if work_id is None else others.get(work_id, Status.SUCCEEDED.value)
            if work_id in wishes and (work := self.latest_work(key)) is not None:
                its = work.status.value  # another one stands before it
            planned = its is None or (own is not None and its in (Status.PLANNED, Status.FAILED))
            yield number, own or Status.PLANNED.value if planned else str(its)

    def all_succeeded(self, manifest: str) -> int | None:
        """How many rows a manifest has, where it is the only one, and each of them has its output; None else."""
        # both indices in the order of the keys: a tenth of what asking row by row takes
        lacking = (
            "SELECT 1 FROM manifest_row r INDEXED BY manifest_row_by_key "
            "WHERE NOT EXISTS (SELECT 1 FROM work w WHERE w.job_key = r.job_key)"
        )
        others = "SELECT 1 FROM manifest_row WHERE manifest != ?"
        if (
            self.not_succeeded()
            or self._db.execute(others, (manifest,)).fetchone()
            or self._db.execute(lacking).fetchone()
        ):
            return None
        return int(self._db.execute("SELECT count(*) FROM manifest_row").fetchone()[0])

    def not_succeeded(self) -> dict[int, str]:
        """work_id → status, of every work that has another one than succeeded."""
        others = [status.value for status in Status if status is not Status.SUCCEEDED]
        query = f"SELECT work_id, status FROM work WHERE status IN ({', '.join('?' * len(others))})"  # noqa: S608
        return dict(self._db.execute(query, others))

    def works_for(self, row_id: str, *job_keys: str | None) -> tuple[Work, ...]:
        """Every work whose output is, or would be, this id's, or that one of these keys names; oldest first."""
        marks = ", ".join("?" for _ in job_keys) or "NULL"
        query = (
            f"SELECT {WORK_COLUMNS} FROM work WHERE job_key IN ({marks}) "  # noqa: S608 - question marks
            "OR work_id IN (SELECT work_id FROM delivery WHERE id_folded = ?) ORDER BY work_id"
        )
        return tuple(work_of(row) for row in self._db.execute(query, (*job_keys, row_id.casefold())))

    def rows_of(self, job_key: str) -> tuple[str, ...]:
        """The ids of the rows that ask for this, of every manifest of the folder."""
        query = "SELECT id FROM manifest_row WHERE job_key = ? ORDER BY manifest, number"
        return tuple(row[0] for row in self._db.execute(query, (job_key,)))

    def rows_showing(self, work: Work) -> tuple[str, ...]:
        """The ids of the rows that a work stands for: none for what was edited away, or an older version."""
        newest = self._db.execute("SELECT max(work_id) FROM work WHERE job_key = ?", (work.job_key,)).fetchone()[0]
        return self.rows_of(work.job_key) if newest == work.work_id else ()

    def works(self) -> Iterator[Work]:
        """Every work, oldest first."""
        query = f"SELECT {WORK_COLUMNS} FROM work ORDER BY work_id"  # noqa: S608 - a constant
        return (work_of(row) for row in self._db.execute(query))

    def job_keys(self) -> Iterator[str]:
        """Every key there is a work of."""
        return (row[0] for row in self._db.execute("SELECT DISTINCT job_key FROM work"))

    def latest_work(self, job_key: str) -> Work | None:
        """The work made last for a key; one that was only wished for stands behind every other."""
        query = f"SELECT {WORK_COLUMNS} FROM work w WHERE job_key = ? {_LATEST}"  # noqa: S608 - a constant
        row = self._db.execute(query, (job_key,)).fetchone()
        return None if row is None else work_of(row)

    def works_of(self, job_keys: Iterable[str]) -> tuple[Work, ...]:
        """Every work of these keys, oldest first."""
        columns = ", ".join(f"w.{name}" for name in WORK_COLUMNS.split(", "))
        query = (
            f"SELECT {columns} FROM json_each(?) k CROSS JOIN work w ON w.job_key = k.value "  # noqa: S608 - constants
            "ORDER BY w.work_id"
        )
        return tuple(map(work_of, self._db.execute(query, (json.dumps(list(dict.fromkeys(job_keys))),))))

    def standing_of(self, job_keys: str) -> list[tuple[str, int, str | None, str | None]]:
        """For each of many keys, a JSON list, in their order: every work, and what was delivered of it."""
        query = (
            "SELECT k.value, w.work_id, d.id_folded, d.path FROM json_each(?) k "
            "CROSS JOIN work w ON w.job_key = k.value "
            "LEFT JOIN delivery d ON d.work_id = w.work_id AND d.delivered"
        )
        return self._db.execute(query, (job_keys,)).fetchall()

    def wishes(self) -> tuple[Work, ...]:
        """The versions that `--pay-again` asked for and that were not sent."""
        query = f"SELECT {WORK_COLUMNS} FROM work WHERE status = 'planned' AND again = ? ORDER BY work_id"  # noqa: S608
        return tuple(map(work_of, self._db.execute(query, (WISHED,))))

    def works_by_key(self) -> Iterator[Work]:
        """Every work, those of a key together, oldest first."""
        query = f"SELECT {WORK_COLUMNS} FROM work ORDER BY job_key, work_id"  # noqa: S608 - a constant
        return map(work_of, self._db.execute(query))

    def version_shown(self, row_id: str) -> int | None:
        """The newest version of an id that is there."""
        query = "SELECT max(version) FROM delivery WHERE id_folded = ? AND delivered"
        found = self._db.execute(query, (row_id.casefold(),)).fetchone()[0]
        return None if found is None else int(found)

    def work(self, work_id: int) -> Work:
        """One work."""
        query = f"SELECT {WORK_COLUMNS} FROM work WHERE work_id = ?"  # noqa: S608 - a constant
        return work_of(self._db.execute(query, (work_id,)).fetchone())

    def unfinished(self) -> tuple[Work, ...]:
        """Every work that is submitting, submitted or uncertain: paid, or perhaps paid."""
        query = f"SELECT {WORK_COLUMNS} FROM work WHERE status IN ('submitting', 'submitted', 'uncertain')"  # noqa: S608
        return tuple(work_of(row) for row in self._db.execute(query))

    def held_work(self, job_key: str) -> Work | None:
        """The work of a key that holds its claim: one that is paid or may be, however many failed after it.

        One that came to nothing and was paid, or may have been, holds it where there is no better one.
        """
        query = (
            f"SELECT {WORK_COLUMNS} FROM work WHERE job_key = ? "  # noqa: S608 - a constant
            "AND (status IN ('submitting', 'submitted', 'uncertain', 'succeeded') "
            "OR status = 'failed' AND billed IS NOT 0) ORDER BY status = 'failed', work_id DESC LIMIT 1"
        )
        row = self._db.execute(query, (job_key,)).fetchone()
        return None if row is None else work_of(row)

    def reviews(self) -> dict[str, Review]:
        """Id in casefold → what became of its redo."""
        found = self._db.execute("SELECT id_folded, spent_on, armed FROM review")
        return {row[0]: Review(spent_on=row[1], armed=bool(row[2])) for row in found}

    def dearest(self, floors: Mapping[str, float] = _NO_FLOORS) -> dict[tuple[str, str], float]:
        """(provider, origin) → the highest price per second that was truly charged.

        `floors`: a provider's price of a call. A charge no higher than that says nothing of a price per second: a
        short clip at the price of a call would make every long one look dear.
        """
        query = (
            "SELECT provider, origin, cost_usd, json_extract(facts, '$.duration_s') FROM work "
            "WHERE cost_source = 'provider' AND cost_usd > 0 AND json_extract(facts, '$.duration_s') > 0"
        )
        found: dict[tuple[str, str], float] = {}
        for provider, origin, cost, seconds in self._db.execute(query):
            if cost > floors.get(provider, 0.0) + 1e-9:
                found[provider, origin] = max(found.get((provider, origin), 0.0), cost / seconds)
        return found

    def typical_seconds(self) -> dict[str, float]:
        """Provider → how long its requests took from submit to output, in the middle of the latest thousand."""
        query = (
            "SELECT provider, finished_at - submitted_at FROM work WHERE status = 'succeeded' "
            "AND cost_source IS NOT 'reused' AND finished_at > submitted_at ORDER BY work_id DESC LIMIT 1000"
        )
        found: dict[str, list[float]] = {}
        for provider, seconds in self._db.execute(query):
            found.setdefault(provider, []).append(seconds)
        return {provider: median(taken) for provider, taken in found.items()}

    def deliveries(self) -> dict[int, tuple[Delivery, ...]]:
        """work_id → its deliveries."""
        found: dict[int, list[Delivery]] = {}
        query = "SELECT id, version, work_id, path, delivered, stem FROM delivery ORDER BY id_folded, version"
        for row in self._db.execute(query):
            found.setdefault(row[2], []).append(delivery_of(row))
        return {work_id: tuple(items) for work_id, items in found.items()}

    def deliveries_of(self, work_id: int) -> tuple[Delivery, ...]:
        """The deliveries of one work."""
        query = "SELECT id, version, work_id, path, delivered, stem FROM delivery WHERE work_id = ? ORDER BY id_folded"
        return tuple(delivery_of(row) for row in self._db.execute(query, (work_id,)))

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

    def paid_again(self) -> frozenset[str]:
        """The keys of which `--pay-again` opened a version in this run, which is one until it ends with 0 or 1."""
        query = (
            "SELECT job_key FROM work JOIN run USING (run_id) WHERE again = ? AND run.rowid > "
            "(SELECT coalesce(max(rowid), 0) FROM run WHERE exit_code IN (0, 1))"
        )
        return frozenset(row[0] for row in self._db.execute(query, (WISHED,)))

    def wishes_of(self, run_id: str) -> int:
        """How many versions `--pay-again` asked for in this run that were not sent."""
        query = "SELECT count(*) FROM work WHERE status = 'planned' AND again = ? AND run_id = ?"
        return int(self._db.execute(query, (WISHED, run_id)).fetchone()[0])

    def reservations(self, *, of_this_run: bool = False) -> dict[int, float]:
        """work_id → what is reserved for it while it is in flight or uncertain."""
        last = self._db.execute("SELECT coalesce(max(ended_at), 0) FROM run WHERE exit_code IN (0, 1)").fetchone()[0]
        since = last if of_this_run else -1.0
        return {work.work_id: work.reserved_usd for work in self.unfinished() if (work.submitted_at or 0.0) > since}

    def uncertain_attempts(self) -> tuple[Attempt, ...]:
        """The last attempt of every uncertain work."""
        query = (
            "SELECT max(a.attempt_id), a.work_id, a.provider, a.origin, a.body, a.sent_at, a.seen_dead_at, "
            "a.request_id, a.account "
            "FROM attempt a JOIN work w USING (work_id) WHERE w.status = 'uncertain' GROUP BY a.work_id"
        )
        return tuple(attempt_of(row) for row in self._db.execute(query))

    def open_attempt(self, work_id: int) -> int | None:
        """The attempt of a work that has neither receipt nor refusal."""
        query = "SELECT max(attempt_id) FROM attempt WHERE work_id = ? AND outcome = 'open'"
        found = self._db.execute(query, (work_id,)).fetchone()[0]
        return None if found is None else int(found)

    def last_attempt(self, work_id: int) -> Attempt | None:
        """The newest attempt of a work."""
        query = (
            "SELECT attempt_id, work_id, provider, origin, body, sent_at, seen_dead_at, request_id, account "
            "FROM attempt WHERE work_id = ? ORDER BY attempt_id DESC LIMIT 1"
        )
        row = self._db.execute(query, (work_id,)).fetchone()
        return None if row is None else attempt_of(row)

    def attempts_of(self, work_id: int) -> tuple[Attempt, ...]:
        """The attempts of a work, oldest first, with what came of each."""
        query = (
            "SELECT attempt_id, work_id, provider, origin, body, sent_at, seen_dead_at, request_id, account, outcome, "
            "note FROM attempt WHERE work_id = ? ORDER BY attempt_id"
        )
        found = self._db.execute(query, (work_id,))
        return tuple(replace(attempt_of(row), outcome=row[9], note=row[10], booked=row[10] == BOOKED) for row in found)

    def unanswered_attempts(self, provider: str, origin: str, *, in_the_air: bool = False) -> tuple[Attempt, ...]:
        """The last attempt, while it has no request id, of every work that is in the air, or else uncertain too."""
        query = (
            "SELECT max(a.attempt_id), a.work_id, a.provider, a.origin, a.body, a.sent_at, a.seen_dead_at, "
            "a.request_id, a.account "
            "FROM attempt a JOIN work w USING (work_id) "
            "WHERE w.status IN ('submitting', ?) AND a.provider = ? AND a.origin = ? GROUP BY a.work_id"
        )
        further = "submitting" if in_the_air else "uncertain"
        found = (attempt_of(row) for row in self._db.execute(query, (further, provider, origin)))
        return tuple(attempt for attempt in found if attempt.request_id is None)

    def attempts_holding(self, provider: str, origin: str, request_ids: Iterable[str]) -> tuple[Attempt, ...]:
        """The attempts that these request ids belong to, as far as they are held here."""
        query = (
            "SELECT attempt_id, work_id, provider, origin, body, sent_at, seen_dead_at, request_id, account "
            "FROM attempt WHERE provider = ? AND origin = ? AND request_id = ?"
        )
        found = (self._db.execute(query, (provider, origin, each)).fetchone() for each in request_ids)
        return tuple(attempt_of(row) for row in found if row is not None)

    def knows_run(self, run_id: str) -> bool:
        """Whether this run was begun in this record."""
        return self._db.execute("SELECT 1 FROM run WHERE run_id = ?", (run_id,)).fetchone() is not None

    def knows_attempt(self, attempt_id: int, job_key: str) -> bool:
        """Whether this attempt was written down here."""
        query = "SELECT 1 FROM attempt JOIN work USING (work_id) WHERE attempt_id = ? AND job_key = ?"
        return self._db.execute(query, (attempt_id, job_key)).fetchone() is not None

    def knows_request(self, request_id: str, job_key: str | None = None) -> bool:
        """Whether this request id is held here; with its job_key it is found without reading every attempt."""
        if job_key is None:
            found = self._db.execute("SELECT 1 FROM attempt WHERE request_id = ?", (request_id,))
        else:
            query = "SELECT 1 FROM work JOIN attempt USING (work_id) WHERE job_key = ? AND attempt.request_id = ?"
            found = self._db.execute(query, (job_key, request_id))
        return found.fetchone() is not None

    def accepted_attempts(self, provider: str, origin: str) -> tuple[Attempt, ...]:
        """Attempts whose request id we hold: their rows are taken, and prove a history unless they were booked."""
        query = (
            "SELECT attempt_id, work_id, provider, origin, body, sent_at, seen_dead_at, request_id, account, note IS ? "
            "FROM attempt "
            "WHERE request_id IS NOT NULL AND provider = ? AND origin = ?"
        )
        found = self._db.execute(query, (BOOKED, provider, origin))
        return tuple(replace(attempt_of(row), booked=bool(row[9])) for row in found)

    def uploaded(self, provider: str, origin: str, sha256: str, *, since: float = 0.0) -> str | None:
        """The URL a file has had at a provider since this moment at least (Unix seconds)."""
        query = "SELECT url FROM upload WHERE provider = ? AND origin = ? AND sha256 = ? AND at >= ?"
        row = self._db.execute(query, (provider, origin, sha256, since)).fetchone()
        return None if row is None else str(row[0])

    def scores_of(self, work_ids: Iterable[int]) -> dict[int, Scored]:
        """work_id → the newest scores of its output, as far as that is still the one that was looked at."""
        query = (
            "SELECT s.work_id, s.sha256, s.scores, s.problem FROM json_each(?) k "
            "CROSS JOIN score s ON s.work_id = k.value JOIN work w ON w.work_id = s.work_id AND w.sha256 = s.sha256 "
            "ORDER BY s.form"
        )
        found = self._db.execute(query, (json.dumps(list(work_ids)),))
        return {row[0]: scored_of(row) for row in found}

    def unscored(self, form: int, *, remote: bool = True) -> list[int]:
        """The works whose output is here and has no scores by these formulas, newest first.

        `remote`: those too whose source is on the web.
        """
        query = (
            "SELECT work_id FROM work w WHERE status = 'succeeded' AND sha256 IS NOT NULL "
            "AND NOT EXISTS (SELECT 1 FROM score s WHERE s.work_id = w.work_id AND s.form >= ? "
            "AND s.sha256 = w.sha256 AND s.scores IS NOT NULL) "
            "AND (? OR json_extract(inputs, '$.video.local')) ORDER BY work_id DESC"
        )
        return [row[0] for row in self._db.execute(query, (form, remote))]

    def newest_outputs(self, most: int) -> list[tuple[int, str]]:
        """The works and files of the newest outputs that were delivered."""
        query = "SELECT work_id, path FROM delivery WHERE delivered ORDER BY work_id DESC LIMIT ?"
        return self._db.execute(query, (most,)).fetchall()
