"""The vendor's own SDK, only its base URLs changed, against the service: results, bytes, and each class of error."""

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import httpx
import pytest
from segmind import SegmindClient
from segmind.exceptions import SegmindError
from segmind.files import Files
from segmind.v2 import InferenceFailed, InferenceTimeout

from batchmod.serve import Limits
from tests.servers.clips import Clip
from tests.serving import KEY, Running, clip, service
from tests.support import video_facts, write_clip, write_picture

SLUG = "modify-video"
LOOK = "black and white"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with service(tmp_path_factory.mktemp("serve") / "data", workers=1, key=KEY) as running:
        yield running


Point = Callable[..., SegmindClient]


@pytest.fixture
def point(monkeypatch: pytest.MonkeyPatch) -> Iterator[Point]:
    """Makes clients of the SDK whose three hosts are a service; the SDK itself never closes their connections."""
    made: list[SegmindClient] = []

    def pointed(server: Running, key: str = KEY) -> SegmindClient:
        monkeypatch.setattr(Files, "STORAGE_BASE_URL", server.url)
        history = f"{server.url}/inference-request/request-history"
        # `segmind.generations` is a shortcut of the package's, not its module
        monkeypatch.setattr(import_module("segmind.generations"), "REQUEST_HISTORY_URL", history)
        made.append(SegmindClient(api_key=key, base_url=f"{server.url}/v1", timeout=120.0))
        return made[-1]

    yield pointed
    for client in made:
        client._client.close()


@pytest.fixture
def sdk(server: Running, point: Point) -> SegmindClient:
    return point(server)


@pytest.fixture
def clip_url(sdk: SegmindClient, tmp_path: Path) -> str:
    url: str = sdk.files.upload(write_clip(tmp_path / "a.mp4"))["file_urls"][0]
    return url


def decoded(content: bytes, folder: Path) -> Clip:
    """What the bytes are, by decoding all of them."""
    place = folder / "made.mp4"
    place.write_bytes(content)
    return video_facts(place)


def test_files_upload_sends_several_files_up_and_back_they_come(sdk: SegmindClient, tmp_path: Path) -> None:
    files = [write_clip(tmp_path / "a.mp4"), write_picture(tmp_path / "f.png")]

    answer = sdk.files.upload(files)

    assert answer["message"]
    assert [httpx.get(url, trust_env=False).content for url in answer["file_urls"]] == [
        each.read_bytes() for each in files
    ]


def test_run_waits_for_a_video(sdk: SegmindClient, clip_url: str, tmp_path: Path) -> None:
    result = sdk.run(SLUG, video_url=clip_url, prompt=LOOK, mode="adhere_2")
    content = httpx.get(result["output"], trust_env=False).content

    assert result["status"] == "COMPLETED"
    assert decoded(content, tmp_path) == Clip()
    assert content != clip()
    assert len(content) == int(result["video"]["file_size"])


def test_run_sync_answers_with_the_bytes(sdk: SegmindClient, clip_url: str, tmp_path: Path) -> None:
    answer = sdk.run_sync(SLUG, video_url=clip_url, prompt=LOOK)
    row = sdk.generations.get(answer.headers["x-request-id"])

    assert answer.headers["content-type"] == "video/mp4"
    assert decoded(answer.content, tmp_path) == Clip()
    assert httpx.get(row["generation_url"], trust_env=False).content == answer.content


def test_submit_async_tells_states_and_wait_the_result(sdk: SegmindClient, tmp_path: Path) -> None:
    url = sdk.files.upload(write_clip(tmp_path / "long.mp4", Clip(width=160, height=120, frames=200)))["urls"][0]
    frame = sdk.files.upload(write_picture(tmp_path / "f.png", width=160, height=120))["urls"][0]

    job = sdk.submit_async(SLUG, video_url=url, first_frame_url=frame, mode="flex_1")
    with pytest.raises(InferenceTimeout):
        job.wait(timeout=0.01, interval=0.01)
    seen = {job.status()["status"]}
    result = job.wait(interval=0.1)

    assert seen <= {"QUEUED", "PROCESSING"}
    assert job.submit_response["status"] == "QUEUED"
    assert job.status()["status"] == result["status"] == "COMPLETED"
    assert decoded(httpx.get(result["output"], trust_env=False).content, tmp_path).frames == 200


def test_the_history_lists_what_the_sdk_sent(sdk: SegmindClient, clip_url: str) -> None:
    inputs = {"video_url": clip_url, "prompt": LOOK, "mode": "adhere_3"}
    job = sdk.submit_async(SLUG, **inputs)
    job.wait(interval=0.1)

    page = sdk.generations.history(per_page=5, model_name=SLUG, status="COMPLETED")

    assert page["data"][0]["request_id"] == job.request_id
    assert page["data"][0]["request_body"] == inputs
    assert page["data"][0]["model_status"] == "COMPLETED"


def error_of(sdk: SegmindClient, **inputs: object) -> SegmindError:
    with pytest.raises(SegmindError) as error:
        sdk.submit_async(SLUG, **inputs)
    return error.value


def test_400_malformed(sdk: SegmindClient) -> None:
    error = error_of(sdk, mode="flex_1")

    assert (error.status, error.detail) == (400, "Missing required field: video_url")


def test_401_both_texts(server: Running, point: Point) -> None:
    missing = error_of(point(server, key=""), video_url="https://example.com/a.mp4")
    wrong = error_of(point(server, key="SG_wrong"), video_url="https://example.com/a.mp4")

    assert (missing.status, wrong.status) == (401, 401)
    assert "No API key found" in str(missing.detail)
    assert wrong.detail == "Invalid or expired API key"


def test_403_a_host_that_is_not_ours(sdk: SegmindClient, clip_url: str) -> None:
    sdk._client.headers["host"] = "evil.example"

    assert error_of(sdk, video_url=clip_url).status == 403


def test_404_an_unknown_model_and_an_unknown_request(sdk: SegmindClient) -> None:
    with pytest.raises(SegmindError) as model:
        sdk.run("other-model", video_url="https://example.com/a.mp4")
    with pytest.raises(SegmindError) as request:
        sdk.generations.get("nobody-knows")

    assert (model.value.status, model.value.detail) == (404, "Not found")
    assert (request.value.status, request.value.detail) == (404, "Request nobody-knows not found")


def test_405_in_html(sdk: SegmindClient) -> None:
    with pytest.raises(SegmindError) as error:
        sdk._request("DELETE", f"/{SLUG}")

    assert (error.value.status, error.value.detail) == (405, None)


def test_406_a_value_and_a_content_type(sdk: SegmindClient, clip_url: str) -> None:
    value = error_of(sdk, video_url=clip_url, mode="flex_9")
    with pytest.raises(SegmindError) as content_type:
        sdk._request("POST", f"/{SLUG}", content=json.dumps({"video_url": clip_url}))
    with pytest.raises(SegmindError) as blocking:
        sdk.run_sync(SLUG, video_url=clip_url, prompt="nothing the engine knows")

    assert value.status == content_type.value.status == blocking.value.status == 406
    assert "Value rejected" in str(value.detail)
    assert "Invalid content type" in str(content_type.value.detail)
    assert "names no look" in str(blocking.value.detail)


def test_413_a_file_that_is_too_large(tmp_path: Path, point: Point) -> None:
    with service(tmp_path / "data", limits=Limits(clip_bytes=100)) as small, pytest.raises(SegmindError) as error:
        point(small).files.upload(write_clip(tmp_path / "a.mp4"))

    assert error.value.status == 413


def test_422_failed_is_an_inference_failure(sdk: SegmindClient, clip_url: str) -> None:
    job = sdk.submit_async(SLUG, video_url=clip_url, prompt="nothing the engine knows")
    with pytest.raises(InferenceFailed) as error:
        job.wait(interval=0.1)
    answer = sdk._client.get(job.status_url)

    assert "names no look" in str(error.value.detail)
    assert error.value.status_body["status"] == job.result()["status"] == "FAILED"
    assert answer.status_code == 422
    assert "cost" not in answer.json()["metrics"]


def test_429_a_full_queue(tmp_path: Path, point: Point) -> None:
    with service(tmp_path / "data", limits=Limits(queued=1)) as full:
        sdk = point(full)
        url = sdk.files.upload(write_clip(tmp_path / "a.mp4"))["urls"][0]
        sdk.submit_async(SLUG, video_url=url)
        error = error_of(sdk, video_url=url)

    assert (error.status, str(error.detail).startswith("Rate limit exceeded")) == (429, True)


def test_500_where_the_service_itself_failed(tmp_path: Path, point: Point) -> None:
    with service(tmp_path / "data", workers=1, limits=Limits(data_bytes=90_000_000)) as tight:
        sdk = point(tight)
        url = sdk.files.upload(write_clip(tmp_path / "a.mp4"))["urls"][0]
        with pytest.raises(SegmindError) as error:
            sdk.run_sync(SLUG, video_url=url, prompt=LOOK)

    assert error.value.status == 500
    assert "no room left" in str(error.value.detail)


def test_507_where_the_files_take_all_room(tmp_path: Path, point: Point) -> None:
    with service(tmp_path / "data", limits=Limits(data_bytes=1000)) as tight, pytest.raises(SegmindError) as error:
        point(tight).files.upload(write_clip(tmp_path / "a.mp4"))

    assert error.value.status == 507
