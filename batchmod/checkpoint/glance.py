"""The record, looked at again and again while a run goes on: short questions, each a transaction of its own."""

import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

from batchmod.checkpoint.history import LastRun
from batchmod.checkpoint.opening import unreadable
from batchmod.checkpoint.reading import Reader

_UNFINISHED: Final = ("submitting", "submitted", "uncertain")


class Flight(NamedTuple):
    """A request that is not finished."""

    id: str | None
    provider: str
    status: str
    request_id: str | None
    is_made: int
    """1 where the provider has finished it, so that its output can be fetched."""
    since: float | None
    """When it was sent, in Unix seconds."""


class Seen(NamedTuple):
    """What a glance shows."""

    run: LastRun | None
    rows: int
    counts: Mapping[str, int]
    """Status → how many rows have it."""
    spent_usd: float
    reserved_usd: float
    flying: int
    flights: tuple[Flight, ...]
    """The oldest of those that are not finished."""


class Glance(Reader):
    """A record that is only looked at."""

    def seen(self, *, most: int) -> Seen:
        """How everything stands now, with so many flights at most. Raises RecordRefused for a broken record."""
        try:
            counts = self._counts()
            totals = self.totals()
            return Seen(
                run=next(iter(self.last_runs(1)), None),
                rows=sum(counts.values()),
                counts=counts,
                spent_usd=totals.spent_usd,
                reserved_usd=totals.reserved_usd,
                flying=sum(totals.by_status.get(name, 0) for name in _UNFINISHED),
                flights=self._flights(most),
            )
        except sqlite3.DatabaseError as error:
            raise unreadable(self.path, error) from error

    def _counts(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for (manifest,) in self._db.execute("SELECT DISTINCT manifest FROM manifest_row").fetchall():
            found.update(status for _, status in self.statuses(manifest))
        return dict(found)

    def _flights(self, most: int) -> tuple[Flight, ...]:
        query = (
            "SELECT (SELECT id FROM delivery d WHERE d.work_id = w.work_id LIMIT 1), provider, status, request_id, "
            "output_location IS NOT NULL, submitted_at FROM work w "
            "WHERE status IN ('submitting', 'submitted', 'uncertain') ORDER BY submitted_at LIMIT ?"
        )
        found = self._db.execute(query, (most,)).fetchall()
        return tuple(Flight(*row) for row in found)
