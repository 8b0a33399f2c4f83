"""How a request leaves: once, on a connection that is alive, with a body that streams and secrets that stay."""

import asyncio
import base64
import gzip
import hashlib
import json
import logging
import os
import resource
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from batchmod import __version__
from batchmod.model import FileAsDataUrl, Reply, Request, Sent
from batchmod.transport import Transport, doors
from tests.servers.sockets import Peer, RawServer, free_port, keep_answering, self_signed, tls_server

KEY = "sk-very-secret-0123456789"


def sent(work: Callable[[Transport], Awaitable[Reply]]) -> Reply:
    """Run `work` with a transport of its own."""

    async def run() -> Reply:
        transport = Transport(connect_timeout_s=10)
        try:
            return await work(transport)
        finally:
            await transport.aclose()

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def request(url: str, method: str = "POST", **fields: object) -> Request:
    given: dict[str, object] = {"json": {"a": 1} if method == "POST" else None, "read_timeout_s": 10.0, **fields}
    return Request(method=method, url=url, **given)  # type: ignore[arg-type]


def one(asked: Request, **how: object) -> Reply:
    return sent(lambda transport: transport.send(asked, **how))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "DELETE"])
def test_a_request_on_a_connection_the_server_drops_is_sent_once_and_unknown(method: str) -> None:
    def answer_once_then_close(peer: Peer) -> None:
        if peer.read_request() is not None:
            peer.answer(200, b"{}")
            peer.read_request()

    async def two(transport: Transport) -> Reply:
        first = await transport.send(request(server.url, method))
        assert first.sent is Sent.ANSWERED
        return await transport.send(request(server.url, method))

    with RawServer(answer_once_then_close) as server:
        reply = sent(two)
    assert reply.sent is Sent.UNKNOWN
    assert len(server.seen) == 2
    assert server.connections == 1


def test_connections_are_shared_and_a_fresh_one_is_not() -> None:
    async def five(transport: Transport) -> Reply:
        for idle_s in (None, None, 0.0, 0.0):
            await transport.send(request(server.url), idle_s=idle_s)
        return await transport.send(request(server.url))

    with RawServer(keep_answering) as server:
        assert sent(five).sent is Sent.ANSWERED
    assert (len(server.seen), server.connections) == (5, 3)
    assert [seen.headers.get("connection") for seen in server.seen] == [None, None, "close", "close", None]


def test_an_idle_connection_is_left_alone_before_servers_close_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doors.KEEPALIVE_S < 5
    monkeypatch.setattr(doors, "KEEPALIVE_S", 0.2)

    async def two(transport: Transport) -> Reply:
        await transport.send(request(server.url))
        await asyncio.sleep(0.3)
        return await transport.send(request(server.url))

    with RawServer(keep_answering) as server:
        assert sent(two).sent is Sent.ANSWERED
    assert server.connections == 2


def test_a_request_that_may_not_meet_a_closing_connection_takes_one_that_was_busy_a_moment_ago() -> None:
    assert doors.BRIEFLY_S <= 1

    async def four(transport: Transport) -> Reply:
        reply = await transport.send(request(server.url))
        for wait_s in (0.0, 0.0, doors.BRIEFLY_S + 0.1):
            await asyncio.sleep(wait_s)
            reply = await transport.send(request(server.url), idle_s=doors.BRIEFLY_S)
        return reply

    with RawServer(keep_answering) as server:
        assert sent(four).sent is Sent.ANSWERED
    assert (len(server.seen), server.connections) == (4, 3), "of its own kind only, and only while it is warm"


@pytest.mark.parametrize("busy", [False, True], ids=["read by now", "still in the kernel"])
def test_an_answer_that_nobody_asked_for_is_never_that_to_the_next_request(*, busy: bool) -> None:
    """A late refusal on a warm connection says nothing of the request after it, which may be accepted and paid."""
    late = threading.Event()

    def answer_twice(peer: Peer) -> None:
        while (seen := peer.read_request()) is not None:
            peer.answer(200, seen.body)
            if not late.is_set():
                late.set()
                time.sleep(0.1)
                peer.answer(429, b"{}", Retry_After="1")

    async def two(transport: Transport) -> Reply:
        replies = []
        for number in range(2):
            asked = Request(method="POST", url=server.url, json={"number": number})
            replies.append(await transport.send(asked, idle_s=doors.BRIEFLY_S))
            if busy:
                time.sleep(0.3)  # noqa: ASYNC251 - the loop reads nothing meanwhile, as during a long commit
            else:
                await asyncio.sleep(0.3)
        return replies[1]

    with RawServer(answer_twice) as server:
        reply = sent(two)

    assert (reply.status, reply.body, server.connections) == (200, b'{"number":1}', 2)


def test_five_hundred_requests_are_in_flight_at_once() -> None:
    arrived: list[Peer] = []

    def answer_when_all_are_here(peer: Peer) -> None:
        peer.read_request()
        arrived.append(peer)
        if len(arrived) == 500:
            for each in arrived:
                each.answer(200, b"{}")
        peer.read_request()

    async def many(transport: Transport) -> Reply:
        asked = request(server.url, read_timeout_s=20.0)
        replies = await asyncio.gather(*(transport.send(asked) for _ in range(500)))
        assert {reply.sent for reply in replies} == {Sent.ANSWERED}
        return replies[0]

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        with RawServer(answer_when_all_are_here) as server:
            sent(many)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert server.connections == 500


def test_a_cancelled_send_raises_and_leaves_no_connection_in_use() -> None:
    async def cancelled(transport: Transport) -> Reply:
        task = asyncio.create_task(transport.send(request(f"{server.url}/hang")))
        assert await asyncio.to_thread(arrived.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await transport.send(request(server.url))

    def hang_at_hang(peer: Peer) -> None:
        seen = peer.read_request()
        if seen is not None and "/hang" in seen.line:
            arrived.set()
            peer.hang()
        peer.answer()

    arrived = threading.Event()
    with RawServer(hang_at_hang) as server:
        assert sent(cancelled).sent is Sent.ANSWERED


def test_the_url_is_asked_as_it_is_spelled() -> None:
    path = "/a%2Fb/%7Ec%20d/%C3%A9?X-Amz-Credential=AK%2F2024%2Fus&sig=a%2Bb%3D%3D&plus=a+b&p=%41&e"
    with RawServer(keep_answering) as server:
        one(request(f"{server.url}{path}#fragment", "GET"))
    assert server.seen[0].line == f"GET {path} HTTP/1.1"


def test_json_leaves_compact_in_its_own_order_and_in_utf_8() -> None:
    tree = {"z": [1, 2.5, True, None, ["é", '"']], "a": {}, "b": [], "c": "日本"}
    with RawServer(keep_answering) as server:
        one(request(server.url, json=tree))
    seen = server.seen[0]
    assert seen.body == '{"z":[1,2.5,true,null,["é","\\""]],"a":{},"b":[],"c":"日本"}'.encode()
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["user-agent"] == f"batchmod/{__version__}"
    assert "transfer-encoding" not in seen.headers


@pytest.mark.parametrize("tree", [{"a": float("nan")}, {"a": object()}, {"a": "\ud800"}])
def test_a_body_that_is_no_json_is_never_sent(tree: object) -> None:
    with RawServer(keep_answering) as server:
        assert one(request(server.url, json=tree)).sent is Sent.NEVER_SENT
    assert server.connections == 0


def test_secret_headers_go_with_their_own_request_only() -> None:
    async def two(transport: Transport) -> Reply:
        await transport.send(request(server.url), secret_headers={"Authorization": f"Bearer {KEY}"})
        return await transport.send(request(server.url))

    with RawServer(keep_answering) as server:
        reply = sent(two)
    assert [seen.headers.get("authorization") for seen in server.seen] == [f"Bearer {KEY}", None]
    assert KEY not in repr(reply)


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\r\nX: y", f"é{KEY}", f"{KEY}\0"])
def test_a_key_that_no_header_can_hold_is_never_sent_and_never_shown(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with RawServer(keep_answering) as server:
        reply = one(request(server.url), secret_headers={"x-api-key": key})
    assert reply.sent is Sent.NEVER_SENT
    assert "x-api-key" in reply.problem
    assert KEY not in repr(reply) + caplog.text


def test_nothing_of_a_request_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with RawServer(keep_answering) as server:
        one(request(f"{server.url}/?token=abc"), secret_headers={"x-api-key": KEY})
    assert KEY not in caplog.text
    assert "token" not in caplog.text


def test_an_answer_has_its_headers_in_lower_case_and_its_gzip_undone() -> None:
    def answer(peer: Peer) -> None:
        peer.read_request()
        peer.answer(200, gzip.compress(b'{"id":1}'), Content_Encoding="gzip", Date="Sat, 01 Mar 2025 10:00:00 GMT")

    with RawServer(answer) as server:
        reply = one(request(server.url))
    assert reply.body == b'{"id":1}'
    assert reply.headers["date"] == "Sat, 01 Mar 2025 10:00:00 GMT"
    assert set(reply.headers) == {"date", "content-encoding", "content-length"}


@pytest.mark.parametrize("location", ["/elsewhere", "http://[", "ftp://x/", "https://other.invalid/"])
def test_no_redirect_is_followed(location: str) -> None:
    with RawServer(lambda peer: keep_answering(peer, 307, b"", Location=location)) as server:
        reply = one(request(server.url))
    assert (reply.sent, reply.status, reply.headers["location"]) == (Sent.ANSWERED, 307, location)
    assert len(server.seen) == 1


def test_no_cookie_is_kept() -> None:
    async def two(transport: Transport) -> Reply:
        url = server.url.replace("127.0.0.1", "localhost")
        await transport.send(request(url))
        return await transport.send(request(url))

    with RawServer(lambda peer: keep_answering(peer, Set_Cookie="session=1")) as server:
        reply = sent(two)
    assert "cookie" not in server.seen[1].headers
    assert "set-cookie" not in reply.headers


def leaf(path: Path, media_type: str = "video/mp4") -> FileAsDataUrl:
    return FileAsDataUrl(path=str(path), media_type=media_type, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("size", [0, 1, 2, 3, 96 * 1024 - 1, 96 * 1024, 96 * 1024 + 1, 300_000])
def test_a_file_leaves_as_a_data_url_of_the_stated_length(tmp_path: Path, size: int) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(os.urandom(size))
    tree = {"video": leaf(clip), "frames": [{"first": leaf(clip, "image/png")}], "mode": "flex_1"}
    with RawServer(keep_answering) as server:
        assert one(request(server.url, json=tree)).sent is Sent.ANSWERED
    seen = server.seen[0]
    data = base64.b64encode(clip.read_bytes()).decode()
    assert seen.complete
    assert json.loads(seen.body) == {
        "video": f"data:video/mp4;base64,{data}",
        "frames": [{"first": f"data:image/png;base64,{data}"}],
        "mode": "flex_1",
    }


def rewritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"y" * path.stat().st_size)


def shortened(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [(rewritten, "is not the file it was"), (shortened, "became shorter"), (removed, "cannot be read any more")],
)
def test_a_file_that_changes_while_it_is_sent_breaks_the_request_off(
    tmp_path: Path, change: Callable[[Path], None], words: str
) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"x" * 20_000_000)
    tree = {"video": leaf(clip)}

    def change_at_the_first_bytes(peer: Peer) -> None:
        head = peer.read_head()
        change(clip)
        missing.append(int(head[1]["content-length"]) if head else 0)
        while chunk := peer.read_something():
            missing[0] -= len(chunk)

    missing: list[int] = []
    with RawServer(change_at_the_first_bytes) as server:
        reply = one(request(server.url, json=tree))
    assert (reply.sent, reply.file_changed) == (Sent.UNKNOWN, True)
    assert f"{clip} {words}" in reply.problem
    assert missing[0] > 1000


def test_a_file_with_another_hash_never_arrives_whole(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"x" * 1000)
    tree = {"video": leaf(clip), "mode": "flex_1"}
    clip.write_bytes(b"y" * 1000)
    with RawServer(keep_answering) as server:
        reply = one(request(server.url, json=tree))
    assert (reply.sent, reply.file_changed) == (Sent.UNKNOWN, True)
    assert [seen.complete for seen in server.seen] in ([], [False])


def test_a_file_that_is_gone_before_the_request_is_never_sent(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"x")
    tree = {"video": leaf(clip)}
    clip.unlink()
    reply = one(request(f"http://127.0.0.1:{free_port()}", json=tree))
    assert (reply.sent, reply.file_changed) == (Sent.NEVER_SENT, True)
    assert str(clip) in reply.problem


def test_a_large_file_never_stands_in_memory(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    with clip.open("wb") as file:
        file.truncate(64 * 1024**2)
    digest = hashlib.sha256(bytes(64 * 1024**2)).hexdigest()
    tree = {"video": FileAsDataUrl(path=str(clip), media_type="video/mp4", sha256=digest)}
    with RawServer(keep_answering) as server:
        tracemalloc.start()
        reply = one(request(server.url, json=tree, read_timeout_s=20.0))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert reply.sent is Sent.ANSWERED
    assert server.seen[0].size > 64 * 1024**2 * 4 // 3
    assert peak < 5 * 2**20  # of which the server keeps 1 MiB, twice while it grows


def test_a_request_to_another_machine_goes_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(peer: Peer) -> None:
        head = peer.read_head()
        heads.append(head[0] if head else "")
        auth.append(head[1].get("proxy-authorization", "") if head else "")
        peer.answer(403, b"no")

    heads: list[str] = []
    auth: list[str] = []
    with RawServer(refuse) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:sesame@127.0.0.1:{proxy.port}")
        reply = one(request("https://api.invalid/v1"), secret_headers={"x-api-key": KEY})
    assert heads == ["CONNECT api.invalid:443 HTTP/1.1"]
    assert auth == ["Basic " + base64.b64encode(b"me:sesame").decode()]
    assert reply.sent is Sent.UNKNOWN
    assert reply.problem == "the proxy refused the way to api.invalid"


def test_a_key_travels_through_a_proxy_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(peer: Peer) -> None:
        heads.append(peer.read_head())
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        peer.tunnel_to(server.port)

    heads: list[object] = []
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with RawServer(keep_answering, tls=tls_server(certificate)) as server, RawServer(connect) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        reply = one(request("https://service.test/v1"), secret_headers={"x-api-key": KEY})
    assert reply.sent is Sent.ANSWERED
    assert server.seen[0].headers["x-api-key"] == KEY
    assert "CONNECT service.test:443" in repr(heads)
    assert KEY not in repr(heads)


def test_a_proxy_that_is_down_got_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:sesame@127.0.0.1:{free_port()}")
    reply = one(request("https://api.invalid/v1"))
    assert reply.sent is Sent.NEVER_SENT
    assert "proxy" in reply.problem
    assert "sesame" not in repr(reply)


def test_no_proxy_names_hosts_that_are_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "invalid")
    with RawServer(keep_answering) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert one(request("https://api.invalid/v1")).sent is Sent.NEVER_SENT
    assert proxy.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_never_asked_through_a_proxy(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(keep_answering) as server, RawServer(keep_answering) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert one(request(f"http://{host}:{server.port}")).sent is Sent.ANSWERED
    assert (len(server.seen), proxy.connections) == (1, 0)
