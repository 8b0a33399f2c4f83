"""Segmind's request-history: pages to ask for, and rows found wherever they stand in an answer."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from batchmod.model import Endpoints, HistoryRow, Reply, Request, Sent
from batchmod.providers.answers import moment, price

_PAGE: Final = 100
_SPAN_DAYS: Final = 31
_OWN_MODE: Final = "adhere_1"
"""What Segmind takes where a request leaves the mode out: ours never do, a script's may."""


def history_request(
    endpoints: Endpoints, *, page: int, since: float, until: float, last: Reply | None = None
) -> Request | None:
    """A page of the history, newest first, between two moments (Unix seconds); None where there is no history."""
    if endpoints.history is None:
        return None
    days = [datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d") for moment in (since, until)]
    query = f"page={page}&per_page={_PAGE}&from_date={days[0]}&to_date={days[1]}&model_name=modify-video"
    query += "&sort_by=model_created&sort_order=desc"
    return Request(method="GET", url=f"{endpoints.history}/inference-request/request-history?{query}")


def history_spans(since: float, now: float) -> Iterator[tuple[float, float]]:
    """(from, to) pieces the provider allows, newest first, a day wider than asked at both ends."""
    day = timedelta(days=1).total_seconds()
    start, end = since - day, now + day
    while end > start:
        yield max(start, end - (_SPAN_DAYS - 1) * day), end
        end -= (_SPAN_DAYS - 1) * day


def history_rows(reply: Reply) -> list[HistoryRow] | None:
    """The rows of a history answer; None where it is no history, which must never count as an empty one.

    The envelope is not documented, so the list is found wherever it stands.
    """
    if reply.sent is not Sent.ANSWERED or reply.status != 200:
        return None
    try:
        document = json.loads(reply.body)
    except ValueError:
        return None
    rows = _rows_in(document)
    if _has_nameless(document) or not (rows or _lists_something(document)):
        return None
    return [_history_row(item) for item in rows]


def _lists_something(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_lists_something(item) for item in value.values())
    return isinstance(value, list)


def _has_nameless(value: Any) -> bool:
    """Whether a request stands among the others without its id: it could be the one that is looked for."""
    if isinstance(value, Mapping):
        return any(_has_nameless(item) for item in value.values())
    if not isinstance(value, list):
        return False
    named = [isinstance(item, Mapping) and isinstance(item.get("request_id"), str) for item in value]
    return (any(named) and not all(named)) or any(_has_nameless(item) for item in value)


def _rows_in(value: Any) -> list[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if isinstance(value.get("request_id"), str):
            return [value]
        return [row for item in value.values() for row in _rows_in(item)]
    if isinstance(value, list):
        return [row for item in value for row in _rows_in(item)]
    return []


def _history_row(item: Mapping[str, Any]) -> HistoryRow:
    stamps = (item.get(name) for name in ("model_created", "created_at", "createdAt", "created", "timestamp"))
    url = item.get("generation_url")
    error, inputs = item.get("error"), _inputs(item.get("request_body"))
    return HistoryRow(
        request_id=str(item["request_id"]),
        at=next((moment for moment in map(moment, stamps) if moment is not None), None),
        status=str(item.get("model_status") or item.get("status") or ""),
        inputs=inputs,
        fields=None if inputs is None else {**inputs, "mode": inputs.get("mode") or _OWN_MODE},
        output_url=url if isinstance(url, str) and url else None,
        cost_usd=price(item.get("credits_deduction")),
        error=error if isinstance(error, str) and error else None,
    )


def _inputs(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping) and value else None
