"""The ways out: proxies and certificates by the usual variables, one client an origin, each phase with its own time."""

import asyncio
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from batchmod.executors.courier import Courier
from batchmod.model import Reply, Request, Sent
from batchmod.transport import Fetched, Transport, doors
from batchmod.transport.doors import Doors
from tests.servers.sockets import Peer, RawServer, free_port, full_backlog, keep_answering, tls_server

VIDEO = b"\0\0\0\x18ftypmp42" + b"x" * 1000


@pytest.fixture(autouse=True)
def bare_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def ask(url: str, *, connect_s: float = 10.0, read_s: float = 10.0) -> Reply:
    async def run() -> Reply:
        transport = Transport(connect_timeout_s=connect_s)
        try:
            return await transport.send(Request(method="GET", url=url, read_timeout_s=read_s))
        finally:
            await transport.aclose()

    return asyncio.run(run())


def fetch(url: str, into: Path) -> Fetched:
    async def run() -> Fetched:
        transport = Transport()
        try:
            return await transport.download(url, into, loopback_allowed=False)
        finally:
            await transport.aclose()

    return asyncio.run(run())


class Proxy:
    """A small HTTP proxy: it relays plain requests, and tunnels to whichever port a name is said to be at."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.ports = ports
        self.lines: list[str] = []

    def __call__(self, peer: Peer) -> None:
        head = peer.read_head()
        if head is None:
            return
        method, target, _ = head[0].split(" ")
        self.lines.append(f"{method} {target}")
        if method == "CONNECT":
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            peer.tunnel_to(self.ports[target])
        else:
            peer.answer(200, VIDEO, Content_Type="video/mp4")


def test_plain_http_goes_through_http_proxy_with_its_whole_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy({})
    with RawServer(proxy) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        fetched = fetch("http://outputs.invalid/a.mp4?sig=x%2Fy", tmp_path / "a.part")

    assert proxy.lines == ["GET http://outputs.invalid/a.mp4?sig=x%2Fy"]
    assert (fetched.ok, (tmp_path / "a.part").read_bytes()) == (True, VIDEO)


def test_a_download_over_tls_goes_through_https_proxy_and_the_users_own_authority(
    tmp_path: Path, authority: "Authority", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with RawServer(lambda peer: keep_answering(peer, body=VIDEO), tls=authority.tls) as server:
        proxy = Proxy({"service.test:443": server.port})
        with RawServer(proxy) as between:
            monkeypatch.setenv("https_proxy", between.url)  # curl's spelling
            fetched = fetch("https://service.test/a.mp4", tmp_path / "a.part")

    assert (fetched.ok, proxy.lines) == (True, ["CONNECT service.test:443"])
    assert (tmp_path / "a.part").read_bytes() == VIDEO


def test_the_process_that_asks_and_downloads_goes_out_the_same_way(
    tmp_path: Path, authority: "Authority", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy and the authority of the environment count there too, and so does what is asked directly."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    proxy = Proxy({})
    with RawServer(lambda peer: keep_answering(peer, body=VIDEO), tls=authority.tls) as server, RawServer(proxy) as way:
        proxy.ports["service.test:443"] = server.port
        monkeypatch.setenv("HTTPS_PROXY", way.url)
        monkeypatch.setenv("NO_PROXY", "direct.invalid")

        async def run() -> tuple[Reply, Fetched, Reply]:
            courier, here = Courier(many=1), Transport()
            try:
                first = Request(method="GET", url=f"http://127.0.0.1:{free_port()}")
                await courier.send(first, secret_headers={}, by=here)
                while not courier.is_ready:  # noqa: ASYNC110 - nobody says when it has started
                    await asyncio.sleep(0.01)
                with monkeypatch.context() as later:  # nothing that is done here would find its way
                    later.delenv("SSL_CERT_FILE")
                    later.delenv("HTTPS_PROXY")
                    asked = Request(method="GET", url="https://service.test/a", read_timeout_s=10.0)
                    reply = await courier.send(asked, secret_headers={}, by=here)
                    part, url = tmp_path / "a.part", "https://service.test/a.mp4"
                    fetched = await courier.download(url, part, loopback_allowed=False, by=here)
                    direct = Request(method="GET", url="https://direct.invalid/a", read_timeout_s=10.0)
                    return reply, fetched, await courier.send(direct, secret_headers={}, by=here)
            finally:
                courier.close()
                await here.aclose()

        reply, fetched, direct = asyncio.run(run())

    assert (reply.body, fetched.ok, (tmp_path / "a.part").read_bytes()) == (VIDEO, True, VIDEO)
    assert (direct.sent, "direct.invalid" in direct.problem) == (Sent.NEVER_SENT, True)
    assert proxy.lines == ["CONNECT service.test:443"] * 2


class Authority:
    """An authority of one's own, and a server with a certificate that it has signed."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "authority.pem"
        key, request, server = folder / "authority.key", folder / "server.csr", folder / "server.pem"
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        signing = ["-addext", "keyUsage=critical,keyCertSign", "-days", "2"]
        openssl("req", "-x509", *kind, *signing, "-subj", "/CN=studio", "-keyout", key, "-out", self.file)
        openssl("req", *kind, "-subj", "/CN=service.test", "-keyout", server, "-out", request)
        names = folder / "names"
        names.write_text("subjectAltName=IP:127.0.0.1,DNS:service.test\n")
        signed = folder / "signed.pem"
        by = ["-CA", self.file, "-CAkey", key, "-CAcreateserial", "-days", "2"]
        openssl("x509", "-req", "-in", request, *by, "-extfile", names, "-out", signed)
        server.write_bytes(server.read_bytes() + signed.read_bytes())
        self.tls: ssl.SSLContext = tls_server(server)


def openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command to make certificates with")
    return Authority(tmp_path_factory.mktemp("authority"))


def hashed_folder(authority: Authority, folder: Path) -> Path:
    """As `openssl rehash` makes it."""
    folder.mkdir()
    shutil.copy(authority.file, folder / "studio.pem")
    openssl("rehash", folder)
    return folder


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_an_authority_of_ones_own_is_trusted_by_either_variable_and_by_none_not(
    name: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(keep_answering, tls=authority.tls) as server:
        assert ask(server.url).sent is Sent.NEVER_SENT
        place = authority.file if name == "SSL_CERT_FILE" else hashed_folder(authority, tmp_path / "certificates")
        monkeypatch.setenv(name, str(place))

        assert ask(server.url).sent is Sent.ANSWERED


def test_each_origin_has_a_client_of_its_own_which_all_its_requests_share() -> None:
    async def clients() -> list[object]:
        found = Doors(trust_env=False)
        urls = ("https://a.test/1", "https://a.test:443/2", "https://b.test/1", "http://a.test/1")
        made: list[object] = [found.for_request(url, idle_s=doors.KEEPALIVE_S) for url in urls]
        await found.aclose()
        return made

    one, again, *others = asyncio.run(clients())

    assert one is again
    assert len({id(one), *map(id, others)}) == 3


def test_a_hundred_requests_of_one_origin_use_the_connection_again() -> None:
    async def run() -> None:
        transport = Transport()
        for number in range(100):
            reply = await transport.send(Request(method="GET", url=f"{server.url}/{number}"))
            assert reply.sent is Sent.ANSWERED
        await transport.aclose()

    with RawServer(keep_answering) as server:
        asyncio.run(run())

    assert (len(server.seen), server.connections) == (100, 1)


def hang_after_the_head(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    peer.hang()


def hang_before_the_head(peer: Peer) -> None:
    peer.read_request()
    peer.hang()


@pytest.mark.parametrize("script", [hang_before_the_head, hang_after_the_head])
def test_reading_has_its_own_time_however_long_connecting_may_take(script: Callable[[Peer], None]) -> None:
    began = time.monotonic()
    with RawServer(script) as server:
        assert ask(server.url, connect_s=60.0, read_s=0.3).sent is Sent.UNKNOWN
    assert time.monotonic() - began < 30


def test_connecting_has_its_own_time_however_long_reading_may_take() -> None:
    began = time.monotonic()
    with full_backlog() as port:
        assert ask(f"http://127.0.0.1:{port}", connect_s=0.3, read_s=60.0).sent is Sent.NEVER_SENT
    assert time.monotonic() - began < 30
