"""The vendor's own SDK works against the stand-in for WaveSpeed, unchanged: that keeps the stand-in honest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import wavespeed as sdk

from batchmod.providers import wavespeed
from tests.replies import submitting
from tests.sdk.bytes_of import compact, rendered
from tests.servers.ledger import Kind
from tests.servers.wavespeed import MODEL, WaveSpeedStandIn
from tests.support import write_clip

INPUTS = {"video": "https://example.com/a.mp4", "mode": "flex_2", "prompt": "as wool"}


@pytest.fixture
def server() -> Iterator[WaveSpeedStandIn]:
    with WaveSpeedStandIn(processing_s=0.2) as running:
        yield running


def client(server: WaveSpeedStandIn, key: str | None = None) -> Any:
    return sdk.Client(api_key=key or server.key, base_url=server.url, retry_interval=0.01)


def run(server: WaveSpeedStandIn, key: str | None = None, **more: Any) -> Any:
    """What the SDK's `run` gives for the inputs above, with `more` of its options."""
    return client(server, key).run(MODEL, INPUTS, poll_interval=0.02, **more)


def test_run_waits_and_gives_the_output(server: WaveSpeedStandIn) -> None:
    outputs = run(server)["outputs"]

    assert httpx.get(outputs[0], trust_env=False).content == server.output_of(server.ledger.jobs[0].request_id)
    assert (server.ledger.accepted, server.ledger.billed) == (1, 1)
    assert server.ledger.key_leaks == 0


def test_its_request_is_the_one_batchmod_sends(server: WaveSpeedStandIn) -> None:
    ours = submitting(wavespeed, first_frame=None).request
    client(server).run(MODEL, ours.json, poll_interval=0.02)

    seen = next(seen for seen in server.ledger.requests if seen.kind is Kind.SUBMIT)
    assert compact(server.body_of(server.ledger.jobs[0].request_id)) == rendered(ours)
    assert (seen.method, seen.path) == (ours.method, ours.url.removeprefix("https://api.test"))


def test_a_prediction_is_asked_for_by_its_id(server: WaveSpeedStandIn) -> None:
    run(server)
    request_id = server.ledger.jobs[0].request_id

    told = client(server).get_result(request_id)

    assert (told["code"], told["data"]["id"], told["data"]["status"]) == (200, request_id, "completed")


def test_a_file_goes_where_its_ticket_says(server: WaveSpeedStandIn, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    url = client(server).upload(str(clip))

    assert httpx.get(url, trust_env=False).content == clip.read_bytes()
    assert len(server.storage) == 1
    assert server.ledger.key_leaks == 0


def test_a_blocking_request_that_takes_too_long_is_told_with_its_id(server: WaveSpeedStandIn) -> None:
    server.configure(processing_s=600)
    with pytest.raises(RuntimeError, match="Sync mode timed out") as raised:
        run(server, enable_sync_mode=True)

    assert server.ledger.jobs[0].request_id in str(raised.value)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 429, 500])
def test_a_refusal_is_the_sdk_s_own_error(server: WaveSpeedStandIn, status: int) -> None:
    server.faults.add("error_429_neither" if status == 429 else f"error_{status}", on="submit")
    with pytest.raises(RuntimeError, match=f"Failed to submit prediction: HTTP {status}"):
        run(server)

    assert (server.ledger.submits_seen, server.ledger.accepted) == (1, 0)


def test_a_wrong_key_is_refused(server: WaveSpeedStandIn) -> None:
    with pytest.raises(RuntimeError, match="HTTP 401"):
        run(server, "wrong")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("job_failed", "Prediction failed .*internal model error"),
        ("ends_cancelled", "Prediction cancelled"),
        ("ends_timeout", "Prediction timeout"),
        ("ends_deleted", "Prediction deleted"),
    ],
)
def test_every_bad_end_is_the_sdk_s_own_error(server: WaveSpeedStandIn, fault: str, words: str) -> None:
    server.faults.add(fault, on="submit")
    with pytest.raises(RuntimeError, match=words):
        run(server)

    assert (server.ledger.accepted, server.ledger.billed) == (1, 0)


def test_a_client_that_waits_too_long_is_told_the_id(server: WaveSpeedStandIn) -> None:
    server.configure(processing_s=600)
    with pytest.raises(TimeoutError, match="timed out") as raised:
        run(server, timeout=0.3)

    assert server.ledger.jobs[0].request_id in str(raised.value)


def test_a_submit_that_was_cut_is_sent_once_only(server: WaveSpeedStandIn) -> None:
    server.faults.add("accept_then_reset")
    with pytest.raises(RuntimeError, match="may already"):
        run(server)

    assert (server.ledger.submits_seen, server.ledger.accepted) == (1, 1)
