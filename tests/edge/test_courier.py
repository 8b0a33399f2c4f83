"""The process that asks and downloads: what it brings is what would have come here, also where it is killed."""

import asyncio
import contextlib
import errno
import hashlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from batchmod.executors import errands
from batchmod.executors.courier import Courier
from batchmod.executors.frames import Frames
from batchmod.model import Reply, Request, Sent, VideoFacts
from batchmod.transport import Fetched, Transport
from batchmod.work import Refusal
from tests.disks import fill, small_disk
from tests.servers.sockets import Peer, RawServer, Script, free_port, keep_answering

VIDEO = os.urandom(300_000)
HASH = hashlib.sha256(VIDEO).hexdigest()
CLIP = Path(__file__).parents[2] / "manifests" / "demo" / "bunny.mp4"
KEY = "sk-courier"
Value = TypeVar("Value")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@asynccontextmanager
async def ready(*, knock_every_s: float = 15.0) -> AsyncIterator[tuple[Courier, Transport]]:
    """A courier whose process has started, and a transport for what is done here."""
    courier = Courier(drop_environment=("SEGMIND_API_KEY",), many=1, knock_every_s=knock_every_s)
    transport = Transport(connect_timeout_s=1)
    try:
        await courier.send(
            Request(method="GET", url=f"http://127.0.0.1:{free_port()}"), secret_headers={}, by=transport
        )
        async with asyncio.timeout(20):
            while not courier.is_ready:  # noqa: ASYNC110 - nobody says when it has started
                await asyncio.sleep(0.01)
        yield courier, transport
    finally:
        courier.close()
        await transport.aclose()


def with_courier(work: Callable[[Courier, Transport], Awaitable[Value]], *, knock_every_s: float = 15.0) -> Value:
    async def run() -> Value:
        async with ready(knock_every_s=knock_every_s) as (courier, transport):
            return await work(courier, transport)

    return asyncio.run(run())


def serving(status: int = 200, body: bytes = VIDEO, **headers: str) -> Script:
    return lambda peer: keep_answering(peer, status, body, **headers)


def test_a_question_is_asked_with_its_headers_and_comes_back_whole() -> None:
    with RawServer(serving(201, b'{"a": 1}', x_of="it")) as server:

        async def work(courier: Courier, transport: Transport) -> Reply:
            asked = Request(method="GET", url=f"{server.url}/one?a=%2F", headers={"X-Mine": "yes"})
            return await courier.send(asked, secret_headers={"x-api-key": KEY}, by=transport)

        reply = with_courier(work)

    assert (reply.sent, reply.status, reply.body, reply.headers["x-of"]) == (Sent.ANSWERED, 201, b'{"a": 1}', "it")
    (seen,) = server.seen
    assert seen.line == "GET /one?a=%2F HTTP/1.1"
    assert (seen.headers["x-api-key"], seen.headers["x-mine"]) == (KEY, "yes")
    assert seen.headers["user-agent"].startswith("batchmod/")


def test_it_is_another_process_that_asks(tmp_path: Path) -> None:
    """While it is stopped nothing is asked, and nothing here waits for it."""
    with RawServer(serving()) as server:

        async def work(courier: Courier, transport: Transport) -> None:
            assert courier.pid is not None
            os.kill(courier.pid, signal.SIGSTOP)
            waiting = asyncio.ensure_future(
                courier.download(server.url, tmp_path / "a.part", loopback_allowed=True, by=transport)
            )
            await asyncio.sleep(0.3)
            assert not server.connections
            os.kill(courier.pid, signal.SIGCONT)
            assert (await waiting).sha256 == HASH

        with_courier(work)


ANSWERS: tuple[tuple[Script, bool], ...] = (
    (serving(content_type="video/mp4"), True),
    (serving(404, b""), True),
    (serving(503, b""), True),
    (serving(302, b"", location="/elsewhere"), True),
    (serving(), False),
)


def test_a_download_comes_to_the_same_as_here(tmp_path: Path) -> None:
    async def work(courier: Courier, transport: Transport) -> None:
        for number, (script, allowed) in enumerate(ANSWERS):
            there, here = tmp_path / f"{number}.there", tmp_path / f"{number}.here"
            with RawServer(script) as server:
                found = await courier.download(server.url, there, loopback_allowed=allowed, by=transport)
                assert found == await transport.download(server.url, here, loopback_allowed=allowed)
            assert there.exists() == here.exists() == found.ok
            assert not found.ok or there.read_bytes() == VIDEO

    with_courier(work)


def test_a_request_with_a_body_never_leaves_from_there(tmp_path: Path) -> None:
    """It may cost money: only the process that has written its intent may send it."""
    with RawServer(serving(200, b"{}")) as server:

        async def work(courier: Courier, transport: Transport) -> Reply:
            assert courier.pid is not None
            os.kill(courier.pid, signal.SIGSTOP)
            asked = Request(method="POST", url=server.url, json={"a": 1})
            reply = await courier.send(asked, secret_headers={}, by=transport)
            os.kill(courier.pid, signal.SIGCONT)
            return reply

        assert with_courier(work).status == 200

    assert [seen.line for seen in server.seen] == ["POST / HTTP/1.1"]


def test_what_it_had_under_way_when_it_was_killed_is_finished_here(tmp_path: Path) -> None:
    half, halves = threading.Event(), len(VIDEO) // 2

    def script(peer: Peer) -> None:
        while (seen := peer.read_request()) is not None:
            start = int(seen.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
            if half.is_set():
                size = len(VIDEO)
                if start:
                    peer.answer(206, VIDEO[start:], content_range=f"bytes {start}-{size - 1}/{size}")
                else:
                    peer.answer(200, VIDEO)
                continue
            peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(VIDEO)}\r\n\r\n".encode() + VIDEO[:halves])
            half.set()
            peer.hang()

    with RawServer(script) as server:

        async def work(courier: Courier, transport: Transport) -> tuple[list[Fetched], Reply, bool]:
            waiting = [
                asyncio.ensure_future(
                    courier.download(server.url, tmp_path / f"{n}.part", loopback_allowed=True, by=transport)
                )
                for n in range(3)
            ]
            await asyncio.to_thread(half.wait, 10)
            assert courier.pid is not None
            os.kill(courier.pid, signal.SIGKILL)
            found = await asyncio.gather(*waiting)
            later = await courier.send(Request(method="GET", url=server.url), secret_headers={}, by=transport)
            return found, later, courier.is_ready

        found, later, still = with_courier(work)

    assert [each.sha256 for each in found] == [HASH] * 3
    assert all((tmp_path / f"{n}.part").read_bytes() == VIDEO for n in range(3))
    assert (later.body, still) == (VIDEO, False)


def test_what_one_that_is_stopped_has_under_way_is_finished_here(tmp_path: Path) -> None:
    """Nobody goes on with it, and a run must end."""
    with RawServer(serving()) as server:

        async def work(courier: Courier, transport: Transport) -> list[object]:
            pid = courier.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            async with asyncio.timeout(20):
                found = await asyncio.gather(
                    courier.send(Request(method="GET", url=server.url), secret_headers={}, by=transport),
                    courier.download(server.url, tmp_path / "a.part", loopback_allowed=True, by=transport),
                    courier.verify(CLIP),
                )
            assert not _runs(pid)
            return [*found, courier.is_ready]

        reply, fetched, facts, still = with_courier(work, knock_every_s=0.2)

    assert isinstance(reply, Reply)
    assert isinstance(fetched, Fetched)
    assert (reply.body, fetched.sha256, still) == (VIDEO, HASH, False)
    assert isinstance(facts, VideoFacts)


def test_one_that_waits_for_a_slow_server_is_not_taken_for_stopped(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        time.sleep(1.8)
        peer.answer(200, VIDEO)

    with RawServer(script) as server:

        async def work(courier: Courier, transport: Transport) -> tuple[Fetched, bool]:
            got = await courier.download(server.url, tmp_path / "a.part", loopback_allowed=True, by=transport)
            return got, courier.is_ready

        got, still = with_courier(work, knock_every_s=0.5)

    assert (got.sha256, still, server.connections) == (HASH, True, 1)


def test_a_full_disk_is_said_as_itself(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk, RawServer(serving()) as server:
        fill(disk)

        async def work(courier: Courier, transport: Transport) -> None:
            await courier.download(server.url, disk / "a.part", loopback_allowed=True, by=transport)

        with pytest.raises(OSError, match="space") as caught:
            with_courier(work)

    assert caught.value.errno == errno.ENOSPC


def test_a_download_that_nobody_waits_for_any_more_is_broken_off(tmp_path: Path) -> None:
    begun, broken = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nxxxx")
        begun.set()
        assert peer.read_something() == b""
        broken.set()

    with RawServer(script) as server:

        async def work(courier: Courier, transport: Transport) -> bool:
            waiting = asyncio.ensure_future(
                courier.download(server.url, tmp_path / "a.part", loopback_allowed=True, by=transport)
            )
            await asyncio.to_thread(begun.wait, 10)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            return await asyncio.to_thread(broken.wait, 10)

        assert with_courier(work)


def test_a_check_gives_the_verdict_that_is_given_here(tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(CLIP.read_bytes()[:-1000])

    async def work(courier: Courier, transport: Transport) -> list[object]:
        paths = (CLIP, cut, tmp_path / "gone.mp4")
        return list(await asyncio.gather(*map(courier.verify, paths), return_exceptions=True))

    whole, broken, gone = with_courier(work)

    assert isinstance(whole, VideoFacts)
    assert isinstance(broken, Refusal)
    assert broken.slug == "broken_video"
    assert isinstance(gone, FileNotFoundError)


def test_a_few_at_a_time_start_no_process(tmp_path: Path) -> None:
    with RawServer(serving()) as server:

        async def work() -> tuple[int | None, list[Fetched]]:
            courier, transport = Courier(many=4), Transport()
            try:
                found = [
                    await courier.download(server.url, tmp_path / f"{n}", loopback_allowed=True, by=transport)
                    for n in range(6)
                ]
                return courier.pid, found
            finally:
                courier.close()
                await transport.aclose()

        pid, found = asyncio.run(work())

    assert pid is None
    assert all(each.sha256 == HASH for each in found)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="what a process is shows there")
def test_it_has_no_keys_and_is_no_fork_and_is_gone_once_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", KEY)

    async def work(courier: Courier, transport: Transport) -> int:
        pid = courier.pid
        assert pid is not None
        about = Path(f"/proc/{pid}")
        assert KEY.encode() not in (about / "environ").read_bytes()
        assert "spawn_main" in (about / "cmdline").read_text()
        return pid

    pid = with_courier(work)

    assert os.environ["SEGMIND_API_KEY"] == KEY
    assert not Path(f"/proc/{pid}").exists()


PARENT = """
import asyncio, sys
from batchmod.executors.courier import Courier
from batchmod.executors.frames import Frames
from batchmod.model import Request
from batchmod.transport import Transport

async def main():
    courier, transport = Courier(many=1), Transport(connect_timeout_s=1)
    await courier.send(Request(method="GET", url=sys.argv[1]), secret_headers={}, by=transport)
    while not courier.is_ready:
        await asyncio.sleep(0.01)
    print(courier.pid, flush=True)
    await asyncio.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="what a process is shows there")
def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    command = [sys.executable, str(tmp_path / "parent.py"), f"http://127.0.0.1:{free_port()}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_what_is_no_message_ends_the_connection() -> None:
    """Whoever has taken that process over cannot have anything called here: values come back, and nothing else."""

    async def work(courier: Courier, transport: Transport) -> bool:
        assert courier._frames is not None
        courier._frames.data_received(_piece(b"cos\nsystem\n(S'true'\ntR."))
        await asyncio.sleep(0.1)
        return courier.is_ready

    assert not with_courier(work)


def _piece(content: bytes) -> bytes:
    return len(content).to_bytes(8) + content


def test_messages_that_come_in_crumbs_are_heard_whole() -> None:
    heard: list[object] = []
    frames = Frames(heard.append, lambda: None)
    told = [errands.Failed(1), errands.Failed(2)]
    for byte in _piece(pickle.dumps(told)) + _piece(pickle.dumps([errands.Failed(3)])):
        frames.data_received(bytes([byte]))

    assert heard == [errands.Failed(1), errands.Failed(2), errands.Failed(3)]
