"""Reading answers defensively: objects, words, numbers, moments, output URLs."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from batchmod.model import Reply, Sent

_MILLISECONDS_FROM: Final = 1e11
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
    body = as_object(reply)
    said = body.get("error") or body.get("error_description") or body.get("message") or body.get("detail")
    if not said:
        said = reply.problem or reply.body[:200].decode("utf-8", "replace")
    return shown(str(said)) or "no reason given"


def shown(said: str) -> str:
    """A vendor's text for messages and files: on one line, short, its URLs without queries (signatures stand there)."""
    plain = _QUERY.sub(r"\1", " ".join(said.split()))
    return plain[:300]


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
