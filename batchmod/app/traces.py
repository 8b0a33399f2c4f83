"""Events and lines of results.csv, read back as values of a record: no more than they tell."""

import json
import math
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from batchmod import reconcile, results
from batchmod.checkpoint.values import dump
from batchmod.urls import CUT, without_query

Values = dict[str, Any]

_SAME_WORDS: Final = ("segmind",)
_FIELDS: Final = ("id", "provider", "model", "mode", "prompt", "video_url", "first_frame_url", "job_key")


def seconds(text: object) -> float | None:
    """Unix seconds of an ISO 8601 text."""
    try:
        return datetime.fromisoformat(str(text)).timestamp() if text else None
    except ValueError:
        return None


def gappy(body: Mapping[str, Any]) -> Values:
    """A body as an event keeps it: where a query was cut, only the rest of the URL is known."""
    return {name: _with_gaps(value) for name, value in body.items()}


def _with_gaps(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_gaps(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return reconcile.gap() if _holds_cut(value) else value
    return reconcile.gap(_before_cut(value)) if _holds_cut(value) else value


def _holds_cut(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_cut(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_holds_cut(inner) for inner in value)
    return isinstance(value, str) and value.endswith(CUT)


def _before_cut(value: Any) -> str | None:
    return value.removesuffix(CUT) if isinstance(value, str) else None


def uncut(value: Any) -> Any:
    """A JSON value with what is left of the URLs in it."""
    if isinstance(value, Mapping):
        return {name: uncut(inner) for name, inner in value.items()}
    return value.removesuffix(CUT) if isinstance(value, str) else value


def body_of(line: Mapping[str, str]) -> Values:
    """What a line of results.csv tells of the body that was sent: a link may have been signed anew since.

    Its columns are in Segmind's words; of a body in other words they tell nothing that could be looked for.
    """
    if line.get("provider") not in (*_SAME_WORDS, "", None):
        return {}
    body: Values = {"mode": line.get("mode", ""), "video_url": _sent_url(line.get("video_url", ""))}
    if line.get("first_frame_url"):
        body["first_frame_url"] = _sent_url(line["first_frame_url"])
    if line.get("prompt"):
        body["prompt"] = line["prompt"]
    return body


def _sent_url(given: str) -> Any:
    """A clip's URL as it was sent: unknown for a local file, without its query for a link."""
    if not given.lower().startswith(("http://", "https://")):
        return reconcile.gap()
    return reconcile.gap(without_query(given)) if "?" in given or "#" in given else given


def inputs_of(line: Mapping[str, str]) -> Values:
    """A work's inputs, as far as a line tells; its identities are not known, and nothing is sent from these."""

    def source(given: str | None) -> Values | None:
        return (
            {"location": given, "local": False, "identity": "", "sha256": None, "media_type": None} if given else None
        )

    video = source(line.get("video_url")) or source("unknown")
    frame = source(line.get("first_frame_url"))
    return {"mode": line.get("mode"), "prompt": line.get("prompt") or None, "video": video, "first_frame": frame}


def cost_of(line: Mapping[str, str]) -> Values:
    """What a line says of the money."""
    return {"cost_usd": number(line.get("cost_usd")), "cost_source": line.get("cost_source") or None}


def number(text: str | None) -> float | None:
    """A finite number; None for what a spreadsheet has made unreadable."""
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def facts_of(line: Mapping[str, str]) -> str | None:
    """An output's facts as the record keeps them; None where a line does not tell enough."""
    counts = {name: number(line.get(name)) for name in ("width", "height", "frames", "bytes")}
    if None in (counts["width"], counts["height"], counts["bytes"]):
        return None
    whole = {name: None if value is None else int(value) for name, value in counts.items()}
    rate = line.get("fps") or ""
    fps = rate if re.fullmatch(r"[1-9]\d*(/[1-9]\d*)?", rate) else None
    return dump({**whole, "fps": fps, "duration_s": number(line.get("duration_s")), "has_audio": _is_true(line)})


def _is_true(line: Mapping[str, str]) -> bool:
    return line.get("has_audio", "").lower() == "true"


def sound(row: Mapping[str, Any], *, needed: Mapping[str, type], json_columns: Collection[str]) -> Values | None:
    """A row of a damaged record, without what is no JSON; None where a needed value is not there."""
    kept = {name: value for name, value in row.items() if name not in json_columns or _is_json(value)}
    return kept if all(isinstance(kept.get(name), kind) for name, kind in needed.items()) else None


def _is_json(text: object) -> bool:
    try:
        json.loads(str(text))
    except ValueError:
        return False
    return True


def manifest_row(line: Mapping[str, str], position: int) -> Values:
    """A row of the manifest as the last run saw it, as far as results.csv tells."""
    own = {name: value for name, value in line.items() if name not in (*results.columns(), *results.FURTHER)}
    fields: Values = {name: line.get(name) or None for name in _FIELDS}
    fields |= {"variant": int(number(line.get("variant")) or 1), "own": own, "why": line.get("error") or None}
    fields |= {name: line.get(name) or None for name in results.FURTHER}
    fields |= {"source": fields["video_url"] or "", "frame": fields["first_frame_url"]}
    status = line["status"] if line.get("status") in ("held", "invalid") else None
    row = {"number": position, "id": line["id"], "job_key": line.get("job_key") or None}
    return {**row, "status": status, "fields": dump(fields)}
