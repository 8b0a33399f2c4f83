"""WaveSpeed's luma/modify-video (submit, result) as pure functions: `next_step(state, reply) → Step`.

Contract: https://wavespeed.ai/docs (the model, get result, predictions, account levels), and what those leave open in
the source of the vendor's Python SDK, wavespeed 2.0.5.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from batchmod.model import (
    Call,
    Done,
    Endpoints,
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

# no way to stop a prediction, to list them, or to ask for the balance is published
from batchmod.providers.absent import (
    balance_of,
    balance_request,
    cancel_request,
    history_request,
    history_rows,
    history_spans,
)
from batchmod.providers.answers import as_object, by_body_code, http_date, inside, web_url
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

FACTS: Final = ProviderFacts(
    name="wavespeed",
    title="Luma Modify Video, as WaveSpeed hosts it",
    hosted=True,
    key_env="WAVESPEED_API_KEY",
    base_urls={"api": ("WAVESPEED_BASE_URL", "https://api.wavespeed.ai")},
    max_clip_s=30.0,
    max_clip_bytes=100_000_000,
    submits_per_minute=2.0,
    burst=1,
    price=Price(
        per_second_usd=0.12,
        per_call_usd=0.095,
        note="its page shows $0.095 a run, with no clip chosen; not the rule behind it: a like service takes $0.12 a "
        "second",
    ),
    uploads=True,
    uploads_public=True,
    uploads_kept="not published",
    uploads_deletable="no way is published",
    cancel="not published",
    output_lives="7 days",
    output_life_s=7 * 86400.0,
    privacy="outputs lie under a public URL; predictions and results are kept for 7 days",
    contract="wavespeed.ai/docs and the vendor's Python SDK wavespeed 2.0.5",
    options_schema={"type": "object", "properties": {}, "additionalProperties": False},
)


def begin(work: Work, endpoints: Endpoints, uploads: Mapping[str, str]) -> Step:
    """The first step of a work that is to be sent."""
    return _prepare(steps.first(work, endpoints, uploads))


def next_step(state: State, reply: Reply | None) -> Step:
    """What follows from a reply; without one (after a Wait) the job is asked for again."""
    if reply is None:
        return _ask_result(state)
    match state.phase:
        case "ticket":
            return _after_ticket(state, by_body_code(reply))
        case "put":
            return _after_put(state, reply)
        case "submit":
            return _after_submit(state, reply)
        case _:
            return _after_result(state, by_body_code(reply))


def _prepare(state: State) -> Step:
    return steps.prepare(state, upload=_upload, submit=_submit)


def _upload(state: State, source: Mapping[str, Any]) -> Step:
    """The first of two requests: a ticket that says where the bytes are to be put, without the key."""
    if state.endpoints.upload is None:
        return steps.no_upload(state, FACTS)
    media_type = source["media_type"]
    wish = {
        "filename": f"{source['sha256'][:16]}.{media_type.rpartition('/')[2]}",
        "size": FileSize(path=source["location"]),
        "content_type": media_type,
    }
    request = Request(method="POST", url=f"{state.endpoints.upload}/api/v3/media/uploads", json=wish)
    return Call(request=request, state=replace(state, phase="ticket"))


def _after_ticket(state: State, reply: Reply) -> Step:
    if reply.uploaded_url is not None:
        return _prepare(steps.uploaded(state, reply.uploaded_url))
    trouble = steps.upload_trouble(state, reply)
    if trouble is not None:
        return trouble
    if not 200 <= reply.status < 300:
        return steps.refusal(state, reply, facts=FACTS, what="upload")
    data = as_object(reply).get("data")
    target, url = web_url(inside(data, "upload", "url")), web_url(inside(data, "download_url"))
    if target is None or url is None or str(inside(data, "upload", "method") or "PUT").upper() != "PUT":
        return steps.not_uploaded(state, "the answer does not say where the file is to be put")
    put = Request(
        method="PUT",
        url=target,
        file=steps.as_bytes(steps.under_way(state)),
        headers=_texts(inside(data, "upload", "headers")),
        read_timeout_s=300.0,
    )
    return Call(request=put, state=replace(state, phase="put", ticket={"url": url}))


_OURS: Final = ("host", "content-length", "transfer-encoding", "connection")
"""Headers that follow from the request itself."""


def _texts(given: object) -> dict[str, str]:
    """The headers that the ticket asks for, as far as they are texts."""
    items = given.items() if isinstance(given, Mapping) else ()
    return {str(name): value for name, value in items if isinstance(value, str) and str(name).lower() not in _OURS}


def _after_put(state: State, reply: Reply) -> Step:
    if reply.uploaded_url is not None:
        return _prepare(steps.uploaded(state, reply.uploaded_url))
    trouble = steps.upload_trouble(state, reply)
    if trouble is not None:
        return trouble
    if not 200 <= reply.status < 300:
        return steps.not_uploaded(state, f"the store answered with HTTP {reply.status}")
    return _prepare(steps.uploaded(state, state.ticket["url"]))


def _submit(state: State) -> Step:
    """The one request that can cost money. `mode` is always said: providers' defaults differ."""
    inputs = state.inputs
    body = {"video": steps.url_of(state, inputs["video"]), "mode": inputs["mode"]}
    if inputs.get("first_frame"):
        body["first_frame"] = steps.url_of(state, inputs["first_frame"])
    if inputs.get("prompt"):
        body["prompt"] = inputs["prompt"]
    request = Request(method="POST", url=f"{state.endpoints.api}/api/v3/luma/modify-video", json=body)
    return Call(request=request, state=replace(state, phase="submit"), paying=True)


def _after_submit(state: State, reply: Reply) -> Step:
    """Under 200 an id is an acceptance, whatever the code in the body says; without one the code is what counts."""
    data = as_object(reply).get("data")
    told = reply if inside(data, "id") else by_body_code(reply)
    unsettled = steps.unsettled(state, told)
    if unsettled is not None:
        return unsettled
    if told.status >= 400:
        return steps.refusal(state, told, facts=FACTS)
    return steps.accepted(state, told, inside(data, "id"), phase=str(inside(data, "status") or ""))


def _ask_result(state: State) -> Step:
    url = f"{state.endpoints.api}/api/v3/predictions/{state.request_id}/result"
    return Call(request=Request(method="GET", url=url, read_timeout_s=30.0), state=replace(state, phase="result"))


def _after_result(state: State, reply: Reply) -> Step:
    data = as_object(reply).get("data")
    status = inside(data, "status")
    if isinstance(status, str) and status:
        return _by_status(replace(state, seen=True), status.lower(), data)
    if reply.sent is Sent.ANSWERED and reply.status == 404:
        return steps.not_found(state)
    return steps.unanswered(state, reply, facts=FACTS)


def _by_status(state: State, status: str, data: Any) -> Step:
    match status:
        case "completed":
            url = web_url(inside(data, "outputs", 0))
            return Done(state=state, location=url) if url else steps.no_output(state)
        case "failed" | "timeout":
            words = inside(data, "error") or ("the service gave up waiting for it" if status == "timeout" else "")
            return steps.failed(state, words, billed=None)  # whether it is, is not published
        case "cancelled" | "canceled":
            words = inside(data, "error") or "cancelled at the service"
            return steps.failed(state, words, slug="cancelled", billed=None)
        case "deleted":
            # It may have been made and paid: what is gone is not sent again by itself.
            return steps.failed(state, "the service has deleted it", slug="output_expired", billed=True)
        case other:
            return Wait(state=replace(state, misses=0), phase=other)
