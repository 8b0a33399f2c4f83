"""Pieces of the record's steps: statements that several of them share, within whatever transaction is open."""

import sqlite3

from batchmod.checkpoint.values import dump, inputs_of, text
from batchmod.jobs import output_path
from batchmod.model import Further, Job, Status


def fail_work(db: sqlite3.Connection, work_id: int, *, code: str, message: str, billed: bool | None, at: float) -> None:
    """A definite failure; what was billed, or may have been, counts with what was reserved for it."""
    if billed is not False:
        db.execute(
            "UPDATE work SET cost_usd = reserved_usd, cost_source = 'estimate' "
            "WHERE work_id = ? AND cost_usd IS NULL AND reserved_usd > 0",
            (work_id,),
        )
    db.execute(
        "UPDATE work SET status = 'failed', error_code = ?, error = ?, billed = ?, finished_at = ?, reserved_usd = 0 "
        "WHERE work_id = ?",
        (code, text(message), billed, at, work_id),
    )
    db.execute(
        "UPDATE attempt SET outcome = 'refused', note = ? WHERE work_id = ? AND outcome = 'open'",
        (text(message), work_id),
    )


def open_work(db: sqlite3.Connection, job: Job, *, run_id: str) -> int:
    """The work of a job that is to be sent or booked: its planned or ended one again, else a new one; its number."""
    query = "SELECT work_id, status FROM work WHERE job_key = ? ORDER BY work_id DESC LIMIT 1"
    row = db.execute(query, (job.key,)).fetchone()
    if row is None or row[1] not in (Status.PLANNED, Status.FAILED, Status.SUCCEEDED):
        return open_new_work(db, job, run_id=run_id)
    db.execute(
        "UPDATE work SET status = 'planned', error_code = NULL, error = NULL, request_id = NULL, "
        "state = NULL, output_location = NULL, billed = NULL, finished_at = NULL, facts = NULL, "
        "sha256 = NULL, warnings = '[]', flag_reason = NULL, inputs = ?, run_id = ? WHERE work_id = ?",
        (dump(inputs_of(job)), run_id, row[0]),
    )
    return int(row[0])


def open_new_work(db: sqlite3.Connection, job: Job, *, run_id: str, again: Further = 0) -> int:
    """A new work for a job; its number."""
    made = db.execute(
        "INSERT INTO work (job_key, provider, model, origin, options, inputs, status, run_id, again) "
        "VALUES (?, ?, ?, ?, ?, ?, 'planned', ?, ?)",
        (
            job.key,
            job.provider,
            job.model,
            job.origin,
            dump(job.options),
            dump(inputs_of(job)),
            run_id,
            again,
        ),
    ).lastrowid
    return int(made or 0)


def give_version(db: sqlite3.Connection, job: Job, work_id: int) -> None:
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
    db.execute("INSERT INTO delivery VALUES (?, ?, ?, ?, ?, 0, ?)", (job.id, folded, version, work_id, path, job.stem))


def end_attempt(db: sqlite3.Connection, attempt_id: int, outcome: str, note: str) -> None:
    """What came of an attempt."""
    db.execute("UPDATE attempt SET outcome = ?, note = ? WHERE attempt_id = ?", (outcome, text(note), attempt_id))
