"""The contract as an OpenAPI 3.1 document; `docs` shows it to people."""

from typing import Any, Final

from batchmod import __version__
from batchmod.serve.body_schemas import reference, schemas
from batchmod.serve.contract import SLUG
from batchmod.serve.settings import Limits

_ID: Final = {"name": "request_id", "in": "path", "required": True, "schema": {"type": "string"}}


def document(limits: Limits) -> dict[str, Any]:
    """The whole document but for `servers`, which depends on whom is asked."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "batchmod serve",
            "version": __version__,
            "summary": "Segmind's modify-video contract, with batchmod's embedded engine behind it.",
            "description": (
                "Whatever speaks that contract works with this service when its base URLs point here. "
                "Nothing costs anything; what comes out is the engine's, not a generative model's. "
                f"Files live {limits.file_s / 3600:g} hours."
            ),
        },
        "security": [{"key": []}],
        "paths": _paths(limits),
        "components": {
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
            "schemas": schemas(limits),
        },
    }


def _paths(limits: Limits) -> dict[str, Any]:
    past = "/inference-request/request-history"
    return {
        f"/v2/{SLUG}": {"post": _submit(limits)},
        "/v2/requests/{request_id}/status": {"get": _status()},
        "/v2/requests/{request_id}": {"get": _result("What became of a request; before its end the status")},
        "/v1/requests/{request_id}": {"get": _result("The same, under the path that `poll_url` names")},
        f"/v1/{SLUG}": {"post": _blocking(limits)},
        "/upload-asset": {"post": _upload(limits)},
        "/v1/get-user-credits": {"get": _operation("The balance: always enough", _json("Credits"), 401, 403)},
        past: {"get": _history()},
        past + "/{request_id}": {
            "get": _operation("One request of the history", _json("HistoryRow"), 401, 403, 404, parameters=[_ID])
        },
        "/assets/{name}": {"get": _file("An uploaded file")},
        "/outputs/{name}": {"get": _file("A finished video")},
    }


def _operation(summary: str, answer: dict[str, Any], *refusals: int, **more: Any) -> dict[str, Any]:
    answers = {"200": answer, **{str(code): _refusal(code) for code in refusals}}
    return {"summary": summary, **more, "responses": answers}


_REFUSALS: Final = {
    400: "malformed: a field is missing or no URL, the body cannot be read, an asset is gone",
    401: "the key is missing or wrong",
    403: "a Host this service does not answer to, or a page of another site",
    404: "no such request or file, or its time is over",
    406: "the content type, or a value, was not accepted",
    408: "the body did not come",
    413: "the body or a file in it is too large",
    429: "too many requests wait already; `Retry-After` says when to come again",
    500: "the service failed",
    503: "the service is stopping",
    507: "the service's files take all the room they may",
}


def _refusal(code: int) -> dict[str, Any]:
    return {"description": _REFUSALS[code], "content": {"application/json": {"schema": reference("Error")}}}


def _json(name: str, description: str = "done") -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": reference(name)}}}


def _body(name: str, form: str | None = None) -> dict[str, Any]:
    content = {"application/json": {"schema": reference(name)}}
    if form is not None:
        content["multipart/form-data"] = {"schema": reference(form)}
    return {"required": True, "content": content}


def _submit(limits: Limits) -> dict[str, Any]:
    return _operation(
        "Ask for a modified clip; the answer comes at once",
        _json("Submitted", "accepted: it is in the queue, and stays there if the service is stopped"),
        *(400, 401, 403, 406, 408, 413, 429, 500, 503, 507),
        description=_media_words(limits),
        requestBody=_body("Inputs", "Form"),
    )


def _blocking(limits: Limits) -> dict[str, Any]:
    headers = {
        "x-request-id": {"schema": {"type": "string"}, "description": "the request's id"},
        "x-cost": {"schema": {"type": "number"}, "description": "US dollars: 0"},
        "x-remaining-credits": {"schema": {"type": "number"}},
        "x-generation-time": {"schema": {"type": "number"}, "description": "seconds"},
    }
    video = {"description": "the video", "headers": headers, "content": {"video/mp4": {}}}
    return _operation(
        "Ask for a modified clip and wait for it",
        video,
        *(400, 401, 403, 406, 408, 413, 429, 500, 503, 507),
        description=f"{_media_words(limits)} A clip that cannot be used is answered with 406.",
        requestBody=_body("Inputs", "Form"),
    )


def _media_words(limits: Limits) -> str:
    return (
        f"`video_url` is an MP4 of at most {limits.clip_bytes / 1e6:g} MB, {limits.clip_s:g} seconds, {limits.frames} "
        f"frames and {limits.frame_pixels} pixels a frame; `first_frame_url` a PNG, JPEG or WebP picture. URLs lead to "
        "this service's own assets or to public addresses. Without a first frame the prompt must name a look."
    )


def _status() -> dict[str, Any]:
    operation = _operation("How far a request is", _json("Status"), 401, 403, 404, parameters=[_ID])
    operation["responses"]["422"] = _json("Status", "the request has failed; `error` says why")
    return operation


def _result(summary: str) -> dict[str, Any]:
    either = {"description": "done", "content": {"application/json": {"schema": _either("Result", "Status")}}}
    operation = _operation(summary, either, 401, 403, 404, parameters=[_ID])
    operation["responses"]["422"] = _json("Status", "the request has failed; `error` says why")
    return operation


def _either(*names: str) -> dict[str, Any]:
    return {"anyOf": [reference(name) for name in names]}


def _upload(limits: Limits) -> dict[str, Any]:
    return _operation(
        "Send files up",
        _json("Uploaded"),
        *(400, 401, 403, 406, 408, 413, 507),
        description=(
            f"MP4 videos of at most {limits.clip_bytes / 1e6:g} MB and pictures of at most "
            f"{limits.picture_bytes / 1e6:g} MB. Whoever knows a file's URL can fetch it, without a key."
        ),
        requestBody=_body("Upload"),
    )


def _history() -> dict[str, Any]:
    def query(name: str, description: str, **schema: Any) -> dict[str, Any]:
        return {"name": name, "in": "query", "description": description, "schema": schema}

    parameters = [
        query("page", "from 1", type="integer", minimum=1, default=1),
        query("per_page", "rows", type="integer", minimum=1, maximum=100, default=20),
        query("from_date", "YYYY-MM-DD, in UTC; a week ago if it is not given", type="string", format="date"),
        query("to_date", "YYYY-MM-DD, included; at most 31 days after the other", type="string", format="date"),
        query("model_name", "a part of the model's name", type="string"),
        query("status", "only these", enum=["COMPLETED", "FAILED", "PENDING"]),
        query("sort_by", "all but the first are equal here", enum=["model_created", "model_name", "credits_deduction"]),
        query("sort_order", "the newest first, unless told otherwise", enum=["desc", "asc"]),
    ]
    return _operation("The requests of the last time", _json("History"), 400, 401, 403, parameters=parameters)


def _file(summary: str) -> dict[str, Any]:
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    answer = {"description": "the file, whole or the range that was asked for", "content": {"*/*": {}}}
    return _operation(summary, answer, 403, 404, parameters=[name], security=[])
