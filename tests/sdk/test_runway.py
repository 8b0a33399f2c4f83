"""Runway's own SDK works against the stand-in: uploads, tasks, waiting, cancelling."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import runwayml

from tests.sdk.errors import each_is_the_sdks_own, same_request_as_ours
from tests.servers.clips import Clip
from tests.servers.runway import RunwayStandIn
from tests.support import shoot, write_clip

CLIP, FRAME = "https://example.com/a.mp4", "https://example.com/a.png"


@contextmanager
def both(**settings: Any) -> Iterator[tuple[RunwayStandIn, runwayml.RunwayML]]:
    with RunwayStandIn(**settings) as server:
        where = server.environment()
        with runwayml.RunwayML(
            api_key=where["RUNWAYML_API_SECRET"],
            base_url=where["RUNWAYML_BASE_URL"],
            max_retries=0,
            http_client=httpx.Client(trust_env=False),
        ) as client:
            yield server, client


def submit(client: runwayml.RunwayML, video: str = CLIP, **more: Any) -> Any:
    return client.video_to_video.create(
        model="aleph2", video_uri=video, prompt_text="as wool", keyframes=[{"seconds": 0, "uri": FRAME}], **more
    )


def test_a_task_goes_all_the_way() -> None:
    with both() as (server, client):
        made = submit(client)
        done = made.wait_for_task_output(timeout=30)

        assert (done.status, done.cost.credits, len(done.output)) == ("SUCCEEDED", 60, 1)
        assert httpx.get(done.output[0], trust_env=False).content == server.output_of(made.id)
        assert client.organization.retrieve().credit_balance == 100_000 - 60
        assert (server.ledger.accepted, server.ledger.billed, server.ledger.key_leaks) == (1, 1, 0)


def test_a_file_is_sent_up_and_used(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    with both() as (server, client):
        uri = client.uploads.create_ephemeral(file=path).uri
        submit(client, uri)

        stored = server.storage.at(uri)
        assert stored is not None
        assert stored.content == path.read_bytes()


def test_a_failed_task_has_a_code_and_its_cost() -> None:
    with both(price_if_failed=0.6) as (server, client):
        server.faults.add("refused_output", on="submit")
        with pytest.raises(runwayml.TaskFailedError) as caught:
            submit(client).wait_for_task_output(timeout=30)

        details: Any = caught.value.task_details
        assert (details.failure_code, details.cost.credits) == ("SAFETY.OUTPUT.VIDEO", 60)
        assert server.ledger.billed == 1


def test_a_task_that_is_cancelled_cannot_be_asked_for_any_more() -> None:
    with both(queued_s=60) as (server, client):
        made = submit(client)
        client.tasks.delete(made.id)

        with pytest.raises(runwayml.NotFoundError):
            client.tasks.retrieve(made.id)
        assert server.ledger.billed == 0


def test_each_error_is_the_sdks_own() -> None:
    with both() as (server, client):
        each_is_the_sdks_own(runwayml, server, lambda **more: submit(client, **more))


def test_what_we_send_is_what_the_sdk_sends(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", Clip(frames=60))
    row = {"id": "a", "video_url": "a.mp4", "first_frame_url": FRAME, "prompt": "as wool"}
    with both() as (server, client):
        submit(client, client.uploads.create_ephemeral(file=path).uri)

        assert shoot(tmp_path, server, [row], at="runway").run().code == 0
        same_request_as_ours(server)
