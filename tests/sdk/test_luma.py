"""Luma's own SDK works against the stand-in: what it sends is taken, what it reads is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import lumaai
import pytest

from tests.sdk.errors import each_is_the_sdks_own, same_request_as_ours
from tests.servers.luma import LumaStandIn
from tests.support import shoot

CLIP, FRAME = "https://example.com/a.mp4", "https://example.com/a.png"


@contextmanager
def both(*, max_retries: int = 0, **settings: Any) -> Iterator[tuple[LumaStandIn, lumaai.LumaAI]]:
    with LumaStandIn(**settings) as server:
        where = server.environment()
        with lumaai.LumaAI(
            auth_token=where["LUMAAI_API_KEY"],
            base_url=where["LUMAAI_BASE_URL"],
            max_retries=max_retries,
            http_client=httpx.Client(trust_env=False),
        ) as client:
            yield server, client


def submit(client: lumaai.LumaAI, **more: Any) -> Any:
    return client.generations.video.modify(
        generation_type="modify_video",
        media={"url": CLIP},
        first_frame={"url": FRAME},
        model="ray-2",
        mode="flex_1",
        prompt="as wool",
        **more,
    )


def test_a_generation_goes_all_the_way() -> None:
    with both(processing_s=60) as (server, client):
        made = submit(client)
        running = client.generations.get(made.id)
        server.advance(61)
        done = client.generations.get(made.id)
        listed = client.generations.list(limit=10, offset=0)

        assert (running.state, done.state, done.failure_reason) == ("dreaming", "completed", None)
        assert done.assets is not None
        assert done.assets.video is not None
        assert httpx.get(done.assets.video, trust_env=False).content == server.output_of(made.id)
        assert [each.id for each in listed.generations] == [made.id]
        assert type(listed.generations[0].request).__name__ == "RequestModifyVideoRequest"
        assert client.credits.get().credit_balance == pytest.approx(100_000 - 60)
        assert client.ping.check().message == "pong"
        assert (server.ledger.accepted, server.ledger.billed, server.ledger.key_leaks) == (1, 1, 0)


def test_a_failed_generation_says_why() -> None:
    with both() as (server, client):
        server.faults.add("refused_frame", on="submit")
        made = submit(client)
        done = client.generations.get(made.id)

        assert done.state == "failed"
        assert done.failure_reason is not None
        assert "frame" in done.failure_reason
        assert server.ledger.billed == 0


def test_a_deleted_generation_is_not_found() -> None:
    with both() as (_, client):
        made = submit(client)
        client.generations.delete(made.id)

        with pytest.raises(lumaai.NotFoundError):
            client.generations.get(made.id)
        assert client.generations.list().generations == []


def test_each_error_is_the_sdks_own() -> None:
    with both() as (server, client):
        each_is_the_sdks_own(lumaai, server, lambda **more: submit(client, **more))

        assert server.ledger.accepted == 1  # the one whose answer came too late


def test_what_we_send_is_what_the_sdk_sends(tmp_path: Path) -> None:
    row = {"id": "a", "video_url": CLIP, "first_frame_url": FRAME, "mode": "flex_1", "prompt": "as wool"}
    with both() as (server, client):
        submit(client)

        assert shoot(tmp_path, server, [row], at="luma").run().code == 0
        same_request_as_ours(server)


def test_by_itself_the_sdk_pays_three_times_for_lost_answers() -> None:
    """Why batchmod does not submit through it, and what its page says."""
    with both(max_retries=2) as (server, client):
        server.faults.add("accept_then_reset", on="submit", times=2)
        submit(client)

        assert (server.ledger.accepted, list(server.ledger.paid_twice().values())) == (3, [3])
