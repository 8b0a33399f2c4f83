"""The steps of a job: upload, submit, poll, result, and the history where the poll record has expired."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from batchmod.model import (
    Again,
    Call,
    Done,
    Endpoints,
    Failed,
    FileAsDataUrl,
    Reply,
    Request,
    Sent,
    Step,
    Uncertain,
    Wait,
    Work,
)
from batchmod.providers.segmind.answers import as_object, output_url, price, shown, words_of
from batchmod.providers.segmind.history import history_rows
from batchmod.providers.segmind.refusals import blocked, failure_slug, refusal
from batchmod.providers.segmind.state import State
from batchmod.urls import origin_of

_EARLY_404: Final = 5  # status answers 404 that may be a race right after the submit


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
        return refusal(state, reply, what="upload")
    body = as_object(reply)
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
    if reply.status == 500 and isinstance(as_object(reply).get("error"), str):
        message = f"the service failed: {words_of(reply)}"
        return Failed(state=state, slug="provider_error", message=message, again=Again.ASK_FIRST)
    if reply.status >= 500 or reply.status in (408, 409, 425):
        return Uncertain(state=state, reason=f"HTTP {reply.status} to the request: it may have been accepted")
    return refusal(state, reply, what="request")


def _accepted(state: State, reply: Reply) -> Step:
    body = as_object(reply)
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
    body = as_object(reply)
    status = body.get("status")
    if isinstance(status, str) and status:
        misses = state.misses if status.upper() == "COMPLETED" else 0
        return _by_status(replace(state, seen=True, misses=misses), status, body)
    if reply.sent is Sent.ANSWERED and reply.status == 404:
        return _not_found(state)
    return blocked(state, reply) or Wait(state=state, phase="unreachable")


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
    body = as_object(reply)
    url = output_url(body)
    if url:
        metrics = body.get("metrics")
        cost = price(metrics.get("cost")) if isinstance(metrics, Mapping) else None
        return Done(state=state, location=url, cost_usd=cost)
    if str(body.get("status", "")).upper() == "FAILED":
        return _failed(state, str(body.get("error") or "the service gives no reason"))
    if reply.sent is Sent.ANSWERED and reply.status == 404:
        return _not_found(state)
    if reply.sent is Sent.ANSWERED and reply.status == 200 and state.misses >= _EARLY_404:
        return Uncertain(state=state, reason="completed, but the result names no output")
    return blocked(state, reply) or Wait(state=replace(state, misses=state.misses + 1), phase="fetching the result")


def _not_found(state: State) -> Step:
    """404 right after the submit may be a race; later the poll record has expired, and the history still knows."""
    if not state.seen and state.misses < _EARLY_404:
        return Wait(state=replace(state, misses=state.misses + 1), phase="not listed yet")
    if state.endpoints.history is None:
        return Uncertain(state=state, reason="the service no longer knows the request, and there is no history to ask")
    url = f"{state.endpoints.history}/inference-request/request-history/{state.request_id}"
    return Call(request=Request(method="GET", url=url), state=replace(state, phase="history"))


def _after_history(state: State, reply: Reply) -> Step:
    rows = history_rows(reply)
    row = next((row for row in rows or () if row.request_id == state.request_id), None)
    if row is None and (rows is not None or reply.status == 404):
        return Uncertain(state=state, reason="neither the service nor its history knows the request")
    if row is None:
        unreadable = Uncertain(
            state=state, reason="the service no longer lists the request, its history is not readable"
        )
        return blocked(state, reply) or unreadable
    if row.output_url:
        return Done(state=state, location=row.output_url, cost_usd=row.cost_usd)
    if row.status.upper() == "FAILED":
        return _failed(state, row.error or "the history gives no reason")
    return Wait(state=replace(state, seen=True), phase=row.status.lower())


def _failed(state: State, message: str) -> Failed:
    """A job that ran and failed; the contract says that only a completed one is billed."""
    return Failed(state=state, slug=failure_slug(message), message=shown(message), billed=False)


def _hash(source: Mapping[str, Any]) -> str:
    return str(source["sha256"])


def _url_of(state: State, source: Mapping[str, Any]) -> str:
    return state.uploads[_hash(source)] if source["local"] else str(source["location"])
