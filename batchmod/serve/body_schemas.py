"""The bodies of requests and answers as JSON Schema, by the names under which `openapi` refers to them."""

from collections.abc import Mapping
from typing import Any, Final

from batchmod.serve.contract import DEFAULT_MODE, MODES
from batchmod.serve.settings import Limits

Schema = dict[str, Any]

_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "number"}
_COUNT: Final = {"type": "integer"}
_URL: Final = {"type": "string", "format": "uri"}
_FILE: Final = {"type": "string", "format": "binary"}
_URL_OR_FILE: Final = {"anyOf": [_URL, _FILE]}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_STATE: Final = {"enum": ["QUEUED", "PROCESSING", "COMPLETED", "FAILED"]}
_LINKS: Final = {"status_url": _URL, "response_url": _URL}
_TIMES: Final = {"inference_time": _NUMBER, "queue_time": _NUMBER, "total_time": _NUMBER}
_MODE: Final = {
    "enum": list(MODES),
    "default": DEFAULT_MODE,
    "description": "from the closest to the source to the freest",
}


def schemas(limits: Limits) -> dict[str, Schema]:
    """Name → schema."""
    return {
        "Error": _object(["error"], error={"type": "string", "description": "what was wrong, and what to do"}),
        **_asked(limits),
        **_answered(),
        **_of_files(),
        **_of_the_account(),
    }


def reference(name: str) -> dict[str, str]:
    """A reference to one of them."""
    return {"$ref": f"#/components/schemas/{name}"}


def _asked(limits: Limits) -> dict[str, Schema]:
    prompt = {"type": "string", "maxLength": limits.prompt_chars, "description": "names a look, where no frame leads"}
    said: dict[str, Schema] = {"mode": _MODE, "prompt": prompt}
    return {
        "Inputs": _object(["video_url"], video_url=_URL, first_frame_url=_URL, **said),
        "Form": _object(["video_url"], video_url=_URL_OR_FILE, first_frame_url=_URL_OR_FILE, **said),
    }


def _answered() -> dict[str, Schema]:
    video = _object(["url"], url=_URL, content_type=_TEXT, file_name=_TEXT, file_size=_TEXT)
    return {
        "Submitted": _object(
            ["request_id", "status", "poll_url", *_LINKS], request_id=_TEXT, status=_STATE, poll_url=_URL, **_LINKS
        ),
        "Status": _object(
            ["status", "request_id", "metrics"],
            status=_STATE,
            request_id=_TEXT,
            progress={"type": "number", "minimum": 0, "maximum": 1},
            queue_position={"type": "integer", "description": "requests before this one"},
            error=_TEXT,
            metrics={"type": "object", "properties": {"frames_done": _COUNT, "frames": _COUNT, **_TIMES}},
            **_LINKS,
        ),
        "Result": _object(
            ["status", "request_id", "output", "video", "metrics"],
            status=_STATE,
            request_id=_TEXT,
            error={"type": "null"},
            output=_URL,
            video=video,
            warnings=_list(_TEXT),
            metrics=_object(["cost"], cost=_NUMBER, remaining_credits=_NUMBER, **_TIMES),
        ),
    }


def _of_files() -> dict[str, Schema]:
    return {
        "Upload": _object(["data_urls"], data_urls={**_list(_TEXT), "minItems": 1, "maxItems": 8}),
        "Uploaded": _object(["urls", "file_urls"], urls=_list(_URL), file_urls=_list(_URL), message=_TEXT),
    }


def _of_the_account() -> dict[str, Schema]:
    row: dict[str, Schema] = {
        "request_id": _TEXT,
        "model_name": _TEXT,
        "model_status": {"enum": ["PENDING", "COMPLETED", "FAILED"]},
        "credits_deduction": _NUMBER,
        "request_body": {"type": "object", "description": "the inputs as they were sent"},
        "generation_url": _TEXT_OR_NULL,
        "latency_ms": {"type": ["integer", "null"]},
        "created_at": {"type": "string", "format": "date-time"},
        "error": _TEXT_OR_NULL,
    }
    counts = dict.fromkeys(("page", "per_page", "total", "total_pages"), _COUNT)
    return {
        "Credits": _object(["credits", "free-credits"], **{"credits": _NUMBER, "free-credits": _NUMBER}),
        "HistoryRow": _object(list(row), **row),
        "History": _object(["data", *counts], data=_list(reference("HistoryRow")), **counts),
    }


def _object(required: list[str], **properties: Mapping[str, Any]) -> Schema:
    return {"type": "object", "required": required, "properties": properties}


def _list(of: Mapping[str, Any]) -> Schema:
    return {"type": "array", "items": of}
