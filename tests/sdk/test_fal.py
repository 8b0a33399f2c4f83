"""The vendor's own SDK works against the stand-in for fal, unchanged: that keeps the stand-in honest.

The SDK knows fal's hosts as constants, with https before them; here they name the stand-in's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fal_client as sdk
import fal_client.client as constants
import httpx
import pytest

from batchmod.providers import fal
from tests.replies import submitting
from tests.sdk.bytes_of import rendered
from tests.servers.fal import APP, FalStandIn
from tests.servers.ledger import Kind
from tests.servers.vendor import KEY
from tests.support import write_clip

MODEL = f"{APP}/ray-2-flash/modify"
INPUTS = {"video_url": "https://example.com/a.mp4", "mode": "flex_2", "prompt": "as wool"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FalStandIn]:
    with FalStandIn(processing_s=0.2) as running:
        monkeypatch.setattr(constants, "QUEUE_URL_FORMAT", f"{running.url}/")
        monkeypatch.setattr(constants, "REST_URL", running.upload_url)
        yield running


@pytest.fixture
def api(server: FalStandIn) -> Iterator[sdk.SyncClient]:
    with client(server.key) as made:
        yield made


@contextmanager
def client(key: str) -> Iterator[sdk.SyncClient]:
    made = sdk.SyncClient(key=key)
    try:
        yield made
    finally:
        made._client.close()


def test_subscribe_waits_and_gives_the_output(server: FalStandIn, api: sdk.SyncClient) -> None:
    made = api.subscribe(MODEL, INPUTS)

    assert made["video"]["content_type"] == "video/mp4"
    output = httpx.get(made["video"]["url"], trust_env=False).content
    assert output == server.output_of(server.ledger.jobs[0].request_id)
    assert (server.ledger.accepted, server.ledger.billed) == (1, 1)
    assert server.ledger.key_leaks == 0


def test_its_request_is_the_one_batchmod_sends(server: FalStandIn, api: sdk.SyncClient) -> None:
    ours = submitting(fal, first_frame=None).request
    api.submit(MODEL, ours.json, priority="low")

    seen = next(seen for seen in server.ledger.requests if seen.kind is Kind.SUBMIT)
    assert server.body_of(server.ledger.jobs[0].request_id) == rendered(ours)
    assert (seen.method, seen.path) == (ours.method, ours.url.removeprefix("https://api.test"))


def test_what_it_calls_its_options_on_the_wire_is_what_batchmod_calls_them(
    server: FalStandIn, api: sdk.SyncClient
) -> None:
    api.submit(MODEL, INPUTS, priority="low", headers={"X-Fal-Object-Lifecycle-Preference": "{}"})
    ours = submitting(fal, options={"priority": "low", "expires_s": 3600}).request

    seen = next(seen for seen in server.ledger.requests if seen.kind is Kind.SUBMIT)
    assert {name.lower() for name in ours.headers} <= {name.lower() for name in seen.headers}


def test_a_request_is_followed_by_its_id_alone(server: FalStandIn, api: sdk.SyncClient) -> None:
    server.configure(queued_s=0.2, processing_s=0.2)
    handle = api.submit(MODEL, INPUTS)

    kinds = [type(status) for status in handle.iter_events(interval=0.02)]

    assert list(dict.fromkeys(kinds)) == [sdk.Queued, sdk.InProgress, sdk.Completed]
    assert api.result(MODEL, handle.request_id)["video"]["url"]
    again = api.get_handle(MODEL, handle.request_id)
    assert again.status_url == handle.status_url


def test_a_request_is_cancelled(server: FalStandIn, api: sdk.SyncClient) -> None:
    server.configure(processing_s=600)
    handle = api.submit(MODEL, INPUTS)
    handle.cancel()

    assert isinstance(handle.status(), sdk.Completed)
    assert server.ledger.billed == 0


def test_a_file_goes_where_it_is_told_with_the_key_which_batchmod_keeps_to_itself(
    server: FalStandIn, api: sdk.SyncClient, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    url = api.upload_file(clip, repository="fal", lifecycle=sdk.StorageSettings(expires_in="1d"))

    assert httpx.get(url, trust_env=False).content == clip.read_bytes()
    assert len(server.storage) == 1
    assert [(leak.method, leak.origin) for leak in server.ledger.leaks] == [("PUT", "bucket")]


@pytest.mark.parametrize(
    ("fault", "status"), [("error_403_balance", 403), ("error_404", 404), ("error_422", 422), ("error_500", 500)]
)
def test_a_refusal_is_the_sdk_s_own_error(server: FalStandIn, api: sdk.SyncClient, fault: str, status: int) -> None:
    server.faults.add(fault)
    with pytest.raises(sdk.FalClientHTTPError) as raised:
        api.submit(MODEL, INPUTS)

    assert raised.value.status_code == status
    assert server.ledger.accepted == 0


@pytest.mark.parametrize(("key", "mode", "status"), [("wrong", "flex_1", 401), (KEY, "flex_9", 422)])
def test_a_wrong_key_and_a_wrong_mode_are_refused(server: FalStandIn, key: str, mode: str, status: int) -> None:
    with client(key) as api, pytest.raises(sdk.FalClientHTTPError) as raised:
        api.submit(MODEL, INPUTS | {"mode": mode})

    assert raised.value.status_code == status
    assert server.ledger.accepted == 0


def test_a_job_that_failed_is_completed_and_its_result_is_the_sdk_s_own_error(
    server: FalStandIn, api: sdk.SyncClient
) -> None:
    server.faults.add("refused_prompt")
    handle = api.submit(MODEL, INPUTS)
    with pytest.raises(sdk.FalClientHTTPError) as raised:
        handle.get(interval=0.02)

    assert raised.value.status_code == 422
    assert "content_policy_violation" in str(raised.value.message)
    assert isinstance(handle.status(), sdk.Completed)
    assert server.ledger.billed == 0


def test_an_error_of_fal_s_own_is_in_the_status_and_in_the_result(server: FalStandIn, api: sdk.SyncClient) -> None:
    server.faults.add("completed_with_error")
    handle = api.submit(MODEL, INPUTS)
    status = handle.status()
    with pytest.raises(sdk.FalClientHTTPError) as raised:
        handle.get(interval=0.02)

    assert isinstance(status, sdk.Completed)
    assert (status.error, status.error_type) == ("Request timed out", "request_timeout")
    assert (raised.value.status_code, raised.value.error_type) == (504, "request_timeout")


def test_a_client_that_waits_too_long_is_told_the_id(server: FalStandIn, api: sdk.SyncClient) -> None:
    server.configure(processing_s=600)
    with pytest.raises(sdk.FalClientTimeoutError) as raised:
        api.subscribe(MODEL, INPUTS, client_timeout=1.5)

    assert raised.value.request_id == server.ledger.jobs[0].request_id


@pytest.mark.parametrize("fault", ["accept_then_reset", "error_409_created"])
def test_it_sends_a_submit_again_that_may_be_paid_which_batchmod_never_does(
    server: FalStandIn, api: sdk.SyncClient, fault: str
) -> None:
    server.faults.add(fault)
    api.submit(MODEL, INPUTS)

    assert (server.ledger.submits_seen, server.ledger.accepted) == (2, 2)
    assert server.ledger.paid_twice()
