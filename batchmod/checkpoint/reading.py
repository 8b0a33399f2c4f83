"""The record, open: what it knows."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Final, TypeVar

from batchmod.checkpoint.attempts import Attempts
from batchmod.checkpoint.history import History
from batchmod.checkpoint.rows import Rows
from batchmod.checkpoint.scores import ScoredOutputs
from batchmod.checkpoint.values import WORK_COLUMNS, Totals, delivery_of, remembered, work_of
from batchmod.model import WISHED, Delivery, Status, Work

_MONEY: Final = (
    "SELECT coalesce(sum(CASE WHEN status IN ('succeeded', 'failed') THEN cost_usd END), 0), "
    "coalesce(sum(CASE WHEN status IN ('submitting', 'submitted', 'uncertain') THEN reserved_usd END), 0)"
)
_LATEST: Final = f"ORDER BY (w.again = {WISHED} AND w.status = 'planned'), w.work_id DESC LIMIT 1"
"""Of a key's works the one that stands for it: a wish behind every other."""

_NO_FLOORS: Final[Mapping[str, float]] = {}

_REMEMBERED: Final = 2000
"""Of so many works at most what was read is kept."""

Known = TypeVar("Known")


def _bounded(known: dict[int, Known]) -> dict[int, Known]:
    if len(known) >= _REMEMBERED:
        known.clear()
    return known


class Reader(Rows, Attempts, History, ScoredOutputs):
    """One output folder's record, open: its works, what they made and what they cost."""

    _remembers = False
    """Whether what was read stays true until it is changed here: nobody else writes."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        super().__init__(connection, path)
        self._works: dict[int, Work] = {}
        self._delivered: dict[int, tuple[Delivery, ...]] = {}

    def _forget(self, work_id: int | None = None, *, delivers: bool = True) -> None:
        if work_id is None:
            self._works.clear()
            self._delivered.clear()
            return
        self._works.pop(work_id, None)
        if delivers:
            self._delivered.pop(work_id, None)

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
        known = self._works.get(work_id)
        if known is None:
            query = f"SELECT {WORK_COLUMNS} FROM work WHERE work_id = ?"  # noqa: S608 - a constant
            known = work_of(self._db.execute(query, (work_id,)).fetchone(), json_of=remembered)
            if self._remembers:
                _bounded(self._works)[work_id] = known
        return known

    def unfinished(self) -> tuple[Work, ...]:
        """Every work that is submitting, submitted or uncertain: paid, or perhaps paid."""
        query = f"SELECT {WORK_COLUMNS} FROM work WHERE status IN ('submitting', 'submitted', 'uncertain')"  # noqa: S608
        return tuple(work_of(row) for row in self._db.execute(query))

    def held_work(self, job_key: str) -> Work | None:
        """The work of a key that holds its claim: one that is paid or may be, however many failed after it.

        One that came to nothing and was paid, or may have been, holds it where there is no better one.
        """
        query = (
            "SELECT work_id FROM work WHERE job_key = ? "
            "AND (status IN ('submitting', 'submitted', 'uncertain', 'succeeded') "
            "OR status = 'failed' AND billed IS NOT 0) ORDER BY status = 'failed', work_id DESC LIMIT 1"
        )
        row = self._db.execute(query, (job_key,)).fetchone()
        return None if row is None else self.work(row[0])

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

    def delivered_since(self, at: float) -> tuple[Delivery, ...]:
        """Every output that is there and was finished at that moment (Unix seconds) or later, the oldest first."""
        query = (
            "SELECT id, version, work_id, path, delivered, stem FROM delivery JOIN work USING (work_id) "
            "WHERE delivered AND finished_at >= ? ORDER BY finished_at, path"
        )
        rows = self._db.execute(query, (at,))
        return tuple(delivery_of(row) for row in rows)

    def delivery_at(self, path: str) -> Delivery | None:
        """The output with this path below the folder."""
        query = "SELECT id, version, work_id, path, delivered, stem FROM delivery WHERE path = ?"
        row = self._db.execute(query, (path,)).fetchone()
        return None if row is None else delivery_of(row)

    def deliveries_of(self, work_id: int) -> tuple[Delivery, ...]:
        """The deliveries of one work."""
        known = self._delivered.get(work_id)
        if known is None:
            query = (
                "SELECT id, version, work_id, path, delivered, stem FROM delivery WHERE work_id = ? ORDER BY id_folded"
            )
            known = tuple(delivery_of(row) for row in self._db.execute(query, (work_id,)))
            if self._remembers:
                _bounded(self._delivered)[work_id] = known
        return known

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

    def knows_run(self, run_id: str) -> bool:
        """Whether this run was begun in this record."""
        return self._db.execute("SELECT 1 FROM run WHERE run_id = ?", (run_id,)).fetchone() is not None

    def uploaded(self, provider: str, origin: str, sha256: str, *, since: float = 0.0) -> str | None:
        """The URL a file has had at a provider since this moment at least (Unix seconds)."""
        query = "SELECT url FROM upload WHERE provider = ? AND origin = ? AND sha256 = ? AND at >= ?"
        row = self._db.execute(query, (provider, origin, sha256, since)).fetchone()
        return None if row is None else str(row[0])
