"""What a refusal means: for this job, for every job, and whether patience helps."""

from typing import Final

from batchmod.model import Again, Blocked, Failed, Reply, Sent, Step
from batchmod.providers.segmind.answers import http_date, moment, number, words_of
from batchmod.providers.segmind.state import State


def refusal(state: State, reply: Reply, *, what: str) -> Step:
    """A definite 4xx: nothing was created."""
    text = words_of(reply)
    for_all = blocked(state, reply)
    if for_all is not None:
        return for_all
    if reply.status == 429:
        message = f"the rate limit is reached: {text}"
        return Failed(state=state, slug="rate_limited", message=message, again=Again.LATER, after_s=_patience(reply))
    slug = {406: "refused_value", 413: "clip_too_large"}.get(reply.status, "bad_request")
    if reply.status == 406 and "content" in text.lower() and "type" in text.lower():
        slug = "bad_content_type"
    message = f"the service refused the {what} (HTTP {reply.status}): {text}"
    # A refusal that names a file we sent up: the service may have deleted it since, and a new upload may mend it.
    named = any(url.encode() in reply.body for url in state.uploads.values())
    return Failed(state=state, slug=slug, message=message, again=Again.FRESH_UPLOAD if named else Again.NEVER)


def blocked(state: State, reply: Reply) -> Blocked | None:
    """A refusal that concerns every job: key, account, credits, model."""
    text = words_of(reply)
    words = text.lower()
    slug = {401: "key_refused", 402: "no_credits", 403: "not_allowed", 410: "model_retired"}.get(reply.status)
    if reply.status == 404 and state.phase == "submit":
        slug = "model_unknown"
    if reply.status == 406 and any(word in words for word in ("credit", "balance")):
        slug = "no_credits"
    if reply.status == 406 and "spend" in words:
        slug = "spend_cap"
    if slug is None or reply.sent is not Sent.ANSWERED:
        return None
    return Blocked(state=state, slug=slug, message=f"{_ADVICE[slug]} (HTTP {reply.status}: {text})")


_ADVICE: Final = {
    "key_refused": "the key was not accepted: check SEGMIND_API_KEY",
    "no_credits": "the account has not enough credits: top it up and run again",
    "spend_cap": "the team's spending cap is reached: raise it and run again",
    "not_allowed": "this account may not use the model",
    "model_retired": "the model is retired",
    "model_unknown": "the service does not know the model: check SEGMIND_BASE_URL",
}


def failure_slug(message: str) -> str:
    """Refusals by content filters have their own slugs, since some are worth a second try and some never."""
    words = message.lower()
    if not any(word in words for word in ("moderat", "nsfw", "safety", "blacklist", "content policy", "flagged")):
        return "generation_failed"
    for word, slug in (("prompt", "refused_prompt"), ("frame", "refused_frame"), ("output", "refused_output")):
        if word in words:
            return slug
    return "refused_clip"


def _patience(reply: Reply) -> float | None:
    """Seconds to wait by `Retry-After` or `x-rate-limit-reset-at-utc`, measured by the provider's own `Date`."""
    after = number(reply.headers.get("retry-after"))
    if after is not None:
        return max(0.0, after)
    now = http_date(reply.headers.get("date"))
    until = http_date(reply.headers.get("retry-after")) or moment(reply.headers.get("x-rate-limit-reset-at-utc"))
    if now is None or until is None:
        return None
    return max(0.0, until - now) + 0.5
