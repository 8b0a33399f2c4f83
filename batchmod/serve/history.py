"""Segmind's request-history over the queue: what may be asked, and the shape of a row."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from batchmod import clock
from batchmod.serve.contract import SLUG, Refused
from batchmod.serve.queue import Job, State

_LONGEST: Final = timedelta(days=31)
_DEFAULT: Final = timedelta(days=7)
_MOST_ROWS: Final = 100
_SORTABLE: Final = ("model_created", "model_name", "credits_deduction")
_STATES: Final[Mapping[str, tuple[State, ...]]] = {
    "COMPLETED": (State.COMPLETED,),
    "FAILED": (State.FAILED,),
    "PENDING": (State.QUEUED, State.PROCESSING),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Which rows are asked for; times in Unix seconds, `until` not included."""

    number: int
    size: int
    since: float
    until: float
    states: tuple[State, ...]
    newest_first: bool
    model: str

    @property
    def skip(self) -> int:
        """Rows before this page."""
        return (self.number - 1) * self.size


def asked(query: Mapping[str, str], *, now: float) -> Page:
    """What a query asks for; Refused (400) outside the documented limits."""
    number, size = _number(query, "page", 1), _number(query, "per_page", 20)
    if number < 1 or not 1 <= size <= _MOST_ROWS:
        raise Refused(400, f"page counts from 1 and per_page is 1 to {_MOST_ROWS}")
    first, last = _window(query, datetime.fromtimestamp(now, UTC).date())
    state = query.get("status")
    if state is not None and state not in _STATES:
        raise Refused(400, "status must be COMPLETED, FAILED or PENDING")
    by, order = query.get("sort_by", _SORTABLE[0]), query.get("sort_order", "desc")
    if by not in _SORTABLE or order not in ("asc", "desc"):
        raise Refused(400, f"sort_by is one of {', '.join(_SORTABLE)}; sort_order is asc or desc")
    return Page(
        number=number,
        size=size,
        since=_midnight(first),
        until=_midnight(last + timedelta(days=1)),
        states=_STATES[state] if state else tuple(State),
        newest_first=order == "desc",
        model=query.get("model_name", ""),
    )


def page(rows: list[dict[str, Any]], total: int, asked_for: Page) -> dict[str, Any]:
    """The answer with its rows."""
    pages = -(-total // asked_for.size)
    counts = {"page": asked_for.number, "per_page": asked_for.size, "total": total, "total_pages": pages}
    return {"data": rows, **counts}


def row(job: Job, *, url: str | None) -> dict[str, Any]:
    """A request as the history shows it; `url` is its output's, where there is one."""
    return {
        "request_id": job.request_id,
        "model_name": SLUG,
        "model_status": job.state.value if job.state.ended else "PENDING",
        "credits_deduction": 0.0,
        "request_body": dict(job.inputs),
        "generation_url": url,
        "latency_ms": round((job.ended_at - job.accepted_at) * 1000) if job.ended_at else None,
        "created_at": clock.iso(job.accepted_at),
        "error": job.error,
    }


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10):  # noqa: PLR2004 - no page has such a number
        raise Refused(400, f"{name} must be a whole number")
    return int(text)


def _date(query: Mapping[str, str], name: str) -> date | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise Refused(400, f"{name} must be a date as YYYY-MM-DD") from None


def _window(query: Mapping[str, str], today: date) -> tuple[date, date]:
    try:
        last = _date(query, "to_date") or today
        first = _date(query, "from_date") or last - _DEFAULT
        _ = last + timedelta(days=1)
    except OverflowError:
        raise Refused(400, "from_date and to_date must be dates of this age") from None
    if first > last or last - first > _LONGEST:
        raise Refused(400, f"from_date must not be after to_date and the window may span at most {_LONGEST.days} days")
    return first, last


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
