"""What is known of a request, over real sockets: the table on which no double payment rests."""

import asyncio
import gzip
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from batchmod.model import Reply, Request, Sent
from batchmod.transport import Transport
from tests.servers.sockets import Peer, RawServer, Script, free_port, full_backlog, self_signed, tls_server

KEY = "sk-very-secret-0123456789"
SUBMIT = {"prompt": "make it snow"}


def post(url: str, *, json: object = None, read_timeout_s: float = 5, connect_timeout_s: float = 5) -> Reply:
    """One POST by a transport of its own, as a submit is sent."""

    async def exchange() -> Reply:
        transport = Transport(connect_timeout_s=connect_timeout_s)
        try:
            request = Request(
                method="POST", url=f"{url}/v2?token=abc", json=json or SUBMIT, read_timeout_s=read_timeout_s
            )
            return await transport.send(request, secret_headers={"x-api-key": KEY})
        finally:
            await transport.aclose()

    return asyncio.run(exchange())


def assert_says_what_happened_and_no_secret(reply: Reply) -> None:
    assert reply.problem
    assert "token" not in reply.problem
    assert KEY not in repr(reply)
    assert (reply.status, reply.body) == (0, b"")


def refused() -> str:
    return f"http://127.0.0.1:{free_port()}"


def unknown_name() -> str:
    return "http://name.invalid"


@pytest.mark.parametrize("url", [refused, unknown_name])
def test_a_request_without_a_connection_was_never_sent(url: Callable[[], str]) -> None:
    reply = post(url())
    assert reply.sent is Sent.NEVER_SENT
    assert_says_what_happened_and_no_secret(reply)


def test_a_server_that_never_accepts_got_nothing() -> None:
    with full_backlog() as port:
        reply = post(f"http://127.0.0.1:{port}", connect_timeout_s=0.3)
    assert reply.sent is Sent.NEVER_SENT
    assert_says_what_happened_and_no_secret(reply)


def test_a_server_without_tls_got_nothing() -> None:
    with RawServer(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        reply = post(f"https://127.0.0.1:{server.port}")
    assert reply.sent is Sent.NEVER_SENT
    assert "TLS" in reply.problem


def test_a_server_that_stalls_in_the_handshake_got_nothing() -> None:
    with RawServer(Peer.hang) as server:
        reply = post(f"https://127.0.0.1:{server.port}", connect_timeout_s=0.3)
    assert reply.sent is Sent.NEVER_SENT


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    return tls_server(certificate)


def test_a_server_with_an_untrusted_certificate_got_nothing(tls: ssl.SSLContext) -> None:
    with RawServer(read_and_answer(), tls=tls) as server:
        reply = post(server.url)
    assert reply.sent is Sent.NEVER_SENT
    assert "SSL_CERT_FILE" in reply.problem
    assert server.seen == []


def test_an_own_authority_is_trusted_through_the_environment(
    tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with RawServer(read_and_answer(), tls=tls) as server:
        assert post(server.url).sent is Sent.ANSWERED


def test_a_tls_connection_broken_after_the_request_is_unknown(
    tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with RawServer(lambda peer: then(peer, Peer.reset), tls=tls) as server:
        assert post(server.url).sent is Sent.UNKNOWN
    assert len(server.seen) == 1


def test_certificates_that_cannot_be_read_stop_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/authority.pem")
    reply = post("https://127.0.0.1:1")
    assert reply.sent is Sent.NEVER_SENT
    assert "SSL_CERT_FILE" in reply.problem


def then(peer: Peer, do: Callable[[Peer], None]) -> None:
    peer.read_request()
    do(peer)


def read_and_send(data: bytes) -> Script:
    return lambda peer: then(peer, lambda it: it.send(data))


def read_and_answer(status: int = 200, body: bytes = b"{}") -> Script:
    return lambda peer: then(peer, lambda it: it.answer(status, body))


def reset_at_the_first_bytes(peer: Peer) -> None:
    peer.read_something()
    peer.reset()


def reset_in_the_body(peer: Peer) -> None:
    peer.read_head()
    peer.reset()


def hang_before_the_answer(peer: Peer) -> None:
    peer.read_request()
    peer.hang()


def hang_after_headers(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
    peer.hang()


AFTER_ACCEPTANCE: dict[str, Script] = {
    "closed at once": lambda _: None,
    "reset at the first bytes": reset_at_the_first_bytes,
    "reset before the answer": lambda peer: then(peer, Peer.reset),
    "closed before the answer": lambda peer: then(peer, lambda _: None),
    "reset while the body is sent": reset_in_the_body,
    "hangs before the answer": hang_before_the_answer,
    "hangs in the answer": hang_after_headers,
    "cut in the headers": read_and_send(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "cut body": read_and_send(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{"),
    "cut chunks": read_and_send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\r\n"),
    "no chunk": read_and_send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "garbage": read_and_send(b"\x16\x03\x01 this is no HTTP\r\n\r\n"),
    "garbage without an end": read_and_send(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "an impossible length": read_and_send(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}"),
    "another protocol": read_and_send(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    "no gzip": read_and_send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
    "cut gzip": read_and_send(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + gzip.compress(b"{}" * 99)[:20]
    ),
    "unasked encoding": read_and_send(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
    ),
}


@pytest.mark.parametrize("script", AFTER_ACCEPTANCE.values(), ids=AFTER_ACCEPTANCE.keys())
def test_whatever_ends_after_acceptance_without_a_whole_answer_is_unknown(script: Script) -> None:
    with RawServer(script) as server:
        patience = 0.3 if "hang" in script.__name__ else 5
        reply = post(server.url, json={"clip": "x" * 3_000_000}, read_timeout_s=patience)
    assert reply.sent is Sent.UNKNOWN
    assert_says_what_happened_and_no_secret(reply)
    assert server.connections == 1


@pytest.mark.parametrize("status", [200, 201, 204, 302, 400, 401, 404, 429, 500, 502, 504])
def test_a_whole_answer_is_one_whatever_its_status(status: int) -> None:
    body = b"" if status == 204 else b'{"id": 7}'
    with RawServer(read_and_answer(status, body)) as server:
        reply = post(server.url)
    assert (reply.sent, reply.status, reply.body, reply.problem) == (Sent.ANSWERED, status, body, "")
    assert len(server.seen) == 1


def test_bytes_after_the_stated_length_are_no_part_of_the_answer() -> None:
    stated = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with RawServer(read_and_send(stated + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nX")) as server:
        reply = post(server.url)
    assert (reply.sent, reply.body) == (Sent.ANSWERED, b"{}")


def test_an_early_refusal_of_a_long_body_is_an_answer() -> None:
    def refuse(peer: Peer) -> None:
        peer.read_head()
        peer.answer(413, b"too large", Connection="close")
        peer.hang()

    with RawServer(refuse) as server:
        reply = post(server.url, json={"clip": "x" * 20_000_000})
    assert (reply.sent, reply.status, reply.body) == (Sent.ANSWERED, 413, b"too large")


def test_an_answer_that_never_ends_is_not_read_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchmod.transport.client.ANSWER_BYTES", 100_000)
    with RawServer(read_and_answer(200, b"x" * 300_000)) as server:
        reply = post(server.url)
    assert reply.sent is Sent.UNKNOWN
    assert "larger" in reply.problem


def test_a_server_that_stops_taking_the_body_ends_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchmod.transport.client.WRITE_STALL_S", 0.3)
    with RawServer(read_the_head_and_hang) as server:
        reply = post(server.url, json={"clip": "x" * 30_000_000})
    assert reply.sent is Sent.UNKNOWN
    assert_says_what_happened_and_no_secret(reply)


def read_the_head_and_hang(peer: Peer) -> None:
    peer.read_head()
    peer.hang()


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1", "http://user:sesame@127.0.0.1:1", "nonsense", "http://a b", "http://[::1", "http://x:99999"],
)
def test_a_url_that_cannot_be_asked_is_never_sent(url: str) -> None:
    reply = post(url)
    assert reply.sent is Sent.NEVER_SENT
    assert_says_what_happened_and_no_secret(reply)
    assert "sesame" not in reply.problem


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
