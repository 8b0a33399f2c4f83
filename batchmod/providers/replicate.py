"""Replicate's luma/modify-video (predictions) as pure functions: `next_step(state, reply) → Step`.

Contract: https://replicate.com/luma/modify-video and https://replicate.com/docs/topics/predictions, and what those
leave open in the source of the vendor's Python SDK, replicate 1.0.7.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from batchmod.model import (
    Call,
    Done,
    Endpoints,
    Failed,
    HistoryRow,
    ProviderFacts,
    Reply,
    Request,
    Sent,
    Step,
    Wait,
    Work,
)
from batchmod.providers import steps

# the API tells no balance
from batchmod.providers.absent import balance_of, balance_request
from batchmod.providers.answers import as_object, http_date, inside, moment, web_url, words_of
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

_MODEL: Final = "luma/modify-video"
_INPUTS: Final = {"video": "video_url", "first_frame": "first_frame_url", "mode": "mode", "prompt": "prompt"}
"""Replicate's names of the inputs → a manifest's."""
_OLD_NAMES: Final = {"video_url": "video", "first_frame_url": "first_frame"}
"""Names of inputs that the model still takes and calls deprecated."""
_OWN_MODE: Final = "adhere_1"
"""What the model takes where a prediction leaves the mode out: ours never do, a script's may."""
_RESETS_IN: Final = re.compile(r"resets in ~?(\d+(?:\.\d+)?) ?s", re.IGNORECASE)

FACTS: Final = ProviderFacts(
    name="replicate",
    title="Luma Modify Video, as Replicate hosts it",
    hosted=True,
    key_env="REPLICATE_API_TOKEN",
    base_urls={"api": ("REPLICATE_BASE_URL", "https://api.replicate.com")},
    max_clip_s=30.0,
    max_clip_bytes=100_000_000,
    submits_per_minute=600.0,
    burst=1,
    uploads=True,
    uploads_public=None,
    uploads_kept="until the time its answer names, said to be 24 hours",
    upload_life_s=20 * 3600.0,
    uploads_deletable="by DELETE /v1/files/ID, with the key",
    history=True,
    history_keeps_outputs=False,
    cancel="yes",
    output_lives="1 hour",
    output_life_s=3600.0,
    body_fields=frozenset(f"input.{name}" for name in _INPUTS),
    privacy="inputs and outputs are removed after 1 hour; an output's URL is public until then",
    contract="replicate.com/docs, the model's page, and the vendor's Python SDK replicate 1.0.7",
    options_schema={
        "type": "object",
        "properties": {
            "cancel_after_s": {
                "description": "Seconds after which Replicate itself ends a prediction that is not done.",
                "type": "integer",
                "minimum": 5,
                "maximum": 86400,
            },
        },
        "additionalProperties": False,
    },
)


def begin(work: Work, endpoints: Endpoints, uploads: Mapping[str, str]) -> Step:
    """The first step of a work that is to be sent."""
    return _prepare(steps.first(work, endpoints, uploads))


def next_step(state: State, reply: Reply | None) -> Step:
    """What follows from a reply; without one (after a Wait) the job is asked for again."""
    if reply is None:
        return _ask(state)
    match state.phase:
        case "upload":
            return _after_upload(state, reply)
        case "submit":
            return _after_submit(state, reply)
        case "history":
            listed = _listed(reply)
            return steps.after_page(state, reply, pages=history_request, items=listed, read=_by_status, facts=FACTS)
        case _:
            return _after_status(state, reply)


def _prepare(state: State) -> Step:
    return steps.prepare(state, upload=_upload, submit=_submit)


def _upload(state: State, source: Mapping[str, Any]) -> Step:
    if state.endpoints.upload is None:
        return steps.no_upload(state, FACTS)
    request = Request(
        method="POST",
        url=f"{state.endpoints.upload}/v1/files",
        form={"content": steps.as_bytes(source)},
        read_timeout_s=300.0,
    )
    return Call(request=request, state=replace(state, phase="upload"))


def _after_upload(state: State, reply: Reply) -> Step:
    if reply.uploaded_url is not None:
        return _prepare(steps.uploaded(state, reply.uploaded_url))
    trouble = steps.upload_trouble(state, reply)
    if trouble is not None:
        return trouble
    if not 200 <= reply.status < 300:
        return _patient(steps.refusal(state, reply, facts=FACTS, what="upload"), reply)
    url = web_url(inside(as_object(reply), "urls", "get"))
    if url is None:
        return steps.not_uploaded(state, "the answer holds no URL")
    return _prepare(steps.uploaded(state, url))


def _submit(state: State) -> Step:
    """The one request that can cost money. `mode` is always said: providers' defaults differ."""
    inputs = state.inputs
    given = {"video": steps.url_of(state, inputs["video"]), "mode": inputs["mode"]}
    if inputs.get("first_frame"):
        given["first_frame"] = steps.url_of(state, inputs["first_frame"])
    if inputs.get("prompt"):
        given["prompt"] = inputs["prompt"]
    deadline = state.options.get("cancel_after_s")
    request = Request(
        method="POST",
        url=f"{state.endpoints.api}/v1/models/{_MODEL}/predictions",
        json={"input": given},
        headers={} if deadline is None else {"Cancel-After": f"{deadline}s"},
    )
    return Call(request=request, state=replace(state, phase="submit"), paying=True)


def _after_submit(state: State, reply: Reply) -> Step:
    unsettled = steps.unsettled(state, reply)
    if unsettled is not None:
        return unsettled
    if reply.status >= 400:
        return _patient(steps.refusal(state, reply, facts=FACTS), reply)
    body = as_object(reply)
    links = {name: inside(body, "urls", name) for name in ("get", "cancel")}
    return steps.accepted(state, reply, body.get("id"), links=links, phase=str(body.get("status", "")))


def _patient(step: Step, reply: Reply) -> Step:
    """A 429 without a header says in words how long to wait."""
    if isinstance(step, Failed) and step.slug == "rate_limited" and step.after_s is None:
        found = _RESETS_IN.search(words_of(reply))
        return replace(step, after_s=float(found[1]) + 0.5) if found else step
    return step


def _ask(state: State) -> Step:
    url = state.links.get("get") or f"{state.endpoints.api}/v1/predictions/{state.request_id}"
    return Call(request=Request(method="GET", url=url, read_timeout_s=30.0), state=replace(state, phase="status"))


def _after_status(state: State, reply: Reply) -> Step:
    body = as_object(reply)
    status = body.get("status")
    if isinstance(status, str) and isinstance(body.get("id"), str) and 200 <= reply.status < 300:
        return _by_status(replace(state, seen=True), body)
    if reply.sent is Sent.ANSWERED and reply.status == 404:
        return steps.not_found(state, look_up=steps.walk(history_request, state.endpoints))
    return steps.unanswered(state, reply, facts=FACTS)


def _by_status(state: State, body: Mapping[str, Any]) -> Step:
    match str(body.get("status")).lower():
        case "succeeded":
            return _succeeded(state, body)
        case "failed":
            return steps.failed(state, body.get("error"), billed=None)  # whether it is, is not published
        case "canceled" | "cancelled":
            words = body.get("error") or "canceled at the service"
            return steps.failed(state, words, slug="cancelled", billed=None)
        case "aborted":
            words = body.get("error") or "ended by its deadline before it began"
            return steps.failed(state, words, slug="cancelled")
        case other:
            return Wait(state=replace(state, misses=0), phase=other)


def _succeeded(state: State, body: Mapping[str, Any]) -> Step:
    url = _output(body)
    if url is not None:
        return Done(state=state, location=url)
    if body.get("data_removed"):
        message = "it was made, and removed: Replicate keeps inputs and outputs for an hour"
        return steps.failed(state, message, slug="output_expired", billed=True)
    return steps.no_output(state)


def _output(body: Mapping[str, Any]) -> str | None:
    """One URL by the model's schema; a list of them is seen at other models."""
    return web_url(body.get("output")) or web_url(inside(body.get("output"), 0))


def cancel_request(work: Work, endpoints: Endpoints) -> Request | None:
    """The wish that a prediction be stopped."""
    link = (work.state or {}).get("cancel")
    return Request(method="POST", url=link or f"{endpoints.api}/v1/predictions/{work.request_id}/cancel")


def history_request(
    endpoints: Endpoints, *, page: int, since: float, until: float, last: Reply | None = None
) -> Request | None:
    """A page of the account's predictions, newest first; None after the last one.

    Of the link to the next page only the cursor is used: the key goes to our own origin.
    """
    if endpoints.history is None:
        return None
    url = f"{endpoints.history}/v1/predictions"
    if last is None:
        return Request(method="GET", url=url)
    link = as_object(last).get("next")
    if not link:
        return None
    cursor = parse_qs(urlsplit(str(link)).query).get("cursor", [""])[0]
    return Request(method="GET", url=f"{url}?cursor={quote(cursor, safe='')}")


def history_spans(since: float, now: float) -> Iterator[tuple[float, float]]:
    """All of it in one piece: the list is walked by cursors and asked for no dates."""
    yield since, now


def history_rows(reply: Reply) -> list[HistoryRow] | None:
    """The predictions of a page; None where the answer is no list of them."""
    rows = _listed(reply)
    return None if rows is None else [_history_row(row) for row in rows]


def _listed(reply: Reply) -> list[Mapping[str, Any]] | None:
    """The predictions of a page as they stand there."""
    if reply.sent is not Sent.ANSWERED or reply.status != 200:
        return None
    try:
        document = json.loads(reply.body)
    except ValueError:
        return None
    rows = inside(document, "results")
    if not isinstance(rows, list) or not all(isinstance(inside(row, "id"), str) for row in rows):
        return None
    if not rows and inside(document, "next"):
        return None  # more is to come, so this is no end of the list
    return rows


def _history_row(row: Mapping[str, Any]) -> HistoryRow:
    given = _given(row)
    error = row.get("error")
    return HistoryRow(
        request_id=row["id"],
        at=moment(row.get("created_at")),
        status=str(row.get("status") or ""),
        inputs=None if given is None else {"input": given},
        fields=None if given is None else _fields(given),
        output_url=_output(row),
        cost_usd=None,
        error=error if isinstance(error, str) and error else None,
    )


def _given(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """A prediction's inputs as far as we would send them; None where they are removed, nothing of another model's."""
    if row.get("model") not in (None, _MODEL):
        return {}
    found = row.get("input")
    if not isinstance(found, Mapping) or not found or row.get("data_removed"):
        return None
    named = {_OLD_NAMES.get(name, name): value for name, value in found.items()}
    return {name: named[name] for name in _INPUTS if named.get(name) not in (None, "")}


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs in a manifest's words."""
    return {ours: given.get(theirs) for theirs, ours in _INPUTS.items()} | {"mode": given.get("mode", _OWN_MODE)}
