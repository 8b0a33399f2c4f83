"""What an event keeps of a request, so that a lost record can be made anew from the event log."""

from collections.abc import Mapping
from typing import Any, Final

from batchmod.checkpoint import Checkpoint
from batchmod.model import Work
from batchmod.urls import cut

_WHOLE: Final = ("intended", "resolved", "copied")
_SHORT: Final = ("submitted", "refused", "uncertain", "output_known")


def kept(record: Checkpoint, kind: str, work: Work) -> dict[str, Any]:
    """The facts by which an event of this kind names its work; queries of URLs are cut, signatures stand there."""
    if kind in _SHORT:
        return {"work": work.work_id}
    if kind not in (*_WHOLE, "succeeded", "failed"):
        return {}
    now = record.work(work.work_id)
    if kind == "failed":
        return {"work": now.work_id, "billed": now.billed, "cost_usd": now.cost_usd, **_asked(now)}
    facts = {"work": now.work_id, "request_id": now.request_id, "sha256": now.sha256, "outputs": _outputs(record, now)}
    if kind == "succeeded":
        cost = {"charged_usd": now.cost_usd, "cost_source": now.cost_source, "billed": now.billed}
        return {**facts, **cost, "finished_at": now.finished_at, "flag_reason": now.flag_reason}
    return {**facts, **_asked(now), **_attempt(record, now)}


def _asked(work: Work) -> dict[str, Any]:
    """What the request is, whoever asks for it."""
    return {
        "provider": work.provider,
        "model": work.model,
        "origin": work.origin,
        "options": without_queries(work.options),
        "inputs": without_queries(work.inputs),
        "again": work.again,
        "reserved_usd": work.reserved_usd,
    }


def _attempt(record: Checkpoint, work: Work) -> dict[str, Any]:
    """The POST itself, as it was written down."""
    attempt = record.last_attempt(work.work_id)
    if attempt is None:
        return {}
    return {
        "attempt": attempt.attempt_id,
        "account": attempt.account,
        "body": without_queries(attempt.body),
        "sent_at": attempt.sent_at,
    }


def _outputs(record: Checkpoint, work: Work) -> list[dict[str, Any]]:
    """The files that are this work's, whether they are there or not."""
    found = record.deliveries_of(work.work_id)
    return [{"id": each.id, "version": each.version, "path": each.path, "stem": each.stem} for each in found]


def without_queries(value: Any) -> Any:
    """A JSON value with the query of every URL in it cut."""
    match value:
        case str():
            return cut(value)
        case Mapping():
            return {name: without_queries(inner) for name, inner in value.items()}
        case list() | tuple():
            return [without_queries(inner) for inner in value]
        case _:
            return value
