"""Requests that are still in flight, or in doubt, and that no row names any more."""

from batchmod.checkpoint import Checkpoint
from batchmod.model import Work


def of(record: Checkpoint) -> tuple[Work, ...]:
    """Unfinished works that no row shows: older versions, or sent before the row was edited, deleted or moved."""
    return tuple(work for work in record.unfinished() if not record.rows_showing(work))


def in_words(work: Work) -> str:
    """An orphan in a line."""
    return f"request {work.request_id or '(id not known)'} at {work.provider}: {work.status.value}"
