"""Luma's Dream Machine API: submit, poll, list, as pure functions.

Contract: https://docs.lumalabs.ai/docs/modify-video and the vendor's openapi.yaml of 2025-06-24; what those leave open
was read in the source of the vendor's Python SDK 1.21.0.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from batchmod.model import (
    Call,
    Done,
    Endpoints,
    HistoryRow,
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

# DELETE takes the record away, and nobody says whether it stops the job
from batchmod.providers.absent import cancel_request
from batchmod.providers.answers import as_object, filter_slug, http_date, inside, moment, number, web_url
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

_PAGE: Final = 100

FACTS: Final = ProviderFacts(
    name="luma",
    title="Luma Modify Video at its maker, by the Dream Machine API",
    hosted=True,
    key_env="LUMAAI_API_KEY",
    base_urls={"api": ("LUMAAI_BASE_URL", "https://api.lumalabs.ai/dream-machine/v1")},
    max_clip_s=10.0,
    max_clip_bytes=100_000_000,
    models=("ray-2", "ray-flash-2"),
    prompt_chars=(3, 5000),
    submits_per_minute=20.0,
    burst=4,
    price=Price(
        per_megapixel_usd=0.01582,
        note="published for ray-2: $0.01582 a million pixels at 24 frames a second; the output's size is taken to be "
        "the clip's. What ray-flash-2 costs is not published: estimated as ray-2",
    ),
    history=True,
    cancel="no: a request can be deleted, but whether that stops it is not published",
    output_lives="not published",
    reminted=True,
    body_fields=frozenset({"generation_type", "model", "mode", "media", "first_frame", "prompt"}),
    privacy="clips and frames must be on public URLs of your own; the service keeps each request with its inputs",
    contract="docs.lumalabs.ai, the vendor's openapi.yaml and its Python SDK 1.21.0",
    options_schema={"type": "object", "properties": {}, "additionalProperties": False},
)


def begin(work: Work, endpoints: Endpoints, uploads: Mapping[str, str]) -> Step:
    """The first step of a work that is to be sent."""
    return steps.prepare(steps.first(work, endpoints, uploads), upload=_no_upload, submit=_submit)


def next_step(state: State, reply: Reply | None) -> Step:
    """What follows from a reply; without one (after a Wait) the job is asked for again."""
    if reply is None:
        return _ask(state)
    match state.phase:
        case "submit":
            return _after_submit(state, reply)
        case "history":
            listed = _listed(reply)
            return steps.after_page(state, reply, pages=history_request, items=listed, read=_by_state, facts=FACTS)
        case _:
            return _after_status(state, reply)


def _no_upload(state: State, source: Mapping[str, Any]) -> Step:
    return steps.no_upload(state, FACTS)


def _submit(state: State) -> Step:
    inputs = state.inputs
    body: dict[str, Any] = {
        "generation_type": "modify_video",
        "model": state.model or FACTS.models[0],
        "mode": inputs["mode"],
        "media": {"url": steps.url_of(state, inputs["video"])},
    }
    if inputs.get("first_frame"):
        body["first_frame"] = {"url": steps.url_of(state, inputs["first_frame"])}
    if inputs.get("prompt"):
        body["prompt"] = inputs["prompt"]
    request = Request(method="POST", url=f"{state.endpoints.api}/generations/video/modify", json=body)
    return Call(request=request, state=replace(state, phase="submit"), paying=True)


def _after_submit(state: State, reply: Reply) -> Step:
    unsettled = steps.unsettled(state, reply)
    if unsettled is not None:
        return unsettled
    if reply.status >= 400:
        return steps.refusal(state, reply, facts=FACTS)
    body = as_object(reply)
    return steps.accepted(state, reply, body.get("id"), phase=str(body.get("state", "")))


def _ask(state: State) -> Step:
    request = Request(method="GET", url=f"{state.endpoints.api}/generations/{state.request_id}", read_timeout_s=30.0)
    return Call(request=request, state=replace(state, phase="status"))


def _after_status(state: State, reply: Reply) -> Step:
    body = as_object(reply)
    status = body.get("state")
    if not isinstance(status, str) or not status:
        if reply.sent is Sent.ANSWERED and reply.status == 404:
            return steps.not_found(state, look_up=steps.walk(history_request, state.endpoints))
        return steps.unanswered(state, reply, facts=FACTS)
    return _by_state(replace(state, seen=True), body)


def _by_state(state: State, body: Mapping[str, Any]) -> Step:
    match str(body.get("state")).lower():
        case "completed":
            url = web_url(inside(body, "assets", "video"))
            return Done(state=state, location=url) if url else steps.no_output(state)
        case "failed":
            reason = str(body.get("failure_reason") or "")
            # whether a failed one is billed is not published
            return steps.failed(state, reason, slug=_unread(reason), billed=None)
        case other:
            return Wait(state=replace(state, misses=0), phase=other)


def _unread(reason: str) -> str | None:
    """Among the free texts of failures: those of inputs that could not be fetched or decoded."""
    words = reason.lower()
    unread = _UNREAD.search(words) is not None and "prompt" not in words
    return "unreadable_source" if unread and filter_slug(words) is None else None


_UNREAD: Final = re.compile(
    r"\b(?:fail(?:ed|ure)? to|unable to|not|cannot|can't|couldn't)(?: be)? "
    r"(?:read(?!y)|reach|fetch|decode|download|open|access)|unreachable|unreadable"
)


def balance_request(endpoints: Endpoints) -> Request | None:
    """The question for the credits."""
    return Request(method="GET", url=f"{endpoints.api}/credits", read_timeout_s=2.0)


def balance_of(reply: Reply) -> float | None:
    """The balance, which is told in US cents."""
    cents = number(as_object(reply).get("credit_balance"))
    return None if cents is None else cents / 100.0


def history_request(
    endpoints: Endpoints, *, page: int, since: float, until: float, last: Reply | None = None
) -> Request | None:
    """A page of all generations; the list knows no dates. None after a page that says that it is the last."""
    if endpoints.history is None or (last is not None and as_object(last).get("has_more") is False):
        return None
    url = f"{endpoints.history}/generations?limit={_PAGE}&offset={(page - 1) * _PAGE}"
    return Request(method="GET", url=url)


def history_spans(since: float, now: float) -> Iterator[tuple[float, float]]:
    """One piece: the list is asked for by position."""
    yield since, now


def history_rows(reply: Reply) -> list[HistoryRow] | None:
    """The rows of a page; None where it is no list of generations, each with its id."""
    items = _listed(reply)
    return None if items is None else [_history_row(item) for item in items]


def _listed(reply: Reply) -> list[Mapping[str, Any]] | None:
    """The generations of a page as they stand there."""
    items = as_object(reply).get("generations") if reply.status == 200 else None
    if not isinstance(items, list) or not all(isinstance(inside(item, "id"), str) for item in items):
        return None
    return items


def _history_row(item: Mapping[str, Any]) -> HistoryRow:
    asked = _without_nulls(item.get("request"))
    inputs = asked if isinstance(asked, Mapping) and asked else None
    reason = item.get("failure_reason")
    return HistoryRow(
        request_id=str(item["id"]),
        at=moment(item.get("created_at")),
        status=str(item.get("state") or ""),
        inputs=inputs,
        fields=None if inputs is None else _fields(inputs, model=item.get("model")),
        output_url=web_url(inside(item, "assets", "video")),
        error=reason if isinstance(reason, str) and reason else None,
    )


def _fields(inputs: Mapping[str, Any], *, model: Any) -> dict[str, Any]:
    """A body in a manifest's words; `model`: which one made it, where the body does not say so."""
    found = {
        "model": inputs.get("model") or model,
        "video_url": inside(inputs, "media", "url"),
        "first_frame_url": inside(inputs, "first_frame", "url"),
        "mode": inputs.get("mode"),
        "prompt": inputs.get("prompt"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return value
