"""Clips by URL: from public addresses only, however a URL, a name or a redirect tries to get at this network."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchmod.serve import Limits
from batchmod.serve.fetch import Fetcher, UnreachableError
from tests.servers.sockets import Peer, RawServer, Script
from tests.serving import clip, service

VIDEO = clip()


def fetched(url: str, target: Path, *, near: bool = False, most: int = 10**6, time_s: float = 20.0) -> bytes:
    """The file behind a URL; `near` lets loopback stand for the public network."""

    async def run() -> None:
        fetcher = Fetcher(time_s=time_s, loopback_allowed=near)
        try:
            await fetcher.fetch("video_url", url, target, most=most)
        finally:
            await fetcher.aclose()

    asyncio.run(run())
    return target.read_bytes()


def refusal(url: str, target: Path, **how: Any) -> str:
    with pytest.raises(UnreachableError) as error:
        fetched(url, target, **how)
    return str(error.value)


def always(status: int = 200, body: bytes = VIDEO, **headers: str) -> Script:
    def script(peer: Peer) -> None:
        while peer.read_request() is not None:
            peer.answer(status, body, **headers)

    return script


@pytest.fixture
def inner() -> Iterator[RawServer]:
    """A server on this machine that must not be reached."""
    with RawServer(always()) as server:
        yield server


TRICKS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "0",
    "0.0.0.0",
    "localhost",
    "LOCALHOST",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "127.0.0.1.",
]


@pytest.mark.parametrize("host", TRICKS)
def test_this_machine_is_not_reached_however_it_is_spelled(inner: RawServer, tmp_path: Path, host: str) -> None:
    port = inner.url.rsplit(":", 1)[1]

    said = refusal(f"http://{host}:{port}/a.mp4", tmp_path / "a")

    assert said.startswith("Could not download video_url ")
    assert inner.seen == []


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.254",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.127.255.254",
        "192.0.0.8",
        "192.0.2.1",
        "198.18.0.1",
        "203.0.113.7",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[fe80::1]",
        "[fd00::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a00:1::]",
        "0xa9fea9fe",
        "2852039166",
    ],
)
def test_no_inner_network_is_reached(tmp_path: Path, host: str, strangers: list[Any]) -> None:
    for near in (False, True):
        assert "Could not download video_url" in refusal(f"http://{host}/latest/meta-data", tmp_path / "a", near=near)
    assert strangers == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/a.mp4",
        "gopher://127.0.0.1/x",
        "http://user:hunter2@example.com/a.mp4",
        "http://127.0.0.1:80\\@example.com/",
        "http://exa mple.com/",
        "http:///a.mp4",
        "//example.com/a.mp4",
    ],
)
def test_nothing_but_plain_http_urls_is_asked(tmp_path: Path, url: str) -> None:
    assert "hunter2" not in refusal(url, tmp_path / "a")


def resolving(monkeypatch: pytest.MonkeyPatch, answers: Callable[[str], list[str]]) -> list[str]:
    """Names under .test are resolved by `answers`, as a name server that is not ours would; the names asked for."""
    asked: list[str] = []
    before = socket.getaddrinfo

    def lookup(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if not str(host).endswith(".test"):
            return before(host, port, *args, **kwargs)
        asked.append(str(host))
        families = [socket.AF_INET6 if ":" in each else socket.AF_INET for each in answers(str(host))]
        found = zip(families, answers(str(host)), strict=True)
        rest = {socket.AF_INET: (), socket.AF_INET6: (0, 0)}
        return [(family, socket.SOCK_STREAM, 6, "", (address, port, *rest[family])) for family, address in found]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return asked


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
def test_a_name_that_leads_to_an_inner_address_is_refused_and_the_address_not_told(
    inner: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    port = inner.url.rsplit(":", 1)[1]
    asked = resolving(monkeypatch, lambda _: [address])

    said = refusal(f"http://intranet.test:{port}/a.mp4", tmp_path / "a")

    assert asked
    assert "not a public address" in said
    assert address not in said
    assert inner.seen == []


def test_a_name_that_changes_its_address_between_two_hops_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strangers: list[Any]
) -> None:
    turns = iter(range(100))

    def rebinding(_: str) -> list[str]:
        return ["127.0.0.1"] if next(turns) < 2 else ["10.0.0.1"]

    with RawServer(always(302, b"", Location="http://b.test/secret", Connection="close")) as server:
        port = server.url.rsplit(":", 1)[1]
        asked = resolving(monkeypatch, rebinding)
        said = refusal(f"http://a.test:{port}/a.mp4", tmp_path / "a", near=True)

    assert asked[:2] == ["a.test", "b.test"]
    assert "not a public address" in said
    assert len(server.seen) == 1
    assert strangers == []


def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(always()) as server:
        asked = resolving(monkeypatch, lambda _: ["127.0.0.1"])
        port = server.url.rsplit(":", 1)[1]
        got = fetched(f"http://clips.test:{port}/a.mp4", tmp_path / "a", near=True)

    assert got == VIDEO
    assert asked == ["clips.test"]


@pytest.mark.parametrize(
    "location",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:10.0.0.1]/",
        "http://0xa9fea9fe/",
        "//192.168.0.1/a.mp4",
        "file:///etc/passwd",
        "http://user:pw@127.0.0.1/",
        "gopher://127.0.0.1/",
    ],
)
def test_no_redirect_leads_inside(tmp_path: Path, location: str, strangers: list[Any]) -> None:
    with RawServer(always(302, b"", Location=location)) as server:
        refusal(f"{server.url}/a.mp4", tmp_path / "a", near=True)

    assert len(server.seen) == 1
    assert strangers == []


def test_a_redirect_in_the_open_is_followed_and_a_circle_ends(tmp_path: Path) -> None:
    with RawServer(always()) as target, RawServer(always(307, b"", Location=f"{target.url}/b.mp4")) as server:
        assert fetched(f"{server.url}/a.mp4", tmp_path / "a", near=True) == VIDEO
    with RawServer(always(302, b"", Location="/again")) as server:
        assert "redirects" in refusal(f"{server.url}/a.mp4", tmp_path / "a", near=True)
        assert len(server.seen) == 6


def test_an_endless_body_ends_at_its_limit(tmp_path: Path) -> None:
    def endless(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n")
        for _ in range(10_000):
            peer.send(bytes(65536))

    with RawServer(endless) as server:
        said = refusal(f"{server.url}/a.mp4", tmp_path / "a", near=True, most=1_000_000)

    assert "larger than 1000000 bytes" in said
    assert (tmp_path / "a").stat().st_size <= 1_000_000


def test_a_body_that_says_it_is_too_long_is_not_even_begun(tmp_path: Path) -> None:
    with RawServer(always(200, bytes(1_000_001))) as server:
        assert "larger than" in refusal(f"{server.url}/a.mp4", tmp_path / "a", near=True, most=1_000_000)
    assert not (tmp_path / "a").exists()


def test_a_body_that_drips_is_not_waited_for(tmp_path: Path) -> None:
    def dripping(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            peer.send(b"x")
            threading.Event().wait(0.1)

    with RawServer(dripping) as server:
        assert "within 1 seconds" in refusal(f"{server.url}/a.mp4", tmp_path / "a", near=True, time_s=1.0)


def test_queries_and_keys_are_neither_told_nor_sent(tmp_path: Path) -> None:
    with RawServer(always(404, b"")) as server:
        said = refusal(f"{server.url}/a.mp4?X-Amz-Signature=SECRET", tmp_path / "a", near=True)

    assert "SECRET" not in said
    assert "answered 404" in said
    assert not {"x-api-key", "cookie", "authorization"} & set(server.seen[0].headers)


def test_a_job_whose_clip_lies_inside_fails_and_says_why(inner: RawServer, tmp_path: Path) -> None:
    with service(tmp_path / "data") as server:
        body = server.ended(server.submit(video_url=f"{inner.url}/a.mp4?token=SECRET", prompt="x"))
        answer = server.ask("GET", f"/v2/requests/{body['request_id']}")
        blocking = server.ask("POST", "/v1/modify-video", json={"video_url": f"{inner.url}/a.mp4"})

    assert answer.status_code == 422
    assert answer.json() == body
    assert body["status"] == "FAILED"
    assert body["error"].startswith(f"Could not download video_url {inner.url}/a.mp4: ")
    assert (blocking.status_code, list(blocking.json())) == (406, ["error"])
    assert inner.seen == []
    assert not list((tmp_path / "data" / "jobs").iterdir())


def test_a_job_fetches_its_clip_once_and_looks_at_what_came(tmp_path: Path) -> None:
    with (
        RawServer(always(200, b"<html>not found</html>", Content_Type="video/mp4")) as web,
        service(tmp_path / "data", loopback_sources=True, limits=Limits()) as server,
    ):
        body = server.ended(server.submit(video_url=f"{web.url}/a.mp4", prompt="x"))

    assert body["error"] == "Value rejected: video_url is an HTML page; only MP4 videos are taken"
    assert len(web.seen) == 1
