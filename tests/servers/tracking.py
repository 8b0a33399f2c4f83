"""Stand-ins for the trackers of the recipes, Kitsu and ShotGrid: the calls their own SDKs make, and a ledger."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers.loopback import served

LOGIN, PASSWORD, TOKEN = "pipeline@studio.example", "kitsu-password", "kitsu-token"
SCRIPT, SCRIPT_KEY = "batchmod", "shotgrid-key"


@dataclass(kw_only=True, slots=True)
class Asked:
    """One request, with its form taken apart."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, bytes]:
        """The fields of a form by name, however it was sent."""
        if "multipart" not in self.headers["content-type"]:
            return {name: values[0].encode() for name, values in parse_qs(self.body.decode()).items()}
        boundary = b"--" + self.headers["content-type"].partition("boundary=")[2].strip('"').encode()
        found: dict[str, bytes] = {}
        for part in self.body.split(boundary)[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            name = re.search(rb'name="([^"]+)"', head)
            assert name is not None
            found[name[1].decode()] = content.removesuffix(b"\r\n")
        return found


Answer = tuple[int, Any]


@dataclass(kw_only=True, slots=True)
class Tracker:
    """What a tracker holds after all that was asked of it."""

    url: str
    refused: list[str] = field(default_factory=list)
    """Requests without the right credentials, or to what there is not."""
    comments: list[dict[str, Any]] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    """Preview or storage place → the bytes that came."""


@contextmanager
def _tracker(answer: Callable[[Tracker, Asked], Answer]) -> Iterator[Tracker]:
    made: list[Tracker] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            parts = urlsplit(self.path)
            asked = Asked(
                method=self.command,
                path=parts.path,
                query={name: values[0] for name, values in parse_qs(parts.query).items()},
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(int(self.headers.get("content-length") or 0)),
            )
            status, said = answer(made[0], asked)
            if status >= 400:
                made[0].refused.append(f"{asked.method} {asked.path}: {status}")
            body = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "text/plain" if isinstance(said, str) else "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 - the base class looks for these

        def log_message(self, *_: object) -> None:
            pass

    with served(Handler) as url:
        made.append(Tracker(url=url))
        yield made[0]


_KITSU = {
    "/data/projects": [{"id": "p1", "name": "Autumn"}],
    "/data/sequences": [{"id": "s1", "name": "SQ01", "project_id": "p1"}],
    "/data/shots/all": [{"id": "sh10", "name": "SH010", "sequence_id": "s1"}],
    "/data/task-types": [{"id": "tt1", "name": "Look"}],
    "/data/task-status": [{"id": "ts1", "short_name": "wfa"}],
    "/data/shots/sh10/tasks": [{"id": "t0", "task_type_id": "tt0"}, {"id": "t1", "task_type_id": "tt1"}],
}


def kitsu() -> Any:
    """Kitsu's server, Zou (https://zou.cg-wire.com): login, look-ups, a comment, a preview and its file."""
    return _tracker(_kitsu)


def _kitsu(tracker: Tracker, asked: Asked) -> Answer:  # noqa: PLR0911 - one answer a call
    path = asked.path.removeprefix("/api")
    if path == "/auth/login":
        if (asked.json["email"], asked.json["password"]) != (LOGIN, PASSWORD):
            return 400, {"login": False}
        return 200, {"login": True, "access_token": TOKEN, "refresh_token": "r", "user": {"id": "u1"}}
    if asked.headers.get("authorization") != f"Bearer {TOKEN}":
        return 401, {"message": "Missing Authorization Header"}
    if path in _KITSU:
        query = {name: value for name, value in asked.query.items() if name != "relations"}
        return 200, [each for each in _KITSU[path] if all(each.get(n) == value for n, value in query.items())]
    if path == "/data/tasks/t1/comments":
        return 200, tracker.comments
    if path == "/actions/tasks/t1/comment":
        assert asked.json["task_status_id"] == "ts1"
        comment = {"id": f"c{len(tracker.comments)}", "text": asked.json["comment"], "previews": []}
        tracker.comments.append(comment)
        return 201, comment
    if match := re.fullmatch(r"/actions/tasks/t1/comments/c(\d+)/add-preview", path):
        preview = {"id": f"pv{match[1]}", "task_id": "t1"}
        tracker.comments[int(match[1])]["previews"].append(preview)
        return 201, preview
    if match := re.fullmatch(r"/pictures/preview-files/(pv\d+)", path):
        tracker.uploads[match[1]] = asked.form["file"]
        return 201, {"id": match[1], "status": "processing"}
    return 404, {"message": "not there"}


def shotgrid() -> Any:
    """ShotGrid's JSON-RPC (`/api3/json`), and its upload into cloud storage, as hosted sites have it."""
    return _tracker(_shotgrid)


def _shotgrid(tracker: Tracker, asked: Asked) -> Answer:
    if asked.path == "/api3/json":
        return 200, _called(tracker, asked.json["method_name"], asked.json["params"])
    if asked.path == "/upload/api_get_upload_link_info":
        if not _has_key({name: value.decode() for name, value in asked.form.items()}):
            return 200, "0\nno access"
        place = f"/storage/{len(tracker.uploads)}"
        return 200, f"1\n{tracker.url}{place}?X-Amz-Signature=s\n2026-05-03\nAttachment\n{place}"
    if asked.path.startswith("/storage/") and asked.method == "PUT":
        tracker.uploads[asked.path] = asked.body
        return 200, ""
    if asked.path == "/upload/api_link_file":
        form = {name: value.decode() for name, value in asked.form.items()}
        version = tracker.versions[int(form["entity_id"]) - 1]
        assert form["entity_type"] == "Version"
        version[form["field_name"]] = form["upload_link_info"].split("\n")[4]
        return 200, f"1:{form['entity_id']}\n"
    return 404, "not there"


def _has_key(params: Mapping[str, Any]) -> bool:
    return (params.get("script_name"), params.get("script_key")) == (SCRIPT, SCRIPT_KEY)


def _called(tracker: Tracker, method: str, params: list[dict[str, Any]]) -> Any:
    if method == "info":
        return {"version": [8, 60, 0], "s3_uploads_enabled": True, "s3_direct_uploads_enabled": True}
    if not _has_key(params[0]):
        tracker.refused.append(method)
        return {"exception": True, "error_code": 102, "message": "no access"}
    said = params[1]
    if method == "read":
        rows = (
            [{"type": "Shot", "id": 10, "code": "SH010", "project": 70}]
            if said["type"] == "Shot"
            else [{**each, "entity": each["entity"]["id"]} for each in tracker.versions]
        )
        wanted = {each["path"]: each["values"][0] for each in said["filters"]["conditions"]}
        return {"results": {"entities": [row for row in rows if all(_is(row[n], v) for n, v in wanted.items())]}}
    if method == "create":
        fields = {each["field_name"]: each["value"] for each in said["fields"]}
        tracker.versions.append({"type": "Version", "id": len(tracker.versions) + 1, **fields})
        return {"results": tracker.versions[-1]}
    raise AssertionError(method)


def _is(value: Any, wanted: Any) -> bool:
    return bool(value == (wanted["id"] if isinstance(wanted, dict) else wanted))
