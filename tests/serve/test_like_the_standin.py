"""Our service and the stand-in for Segmind were written apart from one contract: they answer alike."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.servers.segmind import SegmindStandIn
from tests.serving import KEY, Running, clip, data_url, service

JSON = {"content-type": "application/json"}
REMOTE = "https://example.com/a.mp4"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SegmindStandIn, Running]]:
    data = tmp_path_factory.mktemp("serve") / "data"
    with SegmindStandIn(one_origin=True, key=KEY, processing_s=60.0) as standin, service(data, key=KEY) as ours:
        standin.seed({"video_url": REMOTE})  # it looks at a history's query only where there are rows
        yield standin, ours


def asked(url: str, method: str, path: str, **more: Any) -> httpx.Response:
    headers = {"x-api-key": KEY} | more.pop("headers", {})
    return httpx.request(method, f"{url}{path}", headers=headers, trust_env=False, timeout=30, **more)


REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v2/modify-video", {"headers": {"x-api-key": ""}}),
    ("POST", "/v2/modify-video", {"headers": {"x-api-key": "SG_wrong"}}),
    ("POST", "/v2/modify-video", {"content": b"{", "headers": JSON}),
    ("POST", "/v2/modify-video", {"content": b"[]", "headers": JSON}),
    ("POST", "/v2/modify-video", {"content": b"{}", "headers": {"content-type": "text/plain"}}),
    ("POST", "/v2/modify-video", {"content": b"{}"}),
    ("POST", "/v2/modify-video", {"json": {}}),
    ("POST", "/v2/modify-video", {"json": {"video_url": "clips/a.mp4"}}),
    ("POST", "/v2/modify-video", {"json": {"video_url": REMOTE, "first_frame_url": "x"}}),
    ("POST", "/v2/modify-video", {"json": {"video_url": REMOTE, "prompt": 7}}),
    ("POST", "/v2/modify-video", {"json": {"video_url": REMOTE, "mode": "flex_9"}}),
    ("POST", "/v1/modify-video", {"json": {"video_url": REMOTE, "mode": "flex_9"}}),
    ("POST", "/v2/other-model", {"json": {}}),
    ("GET", "/v2/modify-video", {}),
    ("GET", "/v2/requests/x/status", {}),
    ("GET", "/v2/requests/x", {}),
    ("GET", "/v1/requests/x", {}),
    ("POST", "/upload-asset", {"json": {"data_urls": []}}),
    ("POST", "/upload-asset", {"json": {"data_urls": [REMOTE]}}),
    ("POST", "/upload-asset", {"content": b"x", "headers": {"content-type": "text/plain"}}),
    ("GET", "/inference-request/request-history?page=0", {}),
    ("GET", "/inference-request/request-history?per_page=101", {}),
    ("GET", "/inference-request/request-history?page=x", {}),
    ("GET", "/inference-request/request-history?from_date=2026-01-01&to_date=2026-03-01", {}),
    ("GET", "/inference-request/request-history?status=DONE", {}),
    ("GET", "/inference-request/request-history?sort_by=x", {}),
    ("GET", "/inference-request/request-history/x", {}),
    ("GET", "/assets/x.mp4", {}),
]


@pytest.mark.parametrize(("method", "path", "more"), REFUSED)
def test_they_refuse_alike(both: tuple[SegmindStandIn, Running], method: str, path: str, more: dict[str, Any]) -> None:
    theirs, ours = (asked(each.url, method, path, **more) for each in both)

    assert ours.status_code == theirs.status_code >= 400
    assert ours.headers["content-type"].split(";")[0] == theirs.headers["content-type"].split(";")[0]
    if path != "/assets/x.mp4" and ours.status_code != 405:
        assert ours.json() == theirs.json()


def keys(value: Any) -> set[str]:
    """The names in a JSON value, with their place."""
    if isinstance(value, dict):
        return {f"{name}{'.' if inner else ''}{inner}" for name, each in value.items() for inner in keys(each) or {""}}
    return {f"[].{inner}" for each in value for inner in keys(each)} if isinstance(value, list) else set()


def test_they_answer_alike(both: tuple[SegmindStandIn, Running]) -> None:
    shapes = []
    for each in both:
        urls = asked(each.url, "POST", "/upload-asset", json={"data_urls": [data_url(clip())]}).json()["urls"]
        inputs = {"video_url": urls[0], "mode": "flex_1", "prompt": "black and white"}
        submitted = asked(each.url, "POST", "/v2/modify-video", json=inputs).json()
        request_id = submitted["request_id"]
        status = asked(each.url, "GET", f"/v2/requests/{request_id}/status").json()
        row = asked(each.url, "GET", f"/inference-request/request-history/{request_id}").json()
        page = asked(each.url, "GET", "/inference-request/request-history").json()
        credits_ = asked(each.url, "GET", "/v1/get-user-credits").json()
        assert submitted["status_url"] == f"{each.url}/v2/requests/{request_id}/status"
        assert row["request_body"] == inputs
        shapes.append([keys(value) for value in (submitted, status, row, page, credits_)])

    for theirs, ours in zip(*shapes, strict=True):
        assert theirs <= ours
        assert ours - theirs <= {"progress", "queue_position"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
INPUTS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("video_url", "first_frame_url", "mode", "prompt", "data_urls", "x"), VALUES)
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inputs=INPUTS | VALUES, path=st.sampled_from(["/v2/modify-video", "/upload-asset", "/v1/modify-video"]))
def test_no_body_makes_the_service_stumble(both: tuple[SegmindStandIn, Running], inputs: Any, path: str) -> None:
    answer = asked(both[1].url, "POST", path, json=inputs)

    assert answer.status_code in (400, 406)
    assert list(answer.json()) == ["error"]
