"""v1 of modify-video: one call that blocks until the video is made, and brings it.

Its id comes with its answer, so that a lost answer can only be found in the history; it is never sent again by itself.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from batchmod.model import Call, Done, Failed, Reply, Request, Sent, Step, Uncertain
from batchmod.providers import steps
from batchmod.providers.answers import as_object, filter_slug, inside, output_url, price, words_of
from batchmod.providers.segmind.refusals import refusal
from batchmod.providers.steps import State

_PATIENCE_S: Final = 900.0
"""For the first byte of an answer: a video takes 164 s on average, and waits for its turn before."""


def call(state: State, body: Mapping[str, Any]) -> Call:
    """The one request; its answer is the file, or JSON that names it."""
    request = Request(
        method="POST",
        url=f"{state.endpoints.api}/v1/modify-video",
        json=body,
        read_timeout_s=_PATIENCE_S,
        brings_file=True,
    )
    return Call(request=request, state=replace(state, phase="blocking"), paying=True)


def after(state: State, reply: Reply) -> Step:
    """The file is here, or named; or the call was refused, has failed, or nobody can say."""
    if reply.sent is Sent.ANSWERED and reply.status == 500 and isinstance(as_object(reply).get("error"), str):
        text = words_of(reply)
        slug = filter_slug(text) or "provider_error"
        return Failed(state=state, slug=slug, message=f"the service failed: {text}", billed=False)
    if reply.sent is Sent.UNKNOWN or 200 <= reply.status < 300:
        state = replace(state, request_id=_request_id(reply))
    unsettled = steps.unsettled(state, reply)
    if unsettled is not None:
        return unsettled
    if reply.status >= 400:
        return refusal(state, reply, what="request")
    return _brought(state, reply)


def _request_id(reply: Reply) -> str | None:
    """From the headers, which come before the file; else from the body."""
    found = reply.headers.get("x-request-id") or as_object(reply).get("request_id")
    return found if isinstance(found, str) and found else None


def _brought(state: State, reply: Reply) -> Step:
    body = as_object(reply)
    location = reply.file or output_url(body)
    if location is None:
        return Uncertain(state=state, reason=f"HTTP {reply.status} without a video: it may have been made")
    cost, left = reply.headers.get("x-cost"), reply.headers.get("x-remaining-credits")
    return Done(
        state=state,
        location=location,
        cost_usd=price(cost) if cost else price(inside(body, "metrics", "cost")),
        balance_usd=price(left) if left else price(inside(body, "metrics", "remaining_credits")),
    )
