"""Where a job stands at a service, and what follows from an answer in the same way everywhere.

What an answer means for money stands here once: a dialect adds its own requests and its own words, and whatever
neither names is `Uncertain`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from batchmod.model import (
    Again,
    Blocked,
    Call,
    Endpoints,
    Failed,
    FileAsBytes,
    FileAsDataUrl,
    ProviderFacts,
    Reply,
    Request,
    Sent,
    Step,
    Uncertain,
    Wait,
    Work,
)
from batchmod.providers.answers import filter_slug, patience, shown, words_of
from batchmod.urls import origin_of

_EARLY_404: Final = 5  # answers 404 to the first questions that may be a race right after the submit
_MOST_PAGES: Final = 1000  # of a list that is walked for an id
ROLES: Final = ("video", "first_frame")


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Where a job stands; `request_id` and `links` must survive the process."""

    endpoints: Endpoints
    inputs: Mapping[str, Any]
    """mode, prompt, video, first_frame, as the record keeps them."""
    options: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    uploads: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of a local file → its URL, or whatever the provider calls it by."""
    phase: str = "start"
    """Which request the next reply answers, in the dialect's own words."""
    uploading: str | None = None
    """SHA-256 of the file whose upload is under way, from its first request to its last."""
    ticket: Mapping[str, Any] = field(default_factory=dict)
    """What an upload of several requests must know of the earlier ones."""
    request_id: str | None = None
    links: Mapping[str, str | None] = field(default_factory=dict)
    """Name → URL to ask, as far as the provider named one on its own origin."""
    seen: bool = False
    """Whether the provider has answered a status of this request."""
    misses: int = 0
    page: int = 0
    """Which page of the history the next reply is, where that is walked for the request's id."""
    listed: tuple[object, ...] = ()
    """The ids on the page before it."""


def first(work: Work, endpoints: Endpoints, uploads: Mapping[str, str]) -> State:
    """The state of a work that is to be sent."""
    return State(endpoints=endpoints, inputs=work.inputs, options=work.options, model=work.model, uploads=dict(uploads))


def resumed(work: Work, endpoints: Endpoints) -> Wait:
    """The next step of a work whose request id is in the record: it is asked for."""
    links = {name: link for name, link in (work.state or {}).items() if link is None or isinstance(link, str)}
    state = replace(first(work, endpoints, {}), request_id=work.request_id, links=links, phase="status")
    return Wait(state=state)


def bearer(key: str) -> dict[str, str]:
    """The header that carries the key, where that is a bearer token (RFC 6750)."""
    return {"Authorization": f"Bearer {key}"}


def saved(state: State) -> dict[str, Any]:
    """What of a state goes into the record."""
    return dict(state.links)


def prepare(
    state: State, *, upload: Callable[[State, Mapping[str, Any]], Step], submit: Callable[[State], Step]
) -> Step:
    """Upload what is local and not up yet, else submit."""
    for role in ROLES:
        source = state.inputs.get(role)
        if source and source["local"] and source["sha256"] not in state.uploads:
            return upload(replace(state, uploading=source["sha256"]), source)
    return submit(state)


def uploaded(state: State, reference: str) -> State:
    """The state when the file under way is up."""
    assert state.uploading is not None
    uploads = {**state.uploads, state.uploading: reference}
    return replace(state, uploads=uploads, uploading=None, ticket={}, misses=0)


def under_way(state: State) -> Mapping[str, Any]:
    """The source whose upload is under way."""
    sources = (state.inputs.get(role) for role in ROLES)
    return next(source for source in sources if source and source["local"] and source["sha256"] == state.uploading)


def upload_trouble(state: State, reply: Reply) -> Failed | None:
    """What keeps an upload's answer from being looked at: nothing was asked for yet, so it may be tried again."""
    if reply.file_changed:
        message = "the file changed while it was being uploaded; nothing was submitted"
        return Failed(state=state, slug="source_changed", message=message)
    if reply.sent is not Sent.ANSWERED or reply.status >= 500 or reply.status in (408, 425):
        return not_uploaded(state, reply.problem or f"HTTP {reply.status}")
    return None


def not_uploaded(state: State, problem: str) -> Failed:
    """An upload that came to nothing; tried again a few times."""
    return Failed(state=state, slug="upload_failed", message=f"upload: {problem}", again=Again.UNREACHED)


def no_upload(state: State, facts: ProviderFacts) -> Failed:
    """A local file where there is no upload service."""
    variable = facts.base_urls["upload"][0] if "upload" in facts.base_urls else None
    cure = f"set {variable} beside {facts.base_urls['api'][0]}" if variable else "give a URL"
    return Failed(state=state, slug="no_upload", message=f"a local file needs an upload service; {cure}")


def url_of(state: State, source: Mapping[str, Any]) -> str:
    """Where the provider finds a source: its upload, or the URL it has by itself."""
    return state.uploads[source["sha256"]] if source["local"] else str(source["location"])


def as_bytes(source: Mapping[str, Any]) -> FileAsBytes:
    """A local source as bytes of a body."""
    return FileAsBytes(path=source["location"], media_type=source["media_type"], sha256=source["sha256"])


def as_data_url(source: Mapping[str, Any]) -> FileAsDataUrl:
    """A local source as a data URL of a body."""
    return FileAsDataUrl(path=source["location"], media_type=source["media_type"], sha256=source["sha256"])


def unsettled(state: State, reply: Reply) -> Step | None:
    """What a submit's reply means, whoever gave it; None where the service itself said yes (2xx) or no (4xx)."""
    if reply.sent is Sent.NEVER_SENT:
        return Failed(state=state, slug="unreachable", message=reply.problem, again=Again.UNREACHED)
    if reply.sent is Sent.UNKNOWN:
        return Uncertain(state=state, reason=f"no answer to the request: {reply.problem}")
    if 200 <= reply.status < 300:
        return None
    if 300 <= reply.status < 400:
        message = f"the service answered with a redirect (HTTP {reply.status}), which a paid request does not follow"
        return Failed(state=state, slug="redirected", message=message)
    if reply.status in _GATEWAY:
        return Uncertain(state=state, reason=f"{_GATEWAY[reply.status]}: it may have been accepted")
    if reply.status >= 500 or reply.status in (408, 409, 425, 499) or reply.status < 200:
        return Uncertain(state=state, reason=f"HTTP {reply.status} to the request: it may have been accepted")
    return None


_GATEWAY: Final = {
    502: "HTTP 502: the gateway had no readable answer from the service",
    503: "HTTP 503: the service was busy or down behind its gateway",
    504: "HTTP 504: the gateway gave up waiting for the service",
}


def accepted(
    state: State, reply: Reply, request_id: object, *, links: Mapping[str, object] | None = None, phase: str = ""
) -> Step:
    """After a 2xx: go on with the id it named; without one nobody can say whether a job exists."""
    if not isinstance(request_id, str) or not request_id:
        return Uncertain(state=state, reason=f"HTTP {reply.status} without a request id: it may have been accepted")
    own = {name: own_url(state, url) for name, url in (links or {}).items()}
    return Wait(state=replace(state, request_id=request_id, links=own, phase="status"), phase=phase.lower())


def own_url(state: State, url: object) -> str | None:
    """A URL the service gave, if it is on the origin that was asked: a key never travels further."""
    try:
        return url if isinstance(url, str) and origin_of(url) == origin_of(state.endpoints.api) else None
    except ValueError:
        return None


def refusal(state: State, reply: Reply, *, facts: ProviderFacts, what: str = "request") -> Step:
    """A definite 4xx: nothing was created."""
    for_all = blocked(state, reply, facts=facts)
    if for_all is not None:
        return for_all
    text = words_of(reply)
    if reply.status == 429:
        message = f"the rate limit is reached: {text}"
        return Failed(state=state, slug="rate_limited", message=message, again=Again.LATER, after_s=patience(reply))
    message = f"the service refused the {what} (HTTP {reply.status}): {text}"
    return Failed(state=state, slug=_refused_slug(reply.status, text), message=message, again=mended_by(state, reply))


def mended_by(state: State, reply: Reply) -> Again:
    """A new upload, where a refusal names a file we sent up: the service may have deleted it since; else nothing."""
    named = any(url.encode() in reply.body for url in state.uploads.values())
    return Again.FRESH_UPLOAD if named else Again.NEVER


def _refused_slug(status: int, text: str) -> str:
    by_status = {405: "wrong_method", 413: "clip_too_large", 415: "bad_content_type"}
    return by_status.get(status) or filter_slug(text) or "bad_request"


def blocked(state: State, reply: Reply, *, facts: ProviderFacts) -> Blocked | None:
    """A refusal that concerns every job (key, account, credits, model), by its status; None where it is none."""
    slug = {401: "key_refused", 402: "no_credits", 403: "not_allowed", 410: "model_retired"}.get(reply.status)
    if reply.status == 404 and state.phase == "submit":
        slug = "model_unknown"
    if slug is None or reply.sent is not Sent.ANSWERED:
        return None
    return stopped(state, reply, slug, facts=facts)


def stopped(state: State, reply: Reply, slug: str, *, facts: ProviderFacts) -> Blocked:
    """A no to every job, with what to do about it."""
    advice = _ADVICE[slug].format(key=facts.key_env, url=facts.base_urls["api"][0])
    return Blocked(state=state, slug=slug, message=f"{advice} (HTTP {reply.status}: {words_of(reply)})")


_ADVICE: Final = {
    "key_missing": "the key did not arrive: a proxy in between may drop its header; check {key}",
    "key_refused": "the key was not accepted: check {key}",
    "no_credits": "the account has not enough credits: top it up and run again",
    "spend_cap": "the spending cap of the account is reached: raise it there and run again",
    "not_allowed": "this account may not use the model: ask the provider",
    "model_retired": "the model is retired: look for its successor at the provider",
    "model_unknown": "the service does not know the model: check {url}, and the row's model",
}


def not_found(state: State, *, look_up: Callable[[State], Step] | None = None) -> Step:
    """404 to a question: early it may be a race right after the submit; later `look_up` is asked, if there is one."""
    if not state.seen and state.misses < _EARLY_404:
        return Wait(state=replace(state, misses=state.misses + 1), phase="not listed yet")
    if look_up is not None:
        return look_up(state)
    return Uncertain(state=state, reason="the service no longer knows the request, and there is no history to ask")


class Pages(Protocol):
    """A dialect's `history_request`."""

    def __call__(
        self, endpoints: Endpoints, *, page: int, since: float, until: float, last: Reply | None = None
    ) -> Request | None:
        """A page of the history; None where there is none, or no further one."""
        ...


def walk(pages: Pages, endpoints: Endpoints) -> Callable[[State], Step] | None:
    """The `look_up` of a provider that lists its requests by pages and not by their ids; None where it lists none."""
    request = pages(endpoints, page=1, since=0.0, until=0.0)
    if request is None:
        return None
    return lambda state: Call(request=request, state=replace(state, phase="history", page=1, listed=()))


def after_page(
    state: State,
    reply: Reply,
    *,
    pages: Pages,
    items: Sequence[Mapping[str, Any]] | None,
    read: Callable[[State, Mapping[str, Any]], Step],
    facts: ProviderFacts,
) -> Step:
    """What follows from a page of such a walk: the request as it is listed is read, or the next page asked for.

    `items`: the requests of the page, each with its `id`; None where the answer is no list of them.
    """
    if items is None:
        problem = reply.problem or f"HTTP {reply.status}, and no list of requests"
        return blocked(state, reply, facts=facts) or _unreadable(state, problem)
    found = next((item for item in items if item["id"] == state.request_id), None)
    if found is not None:
        return read(replace(state, seen=True), found)
    listed = tuple(item["id"] for item in items)
    following = pages(state.endpoints, page=state.page + 1, since=0.0, until=0.0, last=reply) if listed else None
    if following is None:
        return Uncertain(state=state, reason="neither the service nor its history knows the request")
    if listed == state.listed or state.page >= _MOST_PAGES:
        return _unreadable(state, "it has no end")
    return Call(request=following, state=replace(state, page=state.page + 1, listed=listed))


def _unreadable(state: State, problem: str) -> Uncertain:
    reason = f"the service no longer knows the request, and its history cannot be read: {problem}"
    return Uncertain(state=state, reason=reason)


def unanswered(state: State, reply: Reply, *, facts: ProviderFacts) -> Step:
    """No status in an answer to a question: refused for all, or asked again later."""
    refused = reply.sent is Sent.ANSWERED and reply.status == 429
    return blocked(state, reply, facts=facts) or Wait(state=state, phase="unreachable", refused=refused)


def no_output(state: State) -> Step:
    """Done by its status, but no output is named: asked a few times more, then nobody can say."""
    if state.misses >= _EARLY_404:
        return Uncertain(state=state, reason="completed, but the result names no output")
    return Wait(state=replace(state, misses=state.misses + 1), phase="fetching the result")


def failed(
    state: State,
    message: object,
    *,
    slug: str | None = None,
    billed: bool | None = False,
    cost_usd: float | None = None,
) -> Failed:
    """A job that ran and failed, with the provider's words; `slug` where its own code says more than they do."""
    text = shown(str(message)) if message else "the service gives no reason"
    slug = slug or filter_slug(text) or "generation_failed"
    return Failed(state=state, slug=slug, message=text, billed=billed, cost_usd=cost_usd)
