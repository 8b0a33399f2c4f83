"""The life of a work, written down step by step: each method is one durable transaction."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from batchmod.checkpoint.folder import Folder
from batchmod.checkpoint.opening import drop_ballast
from batchmod.checkpoint.steps import end_attempt, fail_work, give_version, open_new_work, open_work
from batchmod.checkpoint.values import BOOKED, dump, facts_as_json, text
from batchmod.errors import StoppedEarly
from batchmod.jobs import output_path
from batchmod.model import Attempt, Delivery, Further, Job, Status, VideoFacts, Work

_NOTHING: Final[Mapping[str, int]] = {}


class Checkpoint(Folder):
    """One output folder's record."""

    starved = False
    """Whether the disk was so full that the ballast went: nothing more may be sent."""

    def open_work(self, job: Job, *, run_id: str) -> Work:
        """The work a job needs sent: its planned or failed one again, else a new one."""
        with self._transaction() as db:
            work_id = open_work(db, job, run_id=run_id)
        return self.work(work_id)

    def intend(
        self,
        work_id: int,
        *,
        body: Any,
        at: float,
        reserved_usd: float,
        jobs: Sequence[Job],
        state: Mapping[str, Any],
        account: str | None = None,
        redo: Mapping[str, int] = _NOTHING,
    ) -> int:
        """Write down a POST that is about to leave, and give its outputs their versions; the attempt's number.

        `redo`: id in casefold → the version that a review asked to redo; the wish is spent here.
        Raises StoppedEarly (`lease_lost`) where another run has owned the folder since this one did.
        """
        with self._transaction(work_id) as db:
            if self.fact("epoch") != self._epoch:
                text_ = f"another run has taken {self.path.parent} over; this one sends nothing more"
                raise StoppedEarly(text_, slug="lease_lost")
            db.execute(
                "UPDATE work SET status = 'submitting', attempts = attempts + 1, reserved_usd = ?, state = ?, "
                "submitted_at = ? WHERE work_id = ?",
                (reserved_usd, dump(state), at, work_id),
            )
            attempt = db.execute(
                "INSERT INTO attempt (work_id, provider, origin, account, body, sent_at) "
                "SELECT work_id, provider, origin, ?, ?, ? FROM work WHERE work_id = ?",
                (account, dump(body), at, work_id),
            ).lastrowid
            for job in jobs:
                give_version(db, job, work_id)
            db.executemany("INSERT OR REPLACE INTO review VALUES (?, ?, 0)", redo.items())
        return int(attempt or 0)

    def open_again(self, jobs: Iterable[tuple[Job, Further]], *, run_id: str) -> None:
        """Open a further version of each job's output, all of them or none: what is asked for is paid once more.

        One that was asked for before and never sent is that version: a key has one planned work at most, its newest.
        """
        with self._transaction() as db:
            for job, again in {job.key: (job, again) for job, again in jobs}.values():
                waiting = "UPDATE work SET again = ?, run_id = ? WHERE job_key = ? AND status = 'planned'"
                if not db.execute(waiting, (again, run_id, job.key)).rowcount:
                    open_new_work(db, job, run_id=run_id, again=again)

    def accept(
        self,
        work_id: int,
        attempt_id: int | None,
        *,
        request_id: str,
        state: Mapping[str, Any],
        booked: bool = False,
    ) -> bool:
        """Write down the receipt; False, and nothing written, where the id belongs to another attempt.

        `booked`: the id was named by hand. Where the disk is full the ballast is thrown off first: a receipt is what
        must not be lost.
        """
        note = BOOKED if booked else None
        try:
            self._accept(work_id, attempt_id, request_id, state, note)
        except sqlite3.IntegrityError:
            return False
        except StoppedEarly as error:
            if _is_locked(error.__cause__) or not drop_ballast(self.path):
                raise
            self.starved = True
            self._accept(work_id, attempt_id, request_id, state, note)
        return True

    def _accept(
        self, work_id: int, attempt_id: int | None, request_id: str, state: Mapping[str, Any], note: str | None
    ) -> None:
        with self._transaction(work_id, delivers=False) as db:
            db.execute(
                "UPDATE attempt SET outcome = 'accepted', request_id = ?, note = coalesce(?, note) "
                "WHERE attempt_id = ?",
                (text(request_id), note, attempt_id),
            )
            db.execute(
                "UPDATE work SET status = 'submitted', request_id = ?, state = ?, error_code = NULL, error = NULL "
                "WHERE work_id = ?",
                (text(request_id), dump(state), work_id),
            )

    def book(
        self,
        job: Job,
        *,
        run_id: str,
        body: Any,
        request_id: str,
        at: float,
        reserved_usd: float,
        jobs: Sequence[Job],
        account: str | None,
    ) -> int | None:
        """Write down a request that was paid for elsewhere as a job's own, and open the job's work for it, all or none.

        The work's number; None, and nothing written, where the id belongs to another: a work that failed or was given
        up is not left planned, to be paid by the next run.
        """
        try:
            with self._transaction() as db:
                work_id = open_work(db, job, run_id=run_id)
                db.execute(
                    "UPDATE work SET status = 'submitted', attempts = attempts + 1, request_id = ?, state = '{}', "
                    "reserved_usd = ?, submitted_at = ? WHERE work_id = ?",
                    (text(request_id), reserved_usd, at, work_id),
                )
                db.execute(
                    "INSERT INTO attempt "
                    "(work_id, provider, origin, account, body, sent_at, outcome, request_id, note) "
                    "SELECT work_id, provider, origin, ?, ?, ?, 'accepted', ?, ? FROM work WHERE work_id = ?",
                    (account, dump(body), at, text(request_id), BOOKED, work_id),
                )
                for each in jobs:
                    give_version(db, each, work_id)
        except sqlite3.IntegrityError:
            return None
        return work_id

    def refuse(self, work_id: int, attempt_id: int, *, outcome: str, note: str, counted: bool = True) -> None:
        """Write down that an attempt created nothing; its work is planned again.

        One that says nothing of the job, such as 429, is not `counted` among those a job may have.
        """
        with self._transaction(work_id, delivers=False) as db:
            end_attempt(db, attempt_id, outcome, note)
            db.execute(
                "UPDATE work SET status = 'planned', attempts = attempts - ?, reserved_usd = 0, error_code = NULL, "
                "error = NULL WHERE work_id = ?",
                (0 if counted else 1, work_id),
            )

    def doubt(self, work_id: int, attempt_id: int | None, *, reason: str, at: float) -> None:
        """Write down that nobody can say whether a paid job exists."""
        with self._transaction(work_id, delivers=False) as db:
            db.execute(
                "UPDATE attempt SET outcome = 'unknown', note = ?, seen_dead_at = coalesce(seen_dead_at, ?) "
                "WHERE attempt_id = ?",
                (text(reason), at, attempt_id),
            )
            db.execute(
                "UPDATE work SET status = 'uncertain', error_code = 'uncertain', error = ? WHERE work_id = ?",
                (text(reason), work_id),
            )

    def resend(self, work_id: int, *, at: float) -> None:
        """The user's word: whatever became of an uncertain request, the job is sent once more, as another work.

        The old one counts as paid with what was reserved for it, since it may have been.
        """
        message = "taken for lost by hand, and sent again: whether it was paid is not known"
        with self._transaction() as db:
            status = db.execute("SELECT status FROM work WHERE work_id = ?", (work_id,)).fetchone()
            if status is None or status[0] != Status.UNCERTAIN:
                return
            fail_work(db, work_id, code="given_up", message=message, billed=None, at=at)
            db.execute(
                "INSERT INTO work (job_key, provider, model, origin, options, inputs, status, again) "
                "SELECT job_key, provider, model, origin, options, inputs, 'planned', 1 FROM work WHERE work_id = ?",
                (work_id,),
            )

    def never_accepted(self, attempt: Attempt) -> None:
        """The provider's history has shown that an attempt created nothing."""
        self.refuse(attempt.work_id, attempt.attempt_id, outcome="never_accepted", note="not in the history")

    def output_known(self, work_id: int, *, location: str, cost_usd: float | None) -> None:
        """Write down where the finished output is and what it cost."""
        with self._transaction(work_id, delivers=False) as db:
            db.execute(
                "UPDATE work SET output_location = ?, billed = coalesce(?, billed), cost_usd = coalesce(?, cost_usd), "
                "cost_source = CASE WHEN ? IS NULL THEN cost_source ELSE 'provider' END WHERE work_id = ?",
                (text(location), None if cost_usd is None else cost_usd > 0, cost_usd, cost_usd, work_id),
            )

    def arrived(self, work_id: int, *, sha256: str) -> None:
        """Write down the hash of a checked output before it gets its final name: only that file is this work's."""
        with self._transaction(work_id, delivers=False) as db:
            db.execute("UPDATE work SET sha256 = ? WHERE work_id = ?", (sha256, work_id))

    def step_aside(self, delivery: Delivery) -> Delivery:
        """A file of somebody else's stands where this output belongs: it takes the id's next version."""
        folded = delivery.id.casefold()
        with self._transaction(delivery.work_id) as db:
            version = db.execute("SELECT max(version) FROM delivery WHERE id_folded = ?", (folded,)).fetchone()[0] + 1
            db.execute(
                "UPDATE delivery SET version = ?, path = ? WHERE path = ?",
                (version, output_path(delivery.stem, version), delivery.path),
            )
        return next(d for d in self.deliveries_of(delivery.work_id) if d.id == delivery.id)

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
        paid: bool = False,
    ) -> None:
        """Write down that the output is in place; `estimated_usd` where the provider named no cost.

        `paid`: it was billed also where nobody knows how much.
        """
        with self._transaction(work_id) as db:
            db.execute(
                "UPDATE work SET status = 'succeeded', facts = ?, sha256 = ?, finished_at = ?, flag_reason = ?, "
                "warnings = ?, error_code = NULL, error = NULL, reserved_usd = 0, "
                "cost_source = CASE WHEN cost_usd IS NULL AND ? IS NOT NULL THEN 'estimate' ELSE cost_source END, "
                "cost_usd = coalesce(cost_usd, ?), billed = coalesce(billed, ?) WHERE work_id = ?",
                (
                    dump(facts_as_json(facts)), sha256, at, flag_reason, dump(list(warnings)),
                    estimated_usd, estimated_usd, paid or estimated_usd is not None, work_id,
                ),
            )  # fmt: skip
            db.execute("UPDATE delivery SET delivered = 1 WHERE work_id = ?", (work_id,))

    def reuse(self, work_id: int, *, facts: VideoFacts, sha256: str, at: float) -> None:
        """Write down an output that another folder has paid for: here it cost nothing."""
        with self._transaction(work_id) as db:
            db.execute(
                "UPDATE work SET status = 'succeeded', facts = ?, sha256 = ?, finished_at = ?, cost_usd = 0, "
                "cost_source = 'reused', billed = 0, error_code = NULL, error = NULL WHERE work_id = ?",
                (dump(facts_as_json(facts)), sha256, at, work_id),
            )
            db.execute("UPDATE delivery SET delivered = 1 WHERE work_id = ?", (work_id,))

    def fail(
        self,
        work_id: int,
        *,
        code: str,
        message: str,
        billed: bool | None,
        at: float,
        cost_usd: float | None = None,
    ) -> None:
        """Write down a definite failure, with its cost where the provider named one; an open attempt was answered.

        One that was billed, or may have been, counts with what was reserved for it where nobody named its cost.
        """
        with self._transaction(work_id, delivers=False) as db:
            if cost_usd:  # what was refunded has no cost that a further try would inherit
                named = "UPDATE work SET cost_usd = ?, cost_source = 'provider' WHERE work_id = ?"
                db.execute(named, (cost_usd, work_id))
            fail_work(db, work_id, code=code, message=message, billed=billed, at=at)

    def put_back(self, work_id: int) -> None:
        """A local work that was broken off is planned again: nothing was paid."""
        with self._transaction(work_id) as db:
            db.execute("UPDATE work SET status = 'planned', reserved_usd = 0 WHERE work_id = ?", (work_id,))
            db.execute(
                "UPDATE attempt SET outcome = 'never_accepted' WHERE work_id = ? AND outcome = 'open'",
                (work_id,),
            )

    def add_delivery(self, job: Job, work_id: int) -> Delivery:
        """Give a further id its version of a work's output."""
        with self._transaction(work_id) as db:
            give_version(db, job, work_id)
        folded = job.id.casefold()
        return next(d for d in self.deliveries_of(work_id) if d.id.casefold() == folded)

    def name_stray(self, work_id: int, row_id: str) -> None:
        """Give the output of a work that is for no id that anybody knows, as in a record made anew, one of its own."""
        stem = f"{row_id}_v{{version:03d}}"
        with self._transaction(work_id) as db:
            if not db.execute("SELECT 1 FROM delivery WHERE work_id = ?", (work_id,)).fetchone():
                values = (row_id, row_id.casefold(), 1, work_id, output_path(stem, 1), 0, stem)
                db.execute("INSERT INTO delivery VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def delivered(self, delivery: Delivery) -> None:
        """Write down that a copy is in place."""
        with self._transaction(delivery.work_id) as db:
            db.execute("UPDATE delivery SET delivered = 1 WHERE path = ?", (delivery.path,))


def _is_locked(error: BaseException | None) -> bool:
    """Whether another process holds the record: no room is wanting then."""
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
