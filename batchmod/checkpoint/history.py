"""The record, open: what came before what it shows now."""

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from batchmod.checkpoint.opened import Opened
from batchmod.checkpoint.values import WORK_COLUMNS, delivery_of, work_of
from batchmod.model import Delivery, Work


class LastRun(NamedTuple):
    """One of the newest runs into the folder; times in Unix seconds."""

    run_id: str
    started_at: float
    ended_at: float | None
    exit_code: int | None
    stop_reason: str | None


class Made(NamedTuple):
    """Since a moment: how many requests ended well and how many failed, and what they cost."""

    succeeded: int
    failed: int
    cost_usd: float
    estimated_usd: float
    """The part of it that no provider has confirmed."""


class History(Opened):
    """Of a record: its runs, and every version of an output."""

    def last_runs(self, most: int) -> tuple[LastRun, ...]:
        """The newest runs, the newest first."""
        query = "SELECT run_id, started_at, ended_at, exit_code, stop_reason FROM run ORDER BY rowid DESC LIMIT ?"
        return tuple(LastRun(*row) for row in self._db.execute(query, (most,)))

    def delivered_to(self, ids: Iterable[str]) -> Iterator[tuple[Delivery, Work]]:
        """Every version that is there of these ids, the oldest first, and what it comes from."""
        columns = ", ".join(f"w.{name}" for name in WORK_COLUMNS.split(", "))
        query = (
            f"SELECT d.id, d.version, d.work_id, d.path, d.delivered, d.stem, {columns} "  # noqa: S608 - constants
            "FROM json_each(?) k CROSS JOIN delivery d ON d.id_folded = k.value JOIN work w ON w.work_id = d.work_id "
            "WHERE d.delivered ORDER BY d.id_folded, d.version"
        )
        folded = json.dumps([row_id.casefold() for row_id in ids])
        for row in self._db.execute(query, (folded,)):
            yield delivery_of(row[:6]), work_of(row[6:])

    def generations(self, *, since: float = 0.0) -> Made:
        """What requests came to since a moment, each once, whoever its output went to; what was reused made nothing."""
        query = (
            "SELECT count(CASE WHEN status = 'succeeded' THEN 1 END), count(CASE WHEN status = 'failed' THEN 1 END), "
            "coalesce(sum(cost_usd), 0), coalesce(sum(CASE WHEN cost_source IS NOT 'provider' THEN cost_usd END), 0) "
            "FROM work "
            "WHERE status IN ('succeeded', 'failed') AND cost_source IS NOT 'reused' AND coalesce(finished_at, 0) >= ?"
        )
        return Made(*self._db.execute(query, (since,)).fetchone())
