"""Downloads over real sockets: whole files only, public addresses only, and disk trouble said as itself."""

import asyncio
import errno
import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from batchmod.transport import Fetched, Transport
from tests.disks import fill, small_disk
from tests.servers.sockets import Peer, RawServer, Script, free_port, self_signed, tls_server

VIDEO = os.urandom(2_500_000)
HASH = hashlib.sha256(VIDEO).hexdigest()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def download(
    url: str, target: Path, *, loopback_allowed: bool = True, resume: bool = False, max_bytes: int = 10**7
) -> Fetched:
    async def run() -> Fetched:
        transport = Transport(connect_timeout_s=1)
        try:
            return await transport.download(
                url, target, loopback_allowed=loopback_allowed, resume=resume, max_bytes=max_bytes
            )
        finally:
            await transport.aclose()

    return asyncio.run(run())


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "a_v001.mp4.part"


def always(status: int = 200, body: bytes = VIDEO, **headers: str) -> Script:
    def script(peer: Peer) -> None:
        while peer.read_request() is not None:
            peer.answer(status, body, **headers)

    return script


def ranges(peer: Peer) -> None:
    """A server that knows ranges."""
    while (seen := peer.read_request()) is not None:
        start = int(seen.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start >= len(VIDEO):
            peer.answer(416, b"", Content_Range=f"bytes */{len(VIDEO)}")
        elif start:
            peer.answer(206, VIDEO[start:], Content_Range=f"bytes {start}-{len(VIDEO) - 1}/{len(VIDEO)}")
        else:
            peer.answer(200, VIDEO)


def test_a_whole_file_is_stored_with_its_hash(part: Path) -> None:
    with RawServer(always(Content_Type="video/mp4")) as server:
        fetched = download(f"{server.url}/a.mp4?sig=x%2Fy", part)
    assert fetched == Fetched(ok=True, status=200, bytes=len(VIDEO), sha256=HASH, content_type="video/mp4")
    assert part.read_bytes() == VIDEO
    assert server.seen[0].line == "GET /a.mp4?sig=x%2Fy HTTP/1.1"
    assert server.seen[0].headers["accept-encoding"] == "identity"


def test_an_older_part_file_is_replaced(part: Path) -> None:
    part.write_bytes(b"x" * 3_000_000)
    with RawServer(always()) as server:
        assert download(server.url, part).sha256 == HASH
    assert part.read_bytes() == VIDEO


def cut(peer: Peer) -> None:
    peer.read_request()
    peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(VIDEO)}\r\n\r\n".encode() + VIDEO[:1_500_000])


def cut_chunks(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + f"{len(VIDEO):x}\r\n".encode())
    peer.send(VIDEO[:1_500_000])


@pytest.mark.parametrize("script", [cut, cut_chunks])
def test_a_cut_file_is_not_ok_and_what_came_is_kept(script: Script, part: Path) -> None:
    with RawServer(script) as server:
        fetched = download(server.url, part)
    assert (fetched.ok, fetched.retry, fetched.gone, fetched.sha256) == (False, True, False, "")
    assert fetched.problem
    assert part.read_bytes() == VIDEO[: fetched.bytes]
    assert fetched.bytes > 1_000_000


@pytest.mark.parametrize(
    ("status", "gone", "retry"),
    [
        *[(status, True, False) for status in (403, 404, 410)],
        *[(status, False, True) for status in (408, 429, 500, 503)],
        *[(status, False, False) for status in (204, 206, 304, 400)],
    ],
)
def test_a_refusal_says_whether_asking_again_helps(status: int, gone: bool, retry: bool, part: Path) -> None:  # noqa: FBT001
    with RawServer(always(status, b"")) as server:
        fetched = download(f"{server.url}?signature=abc", part)
    assert (fetched.ok, fetched.status, fetched.gone, fetched.retry) == (False, status, gone, retry)
    assert "signature" not in fetched.problem
    assert not part.exists()


def hang_up(peer: Peer) -> None:
    peer.read_request()


def talk_nonsense(peer: Peer) -> None:
    peer.send(b"garbage\r\n\r\n")


@pytest.mark.parametrize("script", [hang_up, Peer.reset, talk_nonsense])
def test_trouble_of_the_wire_is_no_exception(script: Script, part: Path) -> None:
    with RawServer(script) as server:
        fetched = download(server.url, part)
    assert (fetched.ok, fetched.retry) == (False, True)
    assert "127.0.0.1" in fetched.problem


def test_a_host_that_is_down_may_come_back(part: Path) -> None:
    assert download(f"http://127.0.0.1:{free_port()}", part).retry


def unending(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + VIDEO)


@pytest.mark.parametrize("script", [always(), unending])
def test_a_file_larger_than_allowed_is_refused(script: Script, part: Path) -> None:
    with RawServer(script) as server:
        fetched = download(server.url, part, max_bytes=1_000_000)
    assert (fetched.ok, fetched.retry) == (False, False)
    assert fetched.bytes <= 1_000_000


def test_a_file_encoded_unasked_is_refused(part: Path) -> None:
    with RawServer(always(Content_Encoding="gzip")) as server:
        fetched = download(server.url, part)
    assert (fetched.ok, fetched.retry) == (False, False)


@pytest.mark.parametrize("have", [0, 1, 1_048_577, len(VIDEO) - 1, len(VIDEO), len(VIDEO) + 7])
def test_a_resumed_file_is_the_whole_file(have: int, part: Path) -> None:
    part.write_bytes((VIDEO + b"surplus")[:have])
    with RawServer(ranges) as server:
        fetched = download(server.url, part, resume=True)
    assert (fetched.ok, fetched.bytes, fetched.sha256) == (True, len(VIDEO), HASH)
    assert part.read_bytes() == VIDEO
    assert server.seen[0].headers.get("range") == (f"bytes={have}-" if have else None)


def other_range(peer: Peer) -> None:
    seen = peer.read_request()
    if seen is not None and "range" in seen.headers:
        peer.answer(206, VIDEO[5:], Content_Range=f"bytes 5-{len(VIDEO) - 1}/{len(VIDEO)}")
        seen = peer.read_request()
    if seen is not None:
        peer.answer(200, VIDEO)


@pytest.mark.parametrize("script", [always(), other_range])
def test_a_server_that_gives_no_such_range_starts_the_file_anew(script: Script, part: Path) -> None:
    part.write_bytes(b"x" * 1000)
    with RawServer(script) as server:
        fetched = download(server.url, part, resume=True)
    assert (fetched.ok, fetched.sha256) == (True, HASH)
    assert part.read_bytes() == VIDEO


def test_redirects_are_followed_without_losing_the_way(part: Path) -> None:
    def five_hops(peer: Peer) -> None:
        while (seen := peer.read_request()) is not None:
            hop = int(seen.line.split()[1].strip("/") or 0)
            if hop == hops:
                peer.answer(200, VIDEO)
            else:
                peer.answer(302, b"moved", Location=f"/{hop + 1}")

    hops = 5
    with RawServer(five_hops) as server:
        assert download(server.url, part).ok
        hops = 6
        fetched = download(server.url, part)
    assert (fetched.ok, fetched.retry) == (False, False)
    assert "redirects" in fetched.problem


@pytest.mark.parametrize(
    "location",
    [
        *["file:///etc/passwd", "ftp://x/y", "http://[", "http://user:word@127.0.0.1/", "http://a b/"],
        *["http://10.0.0.1/", "http://169.254.169.254/latest", "http://[::ffff:10.0.0.1]/", "http://100.64.0.1/"],
    ],
)
def test_a_redirect_to_where_nobody_may_go_is_refused(location: str, part: Path) -> None:
    with RawServer(always(302, b"", Location=location)) as server:
        fetched = download(server.url, part)
    assert (fetched.ok, fetched.retry) == (False, False)
    assert not part.exists()


def test_a_redirect_from_https_down_to_http_is_refused(
    tmp_path: Path, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with RawServer(always()) as plain:
        script = always(302, b"", Location=f"{plain.url}/a.mp4")
        with RawServer(script, tls=tls_server(certificate)) as server:
            fetched = download(f"{server.url}/a.mp4", part)
    assert (fetched.ok, fetched.retry, plain.connections) == (False, False, 0)
    assert "https down to http" in fetched.problem


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "127.1", "0x7f.1"]
)
def test_this_machine_is_refused_unless_allowed(host: str, part: Path) -> None:
    with RawServer(always()) as server:
        fetched = download(f"http://{host}:{server.port}", part, loopback_allowed=False)
    assert fetched.ok is False
    assert server.connections == 0


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, list[str]], list[str]]:
    """Give a name its addresses, in place of the system's own resolver; the list returned is of names asked for."""

    def give(name: str, addresses: list[str]) -> list[str]:
        asked: list[str] = []

        def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[object]:
            asked.append(host)
            if host != name:
                raise socket.gaierror(socket.EAI_NONAME, "unknown")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return asked

    return give


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "100.64.1.1", "169.254.169.254", "224.0.0.1", "0.0.0.0"])
def test_a_name_that_leads_to_no_public_address_is_refused(
    names: Callable[[str, list[str]], list[str]], address: str, part: Path
) -> None:
    names("cdn.example", [address])
    with RawServer(always()) as server:
        fetched = download(f"http://cdn.example:{server.port}", part, loopback_allowed=False)
    assert (fetched.ok, fetched.retry) == (False, False)
    assert address in fetched.problem
    assert server.connections == 0


def test_a_name_is_resolved_once_and_that_address_is_the_one_connected_to(
    names: Callable[[str, list[str]], list[str]], part: Path
) -> None:
    asked = names("cdn.example", ["10.1.2.3", "127.0.0.1"])
    with RawServer(always()) as server:
        fetched = download(f"http://cdn.example:{server.port}", part)
    assert fetched.ok
    assert asked == ["cdn.example"]


def test_what_was_allowed_once_is_not_allowed_on_a_connection_left_open(part: Path) -> None:
    async def both(url: str) -> tuple[Fetched, Fetched]:
        transport = Transport()
        try:
            first = await transport.download(url, part, loopback_allowed=True)
            return first, await transport.download(url, part, loopback_allowed=False)
        finally:
            await transport.aclose()

    with RawServer(always()) as server:
        first, second = asyncio.run(both(f"http://localhost:{server.port}"))
    assert (first.ok, second.ok) == (True, False)
    assert len(server.seen) == 1


def test_a_folder_that_is_missing_is_said_as_it_is(tmp_path: Path) -> None:
    with RawServer(always()) as server, pytest.raises(FileNotFoundError):
        download(server.url, tmp_path / "nowhere" / "a.part")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_said_as_it_is(tmp_path: Path) -> None:
    full = tmp_path / "a.part"
    full.symlink_to("/dev/full")
    with RawServer(always()) as server, pytest.raises(OSError, match="No space") as caught:
        download(server.url, full)
    assert caught.value.errno == errno.ENOSPC


def test_the_last_room_of_a_disk_is_left_to_the_record(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=32) as disk, RawServer(always()) as server:
        film = fill(disk, rest=15 << 20)
        with pytest.raises(OSError, match="No space") as caught:
            download(server.url, disk / "a.part")
        part = disk / "a.part"
        written = part.stat().st_size if part.exists() else 0
        film.unlink()

        assert (caught.value.errno, written) == (errno.ENOSPC, 0)
        assert download(server.url, disk / "a.part", resume=True).sha256 == HASH
