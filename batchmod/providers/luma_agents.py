"""Luma's Agents API (ray-3.2, video_edit): presigned uploads, submit, poll, links minted anew, as pure functions.

Contract: https://docs.agents.lumalabs.ai/guides/ and the source of the vendor's Python SDK 0.5.0.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from batchmod.model import (
    Call,
    Done,
    Endpoints,
    Failed,
    FileSize,
    Price,
    ProviderFacts,
    Reply,
    Request,
    Sent,
    Step,
    Wait,
    Work,
)
from batchmod.providers import steps

# no request can be stopped or listed, and the balance cannot be asked for
from batchmod.providers.absent import (
    balance_of,
    balance_request,
    cancel_request,
    history_request,
    history_rows,
    history_spans,
)
from batchmod.providers.answers import as_object, filter_slug, http_date, inside, shown, web_url
from batchmod.providers.steps import State, saved
from batchmod.providers.steps import bearer as key_headers
from batchmod.providers.steps import resumed as resume

__all__ = [
    "FACTS",
    "balance_of",
    "balance_request",
    "begin",
    "cancel_request",
    "history_request",
    "history_rows",
    "history_spans",
    "http_date",
    "key_headers",
    "next_step",
    "resume",
    "saved",
]

_RESOLUTION: Final = "720p"
_INGEST_ASKED: Final = 60  # questions, up to 10 s apart, until an upload counts as stuck
_MOVIES: Final = {"mov": "video/quicktime", "webm": "video/webm", "mkv": "video/x-matroska", "avi": "video/x-msvideo"}

_NOTE: Final = "5 s cost $0.72 at 540p, $1.08 at 720p, $2.16 at 1080p, and 10 s twice that; between them not published"

FACTS: Final = ProviderFacts(
    name="luma-agents",
    title="Luma's newer Modify (ray-3.2, video edit) at its maker, by the Agents API",
    hosted=True,
    key_env="LUMA_AGENTS_API_KEY",
    base_urls={"api": ("LUMA_AGENTS_BASE_URL", "https://agents.lumalabs.ai/v1")},
    max_clip_s=18.0,
    max_clip_bytes=200_000_000,
    models=("ray-3.2",),
    required=frozenset({"video_url", "prompt"}),
    prompt_chars=(1, 6000),
    submits_per_minute=10.0,
    burst=4,
    price=Price(per_second_usd=0.216, step_s=5.0, note=f"{_NOTE}; 720p unless you choose another resolution"),
    prices={
        "360p": Price(per_second_usd=0.144, step_s=5.0, note="360p is not published: estimated as 540p"),
        "540p": Price(per_second_usd=0.144, step_s=5.0, note=_NOTE),
        "1080p": Price(per_second_usd=0.432, step_s=5.0, note=_NOTE),
    },
    uploads=True,
    uploads_public=False,
    uploads_kept="until deleted, as far as published",
    uploads_deletable="yes, at the provider; batchmod leaves them",
    cancel="no",
    output_lives="link 1 hour, a fresh one each time it is asked for; the file: not published",
    output_life_s=3600.0,
    reminted=True,
    privacy="uploads and outputs are moderated by the service",
    contract="docs.agents.lumalabs.ai and the vendor's Python SDK 0.5.0",
    options_schema={
        "type": "object",
        "properties": {
            "resolution": {
                "description": "the output's resolution; it decides the price",
                "enum": ["360p", "540p", "720p", "1080p"],
                "x-changes-result": True,
            },
        },
        "additionalProperties": False,
    },
)


def begin(work: Work, endpoints: Endpoints, uploads: Mapping[str, str]) -> Step:
    """The first step of a work that is to be sent."""
    return _prepare(steps.first(work, endpoints, uploads))


def next_step(state: State, reply: Reply | None) -> Step:
    """What follows from a reply; without one (after a Wait) the upload or the job is asked for again."""
    if reply is None:
        return _ask(state) if state.uploading is None else _ask_ingest(state)
    if reply.uploaded_url is not None:
        return _prepare(steps.uploaded(state, reply.uploaded_url))
    match state.phase:
        case "create" | "put" | "complete" | "ingest":
            return _after_upload(state, reply)
        case "submit":
            return _after_submit(state, reply)
        case _:
            return _after_status(state, reply)


def _prepare(state: State) -> Step:
    return steps.prepare(state, upload=_create, submit=_submit)


def _create(state: State, source: Mapping[str, Any]) -> Step:
    media_type = str(source["media_type"])
    body = {
        "mime_type": media_type,
        "size_bytes": FileSize(path=source["location"]),
        "purpose": "input" if media_type.startswith("video/") else "reference",
    }
    ticket = {"source": dict(source)}
    return Call(request=_to(state, "POST", "/files", body), state=replace(state, phase="create", ticket=ticket))


def _after_upload(state: State, reply: Reply) -> Step:
    trouble = steps.upload_trouble(state, reply)
    if trouble is not None:
        return trouble
    if reply.status >= 300:
        return steps.refusal(state, reply, facts=FACTS, what="upload")
    match state.phase:
        case "create":
            return _put(state, as_object(reply))
        case "put":
            request = _to(state, "POST", f"/files/{state.ticket['id']}/complete", {})
            return Call(request=request, state=replace(state, phase="complete"))
        case "complete":
            return _ask_ingest(state)
        case _:
            return _after_ingest(state, as_object(reply))


def _put(state: State, body: Mapping[str, Any]) -> Step:
    file_id, url = body.get("id"), web_url(inside(body, "upload", "url"))
    if not isinstance(file_id, str) or url is None:
        return steps.not_uploaded(state, "the answer names no place to send the file to")
    given = inside(body, "upload", "headers") or {}
    headers = {str(name): str(value) for name, value in given.items()} if isinstance(given, Mapping) else {}
    file = steps.as_bytes(state.ticket["source"])
    request = Request(method="PUT", url=url, file=file, headers=headers, read_timeout_s=300.0)
    return Call(request=request, state=replace(state, phase="put", ticket={**state.ticket, "id": file_id}))


def _ask_ingest(state: State) -> Step:
    return Call(request=_to(state, "GET", f"/files/{state.ticket['id']}"), state=replace(state, phase="ingest"))


def _after_ingest(state: State, body: Mapping[str, Any]) -> Step:
    match body.get("state"):
        case "ready":
            return _prepare(steps.uploaded(state, str(state.ticket["id"])))
        case "failed" | "deleted":
            reason = shown(str(body.get("failure_reason") or "the service gives no reason"))
            message = f"the service took the file and then would not use it: {reason}"
            return Failed(state=state, slug=filter_slug(reason) or "unreadable_source", message=message)
        case _ if state.misses >= _INGEST_ASKED:
            return steps.not_uploaded(state, "the service has not made the file ready in ten minutes")
        case _:
            return Wait(state=replace(state, misses=state.misses + 1), phase="uploading")


def _to(state: State, method: str, path: str, body: Mapping[str, Any] | None = None) -> Request:
    return Request(method=method, url=f"{state.endpoints.api}{path}", json=body, read_timeout_s=60.0)


def _submit(state: State) -> Step:
    inputs = state.inputs
    video: dict[str, Any] = {
        "resolution": state.options.get("resolution", _RESOLUTION),
        "edit": {"strength": inputs["mode"]},
    }
    if inputs.get("first_frame"):
        video["start_frame"] = _reference(state, inputs["first_frame"])
    body = {
        "model": state.model or FACTS.models[0],
        "type": "video_edit",
        "prompt": inputs.get("prompt") or "",
        "source": _reference(state, inputs["video"], video=True),
        "video": video,
    }
    return Call(request=_to(state, "POST", "/generations", body), state=replace(state, phase="submit"), paying=True)


def _reference(state: State, source: Mapping[str, Any], *, video: bool = False) -> dict[str, str]:
    """A file of ours by its id, another by its URL; a video's URL needs its type beside it."""
    reference = steps.url_of(state, source)
    if source["local"]:
        return {"file_id": reference}
    if not video:
        return {"url": reference}
    suffix = reference.partition("?")[0].rsplit(".", 1)[-1].lower()
    return {"url": reference, "media_type": _MOVIES.get(suffix, "video/mp4")}


def _after_submit(state: State, reply: Reply) -> Step:
    unsettled = steps.unsettled(state, reply)
    if unsettled is not None:
        return unsettled
    if reply.status >= 400:
        return steps.refusal(state, reply, facts=FACTS)
    body = as_object(reply)
    return steps.accepted(state, reply, body.get("id"), phase=str(body.get("state", "")))


def _ask(state: State) -> Step:
    return Call(request=_to(state, "GET", f"/generations/{state.request_id}"), state=replace(state, phase="status"))


def _after_status(state: State, reply: Reply) -> Step:
    body = as_object(reply)
    status = body.get("state")
    if not isinstance(status, str) or not status:
        if reply.sent is Sent.ANSWERED and reply.status == 404:
            return steps.not_found(state)
        return steps.unanswered(state, reply, facts=FACTS)
    state = replace(state, seen=True)
    match status.lower():
        case "completed":
            url = _video_in(body.get("output"))
            return Done(state=state, location=url) if url else steps.no_output(state)
        case "failed":
            return _failed(state, body)
        case other:
            return Wait(state=replace(state, misses=0), phase=other)


def _video_in(output: Any) -> str | None:
    items = output if isinstance(output, list) else []
    videos = [item for item in items if inside(item, "type") in ("video", None)]
    return next((url for item in videos if (url := web_url(inside(item, "url")))), None)


_SLUGS: Final = {
    "rate_limited": "rate_limited",
    "image_too_large": "clip_too_large",
    "unsupported_format": "unreadable_source",
    "corrupt_input": "unreadable_source",
    "invalid_request": "bad_request",
}


def _failed(state: State, body: Mapping[str, Any]) -> Failed:
    """By its code, then by its words; whether one that was worked on is billed is not published."""
    code, reason = str(body.get("failure_code") or ""), str(body.get("failure_reason") or "")
    said = f"{code}: {reason}" if code and reason else reason or code
    if code == "budget_exhausted":
        message = f"the account has not enough credits: top it up, then run again with --retry-failed ({said})"
        return replace(steps.failed(state, message, slug="no_credits", billed=False), stops=True)
    slug = _SLUGS.get(code) or (filter_slug(said) or "refused_clip" if code == "content_moderated" else None)
    return steps.failed(state, said, slug=slug, billed=False if code == "rate_limited" else None)
