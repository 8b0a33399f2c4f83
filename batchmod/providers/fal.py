"""fal's queue for Luma's Modify Video (submit, status, result) as pure functions: `next_step(state, reply) → Step`.

Contract: https://docs.fal.ai (queue, request errors, media expiration), the model's page, and what those leave open in
the source of the vendor's Python SDK, fal-client 1.0.3.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from batchmod.model import (
    Blocked,
    Call,
    Done,
    Endpoints,
    Failed,
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

# the queue cannot be listed, and no balance can be asked for with this key
from batchmod.providers.absent import balance_of, balance_request, history_request, history_rows, history_spans
from batchmod.providers.answers import as_object, http_date, inside, web_url, words_of
from batchmod.providers.steps import State, saved
from batchmod.providers.steps import resumed as resume
from batchmod.urls import is_loopback_host, origin_of

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

_APP: Final = "fal-ai/luma-dream-machine"

FACTS: Final = ProviderFacts(
    name="fal",
    title="Luma Modify Video (ray-2), as fal hosts it",
    hosted=True,
    key_env="FAL_KEY",
    base_urls={
        "api": ("FAL_QUEUE_BASE_URL", "https://queue.fal.run"),
        "upload": ("FAL_UPLOAD_BASE_URL", "https://rest.fal.ai"),
    },
    models=("ray-2-flash", "ray-2"),
    price=Price(
        per_second_usd=0.12,
        note="ray-2-flash: $0.12 a second of the clip, published; ray-2: about $0.35, by a public list and not by fal",
    ),
    prices={
        "ray-2-flash": Price(per_second_usd=0.12, note="$0.12 a second of the clip, published"),
        "ray-2": Price(per_second_usd=0.35, note="about $0.35 a second, by a public list and not by fal"),
    },
    uploads=True,
    uploads_public=True,
    uploads_kept="as the account is set; fal's default is not published",
    uploads_deletable="no way is known here",
    cancel="yes, while it waits; once it runs it may be too late",
    output_lives="as the account is set; provider_options: {expires_s: …} asks for a time",
    privacy="outputs lie under a public URL, for as long as the account's media setting or expires_s says",
    contract="docs.fal.ai, the page of ray-2-flash/modify, and the vendor's Python SDK fal-client 1.0.3",
    options_schema={
        "type": "object",
        "properties": {
            "expires_s": {
                "description": "Seconds after which fal deletes what it stores of a request, its output too.",
                "type": "integer",
                "minimum": 3600,
            },
            "priority": {
                "description": "The place in fal's queue.",
                "enum": ["normal", "low"],
            },
        },
        "additionalProperties": False,
    },
)

_INFRASTRUCTURE: Final = ("request_timeout", "startup_timeout", "runner_", "internal_server_error")
"""How fal's own error types begin that say nothing of the job's inputs; they are never charged."""


def key_headers(key: str) -> dict[str, str]:
    """The header that carries the key."""
    return {"Authorization": f"Key {key}"}


def begin(work: Work, endpoints: Endpoints, uploads: Mapping[str, str]) -> Step:
    """The first step of a work that is to be sent."""
    return _prepare(steps.first(work, endpoints, uploads))


def next_step(state: State, reply: Reply | None) -> Step:
    """What follows from a reply; without one (after a Wait) the job is asked for again."""
    if reply is None:
        return _ask_status(state)
    match state.phase:
        case "initiate":
            return _after_initiate(state, reply)
        case "put":
            return _after_put(state, reply)
        case "token":
            return _after_token(state, reply)
        case "send":
            return _after_send(state, reply)
        case "submit":
            return _after_submit(state, reply)
        case "status":
            return _after_status(state, reply)
        case _:
            return _after_result(state, reply)


def _prepare(state: State) -> Step:
    return steps.prepare(state, upload=_upload, submit=_submit)


def _upload(state: State, source: Mapping[str, Any]) -> Step:
    """The first of two requests: where the bytes may be put, without the key, for one file of any size."""
    if state.endpoints.upload is None:
        return steps.no_upload(state, FACTS)
    request = Request(
        method="POST",
        url=f"{state.endpoints.upload}/storage/upload/initiate?storage_type=gcs",
        json={"file_name": _file_name(source), "content_type": source["media_type"]},
        headers=_lifetime(state),
    )
    return Call(request=request, state=replace(state, phase="initiate"))


def _file_name(source: Mapping[str, Any]) -> str:
    return f"{source['sha256'][:16]}.{source['media_type'].rpartition('/')[2]}"


def _after_initiate(state: State, reply: Reply) -> Step:
    if reply.uploaded_url is not None:
        return _prepare(steps.uploaded(state, reply.uploaded_url))
    trouble = steps.upload_trouble(state, reply)
    if trouble is not None:
        return trouble
    if reply.status in (404, 405):
        return _ask_token(state)
    if not 200 <= reply.status < 300:
        return steps.refusal(state, reply, facts=FACTS, what="upload")
    body = as_object(reply)
    target, url = web_url(body.get("upload_url")), web_url(body.get("file_url"))
    if target is None or url is None:
        return steps.not_uploaded(state, "the answer does not say where the file is to be put")
    source = steps.under_way(state)
    put = Request(
        method="PUT",
        url=target,
        file=steps.as_bytes(source),
        headers={"Content-Type": source["media_type"]},
        read_timeout_s=300.0,
    )
    return Call(request=put, state=replace(state, phase="put", ticket={"url": url}))


def _after_put(state: State, reply: Reply) -> Step:
    if reply.uploaded_url is not None:
        return _prepare(steps.uploaded(state, reply.uploaded_url))
    trouble = steps.upload_trouble(state, reply)
    if trouble is not None:
        return trouble
    if not 200 <= reply.status < 300:
        return steps.not_uploaded(state, f"the store answered with HTTP {reply.status}")
    return _prepare(steps.uploaded(state, state.ticket["url"]))


def _ask_token(state: State) -> Step:
    """The vendor's other way, where the first is not there: a token for its store instead of a place."""
    url = f"{state.endpoints.upload}/storage/auth/token?storage_type=fal-cdn-v3"
    return Call(request=Request(method="POST", url=url, json={}), state=replace(state, phase="token"))


def _after_token(state: State, reply: Reply) -> Step:
    trouble = steps.upload_trouble(state, reply)
    if trouble is not None:
        return trouble
    if not 200 <= reply.status < 300:
        return steps.refusal(state, reply, facts=FACTS, what="upload")
    body = as_object(reply)
    base, token, kind = _store(state.endpoints, body.get("base_url")), body.get("token"), body.get("token_type")
    if base is None or not _is_word(token) or not _is_word(kind):
        return steps.not_uploaded(state, "the answer names no token, or no safe place to send the file to")
    source = steps.under_way(state)
    named = {"Content-Type": source["media_type"], "X-Fal-File-Name": _file_name(source)}
    send = Request(
        method="POST",
        url=f"{base}/files/upload",
        file=steps.as_bytes(source),
        headers={"Authorization": f"{kind} {token}", **named, **_lifetime(state)},
        read_timeout_s=300.0,
    )
    return Call(request=send, state=replace(state, phase="send"))


def _store(endpoints: Endpoints, base: object) -> str | None:
    """Where bytes may go with a token: over https, or on this machine for a service that is there itself.

    Never an origin that gets the key, which would go along.
    """
    url = web_url(base)
    if url is None or any(sign in url for sign in "?#@") or not _is_word(url):
        return None
    try:
        origin = origin_of(url)
        near = all(is_loopback_host(urlsplit(at).hostname or "") for at in (url, endpoints.api))
    except ValueError:
        return None
    own = {origin_of(at) for at in (endpoints.api, endpoints.upload, endpoints.history) if at}
    return url.rstrip("/") if origin not in own and (near or origin.startswith("https://")) else None


def _is_word(value: object) -> bool:
    """Whether a value may stand in a header: visible ASCII without spaces."""
    return isinstance(value, str) and bool(value) and all("!" <= letter <= "~" for letter in value)


def _after_send(state: State, reply: Reply) -> Step:
    trouble = steps.upload_trouble(state, reply)
    if trouble is not None:
        return trouble
    url = web_url(as_object(reply).get("access_url"))
    if url is None or not 200 <= reply.status < 300:
        return steps.not_uploaded(state, f"the store answered with HTTP {reply.status} and no address of the file")
    return _prepare(steps.uploaded(state, url))


def _submit(state: State) -> Step:
    """The one request that can cost money. `mode` is always said: fal's default is flex_1, others' is adhere_1."""
    inputs = state.inputs
    body = {"video_url": steps.url_of(state, inputs["video"]), "mode": inputs["mode"]}
    if inputs.get("first_frame"):
        body["image_url"] = steps.url_of(state, inputs["first_frame"])
    if inputs.get("prompt"):
        body["prompt"] = inputs["prompt"]
    model = state.model or FACTS.models[0]
    headers = _lifetime(state)
    if "priority" in state.options:
        headers["X-Fal-Queue-Priority"] = str(state.options["priority"])
    request = Request(method="POST", url=f"{state.endpoints.api}/{_APP}/{model}/modify", json=body, headers=headers)
    return Call(request=request, state=replace(state, phase="submit"), paying=True)


def _lifetime(state: State) -> dict[str, str]:
    """How long fal is to keep what it stores, where the user said so."""
    if "expires_s" not in state.options:
        return {}
    wish = f'{{"expiration_duration_seconds": {int(state.options["expires_s"])}}}'
    return {"X-Fal-Object-Lifecycle-Preference": wish}


def _after_submit(state: State, reply: Reply) -> Step:
    unsettled = steps.unsettled(state, reply)
    if unsettled is not None:
        return unsettled
    if reply.status >= 400:
        return _blocked(state, reply) or steps.refusal(state, reply, facts=FACTS)
    body = as_object(reply)
    links = {name: body.get(name) for name in ("status_url", "response_url", "cancel_url")}
    return steps.accepted(state, reply, body.get("request_id"), links=links, phase=str(body.get("status", "")))


def _blocked(state: State, reply: Reply) -> Blocked | None:
    """A refusal of every job; an account without money is locked, which comes as a 403 that says so."""
    words = words_of(reply).lower()
    if reply.sent is Sent.ANSWERED and reply.status == 403 and ("balance" in words or "billing" in words):
        return steps.stopped(state, reply, "no_credits", facts=FACTS)
    return steps.blocked(state, reply, facts=FACTS)


def _request_url(endpoints: Endpoints, request_id: str | None) -> str:
    """Where a request is asked for: owner and app only, without the rest of the model's name."""
    return f"{endpoints.api}/{_APP}/requests/{request_id}"


def _ask_status(state: State) -> Step:
    url = state.links.get("status_url") or f"{_request_url(state.endpoints, state.request_id)}/status"
    return Call(request=Request(method="GET", url=url, read_timeout_s=30.0), state=replace(state, phase="status"))


def _after_status(state: State, reply: Reply) -> Step:
    """202 while it waits or runs, 200 when it is over: the body says which, and there is no word for failed."""
    body = as_object(reply)
    status = body.get("status")
    if isinstance(status, str) and status and 200 <= reply.status < 300:
        return _by_status(replace(state, seen=True), status, body)
    if reply.sent is Sent.ANSWERED and reply.status == 404:
        return steps.not_found(state)
    return _blocked(state, reply) or Wait(state=state, phase="unreachable")


def _by_status(state: State, status: str, body: Mapping[str, Any]) -> Step:
    if status.upper() != "COMPLETED":
        return Wait(state=replace(state, misses=0), phase=status.lower())
    if body.get("error"):
        return _failed(state, str(body["error"]), body.get("error_type"), billed=None)
    url = state.links.get("response_url") or _request_url(state.endpoints, state.request_id)
    return Call(request=Request(method="GET", url=url, read_timeout_s=30.0), state=replace(state, phase="result"))


def _after_result(state: State, reply: Reply) -> Step:
    """The output, or the error of a job that failed: then the result itself answers 4xx or 5xx."""
    body = as_object(reply)
    url = web_url(inside(body, "video", "url")) or web_url(body.get("video"))
    if url is not None and 200 <= reply.status < 300:
        return Done(state=state, location=url)
    if reply.sent is Sent.ANSWERED and reply.status == 404:
        return steps.not_found(state)
    if reply.sent is Sent.ANSWERED and _is_the_jobs(reply, body):
        return _job_error(state, reply, body)
    if reply.sent is Sent.ANSWERED and reply.status == 200:
        return steps.no_output(state)
    return _blocked(state, reply) or Wait(state=state, phase="fetching the result")


def _is_the_jobs(reply: Reply, body: Mapping[str, Any]) -> bool:
    """Whether an error is the job's own and not of a gateway in between: typed by fal, or about the inputs."""
    if isinstance(body.get("detail"), list):
        return reply.status >= 400
    typed = body.get("error_type") or reply.headers.get("x-fal-error-type")
    return reply.status in (400, 422, 499) or (reply.status >= 500 and bool(typed))


def _job_error(state: State, reply: Reply, body: Mapping[str, Any]) -> Failed:
    kind = body.get("error_type") or inside(body, "detail", 0, "type") or reply.headers.get("x-fal-error-type")
    # Server errors are never charged; of others fal says that they may be, where a runner had begun to work.
    return _failed(state, words_of(reply), kind, billed=None if reply.status < 500 else False)


def _failed(state: State, message: str, kind: object, *, billed: bool | None) -> Failed:
    """A job that failed; what a content filter refused is known by its type, the type is shown with the words."""
    words = f"{message} ({kind})" if isinstance(kind, str) and kind not in message else message
    infrastructure = isinstance(kind, str) and kind.startswith(_INFRASTRUCTURE)
    slug = "cancelled" if isinstance(kind, str) and "cancel" in kind else None
    return steps.failed(state, words, slug=slug, billed=False if infrastructure else billed)


def cancel_request(work: Work, endpoints: Endpoints) -> Request | None:
    """The wish that a request be stopped: surely heard while it waits, a hope once it runs."""
    link = (work.state or {}).get("cancel_url")
    return Request(method="PUT", url=link or f"{_request_url(endpoints, work.request_id)}/cancel")
