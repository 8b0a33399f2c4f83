"""The vendor's own SDK works against the stand-in for Replicate, unchanged: that keeps the stand-in honest."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError

from batchmod.providers import replicate
from tests.replies import submitting
from tests.sdk.bytes_of import rendered
from tests.servers.ledger import Kind
from tests.servers.replicate import KEPT_S, MODEL, ReplicateStandIn
from tests.servers.vendor import KEY
from tests.support import write_clip

INPUTS = {"video": "https://example.com/a.mp4", "mode": "flex_2", "prompt": "as wool"}


@pytest.fixture
def server() -> Iterator[ReplicateStandIn]:
    with ReplicateStandIn(processing_s=0.2) as running:
        yield running


@pytest.fixture
def api(server: ReplicateStandIn) -> Iterator[Client]:
    with client(server, server.key) as made:
        yield made


@contextmanager
def client(server: ReplicateStandIn, key: str) -> Iterator[Client]:
    made = Client(api_token=key, base_url=server.url)
    made.poll_interval = 0.01
    try:
        yield made
    finally:
        made._client.close()


def test_run_waits_and_gives_the_output(server: ReplicateStandIn, api: Client) -> None:
    output = api.run(MODEL, input=INPUTS, use_file_output=False)

    assert httpx.get(str(output), trust_env=False).content == server.output_of(server.ledger.jobs[0].request_id)
    assert (server.ledger.accepted, server.ledger.billed) == (1, 1)
    assert server.ledger.key_leaks == 0


def test_its_request_is_the_one_batchmod_sends(server: ReplicateStandIn, api: Client) -> None:
    ours = submitting(replicate, first_frame=None).request
    api.models.predictions.create(MODEL, ours.json["input"])

    seen = next(seen for seen in server.ledger.requests if seen.kind is Kind.SUBMIT)
    assert server.body_of(server.ledger.jobs[0].request_id) == rendered(ours)
    assert (seen.method, seen.path) == (ours.method, ours.url.removeprefix("https://api.test"))


def test_a_prediction_is_followed_listed_and_cancelled(server: ReplicateStandIn, api: Client) -> None:
    server.configure(processing_s=600)
    made = api.predictions.create(version=MODEL, input=INPUTS)

    assert made.status in ("starting", "processing")
    assert [each.id for each in api.predictions.list()] == [made.id]

    made.cancel()
    made.wait()

    assert (made.status, server.ledger.billed) == ("canceled", 0)


def test_the_list_is_walked_by_cursors_to_its_end(server: ReplicateStandIn, api: Client) -> None:
    ids = {server.seed({"input": INPUTS}, ago_s=float(number)).request_id for number in range(230)}
    found, pages = set(), 0
    page = api.predictions.list()
    while True:
        found |= {each.id for each in page}
        pages += 1
        if page.next is None:
            break
        page = api.predictions.list(page.next)

    assert (found, pages) == (ids, 3)


def test_a_file_is_sent_up_and_stands_in_the_inputs(server: ReplicateStandIn, api: Client, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    with clip.open("rb") as file:
        api.run(MODEL, input={**INPUTS, "video": file}, use_file_output=False)
    url = server.ledger.jobs[0].inputs["input"]["video"]

    assert url.startswith(f"{server.url}/v1/files/")
    assert len(server.storage) == 1

    kept = api.files.get(url.rsplit("/", 1)[-1])

    assert (kept.size, kept.content_type) == (clip.stat().st_size, "video/mp4")
    assert api.files.delete(kept.id)
    assert len(server.storage) == 0


def test_after_an_hour_inputs_and_outputs_are_removed(server: ReplicateStandIn, api: Client) -> None:
    made = api.predictions.create(version=MODEL, input=INPUTS)
    server.advance(KEPT_S + 10)
    made.reload()

    assert (made.status, made.output, made.input) == ("succeeded", None, {})


@pytest.mark.parametrize(
    ("fault", "status"),
    [("error_402", 402), ("error_404", 404), ("error_422", 422), ("error_429_words", 429), ("error_500", 500)],
)
def test_a_refusal_is_the_sdk_s_own_error(server: ReplicateStandIn, api: Client, fault: str, status: int) -> None:
    server.faults.add(fault)
    with pytest.raises(ReplicateError) as raised:
        api.run(MODEL, input=INPUTS)

    assert raised.value.status == status
    assert raised.value.detail
    assert server.ledger.accepted == 0


@pytest.mark.parametrize(("key", "mode", "status"), [("r8_wrong", "flex_1", 401), (KEY, "flex_9", 422)])
def test_a_wrong_key_and_a_wrong_mode_are_refused(server: ReplicateStandIn, key: str, mode: str, status: int) -> None:
    with client(server, key) as api, pytest.raises(ReplicateError) as raised:
        api.run(MODEL, input=INPUTS | {"mode": mode})

    assert raised.value.status == status


def test_a_failed_prediction_is_the_sdk_s_own_error(server: ReplicateStandIn, api: Client) -> None:
    server.faults.add("job_failed")
    with pytest.raises(ModelError, match="internal model error"):
        api.run(MODEL, input=INPUTS)

    assert (server.ledger.accepted, server.ledger.billed) == (1, 0)


def test_a_submit_that_was_cut_is_sent_once_only(server: ReplicateStandIn, api: Client) -> None:
    server.faults.add("accept_then_reset")
    with pytest.raises(httpx.TransportError):
        api.run(MODEL, input=INPUTS)

    assert (server.ledger.submits_seen, server.ledger.accepted) == (1, 1)
