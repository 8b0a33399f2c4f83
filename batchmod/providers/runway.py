"""Runway's video_to_video with aleph2, a neighbour of Modify Video: uploads, submit, poll, cancel, as pure functions.

Contract: https://docs.dev.runwayml.com and the source of the vendor's Python SDK 5.24.0.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from batchmod.model import (
    Call,
    Done,
    Endpoints,
    Failed,
    FileAsBytes,
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

# tasks are not listed
from batchmod.providers.absent import history_request, history_rows, history_spans
from batchmod.providers.answers import as_object, http_date, inside, price, web_url
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

_VERSION: Final = {"X-Runway-Version": "2024-11-06"}
_CREDIT_USD: Final = 0.01

FACTS: Final = ProviderFacts(
    name="runway",
    title="Runway's Aleph 2 (video to video), a neighbour of Modify Video without its modes",
    hosted=True,
    key_env="RUNWAYML_API_SECRET",
    base_urls={"api": ("RUNWAYML_BASE_URL", "https://api.dev.runwayml.com")},
    min_clip_s=2.0,
    max_clip_s=30.0,
    max_clip_bytes=200_000_000,
    max_fps=30.0,
    max_sides=(1920, 1080),
    models=("aleph2",),
    fields=frozenset({"video_url", "first_frame_url", "prompt"}),
    submits_per_minute=10.0,
    burst=4,
    price=Price(
        per_second_usd=0.28,
        minimum_usd=0.56,
        step_s=1.0,
        note="28 credits a second, 56 at least, a credit at $0.01; what each request truly cost is told afterwards",
    ),
    uploads=True,
    uploads_public=False,
    uploads_kept="24 hours",
    upload_life_s=23 * 3600.0,
    uploads_deletable="no way is published",
    cancel="yes, without a refund once it runs",
    output_lives="link 24 to 48 hours, a fresh one each time it is asked for",
    output_life_s=24 * 3600.0,
    reminted=True,
    privacy="moderated requests cost as much as good ones, and many of them may suspend the account",
    contract="docs.dev.runwayml.com and the vendor's Python SDK 5.24.0",
    options_schema={
        "type": "object",
        "properties": {
            "seed": {
                "description": "the same seed and request give similar results",
                "type": "integer",
                "minimum": 0,
                "maximum": 4294967295,
                "x-changes-result": True,
            },
            "ignore": {
                "description": "fields of rows that are meant to be left out, since this provider has not got them",
                "type": "array",
                "items": {"enum": ["mode"]},
            },
        },
        "additionalProperties": False,
    },
)


def begin(work: Work, endpoints: Endpoints, uploads: Mapping[str, str]) -> Step:
    """The first step of a work that is to be sent."""
    return _prepare(steps.first(work, endpoints, uploads))


def next_step(state: State, reply: Reply | None) -> Step:
    """What follows from a reply; without one (after a Wait) the task is asked for again."""
    if reply is None:
        return _ask(state)
    if reply.uploaded_url is not None:
        return _prepare(steps.uploaded(state, reply.uploaded_url))
    match state.phase:
        case "create" | "post":
            return _after_upload(state, reply)
        case "submit":
            return _after_submit(state, reply)
        case _:
            return _after_status(state, reply)


def _prepare(state: State) -> Step:
    return steps.prepare(state, upload=_create, submit=_submit)


def _create(state: State, source: Mapping[str, Any]) -> Step:
    kind = str(source["media_type"]).rsplit("/", 1)[-1]
    body = {"filename": f"source.{_SUFFIXES.get(kind, kind)}", "type": "ephemeral"}
    ticket = {"source": dict(source)}
    return Call(request=_to(state, "POST", "/v1/uploads", body), state=replace(state, phase="create", ticket=ticket))


_SUFFIXES: Final = {"quicktime": "mov", "x-matroska": "mkv", "x-msvideo": "avi", "jpeg": "jpg"}


def _after_upload(state: State, reply: Reply) -> Step:
    trouble = steps.upload_trouble(state, reply)
    if trouble is not None:
        return trouble
    if reply.status >= 300:
        return steps.refusal(state, reply, facts=FACTS, what="upload")
    if state.phase == "post":
        return _prepare(steps.uploaded(state, str(state.ticket["uri"])))
    body = as_object(reply)
    url, uri, fields = web_url(body.get("uploadUrl")), body.get("runwayUri"), body.get("fields")
    if url is None or not isinstance(uri, str) or not isinstance(fields, Mapping):
        return steps.not_uploaded(state, "the answer names no place to send the file to")
    form: dict[str, str | FileAsBytes] = {str(name): str(value) for name, value in fields.items()}
    form["file"] = steps.as_bytes(state.ticket["source"])
    request = Request(method="POST", url=url, form=form, read_timeout_s=300.0)
    return Call(request=request, state=replace(state, phase="post", ticket={**state.ticket, "uri": uri}))


def _to(state: State, method: str, path: str, body: Mapping[str, Any] | None = None) -> Request:
    return Request(method=method, url=f"{state.endpoints.api}{path}", json=body, headers=_VERSION)


def _submit(state: State) -> Step:
    inputs = state.inputs
    body: dict[str, Any] = {
        "model": state.model or FACTS.models[0],
        "videoUri": steps.url_of(state, inputs["video"]),
    }
    if inputs.get("prompt"):
        body["promptText"] = inputs["prompt"]
    if inputs.get("first_frame"):
        body["keyframes"] = [{"seconds": 0, "uri": steps.url_of(state, inputs["first_frame"])}]
    if "seed" in state.options:
        body["seed"] = state.options["seed"]
    return Call(
        request=_to(state, "POST", "/v1/video_to_video", body), state=replace(state, phase="submit"), paying=True
    )


def _after_submit(state: State, reply: Reply) -> Step:
    unsettled = steps.unsettled(state, reply)
    if unsettled is not None:
        return unsettled
    if reply.status >= 400:
        return steps.refusal(state, reply, facts=FACTS)
    return steps.accepted(state, reply, as_object(reply).get("id"), phase="pending")


def _ask(state: State) -> Step:
    return Call(request=_to(state, "GET", f"/v1/tasks/{state.request_id}"), state=replace(state, phase="status"))


def _after_status(state: State, reply: Reply) -> Step:
    body = as_object(reply)
    status = body.get("status")
    if not isinstance(status, str) or not status:
        if reply.sent is Sent.ANSWERED and reply.status == 404:
            return steps.not_found(state)
        return steps.unanswered(state, reply, facts=FACTS)
    state = replace(state, seen=True)
    match status.upper():
        case "SUCCEEDED":
            url = web_url(inside(body, "output", 0))
            return Done(state=state, location=url, cost_usd=_cost(body)) if url else steps.no_output(state)
        case "FAILED":
            return _failed(state, body)
        case "CANCELLED":
            cost = _cost(body)
            billed = None if cost is None else cost > 0
            return steps.failed(state, "the task was cancelled", slug="cancelled", billed=billed, cost_usd=cost)
        case other:
            return Wait(state=replace(state, misses=0), phase=other.lower())


def _cost(body: Mapping[str, Any]) -> float | None:
    """What a task that has ended cost; nothing where it was refunded."""
    credits_ = price(inside(body, "cost", "credits"))
    return None if credits_ is None else round(credits_ * _CREDIT_USD, 6)


def _failed(state: State, body: Mapping[str, Any]) -> Failed:
    """By its code (`SAFETY.INPUT.TEXT`, `INTERNAL.BAD_OUTPUT.CODE01`); moderated ones are billed all the same."""
    code, cost = str(body.get("failureCode") or "").upper(), _cost(body)
    said = ": ".join(part for part in (code, str(body.get("failure") or "")) if part)
    slug = None
    if "SAFETY" in code and "OUTPUT" in code:
        slug = "refused_output"
    elif "SAFETY" in code:
        words = {"TEXT": "refused_prompt", "PROMPT": "refused_prompt", "IMAGE": "refused_frame"}
        slug = next((found for word, found in words.items() if word in code), "refused_clip")
    elif code.startswith(("ASSET", "INPUT")):
        slug = "unreadable_source"
    billed = None if cost is None else cost > 0
    return steps.failed(state, said, slug=slug or "generation_failed", billed=billed, cost_usd=cost)


def cancel_request(work: Work, endpoints: Endpoints) -> Request | None:
    """Stops a task that is live; one that has ended is *deleted* by it, so it is asked for first."""
    return Request(method="DELETE", url=f"{endpoints.api}/v1/tasks/{work.request_id}", headers=_VERSION)


def balance_request(endpoints: Endpoints) -> Request | None:
    """The question for the credits."""
    return Request(method="GET", url=f"{endpoints.api}/v1/organization", headers=_VERSION, read_timeout_s=2.0)


def balance_of(reply: Reply) -> float | None:
    """The balance, which is told in credits."""
    credits_ = price(as_object(reply).get("creditBalance"))
    return None if credits_ is None else round(credits_ * _CREDIT_USD, 6)
