"""What is said to somebody about a run, as they can read it, and signed so that they can trust it."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MOST_ROWS: Final = 20
"""How many rows, and how many warnings, a message names."""
MANY_TRIES: Final = 3
"""From how many tries in a row that came to nothing on it is trouble."""
MANY_FAILURES: Final = 5
"""From how many failed rows of one run on it is trouble."""

_LONGEST: Final = 3_000
_LONGEST_LINE: Final = 300
_SECRET_BYTES: Final = range(24, 65)
_PREFIX: Final = "whsec_"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row that somebody should look at."""

    id: str
    status: str
    error_code: str | None = None
    why: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What there is to be told: `kind` is `run.ended` or `run.trouble`."""

    kind: str
    at: str
    run_id: str
    manifest: str
    name: str
    folder: str
    exit_code: int | None = None
    """None while the run goes on."""
    stop_reason: str | None = None
    message: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    made: int = 0
    copied: int = 0
    seconds: float = 0.0
    spent_usd: float = 0.0
    """In this run."""
    spent_in_folder_usd: float | None = None
    reserved_usd: float | None = None
    """What is in flight or uncertain, at its upper estimate."""
    failed: Sequence[Row] = ()
    failed_count: int = 0
    flagged: Sequence[Row] = ()
    flagged_count: int = 0
    warnings: Sequence[str] = ()
    paths: Mapping[str, str] = field(default_factory=dict)


def as_json(news: News) -> dict[str, Any]:
    """The body of a `json` notice, as Standard Webhooks lay one out: type, timestamp, data."""
    rows = {
        name: [{"id": row.id, "status": row.status, "error_code": row.error_code, "why": row.why} for row in some]
        for name, some in (("failed", news.failed), ("flagged", news.flagged))
    }
    money = {
        "spent_usd": round(news.spent_usd, 6),
        "spent_in_folder_usd": None if news.spent_in_folder_usd is None else round(news.spent_in_folder_usd, 6),
        "reserved_usd": None if news.reserved_usd is None else round(news.reserved_usd, 6),
    }
    data = {
        "run_id": news.run_id,
        "name": news.name,
        "manifest": news.manifest,
        "folder": news.folder,
        "exit_code": news.exit_code,
        "stop_reason": news.stop_reason,
        "message": news.message,
        "counts": dict(news.counts),
        "made": news.made,
        "copied": news.copied,
        "seconds": round(news.seconds, 3),
        "money": money,
        "failed": rows["failed"][:MOST_ROWS],
        "failed_count": news.failed_count,
        "flagged": rows["flagged"][:MOST_ROWS],
        "flagged_count": news.flagged_count,
        "warnings": list(news.warnings[:MOST_ROWS]),
        "paths": dict(news.paths),
    }
    return {"type": news.kind, "timestamp": news.at, "data": data}


def as_slack(news: News) -> dict[str, Any]:
    """The body of a `slack` notice: one text, in which nothing of the user's can be a link or a mention."""
    return {"text": _cut(escaped("\n".join(_lines(news))), _LONGEST)}


def escaped(text: str) -> str:
    """A text in which Slack finds no markup of its own: `&`, `<` and `>` are the three that begin it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, most: int) -> str:
    """A text of at most so many characters; half an escape is no escape."""
    if len(text) <= most:
        return text
    kept = text[: most - 1]
    at = kept.rfind("&")
    return (kept[:at] if at > kept.rfind(";") and at >= 0 else kept) + "…"


def _lines(news: News) -> list[str]:
    counted = ", ".join(f"{number} {status}" for status, number in news.counts.items())
    head = f"{news.name}: {_verdict(news)}"
    lines = [f"{head} ({counted})" if counted else head]
    if news.message:
        lines.append(news.message)
    if news.made or news.copied or news.spent_usd:
        lines.append(f"{news.made} made, {news.copied} copied, ${news.spent_usd:.2f} spent in {news.seconds:.0f} s")
    lines += _row_lines("failed", news.failed, news.failed_count)
    lines += _row_lines("flagged", news.flagged, news.flagged_count)
    lines += [f"warning: {each}" for each in news.warnings[:MOST_ROWS]]
    lines.append(news.folder)
    return [_cut(" ".join(line.split()), _LONGEST_LINE) for line in lines]


def _verdict(news: News) -> str:
    if news.exit_code is None:
        return f"in trouble: {news.stop_reason or 'many rows fail'}"
    if news.exit_code == 0:
        return "all succeeded"
    reason = f", {news.stop_reason}" if news.stop_reason else ""
    return f"ended with {news.exit_code}{reason}"


def _row_lines(what: str, rows: Sequence[Row], count: int) -> list[str]:
    lines = [f"{what}: {row.id} ({row.error_code or row.status}) {row.why or ''}" for row in rows[:MOST_ROWS]]
    return [*lines, f"and {count - len(lines)} more {what}"] if count > len(lines) else lines


def body_of(tree: Any) -> bytes:
    """A message as bytes: what is signed is what is sent, to the byte."""
    text = json.dumps(tree, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def key_of(secret: str) -> bytes | None:
    """The key in a secret `whsec_…`, base64 of 24 to 64 bytes; None where it is none."""
    if not secret.startswith(_PREFIX):
        return None
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) in _SECRET_BYTES else None


def signature_headers(body: bytes, *, key: bytes | None, message_id: str, at: int) -> dict[str, str]:
    """The headers of a message as Standard Webhooks have them; `at` in Unix seconds.

    The signature is HMAC-SHA256 over `id.timestamp.body` (https://www.standardwebhooks.com, v1); without a key the
    message goes unsigned.
    """
    headers = {"webhook-id": message_id, "webhook-timestamp": str(at)}
    if key is None:
        return headers
    signed = b".".join((message_id.encode(), str(at).encode(), body))
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {**headers, "webhook-signature": f"v1,{digest}"}
