"""The life of a work, written down step by step: each method is one durable transaction."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from batchmod.checkpoint.reading import Reader
from batchmod.checkpoint.values import StoredRow, dump, facts_as_json, inputs_of, text
from batchmod.jobs import output_path
from batchmod.model import Attempt, Delivery, Job, Status, VideoFacts, Work


class Checkpoint(Reader):
    """One output folder's record."""

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
                ((r.number, r.id, r.job_key, r.status, dump(r.fields)) for r in rows),
            )
            db.execute("INSERT OR REPLACE INTO folder VALUES ('rows_digest', ?)", (digest,))

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
                    (dump(inputs_of(job)), run_id, row[0]),
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
                        dump(job.options),
                        dump(inputs_of(job)),
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
                (reserved_usd, dump(state), at, work_id),
            )
            attempt = db.execute(
                "INSERT INTO attempt (work_id, provider, origin, body, sent_at) "
                "SELECT work_id, provider, origin, ?, ? FROM work WHERE work_id = ?",
                (dump(body), at, work_id),
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
                    (text(request_id), attempt_id),
                )
                db.execute(
                    "UPDATE work SET status = 'submitted', request_id = ?, state = ?, error_code = NULL, error = NULL "
                    "WHERE work_id = ?",
                    (text(request_id), dump(state), work_id),
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
                (text(reason), at, attempt_id),
            )
            db.execute(
                "UPDATE work SET status = 'uncertain', error_code = 'uncertain', error = ? WHERE work_id = ?",
                (text(reason), work_id),
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
                (text(location), None if cost_usd is None else cost_usd > 0, cost_usd, cost_usd, work_id),
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
                    dump(facts_as_json(facts)), sha256, at, flag_reason, dump(list(warnings)),
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
                (dump(facts_as_json(facts)), sha256, at, work_id),
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
                (code, text(message), billed, at, work_id),
            )
            db.execute(
                "UPDATE attempt SET outcome = 'refused', note = ? WHERE work_id = ? AND outcome = 'open'",
                (text(message), work_id),
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
    db.execute("UPDATE attempt SET outcome = ?, note = ? WHERE attempt_id = ?", (outcome, text(note), attempt_id))
