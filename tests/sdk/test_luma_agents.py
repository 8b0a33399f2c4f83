"""The SDK of Luma's Agents API works against the stand-in: files, edits, links minted anew."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import luma_agents
import pytest

from tests.sdk.errors import each_is_the_sdks_own, same_request_as_ours
from tests.servers.clips import Clip
from tests.servers.luma_agents import LumaAgentsStandIn
from tests.support import shoot, write_clip

WEB: Any = {"url": "https://example.com/a.mp4", "media_type": "video/mp4"}


@contextmanager
def both(**settings: Any) -> Iterator[tuple[LumaAgentsStandIn, luma_agents.Luma]]:
    with LumaAgentsStandIn(**settings) as server:
        where = server.environment()
        with luma_agents.Luma(
            auth_token=where["LUMA_AGENTS_API_KEY"],
            base_url=where["LUMA_AGENTS_BASE_URL"],
            max_retries=0,
            http_client=httpx.Client(trust_env=False),
        ) as client:
            yield server, client


def submit(client: luma_agents.Luma, *, source: Any = None, **more: Any) -> Any:
    return client.generations.create(
        model="ray-3.2",
        type="video_edit",
        prompt="as wool",
        source=WEB if source is None else source,
        video={"resolution": "720p", "edit": {"strength": "flex_1"}},
        **more,
    )


def sent_up(client: luma_agents.Luma, path: Path) -> str:
    """A file by the presigned way, as the SDK's pages say; its id when it is ready."""
    content = path.read_bytes()
    made = client.files.create(mime_type="video/mp4", size_bytes=len(content), purpose="input")
    assert made.upload is not None
    put = httpx.put(made.upload.url, content=content, headers=made.upload.headers, trust_env=False)
    assert (put.status_code, client.files.get(made.id).state) == (200, "pending")
    client.files.complete(made.id)
    assert client.files.get(made.id).state == "ready"
    return made.id


def link_of(client: luma_agents.Luma, request_id: str) -> str:
    """The link to a finished edit."""
    done = client.generations.get(request_id)
    assert done.state == "completed"
    assert done.output is not None
    return done.output[0].url


def test_an_edit_goes_all_the_way_and_its_link_is_minted_anew() -> None:
    with both(processing_s=60, link_life_s=3600) as (server, client):
        made = submit(client)
        running = client.generations.get(made.id)
        server.advance(61)
        links = [link_of(client, made.id)]
        server.advance(1900)
        links.append(link_of(client, made.id))
        server.advance(1900)
        got = [httpx.get(link, trust_env=False).status_code for link in links]

        assert (running.state, got) == ("processing", [403, 200])
        assert (server.ledger.billed, server.ledger.key_leaks) == (1, 0)


def test_a_file_is_sent_up_and_used(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    with both() as (server, client):
        file_id = sent_up(client, path)
        submit(client, source={"file_id": file_id})

        stored = server.storage.at(file_id)
        assert stored is not None
        assert stored.content == path.read_bytes()
        with pytest.raises(luma_agents.UnprocessableEntityError):
            submit(client, source={"file_id": "another"})


def test_a_failed_edit_has_a_code_and_a_reason() -> None:
    with both() as (server, client):
        server.faults.add("refused_output", on="submit")
        done = client.generations.get(submit(client).id)

        assert (done.state, done.failure_code, done.failure_reason) == (
            "failed",
            "content_moderated",
            "The output was refused",
        )


def test_each_error_is_the_sdks_own() -> None:
    with both() as (server, client):
        each_is_the_sdks_own(luma_agents, server, lambda **more: submit(client, **more))


def test_what_we_send_is_what_the_sdk_sends(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", Clip(frames=30))
    row = {"id": "a", "video_url": "a.mp4", "mode": "flex_1", "prompt": "as wool"}
    with both() as (server, client):
        submit(client, source={"file_id": sent_up(client, path)})

        assert shoot(tmp_path, server, [row], at="luma-agents").run().code == 0
        same_request_as_ours(server)
