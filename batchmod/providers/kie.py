"""kie.ai's Luma modify (generate, record-info, download-url) as pure functions: `next_step(state, reply) → Step`.

Contract: https://docs.kie.ai/luma-api (quickstart, generate, details, callbacks), https://docs.kie.ai/file-upload-api
and https://docs.kie.ai/common-api; kie publishes no Python SDK.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from batchmod.model import (
    Blocked,
    Call,
    Done,
    Endpoints,
    Failed,
    FileAsBytes,
    ProviderFacts,
    Reply,
    Request,
    Sent,
    Step,
    Wait,
    Work,
)
from batchmod.providers import steps

# no way to stop a task is published, tasks are listed on web pages only, and what a credit costs is not published
from batchmod.providers.absent import (
    balance_of,
    balance_request,
    cancel_request,
    history_request,
    history_rows,
    history_spans,
)
from batchmod.providers.answers import as_object, by_body_code, http_date, inside, number, web_url, words_of
from batchmod.providers.steps import State, saved
from batchmod.providers.steps import bearer as key_headers

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

_WINDOW_S: Final = 10.0
"""kie counts new tasks in windows of this length, and drops what is above without saying until when."""
_SUFFIXES: Final = {"quicktime": "mov", "x-msvideo": "avi", "jpeg": "jpg"}
_CLOSED: Final = (455, 505)
"""kie's own codes for maintenance, and for a feature that is switched off."""

FACTS: Final = ProviderFacts(
    name="kie",
    title="Luma modify, as kie.ai resells it",
    hosted=True,
    key_env="KIE_API_KEY",
    base_urls={
        "api": ("KIE_BASE_URL", "https://api.kie.ai"),
        "upload": ("KIE_UPLOAD_BASE_URL", "https://kieai.redpandaai.co"),
    },
    max_clip_s=10.0,
    max_clip_bytes=500_000_000,
    containers=frozenset({"mp4", "mov", "avi"}),
    fields=frozenset({"video_url", "prompt"}),
    required=frozenset({"video_url", "prompt"}),
    submits_per_minute=60.0,
    burst=10,
    uploads=True,
    uploads_public=True,
    uploads_kept="3 days by one page, 24 hours by others",
    upload_life_s=20 * 3600.0,
    uploads_deletable="no way is published",
    cancel="no",
    output_lives="14 days; its link for about 20 minutes, then it is given anew",
    output_life_s=14 * 86400.0,
    reminted=True,
    privacy="media lie under public URLs for 14 days, what was asked for stands in kie's logs for 2 months",
    contract="docs.kie.ai",
    user_agent="Mozilla/5.0 (compatible; batchmod)",
    options_schema={
        "type": "object",
        "properties": {
            "ignore": {
                "description": "What rows say and kie cannot do, to be left out knowingly.",
                "type": "array",
                "items": {"enum": ["mode", "first_frame_url"]},
                "uniqueItems": True,
            },
            "watermark": {
                "description": "A text that kie writes into the video.",
                "type": "string",
                "minLength": 1,
                "x-changes-result": True,
            },
        },
        "additionalProperties": False,
    },
)


def begin(work: Work, endpoints: Endpoints, uploads: Mapping[str, str]) -> Step:
    """The first step of a work that is to be sent."""
    return _prepare(steps.first(work, endpoints, uploads))


def resume(work: Work, endpoints: Endpoints) -> Step:
    """The next step of a work whose request id is in the record.

    Where its output was known already, the link to it has died: a fresh one is asked for when the task is seen done.
    """
    step = steps.resumed(work, endpoints)
    return replace(step, state=replace(step.state, ticket={"link": work.output_location}))


def next_step(state: State, reply: Reply | None) -> Step:
    """What follows from a reply; without one (after a Wait) the job is asked for again."""
    if reply is None:
        return _ask(state)
    told = by_body_code(reply)
    match state.phase:
        case "upload":
            return _after_upload(state, told)
        case "submit":
            return _after_submit(state, reply)
        case "status":
            return _after_status(state, told)
        case _:
            return _after_link(state, told)


def _prepare(state: State) -> Step:
    """Only the clip is sent up: a first frame is nothing that kie could take."""
    wanted = replace(state, inputs={**state.inputs, "first_frame": None})
    return steps.prepare(wanted, upload=_upload, submit=_submit)


def _upload(state: State, source: Mapping[str, Any]) -> Step:
    if state.endpoints.upload is None:
        return steps.no_upload(state, FACTS)
    kind = source["media_type"].rpartition("/")[2]
    form: dict[str, str | FileAsBytes] = {
        "file": steps.as_bytes(source),
        "uploadPath": "batchmod",
        "fileName": f"{source['sha256'][:32]}.{_SUFFIXES.get(kind, kind)}",
    }
    url = f"{state.endpoints.upload}/api/file-stream-upload"
    request = Request(method="POST", url=url, form=form, read_timeout_s=300.0)
    return Call(request=request, state=replace(state, phase="upload"))


def _after_upload(state: State, reply: Reply) -> Step:
    if reply.uploaded_url is not None:
        return _prepare(steps.uploaded(state, reply.uploaded_url))
    trouble = steps.upload_trouble(state, reply)
    if trouble is not None:
        return trouble
    if not 200 <= reply.status < 300:
        return _refusal(state, reply, what="upload")
    data = as_object(reply).get("data")
    url = web_url(inside(data, "downloadUrl")) or web_url(inside(data, "fileUrl"))
    if url is None:
        return steps.not_uploaded(state, "the answer holds no URL")
    return _prepare(steps.uploaded(state, url))


def _submit(state: State) -> Step:
    """The one request that can cost money; kie takes neither mode nor first frame."""
    body = {"prompt": state.inputs.get("prompt") or "", "videoUrl": steps.url_of(state, state.inputs["video"])}
    if "watermark" in state.options:
        body["waterMark"] = state.options["watermark"]
    request = Request(method="POST", url=f"{state.endpoints.api}/api/v1/modify/generate", json=body)
    return Call(request=request, state=replace(state, phase="submit"), paying=True)


def _after_submit(state: State, reply: Reply) -> Step:
    """Under 200 an id is an acceptance, whatever the code in the body says; without one the code is what counts."""
    body = as_object(reply)
    task_id = inside(body, "data", "taskId")
    told = reply if task_id else by_body_code(reply)
    if told.sent is Sent.ANSWERED and told.status in _CLOSED and number(body.get("code")) == told.status:
        return _closed(state, told)
    unsettled = steps.unsettled(state, told)
    if unsettled is not None:
        return unsettled
    if told.status >= 400:
        return _refusal(state, told, what="request")
    return steps.accepted(state, told, task_id)


def _refusal(state: State, reply: Reply, *, what: str) -> Step:
    step = _gated(state, reply) or steps.refusal(state, reply, facts=FACTS, what=what)
    if isinstance(step, Failed) and step.slug == "rate_limited" and step.after_s is None:
        return replace(step, after_s=_WINDOW_S)
    return step


def _gated(state: State, reply: Reply) -> Blocked | None:
    """Not kie's own no but that of the gateway in front of it, which does not like the client."""
    if reply.sent is Sent.ANSWERED and reply.status == 403 and b"1010" in reply.body:
        message = "the gateway in front of kie refuses this client (HTTP 403, 1010): try another network or proxy"
        return Blocked(state=state, slug="gateway_refused", message=message)
    return None


def _closed(state: State, reply: Reply) -> Blocked:
    message = f"kie takes no requests now ({reply.status}: {words_of(reply)}): nothing was made, try again later"
    return Blocked(state=state, slug="service_closed", message=message)


def _ask(state: State) -> Step:
    url = f"{state.endpoints.api}/api/v1/modify/record-info?taskId={quote(state.request_id or '', safe='')}"
    return Call(request=Request(method="GET", url=url, read_timeout_s=30.0), state=replace(state, phase="status"))


def _after_status(state: State, reply: Reply) -> Step:
    data = as_object(reply).get("data")
    flag = number(inside(data, "successFlag"))
    if flag is not None:
        return _by_flag(replace(state, seen=True), int(flag), data)
    if reply.sent is Sent.ANSWERED and reply.status == 501:
        return steps.failed(state, words_of(reply), billed=None)
    if reply.sent is Sent.ANSWERED and reply.status in (404, 422):
        return steps.not_found(state)
    return _gated(state, reply) or steps.unanswered(state, reply, facts=FACTS)


def _by_flag(state: State, flag: int, data: Any) -> Step:
    """1 is done, and so is 4: only kie's own callback failed, of which we ask none."""
    match flag:
        case 1 | 4:
            url = _result(data)
            return steps.no_output(state) if url is None else _done(state, url)
        case 2 | 3:
            code, words = inside(data, "errorCode"), inside(data, "errorMessage")
            said = f"{words} ({code})" if words and code else words or code
            return steps.failed(state, said, billed=None)  # whether it is, is not published
        case _:
            return Wait(state=replace(state, misses=0), phase="generating")


def _result(data: Any) -> str | None:
    """The first of `response.resultUrls`; both may be JSON as a text."""
    urls = _parsed(inside(_parsed(inside(data, "response")), "resultUrls"))
    return web_url(inside(urls, 0)) or web_url(urls)


def _parsed(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def _done(state: State, url: str) -> Step:
    """The output; where a link to it has died before, a fresh one is asked for first."""
    if not state.ticket.get("link"):
        return Done(state=state, location=url)
    request = Request(method="POST", url=f"{state.endpoints.api}/api/v1/common/download-url", json={"url": url})
    return Call(request=request, state=replace(state, phase="link", ticket={"link": url}))


def _after_link(state: State, reply: Reply) -> Step:
    """The fresh link; if none is to be had, the old one once more, so that the download says what is wrong."""
    fresh = web_url(as_object(reply).get("data")) if 200 <= reply.status < 300 else None
    blocked = _gated(state, reply) or steps.blocked(state, reply, facts=FACTS)
    return blocked or Done(state=state, location=fresh or str(state.ticket["link"]))
