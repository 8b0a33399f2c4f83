"""Segmind's published modify-video contract as pure functions: what is refused, and the shape of every answer."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NoReturn
from urllib.parse import urlsplit

from tests.servers.faults import HTML, JSON, PAID, Recipe, Reply, Way, both
from tests.servers.ledger import Job, Kind, State, iso
from tests.servers.standin import Refused

SLUG = "modify-video"
MODES = tuple(f"{family}_{level}" for family in ("adhere", "flex", "reimagine") for level in (1, 2, 3))
LONGEST_WINDOW = timedelta(days=31)
DEFAULT_WINDOW = timedelta(days=7)
SORTABLE = ("model_created", "model_name", "credits_deduction")


def error(status: int, text: str, **headers: str) -> Reply:
    """The provider's error envelope: `{"error": "text"}`."""
    return Reply(status=status, body=json.dumps({"error": text}), headers=headers)


def refuse(status: int, text: str) -> NoReturn:
    raise Refused(error(status, text))


KEY_MISSING = error(401, "No API key found in request: send it in the x-api-key header")
KEY_INVALID = error(401, "Invalid or expired API key")
CONTENT_TYPE = error(406, "Invalid content type. Use application/json or multipart/form-data")
SPEND_CAP = error(406, "Team spend limit reached. Ask an owner of the team to raise it")
RETIRED = error(410, f"Model {SLUG} has been retired")
NOT_FOUND = error(404, "Request $request_id not found")
NO_ROUTE = error(404, "Not found")
WRONG_VERB = Reply(
    status=405,
    body="<!doctype html><title>405 Method Not Allowed</title><h1>Method Not Allowed</h1>",
    content_type=HTML,
)


def credits_short(balance: float, need: float) -> Reply:
    return error(406, f"Insufficient credits: balance {balance:.2f}, this request needs {need:.2f}")


def too_many(**headers: str) -> Reply:
    """429; the provider documents the reset header and no Retry-After."""
    return error(429, "Rate limit exceeded", **headers)


RESET_AT = too_many(**{"x-rate-limit-reset-at-utc": "$reset_at"})


def decoded(body: bytes) -> dict[str, Any]:
    """The JSON object of a submit; Refused (400) where it is none."""
    try:
        inputs = json.loads(body)
    except ValueError:
        refuse(400, "Malformed request: the body is not valid JSON")
    if not isinstance(inputs, dict):
        refuse(400, "Malformed request: the body must be a JSON object")
    return inputs


def check(inputs: Mapping[str, Any]) -> None:
    """Refused (400 or 406) where a field is missing, no URL, or not one of the allowed values."""
    if not inputs.get("video_url"):
        refuse(400, "Missing required field: video_url")
    for name in ("video_url", "first_frame_url"):
        if name in inputs and not is_web_url(inputs[name]):
            refuse(400, f"{name} must be an absolute http(s) URL")
    if not isinstance(inputs.get("prompt", ""), str):
        refuse(400, "prompt must be a string")
    if inputs.get("mode", MODES[0]) not in MODES:
        refuse(406, f"Value rejected: mode must be one of {', '.join(MODES)}")


def is_web_url(value: object) -> bool:
    if not isinstance(value, str) or value != value.strip():
        return False
    parts = urlsplit(value)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def links(request_id: str, base: str) -> dict[str, str]:
    return {
        "poll_url": f"{base}/v1/requests/{request_id}",
        "status_url": f"{base}/v2/requests/{request_id}/status",
        "response_url": f"{base}/v2/requests/{request_id}",
    }


def submitted(request_id: str, base: str) -> dict[str, Any]:
    return {"request_id": request_id, "status": str(State.QUEUED), **links(request_id, base)}


def times(job: Job) -> dict[str, float]:
    queued, worked = job.starts_at - job.accepted_at, job.ends_at - job.starts_at
    return {
        "inference_time": round(worked, 3),
        "queue_time": round(queued, 3),
        "total_time": round(queued + worked, 3),
    }


def status(job: Job, state: State, base: str) -> dict[str, Any]:
    """The body of a status poll; a FAILED one is served under 422 and carries no cost."""
    match state:
        case State.FAILED:
            return {"status": str(state), "error": job.error, "metrics": times(job)}
        case State.COMPLETED:
            metrics = {"inference_time": times(job)["inference_time"]}
            return {"status": str(state), "request_id": job.request_id, "metrics": metrics}
        case State.QUEUED | State.PROCESSING:
            urls = links(job.request_id, base)
            del urls["poll_url"]
            return {"status": str(state), "request_id": job.request_id, **urls, "metrics": {}}


def result(job: Job, *, url: str, size: int, remaining: float) -> dict[str, Any]:
    """The body of a finished job; `file_size` is a text, as the provider has it."""
    return {
        "status": str(State.COMPLETED),
        "error": None,
        "output": url,
        "video": {
            "url": url,
            "content_type": "video/mp4",
            "file_name": url.rsplit("/", 1)[-1],
            "file_size": str(size),
        },
        "metrics": {"cost": job.price, "remaining_credits": round(remaining, 6), **times(job)},
    }


def blocking_headers(job: Job, remaining: float) -> dict[str, str]:
    return {
        "x-cost": f"{job.price:g}",
        "x-remaining-credits": f"{remaining:g}",
        "x-request-id": job.request_id,
        "x-generation-time": str(times(job)["inference_time"]),
    }


def history_row(job: Job, now: float, *, url: str, skew_s: float) -> dict[str, Any]:
    state = job.state(now)
    row_states = {State.QUEUED: "PENDING", State.PROCESSING: "PENDING"}
    return {
        "request_id": job.request_id,
        "model_name": SLUG,
        "model_status": row_states.get(state, str(state)),
        "credits_deduction": job.billed(now),
        "request_body": dict(job.inputs),
        "generation_url": url if state is State.COMPLETED else None,
        "latency_ms": round((job.ends_at - job.accepted_at) * 1000) if now >= job.ends_at else None,
        "created_at": iso(job.accepted_at + skew_s),
        "error": job.error if state is State.FAILED else None,
    }


def spoiled_rows(row: dict[str, Any], fault: str | None) -> list[dict[str, Any]]:
    """A row as it stands in the page under one of the history faults: none, changed, or twice."""
    match fault:
        case "history_no_rows":
            return []
        case "history_no_request_body":
            return [{name: value for name, value in row.items() if name != "request_body"}]
        case "history_unreadable_request_body":
            return [{**row, "request_body": "<truncated>"}]
        case "history_request_body_as_text":
            return [{**row, "request_body": json.dumps(row["request_body"])}]
        case "history_duplicate_rows":
            return [row, row]
        case _:
            return [row]


def history_page(rows: list[dict[str, Any]], query: Mapping[str, str], *, today: date) -> dict[str, Any]:
    """The rows of one page and the paging facts; Refused (400) for a query outside the documented limits."""
    number, size = _number(query, "page", 1), _number(query, "per_page", 20)
    if number < 1 or not 1 <= size <= 100:
        refuse(400, "page counts from 1 and per_page is 1 to 100")
    chosen = _sorted([row for row in rows if _wanted(row, query, _window(query, today))], query)
    return {
        "rows": chosen[(number - 1) * size : number * size],
        "page": number,
        "per_page": size,
        "total": len(chosen),
        "total_pages": -(-len(chosen) // size),
    }


def enveloped(page: dict[str, Any], envelope: str) -> Any:
    """The page under `a.b` as `{"a": {"b": rows, …}}`; `` is a plain list."""
    rows = page.pop("rows")
    if not envelope:
        return rows
    *outer, last = envelope.split(".")
    body: dict[str, Any] = {last: rows, **page}
    for name in reversed(outer):
        body = {name: body}
    return body


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal():
        refuse(400, f"{name} must be a whole number")
    return int(text)


def _date(query: Mapping[str, str], name: str) -> date | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        refuse(400, f"{name} must be a date as YYYY-MM-DD")


def _window(query: Mapping[str, str], today: date) -> tuple[date, date]:
    last = _date(query, "to_date") or today
    first = _date(query, "from_date") or last - DEFAULT_WINDOW
    if first > last or last - first > LONGEST_WINDOW:
        refuse(400, "from_date must not be after to_date and the window may span at most 31 days")
    return first, last


def _wanted(row: Mapping[str, Any], query: Mapping[str, str], window: tuple[date, date]) -> bool:
    made = date.fromisoformat(row["created_at"][:10])
    state = query.get("status")
    if state not in (None, "COMPLETED", "FAILED", "PENDING"):
        refuse(400, "status must be COMPLETED, FAILED or PENDING")
    in_window = window[0] <= made <= window[1]
    return in_window and query.get("model_name", "") in row["model_name"] and state in (None, row["model_status"])


def _sorted(rows: list[dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
    by, order = query.get("sort_by", SORTABLE[0]), query.get("sort_order", "desc")
    if by not in SORTABLE or order not in ("asc", "desc"):
        refuse(400, f"sort_by is one of {', '.join(SORTABLE)}; sort_order is asc or desc")
    column = "created_at" if by == "model_created" else by
    return sorted(rows, key=lambda row: row[column], reverse=order == "desc")


def _refusal(reply: Reply) -> Recipe:
    return Recipe(way=Way.ANSWER, reply=reply)


def _inside(*on: Kind) -> Recipe:
    return Recipe(way=Way.INSIDE, on=on, takes_effect=True)


def _instead(body: str, content_type: str) -> Recipe:
    reply = Reply(status=200, body=body, content_type=content_type)
    return Recipe(way=Way.ANSWER, on=(Kind.DOWNLOAD,), reply=reply)


FAULTS: Mapping[str, Recipe] = {
    "error_400": _refusal(error(400, "Malformed request")),
    "error_400_asset": _refusal(error(400, "Could not download video_url $video_url")),
    "error_401_missing": _refusal(KEY_MISSING),
    "error_401_invalid": _refusal(KEY_INVALID),
    "error_403": _refusal(error(403, "Your account is not allowed to use this model")),
    "error_404": _refusal(error(404, f"Model {SLUG} not found")),
    "error_405": _refusal(WRONG_VERB),
    "error_406_content_type": _refusal(CONTENT_TYPE),
    "error_406_credits": _refusal(credits_short(0.12, 0.6)),
    "error_406_value": _refusal(error(406, "Value rejected: prompt was not accepted")),
    "error_406_spend_cap": _refusal(SPEND_CAP),
    "error_410": _refusal(RETIRED),
    "error_422_body": _refusal(error(422, "Unprocessable")),
    "error_429_reset_at": _refusal(RESET_AT),
    "error_429_retry_after": _refusal(too_many(**{"Retry-After": "$seconds"})),
    "error_429_neither": _refusal(too_many()),
    **both("error_408", error(408, "Request timeout")),
    **both("error_409", error(409, "Conflict")),
    **both("error_425", error(425, "Too early")),
    **both("error_500_json", error(500, "Internal server error")),
    "failed_422": _inside(*PAID),
    "failed_200": _inside(*PAID),
    "foreign_status_url": _inside(Kind.SUBMIT),
    "answer_repeats_id": _inside(Kind.SUBMIT),
    "history_late": _inside(*PAID),
    "output_silent": _inside(*PAID),
    "output_24fps": _inside(*PAID),
    "output_other_size": _inside(*PAID),
    "output_other_length": _inside(*PAID),
    "status_404_at_first": Recipe(way=Way.ANSWER, on=(Kind.STATUS, Kind.RESULT), reply=NOT_FOUND, per_job=True),
    "status_unknown_word": _inside(Kind.STATUS, Kind.RESULT),
    "history_no_rows": _inside(Kind.HISTORY),
    "history_no_request_body": _inside(Kind.HISTORY, *PAID),
    "history_unreadable_request_body": _inside(Kind.HISTORY, *PAID),
    "history_request_body_as_text": _inside(Kind.HISTORY, *PAID),
    "history_duplicate_rows": _inside(Kind.HISTORY, *PAID),
    "output_truncated": _inside(Kind.DOWNLOAD),
    "output_no_range": _inside(Kind.DOWNLOAD),
    "output_cut": Recipe(way=Way.CUT_BODY, on=(Kind.DOWNLOAD,), takes_effect=True),
    "output_wrong_length": Recipe(way=Way.WRONG_LENGTH, on=(Kind.DOWNLOAD,), takes_effect=True),
    "output_html": _instead("<html><body>This file is being prepared</body></html>", HTML),
    "output_html_as_mp4": _instead("<html><body>This file is being prepared</body></html>", "video/mp4"),
    "output_json": _instead('{"error": "Not ready"}', JSON),
    "output_zero_bytes": _instead("", "video/mp4"),
    "output_redirect": Recipe(
        way=Way.ANSWER,
        on=(Kind.DOWNLOAD,),
        reply=Reply(status=302, body="", content_type=HTML, headers={"Location": "$elsewhere$path"}),
    ),
}
