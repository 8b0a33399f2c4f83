"""Reading any service's answers defensively: objects, words, numbers, moments, URLs, what a filter says."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from batchmod.model import Reply, Sent

_MILLISECONDS_FROM: Final = 1e11
_OK: Final = 200
_WINDOW_S: Final = 60.0
"""The window of a rate: those who tell its end count by the minute."""
_UNNAMED: Final = 599
_QUERY: Final = re.compile(r"(https?://[^\s?#\"']+)[?#][^\s\"']*", re.IGNORECASE)


def as_object(reply: Reply) -> Mapping[str, Any]:
    """The JSON object of an answer; empty where it is none."""
    if reply.sent is not Sent.ANSWERED:
        return {}
    try:
        value = json.loads(reply.body)
    except ValueError:
        return {}
    return value if isinstance(value, Mapping) else {}


def words_of(reply: Reply) -> str:
    """What an answer says in words, short."""
    said = _said(as_object(reply))
    if not said:
        said = reply.problem or reply.body[:200].decode("utf-8", "replace")
    return shown(said) or "no reason given"


_SAYING: Final = ("error", "error_description", "message", "msg", "detail", "title", "reason")


def _said(body: Any) -> str:
    """The words in an error's body, under whichever of the usual names they stand."""
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return "; ".join(words for item in body if (words := _said(item)))
    if isinstance(body, Mapping):
        return next((words for name in _SAYING if (words := _said(body.get(name)))), "")
    return ""


def shown(said: str) -> str:
    """A vendor's text for messages and files: on one line, short, its URLs without queries (signatures stand there)."""
    plain = _QUERY.sub(r"\1", " ".join(said.split()))
    return plain[:300]


def by_body_code(reply: Reply) -> Reply:
    """The answer under the status that its own `code` tells, for services that answer HTTP 200 to everything.

    A code that is neither a good one nor a client error of HTTP's is a 5xx: nobody can say what it means for money.
    """
    if reply.sent is not Sent.ANSWERED or reply.status != _OK:
        return reply
    body = as_object(reply)
    if body.get("code") in (None, _OK):
        return reply
    code = number(body["code"])
    known = code is not None and code.is_integer() and (200 <= code < 300 or 400 <= code < 600)
    return replace(reply, status=int(code) if known and code is not None else _UNNAMED)


def web_url(value: object) -> str | None:
    """An http(s) URL, or None."""
    return value if isinstance(value, str) and value.startswith(("http://", "https://")) else None


def inside(value: object, *path: str | int) -> Any:
    """What stands at a path of keys and positions in a JSON value; None where the way ends."""
    for step in path:
        if isinstance(step, str) and isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and len(value) > step:
            value = value[step]
        else:
            return None
    return value


def output_url(body: Mapping[str, Any]) -> str | None:
    """`output` (a URL, or a list of them), else `video.url`, else `video`: all of them are seen."""
    output, video = body.get("output"), body.get("video")
    candidates = [*(output if isinstance(output, list) else [output])]
    candidates.append(video.get("url") if isinstance(video, Mapping) else video)
    return next((url for url in candidates if isinstance(url, str) and url.startswith("http")), None)


def number(value: object) -> float | None:
    """A finite number, or the number a text says."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def price(value: object) -> float | None:
    """A cost in US dollars; one below zero is none."""
    found = number(value)
    return found if found is not None and found >= 0 else None


def http_date(text: str | None) -> float | None:
    """Unix seconds of an HTTP date (RFC 9110, 5.6.7)."""
    if not text:
        return None
    try:
        return datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def moment(value: object) -> float | None:
    """Unix seconds of an ISO 8601 text or of a number of seconds or milliseconds; UTC where no zone is named."""
    stamp = number(value)
    if stamp is not None:
        return stamp / 1000.0 if stamp > _MILLISECONDS_FROM else stamp
    if not isinstance(value, str):
        return None
    try:
        when = datetime.fromisoformat(value.strip().replace(" UTC", "+00:00"))
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


_FILTERS: Final = (
    "moderat",
    "nsfw",
    "safety",
    "blacklist",
    "content policy",
    "content_policy",
    "flagged",
    "prohibited",
)


def filter_slug(message: str) -> str | None:
    """What a content filter refused, by the usual words; None where it was none.

    Such refusals have their own slugs, since some are worth a second try and some never.
    """
    words = message.lower()
    if not any(word in words for word in _FILTERS):
        return None
    for word, slug in (("prompt", "refused_prompt"), ("frame", "refused_frame"), ("output", "refused_output")):
        if word in words:
            return slug
    return "refused_prompt" if "blacklist" in words and "word" in words else "refused_clip"


def failure_slug(message: str) -> str:
    """The slug of a job that ran and failed, by the provider's words."""
    return filter_slug(message) or "generation_failed"


def patience(reply: Reply) -> float | None:
    """Seconds to wait by `retry-after-ms`, `retry-after` (seconds or a date) or `x-rate-limit-reset-at-utc` (a date).

    Dates, HTTP's or ISO 8601, are measured by the provider's own `Date`; without one the end of a rate's window is
    at most a whole window away. None where the answer asks for no time that can be told.
    """
    milliseconds = number(reply.headers.get("retry-after-ms"))
    seconds = milliseconds / 1000.0 if milliseconds is not None else number(reply.headers.get("retry-after"))
    if seconds is not None:
        return max(0.0, seconds)
    reset = _date(reply.headers.get("x-rate-limit-reset-at-utc"))
    until = _date(reply.headers.get("retry-after")) or reset
    if until is None:
        return None
    now = _date(reply.headers.get("date"))
    if now is None:
        return None if reset is None else _WINDOW_S
    return max(0.0, until - now) + 0.5


def _date(text: str | None) -> float | None:
    """Unix seconds of a header's date, in whichever form it comes."""
    return http_date(text) or moment(text)
