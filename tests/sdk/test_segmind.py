"""Segmind's own SDK works against the stand-in: both versions, uploads, the history, its exceptions."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from segmind import SegmindClient
from segmind.exceptions import SegmindError
from segmind.files import Files
from segmind.v2 import InferenceFailed, InferenceTimeout

from tests.sdk.errors import same_request_as_ours
from tests.servers.segmind import SegmindStandIn
from tests.support import shoot, write_clip

INPUTS = {"video_url": "https://example.com/a.mp4", "mode": "flex_1", "prompt": "as wool"}
SLUG = "modify-video"


@contextmanager
def both(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Iterator[tuple[SegmindStandIn, SegmindClient]]:
    """The client takes a base URL; its other hosts are constants, so they are set."""
    quick = {"queued_s": 0, "processing_s": 0, **settings}
    with SegmindStandIn(**quick) as server:
        monkeypatch.setattr(Files, "STORAGE_BASE_URL", server.upload_url)
        history = f"{server.history_url}/inference-request/request-history"
        monkeypatch.setattr(sys.modules["segmind.generations"], "REQUEST_HISTORY_URL", history)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        client = SegmindClient(api_key=server.key, base_url=f"{server.url}/v1", timeout=5)
        with client._client:
            yield server, client


def test_run_goes_all_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    with both(monkeypatch) as (server, client):
        done = client.run(SLUG, **INPUTS)

        assert (done["status"], done["metrics"]["cost"]) == ("COMPLETED", 0.6)
        assert httpx.get(done["output"], trust_env=False).content == server.output_of(server.ledger.jobs[0].request_id)
        assert (server.ledger.accepted, server.ledger.billed, server.ledger.key_leaks) == (1, 1, 0)


def test_run_sync_brings_the_bytes_and_what_they_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    with both(monkeypatch) as (server, client):
        answer = client.run_sync(SLUG, **INPUTS)

        assert answer.headers["content-type"] == "video/mp4"
        assert answer.content == server.output_of(answer.headers["x-request-id"])
        assert (answer.headers["x-cost"], answer.headers["x-remaining-credits"]) == ("0.6", "999.4")


def test_a_job_is_submitted_asked_for_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with both(monkeypatch, processing_s=0.3) as (server, client):
        job = client.submit_async(SLUG, **INPUTS)

        assert job.status()["status"] in ("QUEUED", "PROCESSING")
        assert job.wait(timeout=5, interval=0.05)["video"]["content_type"] == "video/mp4"
        with pytest.raises(InferenceTimeout):
            client.submit_async(SLUG, **INPUTS).wait(timeout=0.01, interval=0.01)
        assert server.ledger.accepted == 2


def test_files_go_up_in_both_shapes_of_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    for shape in ("urls", "file_urls"):
        with both(monkeypatch, upload_answer=shape) as (server, client):
            (url,) = client.files.upload(path)[shape]

            stored = server.storage.at(url)
            assert stored is not None
            assert stored.content == path.read_bytes()


def test_the_history_lists_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with both(monkeypatch) as (server, client):
        client.run_sync(SLUG, **INPUTS)
        request_id = server.ledger.jobs[0].request_id
        (row,) = client.generations.history(model_name=SLUG)["data"]

        assert (row["request_id"], row["request_body"], row["credits_deduction"]) == (request_id, INPUTS, 0.6)
        assert client.generations.get(request_id)["request_id"] == request_id


@pytest.mark.parametrize("fault", ["failed_422", "failed_200"])
def test_a_failed_job_is_seen_as_one_under_both_statuses(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with both(monkeypatch) as (server, client):
        server.faults.add(fault, on="submit", text="the model fell over")
        with pytest.raises(InferenceFailed, match="the model fell over"):
            client.run(SLUG, **INPUTS)
        assert server.ledger.billed == 0


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("error_400", 400),
        ("error_401_missing", 401),
        ("error_401_invalid", 401),
        ("error_403", 403),
        ("error_404", 404),
        ("error_405", 405),
        ("error_406_credits", 406),
        ("error_410", 410),
        ("error_429_reset_at", 429),
        ("error_500_json", 500),
        ("error_502", 502),
        ("error_504", 504),
    ],
)
def test_each_refusal_is_the_sdks_own_error(fault: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with both(monkeypatch) as (server, client):
        server.faults.add(fault, on="submit")
        with pytest.raises(SegmindError) as caught:
            client.submit_async(SLUG, **INPUTS)

        assert caught.value.status == status
        html = fault in ("error_405", "error_502", "error_504")
        assert (caught.value.detail is None) == html


def test_what_we_send_is_what_the_sdk_sends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    row = {"id": "a", "video_url": "a.mp4", "mode": "flex_1", "prompt": "as wool"}
    with both(monkeypatch) as (server, client):
        client.run(SLUG, **{**INPUTS, "video_url": client.files.upload(path)["urls"][0]})

        assert shoot(tmp_path, server, [row]).run().code == 0
        same_request_as_ours(server)
