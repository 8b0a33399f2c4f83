"""The POSTs that could create a paid job, as the record keeps them."""

from collections.abc import Iterable
from dataclasses import replace

from batchmod.checkpoint.opened import Opened
from batchmod.checkpoint.values import BOOKED, attempt_of
from batchmod.model import Attempt


class Attempts(Opened):
    """What was sent, and what came of it."""

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

    def last_attempt_id(self) -> int:
        """The number of the last attempt; 0 where nothing was ever sent."""
        return int(self._db.execute("SELECT coalesce(max(attempt_id), 0) FROM attempt").fetchone()[0])

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
