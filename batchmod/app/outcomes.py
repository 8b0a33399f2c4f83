"""What became of each row: the lines of results.csv, and how many rows stand where."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from batchmod import results
from batchmod.app.folder import where
from batchmod.app.loading import Loaded
from batchmod.checkpoint import Checkpoint, StoredRow
from batchmod.model import Delivery, Review, Status, Work
from batchmod.planning import latest_by_key

_AT_A_TIME: Final = 1_000


def lines(record: Checkpoint) -> Iterator[dict[str, Any]]:
    """The lines of results.csv, one per manifest row, in the manifest's order."""
    return (line for _, line in lines_of_rows(record))


def lines_of_rows(record: Checkpoint) -> Iterator[tuple[StoredRow, dict[str, Any]]]:
    """Each row with its line of results.csv."""
    first, reviews = record.fact("manifest_file") or "", record.reviews()
    rows = record.stored_rows(first=first)
    while some := tuple(islice(rows, _AT_A_TIME)):
        works = latest_by_key(record.works_of(row.job_key for row in some if row.job_key))
        scored = record.scores_of(work.work_id for work in works.values())
        for row in some:
            work = works.get(row.job_key or "")
            yield (
                row,
                results.record(
                    row.fields,
                    number=row.number,
                    status=_status(row, work),
                    work=work,
                    delivery=None if work is None else _delivery(row, record.deliveries_of(work.work_id)),
                    spent_on=_spent_on(row, reviews),
                    manifest=row.manifest or first,
                    scored=None if work is None else scored.get(work.work_id),
                ),
            )


def _spent_on(row: StoredRow, reviews: Mapping[str, Review]) -> int | None:
    """The version that a row's `redo` was spent on; None where it says none, or one that still counts."""
    review = reviews.get(row.id.casefold()) if row.fields.get("review") == "redo" else None
    return None if review is None or review.armed else review.spent_on


def _status(row: StoredRow, work: Work | None) -> Status:
    if work is None or (row.status is not None and work.status in (Status.PLANNED, Status.FAILED)):
        return Status(row.status or "planned")
    return work.status


def _delivery(row: StoredRow, deliveries: Iterable[Delivery]) -> Delivery | None:
    folded = row.id.casefold()
    return next((delivery for delivery in deliveries if delivery.id.casefold() == folded), None)


def counts(record: Checkpoint, loaded: Loaded) -> dict[str, int]:
    """Status → how many of the chosen rows have it."""
    if loaded.is_whole and (rows := record.all_succeeded(where(loaded))):
        return {Status.SUCCEEDED.value: rows}
    found: Counter[str] = Counter()
    names = {where(loaded)} | ({""} if record.fact("manifest_file") == where(loaded) else set())
    for name in names:
        found.update(status for number, status in record.statuses(name) if number in loaded.chosen)
    return dict(found)
