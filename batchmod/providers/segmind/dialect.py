"""The steps of a job: upload, submit, poll, result, and the history where the poll record has expired; or v1's one."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from batchmod.model import Again, Call, Done, Endpoints, Failed, Reply, Request, Sent, Step, Uncertain, Wait, Work
from batchmod.providers import steps
from batchmod.providers.answers import as_object, filter_slug, inside, output_url, price, words_of
from batchmod.providers.segmind import blocking
from batchmod.providers.segmind.facts import FACTS
from batchmod.providers.segmind.history import history_rows
from batchmod.providers.segmind.refusals import blocked, refusal
from batchmod.providers.steps import State


def key_headers(key: str) -> dict[str, str]:
    """The header that carries the key; `Authorization: Bearer` is refused by the gateway."""
    return {"x-api-key": key}


def begin(work: Work, endpoints: Endpoints, uploads: Mapping[str, str]) -> Step:
    """The first step of a work that is to be sent."""
    return _prepare(steps.first(work, endpoints, uploads))


def resume(work: Work, endpoints: Endpoints) -> Step:
    """The next step of a work whose request id is in the record."""
    return steps.resumed(work, endpoints)


def next_step(state: State, reply: Reply | None) -> Step:
    """What follows from a reply; without one (after a Wait) the job is asked for again."""
    if reply is None:
        return _ask_status(state)
    match state.phase:
        case "upload":
            return _after_upload(state, reply)
        case "submit":
            return _after_submit(state, reply)
        case "blocking":
            return blocking.after(state, reply)
        case "status":
            return _after_status(state, reply)
        case "result":
            return _after_result(state, reply)
        case _:
            return _after_history(state, reply)


def _prepare(state: State) -> Step:
    return steps.prepare(state, upload=_upload, submit=_submit)


def _upload(state: State, source: Mapping[str, Any]) -> Step:
    if state.endpoints.upload is None:
        return steps.no_upload(state, FACTS)
    request = Request(
        method="POST",
        url=f"{state.endpoints.upload}/upload-asset",
        json={"data_urls": [steps.as_data_url(source)]},
        read_timeout_s=300.0,
    )
    return Call(request=request, state=replace(state, phase="upload"))


def _after_upload(state: State, reply: Reply) -> Step:
    if reply.uploaded_url is not None:
        return _prepare(steps.uploaded(state, reply.uploaded_url))
    trouble = steps.upload_trouble(state, reply)
    if trouble is not None:
        return trouble
    if reply.status != 200:
        return refusal(state, reply, what="upload")
    body = as_object(reply)
    url = inside(body.get("urls") or body.get("file_urls"), 0)
    if not isinstance(url, str):
        return steps.not_uploaded(state, "the answer holds no URL")
    return _prepare(steps.uploaded(state, url))


def _submit(state: State) -> Step:
    """The one request that can cost money. `mode` is always said: providers' defaults differ."""
    inputs = state.inputs
    body = {"video_url": steps.url_of(state, inputs["video"]), "mode": inputs["mode"]}
    if inputs.get("first_frame"):
        body["first_frame_url"] = steps.url_of(state, inputs["first_frame"])
    if inputs.get("prompt"):
        body["prompt"] = inputs["prompt"]
    if state.options.get("api_version") == "v1":
        return blocking.call(state, body)
    request = Request(method="POST", url=f"{state.endpoints.api}/v2/modify-video", json=body, read_timeout_s=60.0)
    return Call(request=request, state=replace(state, phase="submit"), paying=True)


def _after_submit(state: State, reply: Reply) -> Step:
    if reply.sent is Sent.ANSWERED and reply.status == 500 and isinstance(as_object(reply).get("error"), str):
        text = words_of(reply)
        filtered = filter_slug(text)
        again = Again.NEVER if filtered else Again.ASK_FIRST  # a filter would refuse the same again
        slug, message = filtered or "provider_error", f"the service failed: {text}"
        return Failed(state=state, slug=slug, message=message, again=again)
    unsettled = steps.unsettled(state, reply)
    if unsettled is not None:
        return unsettled
    if reply.status >= 400:
        return refusal(state, reply, what="request")
    body = as_object(reply)
    links = {name: body.get(name) for name in ("status_url", "response_url")}
    return steps.accepted(state, reply, body.get("request_id"), links=links, phase=str(body.get("status", "")))


def _ask_status(state: State) -> Step:
    url = state.links.get("status_url") or f"{state.endpoints.api}/v2/requests/{state.request_id}/status"
    return Call(request=Request(method="GET", url=url, read_timeout_s=30.0), state=replace(state, phase="status"))


def _after_status(state: State, reply: Reply) -> Step:
    body = as_object(reply)
    status = body.get("status")
    if isinstance(status, str) and status:
        misses = state.misses if status.upper() == "COMPLETED" else 0
        return _by_status(replace(state, seen=True, misses=misses), status, body)
    if reply.sent is Sent.ANSWERED and reply.status == 404:
        return steps.not_found(state, look_up=_look_up(state))
    return blocked(state, reply) or Wait(state=state, phase="unreachable")


def _by_status(state: State, status: str, body: Mapping[str, Any]) -> Step:
    match status.upper():
        case "COMPLETED":
            url = state.links.get("response_url") or f"{state.endpoints.api}/v2/requests/{state.request_id}"
            request = Request(method="GET", url=url, read_timeout_s=30.0)
            return Call(request=request, state=replace(state, phase="result"))
        case "FAILED":
            return steps.failed(state, body.get("error"))
        case other:
            return Wait(state=state, phase=other.lower())


def _after_result(state: State, reply: Reply) -> Step:
    body = as_object(reply)
    url = output_url(body)
    if url:
        metrics = body.get("metrics")
        left = price(inside(metrics, "remaining_credits"))
        return Done(state=state, location=url, cost_usd=price(inside(metrics, "cost")), balance_usd=left)
    if str(body.get("status", "")).upper() == "FAILED":
        return steps.failed(state, body.get("error"))
    if reply.sent is Sent.ANSWERED and reply.status == 404:
        return steps.not_found(state, look_up=_look_up(state))
    if reply.sent is Sent.ANSWERED and reply.status == 200:
        return steps.no_output(state)
    return blocked(state, reply) or Wait(state=replace(state, misses=state.misses + 1), phase="fetching the result")


def _look_up(state: State) -> Callable[[State], Step] | None:
    """The question to the history by the request's id, where there is one: the poll record expires before it."""
    history = state.endpoints.history
    if history is None:
        return None

    def ask(state: State) -> Step:
        url = f"{history}/inference-request/request-history/{state.request_id}"
        return Call(request=Request(method="GET", url=url), state=replace(state, phase="history"))

    return ask


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
        return steps.failed(state, row.error)
    return Wait(state=replace(state, seen=True), phase=row.status.lower())
