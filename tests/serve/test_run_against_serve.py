"""`batchmod run --provider segmind` with its base URLs at our own service: end to end, and never taken for Segmind."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from batchmod.checkpoint import Checkpoint
from tests.servers.clips import Clip
from tests.serving import KEY, Running, service
from tests.support import PACE, Ran, call, read_results, video_facts, write_clip, write_manifest, write_picture


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with service(tmp_path / "data", workers=1, key=KEY) as running:
        yield running


def environ(server: Running, home: Path) -> dict[str, str]:
    names = ("SEGMIND_BASE_URL", "SEGMIND_UPLOAD_BASE_URL", "SEGMIND_HISTORY_BASE_URL")
    return {**dict.fromkeys(names, server.url), "SEGMIND_API_KEY": KEY, "BATCHMOD_HOME": str(home)}


def manifest(folder: Path) -> Path:
    write_clip(folder / "clips" / "a.mp4")
    write_clip(folder / "clips" / "b.mp4", Clip(frames=12))
    write_picture(folder / "frames" / "b.png")
    rows = [
        {"id": "a", "video_url": "clips/a.mp4", "prompt": "black and white", "mode": "adhere_2"},
        {"id": "b", "video_url": "clips/b.mp4", "first_frame_url": "frames/b.png", "mode": "flex_1"},
        {"id": "c", "video_url": "clips/a.mp4", "prompt": "nothing the engine knows"},
    ]
    return write_manifest(folder / "shots.yaml", rows)


def run(path: Path, env: dict[str, str], *more: str) -> Ran:
    return call("run", path, "--provider", "segmind", "--yes", "--history-grace", "0.3", *PACE, *more, environ=env)


def test_a_manifest_runs_to_its_end_and_a_second_run_asks_for_nothing(server: Running, tmp_path: Path) -> None:
    path, env = manifest(tmp_path), environ(server, tmp_path / "home")
    ran = run(path, env)
    lines = {line["id"]: line for line in read_results(tmp_path / "outputs" / "shots")}
    again = run(path, env)
    history = httpx.get(
        f"{server.url}/inference-request/request-history", headers={"x-api-key": KEY}, trust_env=False
    ).json()

    assert ran.code == 1, ran
    assert {row_id: line["status"] for row_id, line in lines.items()} == {
        "a": "succeeded",
        "b": "succeeded",
        "c": "failed",
    }
    assert "names no look" in lines["c"]["error"]
    assert [float(lines[row_id]["cost_usd"]) for row_id in "ab"] == [0.0, 0.0]
    for row_id, frames in (("a", 8), ("b", 12)):
        assert video_facts(tmp_path / "outputs" / "shots" / lines[row_id]["output"]).frames == frames
    assert again.code == 1
    assert history["total"] == 3
    assert {row["request_id"] for row in history["data"]} == {line["request_id"] for line in lines.values()}


def test_our_own_service_never_counts_as_segmind(server: Running, tmp_path: Path) -> None:
    path, env = manifest(tmp_path), environ(server, tmp_path / "home")
    run(path, env)
    home = {"BATCHMOD_HOME": env["BATCHMOD_HOME"]}

    for more in ((), ("--output", str(tmp_path / "other"))):
        planned = call("plan", path, "--provider", "segmind", "--json", *more, environ=home)
        items = json.loads(planned.out)[0]["items"]
        assert [item["action"] for item in items] == ["send", "send", "send"], planned
    with Checkpoint.look_at(tmp_path / "outputs" / "shots" / "checkpoint.sqlite3") as record:
        assert {work.origin for work in record.works()} == {server.url}


def test_a_run_that_lost_its_answer_finds_its_request_in_our_history(server: Running, tmp_path: Path) -> None:
    """The submit arrives through a line that breaks before the answer: uncertain, looked up, not sent again."""
    from tests.servers.sockets import Peer, RawServer

    def breaking(peer: Peer) -> None:
        seen = peer.read_request()
        if seen is None:
            return
        method, target, _ = seen.line.split(" ")
        headers = {name: value for name, value in seen.headers.items() if name in ("content-type", "x-api-key")}
        headers["host"] = seen.headers["host"]
        answer = httpx.request(
            method, f"{server.url}{target}", content=seen.body, headers=headers, trust_env=False, timeout=60
        )
        if target == "/v2/modify-video" and not broken:
            broken.append(answer.json()["request_id"])
            peer.reset()
            return
        peer.answer(answer.status_code, answer.content, Content_Type=answer.headers["content-type"], Connection="close")

    broken: list[str] = []
    write_clip(tmp_path / "a.mp4")
    path = write_manifest(tmp_path / "shots.yaml", [{"id": "a", "video_url": "a.mp4", "prompt": "black and white"}])
    with RawServer(breaking) as line:
        env = environ(server, tmp_path / "home") | dict.fromkeys(
            ("SEGMIND_BASE_URL", "SEGMIND_UPLOAD_BASE_URL", "SEGMIND_HISTORY_BASE_URL"), line.url
        )
        codes = [run(path, env).code, run(path, env).code]
    rows = read_results(tmp_path / "outputs" / "shots")
    history = server.ask("GET", "/inference-request/request-history", headers={"x-api-key": KEY}).json()

    assert codes[-1] == 0
    assert [row["request_id"] for row in rows] == broken
    assert history["total"] == 1
