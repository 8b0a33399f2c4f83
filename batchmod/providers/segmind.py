"""Segmind's modify-video (v2: submit, poll, result) as pure functions: `next(state, reply) → Step`.

Contract: https://docs.segmind.com/docs/serverless-api/async-inference and https://www.segmind.com/models/modify-video/api;
what those leave open was read in the source of the vendor's Python SDK 1.3.0.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from batchmod.model import (
    Again,
    Blocked,
    Call,
    Done,
    Endpoints,
    Failed,
    FileAsDataUrl,
    HistoryRow,
    Price,
    ProviderFacts,
    Reply,
    Request,
    Sent,
    Step,
    Uncertain,
    Wait,
    Work,
)
from batchmod.urls import origin_of

FACTS: Final = ProviderFacts(
    name="segmind",
    title="Luma Modify Video, as Segmind hosts it",
    hosted=True,
    key_env="SEGMIND_API_KEY",
    base_urls={
        "api": ("SEGMIND_BASE_URL", "https://api.segmind.com"),
        "upload": ("SEGMIND_UPLOAD_BASE_URL", "https://workflows-api.segmind.com"),
        "history": ("SEGMIND_HISTORY_BASE_URL", "https://api.spotprod.segmind.com"),
    },
    max_clip_s=30.0,
    max_clip_bytes=100_000_000,
    submits_per_minute=5.0,
    burst=8,
    price=Price(
        per_second_usd=0.12,
        per_call_usd=0.60,
        note="published: $0.60 a call on average, not the rule behind it; a like service takes $0.12 a second",
    ),
    uploads=True,
    history=True,
    output_lives="7 days",
    privacy="local clips go to a public upload URL; how long it lives and how to delete it is not published",
    contract="docs.segmind.com and the vendor's Python SDK 1.3.0",
    options_schema={"type": "object", "properties": {}, "additionalProperties": False},
)

_EARLY_404: Final = 5  # status answers 404 that may be a race right after the submit
_PAGE: Final = 100
_SPAN_DAYS: Final = 31


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Where a job stands; `request_id` and what follows it must survive the process."""

    endpoints: Endpoints
    inputs: Mapping[str, Any]
    uploads: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of a local file → its URL at the provider."""
    phase: str = "start"
    uploading: str | None = None
    request_id: str | None = None
    status_url: str | None = None
    response_url: str | None = None
    seen: bool = False
    """Whether the provider has answered a status of this request."""
    misses: int = 0


def key_headers(key: str) -> dict[str, str]:
    """The header that carries the key; `Authorization: Bearer` is refused by the gateway."""
    return {"x-api-key": key}


def begin(work: Work, endpoints: Endpoints, uploads: Mapping[str, str]) -> Step:
    """The first step of a work that is to be sent."""
    return _prepare(State(endpoints=endpoints, inputs=work.inputs, uploads=uploads))


def resume(work: Work, endpoints: Endpoints) -> Step:
    """The next step of a work whose request id is in the record."""
    saved = work.state or {}
    state = State(
        endpoints=endpoints,
        inputs=work.inputs,
        request_id=work.request_id,
        status_url=saved.get("status_url"),
        response_url=saved.get("response_url"),
    )
    return Wait(state=replace(state, phase="status"))


def saved(state: State) -> dict[str, Any]:
    """What of a state goes into the record."""
    return {"status_url": state.status_url, "response_url": state.response_url}


def next_step(state: State, reply: Reply | None) -> Step:
    """What follows from a reply; without one (after a Wait) the job is asked for again."""
    if reply is None:
        return _ask_status(state)
    match state.phase:
        case "upload":
            return _after_upload(state, reply)
        case "submit":
            return _after_submit(state, reply)
        case "status":
            return _after_status(state, reply)
        case "result":
            return _after_result(state, reply)
        case _:
            return _after_history(state, reply)


# --- before the job exists ---


def _prepare(state: State) -> Step:
    """Upload what is local and not up yet, then submit."""
    for role in ("video", "first_frame"):
        source = state.inputs.get(role)
        if source and source["local"] and _hash(source) not in state.uploads:
            return _upload(state, source)
    return _submit(state)


def _upload(state: State, source: Mapping[str, Any]) -> Step:
    if state.endpoints.upload is None:
        message = "a local file needs the upload service; set SEGMIND_UPLOAD_BASE_URL beside SEGMIND_BASE_URL"
        return Failed(state=state, slug="no_upload", message=message)
    leaf = FileAsDataUrl(path=source["location"], media_type=source["media_type"], sha256=_hash(source))
    request = Request(
        method="POST",
        url=f"{state.endpoints.upload}/upload-asset",
        json={"data_urls": [leaf]},
        read_timeout_s=300.0,
    )
    return Call(request=request, state=replace(state, phase="upload", uploading=leaf.sha256))


def _after_upload(state: State, reply: Reply) -> Step:
    if reply.uploaded_url is not None and state.uploading is not None:
        return _prepare(replace(state, uploads={**state.uploads, state.uploading: reply.uploaded_url}))
    if reply.file_changed:
        message = "the file changed while it was being uploaded; nothing was submitted"
        return Failed(state=state, slug="source_changed", message=message)
    if reply.sent is not Sent.ANSWERED or reply.status >= 500 or reply.status in (408, 425):
        problem = reply.problem or f"HTTP {reply.status}"
        return Failed(state=state, slug="upload_failed", message=f"upload: {problem}", again=Again.UNREACHED)
    if reply.status != 200:
        return _refusal(state, reply, what="upload")
    body = _object(reply)
    urls = body.get("urls") or body.get("file_urls") or []
    url = urls[0] if isinstance(urls, list) and urls else None
    if not isinstance(url, str) or state.uploading is None:
        return Failed(
            state=state, slug="upload_failed", message="the upload's answer holds no URL", again=Again.UNREACHED
        )
    return _prepare(replace(state, uploads={**state.uploads, state.uploading: url}, uploading=None))


def _submit(state: State) -> Step:
    """The one request that can cost money. `mode` is always said: providers' defaults differ."""
    inputs = state.inputs
    body = {"video_url": _url_of(state, inputs["video"]), "mode": inputs["mode"]}
    if inputs.get("first_frame"):
        body["first_frame_url"] = _url_of(state, inputs["first_frame"])
    if inputs.get("prompt"):
        body["prompt"] = inputs["prompt"]
    request = Request(method="POST", url=f"{state.endpoints.api}/v2/modify-video", json=body, read_timeout_s=60.0)
    return Call(request=request, state=replace(state, phase="submit"), paying=True)


def _after_submit(state: State, reply: Reply) -> Step:
    if reply.sent is Sent.NEVER_SENT:
        return Failed(state=state, slug="unreachable", message=reply.problem, again=Again.UNREACHED)
    if reply.sent is Sent.UNKNOWN:
        return Uncertain(state=state, reason=f"no answer to the request: {reply.problem}")
    if 200 <= reply.status < 300:
        return _accepted(state, reply)
    if 300 <= reply.status < 400:
        message = f"the service answered with a redirect (HTTP {reply.status}), which a paid request does not follow"
        return Failed(state=state, slug="redirected", message=message)
    if reply.status == 500 and isinstance(_object(reply).get("error"), str):
        message = f"the service failed: {_text(reply)}"
        return Failed(state=state, slug="provider_error", message=message, again=Again.ASK_FIRST)
    if reply.status >= 500 or reply.status in (408, 409, 425):
        return Uncertain(state=state, reason=f"HTTP {reply.status} to the request: it may have been accepted")
    return _refusal(state, reply, what="request")


def _accepted(state: State, reply: Reply) -> Step:
    body = _object(reply)
    request_id = body.get("request_id")
    if not isinstance(request_id, str) or not request_id:
        return Uncertain(state=state, reason=f"HTTP {reply.status} without a request id: it may have been accepted")
    accepted = replace(
        state,
        request_id=request_id,
        status_url=_own(state, body.get("status_url")),
        response_url=_own(state, body.get("response_url")),
        phase="status",
    )
    return Wait(state=accepted, phase=str(body.get("status", "")).lower())


def _own(state: State, url: object) -> str | None:
    """A URL the service gave, if it is on the origin that was asked: a key never travels further."""
    try:
        return url if isinstance(url, str) and origin_of(url) == origin_of(state.endpoints.api) else None
    except ValueError:
        return None


# --- the job runs ---


def _ask_status(state: State) -> Step:
    url = state.status_url or f"{state.endpoints.api}/v2/requests/{state.request_id}/status"
    return Call(request=Request(method="GET", url=url, read_timeout_s=30.0), state=replace(state, phase="status"))


def _after_status(state: State, reply: Reply) -> Step:
    body = _object(reply)
    status = body.get("status")
    if isinstance(status, str) and status:
        return _by_status(replace(state, seen=True, misses=0), status, body)
    if reply.sent is Sent.ANSWERED and reply.status == 404:
        return _not_found(state)
    return _blocked(state, reply) or Wait(state=state, phase="unreachable")


def _by_status(state: State, status: str, body: Mapping[str, Any]) -> Step:
    match status.upper():
        case "COMPLETED":
            url = state.response_url or f"{state.endpoints.api}/v2/requests/{state.request_id}"
            request = Request(method="GET", url=url, read_timeout_s=30.0)
            return Call(request=request, state=replace(state, phase="result"))
        case "FAILED":
            return _failed(state, str(body.get("error") or "the service gives no reason"))
        case other:
            return Wait(state=state, phase=other.lower())


def _after_result(state: State, reply: Reply) -> Step:
    body = _object(reply)
    url = _output_url(body)
    if url:
        metrics = body.get("metrics")
        cost = _number(metrics.get("cost")) if isinstance(metrics, Mapping) else None
        return Done(state=state, location=url, cost_usd=cost)
    if str(body.get("status", "")).upper() == "FAILED":
        return _failed(state, str(body.get("error") or "the service gives no reason"))
    if reply.sent is Sent.ANSWERED and reply.status == 404:
        return _not_found(state)
    if reply.sent is Sent.ANSWERED and reply.status == 200 and state.misses >= _EARLY_404:
        return Uncertain(state=state, reason="completed, but the result names no output")
    return _blocked(state, reply) or Wait(state=replace(state, misses=state.misses + 1), phase="fetching the result")


def _not_found(state: State) -> Step:
    """404 right after the submit may be a race; later the poll record has expired, and the history still knows."""
    if not state.seen and state.misses < _EARLY_404:
        return Wait(state=replace(state, misses=state.misses + 1), phase="not listed yet")
    if state.endpoints.history is None:
        return Uncertain(state=state, reason="the service no longer knows the request, and there is no history to ask")
    url = f"{state.endpoints.history}/inference-request/request-history/{state.request_id}"
    return Call(request=Request(method="GET", url=url), state=replace(state, phase="history"))


def _after_history(state: State, reply: Reply) -> Step:
    row = next((r for r in history_rows(reply) if r.request_id == state.request_id), None)
    if row is None:
        blocked = _blocked(state, reply)
        return blocked or Uncertain(state=state, reason="neither the service nor its history knows the request")
    if row.output_url:
        return Done(state=state, location=row.output_url, cost_usd=row.cost_usd)
    if row.status.upper() == "FAILED":
        return _failed(state, row.error or "the history gives no reason")
    return Uncertain(state=state, reason=f"the history lists the request as {row.status.lower()}, without an output")


def _failed(state: State, message: str) -> Failed:
    """A job that ran and failed; the contract says that only a completed one is billed."""
    return Failed(state=state, slug=_failure_slug(message), message=message, billed=False)


# --- refusals ---


def _refusal(state: State, reply: Reply, *, what: str) -> Step:
    """A definite 4xx: nothing was created."""
    text = _text(reply)
    blocked = _blocked(state, reply)
    if blocked is not None:
        return blocked
    if reply.status == 429:
        message = f"the rate limit is reached: {text}"
        return Failed(state=state, slug="rate_limited", message=message, again=Again.LATER, after_s=_patience(reply))
    slug = {406: "refused_value", 413: "clip_too_large"}.get(reply.status, "bad_request")
    if reply.status == 406 and "content" in text.lower() and "type" in text.lower():
        slug = "bad_content_type"
    return Failed(state=state, slug=slug, message=f"the service refused the {what} (HTTP {reply.status}): {text}")


def _blocked(state: State, reply: Reply) -> Blocked | None:
    """A refusal that concerns every job: key, account, credits, model."""
    text = _text(reply)
    words = text.lower()
    slug = {401: "key_refused", 402: "no_credits", 403: "not_allowed", 410: "model_retired"}.get(reply.status)
    if reply.status == 404 and state.phase == "submit":
        slug = "model_unknown"
    if reply.status == 406 and any(word in words for word in ("credit", "balance")):
        slug = "no_credits"
    if reply.status == 406 and any(word in words for word in ("spend", "cap ", "limit")):
        slug = "spend_cap"
    if slug is None or reply.sent is not Sent.ANSWERED:
        return None
    return Blocked(state=state, slug=slug, message=f"{_ADVICE[slug]} (HTTP {reply.status}: {text})")


_ADVICE: Final = {
    "key_refused": "the key was not accepted: check SEGMIND_API_KEY",
    "no_credits": "the account has not enough credits: top it up and run again",
    "spend_cap": "the team's spending cap is reached: raise it and run again",
    "not_allowed": "this account may not use the model",
    "model_retired": "the model is retired",
    "model_unknown": "the service does not know the model: check SEGMIND_BASE_URL",
}


def _failure_slug(message: str) -> str:
    """Refusals by content filters have their own slugs, since some are worth a second try and some never."""
    words = message.lower()
    if not any(word in words for word in ("moderat", "nsfw", "safety", "blacklist", "content policy", "flagged")):
        return "generation_failed"
    for word, slug in (("prompt", "refused_prompt"), ("frame", "refused_frame"), ("output", "refused_output")):
        if word in words:
            return slug
    return "refused_clip"


def _patience(reply: Reply) -> float | None:
    """Seconds to wait by `Retry-After` or `x-rate-limit-reset-at-utc`, measured by the provider's own `Date`."""
    after = _number(reply.headers.get("retry-after"))
    if after is not None:
        return max(0.0, after)
    now = http_date(reply.headers.get("date"))
    until = http_date(reply.headers.get("retry-after")) or _moment(reply.headers.get("x-rate-limit-reset-at-utc"))
    if now is None or until is None:
        return None
    return max(0.0, until - now) + 0.5


# --- the history ---


def history_request(endpoints: Endpoints, *, page: int, since: float, until: float) -> Request | None:
    """A page of the history, newest first, between two moments (Unix seconds); None where there is no history."""
    if endpoints.history is None:
        return None
    first, last = (datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d") for moment in (since, until))
    query = f"page={page}&per_page={_PAGE}&from_date={first}&to_date={last}&model_name=modify-video"
    query += "&sort_by=model_created&sort_order=desc"
    return Request(method="GET", url=f"{endpoints.history}/inference-request/request-history?{query}")


def history_spans(since: float, now: float) -> Iterator[tuple[float, float]]:
    """(from, to) pieces the provider allows, newest first, a day wider than asked at both ends."""
    day = timedelta(days=1).total_seconds()
    start, end = since - day, now + day
    while end > start:
        yield max(start, end - (_SPAN_DAYS - 1) * day), end
        end -= (_SPAN_DAYS - 1) * day


def history_rows(reply: Reply) -> list[HistoryRow]:
    """The rows of a history answer: its envelope is not documented, so the list is found wherever it stands."""
    if reply.sent is not Sent.ANSWERED or reply.status != 200:
        return []
    try:
        document = json.loads(reply.body)
    except ValueError:
        return []
    return [_history_row(item) for item in _rows_in(document)]


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
    error = item.get("error")
    return HistoryRow(
        request_id=str(item["request_id"]),
        at=next((moment for moment in map(_moment, stamps) if moment is not None), None),
        status=str(item.get("model_status") or item.get("status") or ""),
        inputs=_inputs(item.get("request_body")),
        output_url=url if isinstance(url, str) and url else None,
        cost_usd=_number(item.get("credits_deduction")),
        error=error if isinstance(error, str) and error else None,
    )


def _inputs(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping) and value else None


# --- reading answers ---


def _object(reply: Reply) -> Mapping[str, Any]:
    """The JSON object of an answer; empty where it is none."""
    if reply.sent is not Sent.ANSWERED:
        return {}
    try:
        value = json.loads(reply.body)
    except ValueError:
        return {}
    return value if isinstance(value, Mapping) else {}


def _text(reply: Reply) -> str:
    """What an answer says in words, short."""
    body = _object(reply)
    said = body.get("error") or body.get("error_description") or body.get("message") or body.get("detail")
    if not said:
        said = reply.problem or reply.body[:200].decode("utf-8", "replace")
    return " ".join(str(said).split())[:300] or "no reason given"


def _output_url(body: Mapping[str, Any]) -> str | None:
    """`output` (a URL, or a list of them), else `video.url`, else `video`: all of them are seen."""
    output, video = body.get("output"), body.get("video")
    candidates = [*(output if isinstance(output, list) else [output])]
    candidates.append(video.get("url") if isinstance(video, Mapping) else video)
    return next((url for url in candidates if isinstance(url, str) and url.startswith("http")), None)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def http_date(text: str | None) -> float | None:
    """Unix seconds of an HTTP date (RFC 9110, 5.6.7)."""
    if not text:
        return None
    try:
        return datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _moment(value: object) -> float | None:
    """Unix seconds of an ISO 8601 text or of a number of seconds or milliseconds; UTC where no zone is named."""
    number = _number(value)
    if number is not None:
        return number / 1000.0 if number > 1e11 else number
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip().replace(" UTC", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _hash(source: Mapping[str, Any]) -> str:
    return str(source["sha256"])


def _url_of(state: State, source: Mapping[str, Any]) -> str:
    return state.uploads[_hash(source)] if source["local"] else str(source["location"])
