"""The contract over HTTP: what is refused and how, the shape of every answer, files and their URLs."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from batchmod import clock
from batchmod.serve import Limits, contract, openapi
from batchmod.serve.api import Api
from batchmod.serve.queue import State
from batchmod.serve.store import OUTPUTS
from tests.serving import Running, clip, data_url, service
from tests.support import write_picture

SOURCE = {"video_url": "https://example.com/a.mp4", "prompt": "a watercolour painting"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    """A service without workers: what is submitted waits."""
    with service(tmp_path / "data") as running:
        yield running


def source(running: Running) -> dict[str, Any]:
    """Inputs that are accepted, with a clip of the service's own."""
    return {**SOURCE, "video_url": running.upload(clip())}


def refused(answer: httpx.Response, status: int, text: str) -> None:
    """The answer is an error in the contract's shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert text in answer.json()["error"]


def described(name: str, value: Any) -> None:
    """The value has the shape that the OpenAPI document gives it."""
    document = openapi.document(Limits())
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)


def test_a_submit_is_accepted_with_three_urls_on_the_origin_that_was_asked(server: Running) -> None:
    body = server.ask("POST", "/v2/modify-video", json=source(server)).json()
    request_id = body["request_id"]

    described("Submitted", body)
    assert body == {
        "request_id": request_id,
        "status": "QUEUED",
        "poll_url": f"{server.url}/v1/requests/{request_id}",
        "status_url": f"{server.url}/v2/requests/{request_id}/status",
        "response_url": f"{server.url}/v2/requests/{request_id}",
    }


def test_a_waiting_request_tells_its_place(server: Running) -> None:
    first, second = server.submit(**source(server)), server.submit(**source(server))
    bodies = [server.ask("GET", f"/v2/requests/{each}/status").json() for each in (first, second)]
    early = server.ask("GET", f"/v2/requests/{second}")

    for body in bodies:
        described("Status", body)
    assert [body["queue_position"] for body in bodies] == [0, 1]
    assert [body["status"] for body in bodies] == ["QUEUED", "QUEUED"]
    assert (early.status_code, early.json()) == (200, bodies[1])
    assert server.ask("GET", f"/v1/requests/{second}").json() == bodies[1]


@pytest.mark.parametrize(
    ("inputs", "status", "text"),
    [
        ({}, 400, "Missing required field: video_url"),
        ({"video_url": ""}, 400, "Missing required field: video_url"),
        ({"video_url": None}, 400, "Missing required field: video_url"),
        ({"video_url": "clips/a.mp4"}, 400, "video_url must be an absolute http(s) URL"),
        ({"video_url": "file:///etc/passwd"}, 400, "video_url must be an absolute http(s) URL"),
        ({"video_url": "https://"}, 400, "video_url must be an absolute http(s) URL"),
        ({"video_url": "https://[::1"}, 400, "video_url must be an absolute http(s) URL"),
        ({"video_url": ["https://example.com/a.mp4"]}, 400, "video_url must be an absolute http(s) URL"),
        ({**SOURCE, "first_frame_url": "data:image/png;base64,AAAA"}, 400, "first_frame_url must be an absolute"),
        ({**SOURCE, "prompt": 7}, 400, "prompt must be a string"),
        ({**SOURCE, "mode": "flex_9"}, 406, "Value rejected: mode must be one of adhere_1"),
        ({**SOURCE, "mode": ["flex_1"]}, 406, "Value rejected: mode must be one of adhere_1"),
        ({**SOURCE, "prompt": "x" * 20_001}, 406, "Value rejected: prompt is longer"),
    ],
)
def test_a_submit_that_breaks_the_contract_is_refused(
    server: Running, inputs: dict[str, Any], status: int, text: str
) -> None:
    for version in ("v1", "v2"):
        refused(server.ask("POST", f"/{version}/modify-video", json=inputs), status, text)
    assert server.ask("GET", "/inference-request/request-history").json()["total"] == 0


@pytest.mark.parametrize(
    ("content_type", "body", "status", "text"),
    [
        ("application/json", b"{", 400, "not valid JSON"),
        ("application/json", b"[]", 400, "must be a JSON object"),
        ("application/json", b"[" * 100_000, 400, "not valid JSON"),
        ("application/json", b"\xff", 400, "not valid JSON"),
        ("application/json", b'{"video_url": "https://example.com/a.mp4", "x": NaN}', 400, "not valid JSON"),
        ("application/json", b'{"video_url": "https://example.com/a.mp4", "x": "\\ud800"}', 400, "not valid JSON"),
        ("application/json", b'{"x": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, "not valid JSON"),
        ("application/json", b"", 400, "not valid JSON"),
        ("application/json", b" " * 1_100_000, 413, "at most"),
        ("text/plain", b"{}", 406, "Invalid content type"),
        ("application/x-www-form-urlencoded", b"video_url=x", 406, "Invalid content type"),
        ("", b"{}", 406, "Invalid content type"),
        ("multipart/form-data", b"x", 400, "multipart/form-data"),
        ("multipart/form-data; boundary=b", b"x", 400, "multipart/form-data"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    server: Running, content_type: str, body: bytes, status: int, text: str
) -> None:
    headers = {"content-type": content_type} if content_type else {}

    refused(server.ask("POST", "/v2/modify-video", content=body, headers=headers), status, text)


def test_an_endless_body_ends(tmp_path: Path) -> None:
    def endless() -> Iterator[bytes]:
        yield b'{"data_urls": ["data:video/mp4;base64,'
        while True:
            yield b"A" * 65536

    with service(tmp_path / "data", limits=Limits(clip_bytes=2_000_000)) as server:
        url = f"{server.url}/upload-asset"
        headers = {"content-type": "application/json"}
        try:
            answer = httpx.post(url, content=endless(), headers=headers, trust_env=False, timeout=30)
            refused(answer, 413, "at most")
        except httpx.WriteError:
            pass  # the service has hung up on who did not stop
        assert not list((tmp_path / "data" / "incoming").iterdir())


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    def slow() -> Iterator[bytes]:
        yield b'{"video_url":'
        clock_wait(1.5)
        yield b"1}"

    with service(tmp_path / "data", limits=Limits(stall_s=0.3)) as server:
        headers = {"content-type": "application/json"}
        refused(
            server.ask("POST", "/v2/modify-video", content=slow(), headers=headers), 408, "Nothing of the body came"
        )


def clock_wait(seconds: float) -> None:
    import threading

    threading.Event().wait(seconds)


def test_more_than_the_queue_holds_is_asked_to_come_again(tmp_path: Path) -> None:
    with service(tmp_path / "data", limits=Limits(queued=2)) as server:
        server.submit(**source(server))
        server.submit(**source(server))
        answer = server.ask("POST", "/v2/modify-video", json=source(server))

    refused(answer, 429, "Rate limit exceeded")
    assert answer.headers["retry-after"] == "10"


def test_fields_of_others_are_kept_as_they_were_sent(server: Running) -> None:
    inputs = {**source(server), "seed": 7, "nested": {"ü": [1, None]}}
    request_id = server.submit(**inputs)

    assert server.ask("GET", f"/inference-request/request-history/{request_id}").json()["request_body"] == inputs


def test_an_unknown_request_is_not_found(server: Running) -> None:
    for path in ("/v2/requests/x/status", "/v2/requests/x", "/v1/requests/x", "/inference-request/request-history/x"):
        refused(server.ask("GET", path), 404, "Request x not found")


@pytest.mark.parametrize("path", ["/v2/other-model", "/v3/modify-video", "/v2/modify-video/", "/nowhere", "/docs/x"])
def test_an_unknown_path_is_not_found(server: Running, path: str) -> None:
    refused(server.ask("POST", path, json=SOURCE), 404, "Not found")


def test_a_wrong_verb_is_answered_in_html(server: Running) -> None:
    for method, path in (("GET", "/v2/modify-video"), ("DELETE", "/v1/modify-video"), ("POST", "/v2/requests/x")):
        answer = server.ask(method, path)
        assert (answer.status_code, answer.text) == (405, contract.WRONG_VERB)
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["allow"]


def test_an_upload_gets_a_url_that_nobody_can_guess(server: Running, tmp_path: Path) -> None:
    video, picture = clip(), write_picture(tmp_path / "f.png").read_bytes()
    given = [data_url(video), data_url(picture, "image/png"), data_url(video, "application/octet-stream")]

    body = server.ask("POST", "/upload-asset", json={"data_urls": given}).json()

    described("Uploaded", body)
    assert body["urls"] == body["file_urls"]
    assert len(set(body["urls"])) == 3
    assert [re.fullmatch(rf"{re.escape(server.url)}/assets/[\w-]{{43}}\.(mp4|png)", url) for url in body["urls"]].count(
        None
    ) == 0
    assert [httpx.get(url, trust_env=False).content for url in body["urls"]] == [video, picture, video]
    types = [httpx.head(url, trust_env=False).headers["content-type"] for url in body["urls"]]
    assert types == ["video/mp4", "image/png", "video/mp4"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "an empty file"),
        (b"<!doctype html><script>alert(1)</script>", "an HTML page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "an SVG drawing"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "an FFmpeg list of other files"),
        (b"#EXTM3U\n#EXTINF:1\nfile:///etc/passwd\n", "an HLS playlist"),
        (b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00qt  ", "a QuickTime file"),
        (b"\x00\x00\x00\x08moov", "a QuickTime file"),
        (b"\x1a\x45\xdf\xa3" + bytes(40), "a Matroska or WebM file"),
        (b"GIF89a" + bytes(40), "a GIF picture"),
        (b"MZ" + bytes(100), "a file of unknown kind"),
    ],
)
def test_only_mp4_videos_and_pictures_are_taken_whatever_they_are_called(
    server: Running, tmp_path: Path, content: bytes, text: str
) -> None:
    refused(server.ask("POST", "/upload-asset", json={"data_urls": [data_url(content)]}), 400, text)
    assert not list((tmp_path / "data" / "files").iterdir())
    assert not list((tmp_path / "data" / "incoming").iterdir())


@pytest.mark.parametrize("body", [{}, {"data_urls": []}, {"data_urls": "x"}, {"data_urls": ["https://example.com"]}])
def test_an_upload_without_data_urls_is_refused(server: Running, body: dict[str, Any]) -> None:
    refused(server.ask("POST", "/upload-asset", json=body), 400, "data_urls must")


def test_an_upload_in_another_form_is_refused(server: Running) -> None:
    refused(server.ask("POST", "/upload-asset", files={"file": b"x"}), 406, "Invalid content type")


def test_a_clip_above_its_size_is_refused(tmp_path: Path) -> None:
    video = clip(frames=40)
    with service(tmp_path / "data", limits=Limits(clip_bytes=len(video) - 1)) as server:
        refused(server.ask("POST", "/upload-asset", json={"data_urls": [data_url(video)]}), 413, "at most")
        refused(server.ask("POST", "/v2/modify-video", files={"video_url": video}), 413, "at most")
        assert not list((tmp_path / "data" / "incoming").iterdir())


def test_a_picture_above_its_size_is_refused(tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "f.png").read_bytes()
    with service(tmp_path / "data", limits=Limits(picture_bytes=len(picture) - 1)) as server:
        refused(server.ask("POST", "/upload-asset", json={"data_urls": [data_url(picture)]}), 413, "A picture may have")


def test_files_take_no_more_room_than_they_may(tmp_path: Path) -> None:
    with service(tmp_path / "data", limits=Limits(data_bytes=20_000)) as server:
        answers = [server.ask("POST", "/upload-asset", json={"data_urls": [data_url(clip())]}) for _ in range(9)]
        codes = [answer.status_code for answer in answers]
        held = server.service.store.used()

    assert codes[0] == 200
    assert codes[-1] == 507
    refused(answers[-1], 507, "no room left")
    assert held <= 20_000


def test_a_range_of_a_file_is_sent_alone(server: Running) -> None:
    video = clip()
    url = server.upload(video)
    part = httpx.get(url, headers={"Range": "bytes=10-19"}, trust_env=False)
    beyond = httpx.get(url, headers={"Range": f"bytes={len(video)}-"}, trust_env=False)

    assert (part.status_code, part.content) == (206, video[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(video)}"
    assert beyond.status_code == 416


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../queue.sqlite3",
        "/assets/..%2Fqueue.sqlite3",
        "/assets/%2e%2e/%2e%2e/etc/passwd",
        "/assets//etc/passwd",
        "/assets/..%5Cqueue.sqlite3",
        "/outputs/%00",
        "/page/..%2F..%2Fapi.py",
        "/page/index.html",
        "/page/__init__.py",
        "/assets/",
        "/assets/.batchmod.lock",
    ],
)
def test_no_path_leads_out_of_its_folder(server: Running, path: str) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    answer = raw(host, int(port), path)

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"SQLite" not in answer
    assert b"root:" not in answer


def raw(host: str, port: int, path: str) -> bytes:
    """The answer to a path that a client would not send so."""
    import socket

    with socket.create_connection((host, port), timeout=10) as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: line.recv(65536), b""))


def test_an_asset_is_no_output_and_the_other_way_round(server: Running) -> None:
    name = server.upload(clip()).rsplit("/", 1)[1]

    refused(server.ask("GET", f"/outputs/{name}"), 404, "No such file")
    assert server.ask("GET", f"/assets/{name}").status_code == 200


def test_files_end_with_their_time_and_a_waiting_job_keeps_its_own(tmp_path: Path) -> None:
    with service(tmp_path / "data") as server:
        url = server.upload(clip())
        request_id = server.submit(video_url=url, prompt="a watercolour painting")
        store = server.service.store
        store.sweep(at=clock.now() + 23.9 * 3600)
        before = httpx.get(url, trust_env=False).status_code
        store.sweep(at=clock.now() + 24.1 * 3600)
        after = httpx.get(url, trust_env=False)
        again = server.ask("POST", "/v2/modify-video", json={"video_url": url})
        left = [path.name for path in (tmp_path / "data" / "files").iterdir()]
        bench = store.bench(request_id) / "video"

        assert before == 200
        refused(after, 404, "its time is over")
        refused(again, 400, "upload it again")
        assert url in again.json()["error"]
        assert left == []
        assert bench.read_bytes() == clip()


def test_a_file_expires_although_nobody_has_swept(tmp_path: Path) -> None:
    with service(tmp_path / "data", limits=Limits(file_s=0.2)) as server:
        url = server.upload(clip())
        clock_wait(0.3)
        refused(httpx.get(url, trust_env=False), 404, "its time is over")


def test_a_url_of_this_service_is_known_by_any_of_its_names(server: Running) -> None:
    url = server.upload(clip())
    near = url.replace("127.0.0.1", "localhost")

    assert server.submit(video_url=near, prompt="x")
    refused(server.ask("POST", "/v2/modify-video", json={"video_url": f"{server.url}/docs"}), 400, "no such file here")
    refused(server.ask("POST", "/v2/modify-video", json={"video_url": f"{server.url}/v1/x"}), 400, "no such file here")


def test_a_form_brings_its_files_along(server: Running, tmp_path: Path) -> None:
    video, picture = clip(), write_picture(tmp_path / "f.png").read_bytes()
    files = {"video_url": ("a.mp4", video, "video/mp4"), "first_frame_url": ("f.png", picture, "image/png")}

    body = server.ask("POST", "/v2/modify-video", files=files, data={"mode": "flex_2", "prompt": ""}).json()
    inputs = server.ask("GET", f"/inference-request/request-history/{body['request_id']}").json()["request_body"]
    fetched = [httpx.get(inputs[name], trust_env=False).content for name in ("video_url", "first_frame_url")]

    assert fetched == [video, picture]
    assert inputs["mode"] == "flex_2"
    assert "prompt" not in inputs


def test_there_are_always_credits(server: Running) -> None:
    body = server.ask("GET", "/v1/get-user-credits").json()

    described("Credits", body)
    assert body["credits"] > 1000


def test_the_history_pages_sorts_and_filters(server: Running) -> None:
    ids = [server.submit(**source(server), note=number) for number in range(5)]
    queue = server.service.queue
    queue.fail(ids[1], "no", of_input=True, at=clock.now())
    page = history(server, per_page=2)
    described("History", page)

    assert [row["request_id"] for row in page["data"]] == [ids[4], ids[3]]
    assert (page["total"], page["total_pages"], page["page"], page["per_page"]) == (5, 3, 1, 2)
    assert [row["request_id"] for row in history(server, per_page=2, page=3)["data"]] == [ids[0]]
    assert [row["request_id"] for row in history(server, sort_order="asc")["data"]] == ids
    assert [row["request_id"] for row in history(server, status="FAILED")["data"]] == [ids[1]]
    assert history(server, status="FAILED")["data"][0]["error"] == "no"
    assert history(server, status="PENDING")["total"] == 4
    assert history(server, model_name="modify")["total"] == 5
    assert history(server, model_name="other")["total"] == 0
    today = datetime.now(UTC).date()
    assert history(server, from_date=today, to_date=today)["total"] == 5
    assert history(server, to_date=today - timedelta(days=1))["total"] == 0


def history(server: Running, **query: Any) -> dict[str, Any]:
    answer = server.ask("GET", "/inference-request/request-history", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=x",
        "page=99999999999",
        "per_page=101",
        "per_page=-1",
        "status=DONE",
        "sort_by=x",
        "sort_order=x",
        "from_date=3.5.2026",
        "from_date=2026-01-01&to_date=2026-02-15",
        "from_date=2026-02-01&to_date=2026-01-15",
        "to_date=0001-01-01",
        "to_date=9999-12-31",
    ],
)
def test_a_history_beyond_its_limits_is_refused(server: Running, query: str) -> None:
    answer = server.ask("GET", f"/inference-request/request-history?{query}")

    refused(answer, 400, "")


def test_the_document_describes_every_path_and_no_other() -> None:
    document = openapi.document(Limits())
    routes = {
        (route.path, method)
        for route in Api(None).routes()  # type: ignore[arg-type]
        for method in route.methods or ()
        if method != "HEAD"
    }
    people = {"/", "/page/{name}", "/docs", "/openapi.json", "/favicon.ico"}

    described_ = {(path, verb.upper()) for path, verbs in document["paths"].items() for verb in verbs}

    assert described_ == {(path, method) for path, method in routes if path not in people}


def test_every_reference_of_the_document_leads_somewhere_and_every_schema_is_one() -> None:
    document = openapi.document(Limits())
    text = json.dumps(document)

    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in document["components"]["schemas"]
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_docs_and_page_need_nothing_of_another_host(server: Running) -> None:
    for path in ("/docs", "/", "/page/page.css", "/page/page.js"):
        answer = server.ask("GET", path)
        assert answer.status_code == 200
        loaded = re.findall(r"(?:src|href)=[\"']([^\"']+)", answer.text) + re.findall(r"url\(([^)]*)\)", answer.text)
        assert not [url for url in loaded if "//" in url]
        assert "@import" not in answer.text
    assert "/v2/modify-video" in server.ask("GET", "/docs").text
    assert server.ask("GET", "/openapi.json").json()["servers"] == [{"url": server.url}]


def test_docs_escape_what_they_show() -> None:
    from batchmod.serve import docs

    document = openapi.document(Limits())
    document["info"]["description"] = "<script>alert(1)</script>"

    assert "<script>" not in docs.html(document, base="http://x/<script>", needs_key=True)


def test_a_finished_request_has_the_shape_of_a_result(server: Running, tmp_path: Path) -> None:
    """What the engine makes is another test's; here a file stands for it."""
    request_id = server.submit(**source(server))
    made = tmp_path / "made.mp4"
    made.write_bytes(clip())
    output = server.service.store.hand_out(made, at=clock.now())
    server.service.queue.begin(request_id, at=clock.now())
    server.service.queue.complete(request_id, output, warnings=["w"], at=clock.now())

    status = server.ask("GET", f"/v2/requests/{request_id}/status").json()
    body = server.ask("GET", f"/v2/requests/{request_id}").json()
    row = server.ask("GET", f"/inference-request/request-history/{request_id}").json()

    described("Status", status)
    described("Result", body)
    described("HistoryRow", row)
    assert status["status"] == body["status"] == row["model_status"] == State.COMPLETED
    assert body["output"] == body["video"]["url"] == row["generation_url"] == f"{server.url}/{OUTPUTS}/{output.name}"
    assert body["video"]["file_size"] == str(len(clip()))
    assert httpx.get(body["output"], trust_env=False).content == clip()
    assert replace(output, expires_at=0) != output
