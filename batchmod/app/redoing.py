"""Rows whose review asks for another version: a `redo` counts once, and again when the row was seen without it."""

from batchmod.app.loading import Loaded
from batchmod.checkpoint import Checkpoint
from batchmod.planning import redo_counts
from batchmod.rows import saying


def asked(record: Checkpoint | None, loaded: Loaded) -> dict[int, int]:
    """Row number → the version its review asks to redo, where that counts now."""
    redo = [row for row in saying(loaded.manifest.rows, "review") if row.review == "redo"]
    if record is None or not redo:
        return {}
    reviews = record.reviews()
    found = {}
    for row in redo:
        version = record.version_shown(row.id)
        if redo_counts(said_of=row.review_of, shown=version, review=reviews.get(row.id.casefold())):
            found[row.number] = row.review_of or version or 0
    return found


def arm(record: Checkpoint, loaded: Loaded) -> None:
    """Take note of the rows that were seen without `redo`, since the next one counts anew."""
    if not any(not review.armed for review in record.reviews().values()):
        return
    record.arm_reviews(row.id for row in loaded.manifest.rows if row.review != "redo")
