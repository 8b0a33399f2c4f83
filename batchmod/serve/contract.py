"""Segmind's modify-video contract as this service keeps it: what is refused, and the shape of every answer.

Source: docs/providers/segmind.md. What the engine adds (progress, a place in the queue, warnings) stands in fields
of its own, which clients of that contract pass over.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from batchmod.serve.queue import Job, State
from batchmod.serve.settings import Limits

SLUG: Final = "modify-video"
MODES: Final = tuple(f"{family}_{level}" for family in ("adhere", "flex", "reimagine") for level in (1, 2, 3))
DEFAULT_MODE: Final = "adhere_1"
_DEEPER: Final = 50
MEDIA: Final = ("video_url", "first_frame_url")

CREDITS: Final = 1_000_000.0
"""The balance that is told: the engine is free, and a client that looks at its balance must find enough."""

KEY_MISSING: Final = "No API key found in request: send it in the x-api-key header"
KEY_INVALID: Final = "Invalid or expired API key"
CONTENT_TYPE: Final = "Invalid content type. Use application/json or multipart/form-data"
WRONG_VERB: Final = "<!doctype html><title>405 Method Not Allowed</title><h1>Method Not Allowed</h1>"
"""The one refusal that the contract has in HTML."""


class Refused(Exception):
    """A request that is answered with an error: `{"error": text}` under its status."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a submit asks for."""

    video_url: str
    first_frame_url: str | None
    mode: str
    prompt: str | None


def decoded(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; Refused (400) where it is none, or could not be written down again as it is.

    Such are NaN, half a character (a lone surrogate), and lists in lists without end.
    """
    try:
        value = json.loads(body)
        json.dumps(_wrapped(value), ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise Refused(400, "Malformed request: the body is not valid JSON") from None
    if not isinstance(value, dict):
        raise Refused(400, "Malformed request: the body must be a JSON object")
    return value


def _wrapped(value: Any) -> Any:
    """The value as deep as it will stand in an answer, and deeper."""
    for _ in range(_DEEPER):
        value = [value]
    return value


def asked(inputs: Mapping[str, Any], limits: Limits) -> Asked:
    """A submit's fields; Refused (400, or 406 for a value) where one is missing, no URL, or not allowed.

    A field that is null counts as absent; unknown fields are passed over, as the vendor does.
    """
    given = {name: value for name, value in inputs.items() if value is not None}
    if not given.get("video_url"):
        raise Refused(400, "Missing required field: video_url")
    for name in MEDIA:
        if name in given and not is_web_url(given[name]):
            raise Refused(400, f"{name} must be an absolute http(s) URL")
    prompt, mode = given.get("prompt", ""), given.get("mode", DEFAULT_MODE)
    if not isinstance(prompt, str):
        raise Refused(400, "prompt must be a string")
    if len(prompt) > limits.prompt_chars:
        raise Refused(406, f"Value rejected: prompt is longer than {limits.prompt_chars} characters")
    if mode not in MODES:
        raise Refused(406, f"Value rejected: mode must be one of {', '.join(MODES)}")
    frame = given.get("first_frame_url")
    return Asked(video_url=given["video_url"], first_frame_url=frame, mode=mode, prompt=prompt.strip() or None)


def is_web_url(value: object) -> bool:
    """Whether a value is an absolute http(s) URL with a host."""
    if not isinstance(value, str) or value != value.strip() or not value.isprintable():
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def not_found(request_id: str) -> Refused:
    """What is said of a request that nobody knows."""
    return Refused(404, f"Request {request_id} not found")


def submitted(job: Job, base: str) -> dict[str, Any]:
    """The answer to a submit."""
    request_id = job.request_id
    return {
        "request_id": request_id,
        "status": job.state.value,
        "poll_url": f"{base}/v1/requests/{request_id}",
        **_links(request_id, base),
    }


def _links(request_id: str, base: str) -> dict[str, str]:
    return {
        "status_url": f"{base}/v2/requests/{request_id}/status",
        "response_url": f"{base}/v2/requests/{request_id}",
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How far an unfinished job is: jobs before it, or frames done and in all (0 where nobody knows)."""

    ahead: int = 0
    frames_done: int = 0
    frames: int = 0

    @property
    def progress(self) -> float:
        """0 to 1."""
        return round(min(1.0, self.frames_done / self.frames), 3) if self.frames else 0.0


def times(job: Job) -> dict[str, float]:
    """`inference_time`, `queue_time`, `total_time` in seconds, of a job that has ended."""
    ended = job.ended_at or job.accepted_at
    started = min(job.started_at or ended, ended)
    return {
        "inference_time": round(ended - started, 3),
        "queue_time": round(started - job.accepted_at, 3),
        "total_time": round(ended - job.accepted_at, 3),
    }


def status(job: Job, base: str, standing: Standing) -> dict[str, Any]:
    """The body of a status poll; a FAILED one goes under 422."""
    said: dict[str, Any] = {"status": job.state.value, "request_id": job.request_id}
    match job.state:
        case State.FAILED:
            return {**said, "error": job.error, "metrics": times(job)}
        case State.COMPLETED:
            return {**said, "progress": 1.0, "metrics": {"inference_time": times(job)["inference_time"]}}
        case State.PROCESSING:
            metrics = {"frames_done": standing.frames_done, "frames": standing.frames}
            return {**said, **_links(job.request_id, base), "progress": standing.progress, "metrics": metrics}
        case State.QUEUED:
            links = _links(job.request_id, base)
            return {**said, **links, "progress": 0.0, "queue_position": standing.ahead, "metrics": {}}


def result(job: Job, *, url: str) -> dict[str, Any]:
    """The body of a finished job; `file_size` is a text, as the vendor has it."""
    return {
        "status": job.state.value,
        "request_id": job.request_id,
        "error": None,
        "output": url,
        "video": {
            "url": url,
            "content_type": "video/mp4",
            "file_name": url.rsplit("/", 1)[-1],
            "file_size": str(job.output_bytes),
        },
        "warnings": list(job.warnings),
        "metrics": {"cost": 0.0, "remaining_credits": CREDITS, **times(job)},
    }


def blocking_headers(job: Job) -> dict[str, str]:
    """What a v1 answer tells beside the video's bytes."""
    return {
        "x-cost": "0",
        "x-remaining-credits": f"{CREDITS:g}",
        "x-request-id": job.request_id,
        "x-generation-time": str(times(job)["inference_time"]),
    }


def uploaded(urls: list[str]) -> dict[str, Any]:
    """The answer to an upload: the documentation says `urls`, the vendor's SDK reads `file_urls`."""
    return {"urls": urls, "file_urls": urls, "message": "Files uploaded successfully"}


def credits_() -> dict[str, float]:
    """The balance."""
    return {"credits": CREDITS, "free-credits": 0.0}
