"""Who holds a connection without asking for anything holds it for a while only, and not all there are."""

import json
import resource
import socket
import time

import pytest

from batchmod.serve import connections
from tests import serving


def connected(running: serving.Running) -> socket.socket:
    """A connection on which nothing has been said."""
    return socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2])), timeout=10)


def half_a_head(running: serving.Running) -> socket.socket:
    """A connection on which a request's head has begun to come, and does not go on."""
    opened = connected(running)
    opened.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
    return opened


def test_a_head_that_does_not_come_ends_its_connection(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections.Hurried, "head_s", 0.5)
    with serving.service(tmp_path_factory.mktemp("data")) as running, half_a_head(running) as slow:
        began = time.monotonic()

        assert refused(slow)
        assert 0.3 < time.monotonic() - began < 8
        assert running.ask("GET", "/").status_code == 200


def test_a_body_may_take_longer_than_a_head(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections.Hurried, "head_s", 0.5)
    body = b'{"data_urls": []}'
    with serving.service(tmp_path_factory.mktemp("data")) as running, half_a_head(running) as slow:
        slow.sendall(b"no\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
        time.sleep(1.5)
        slow.sendall(body)

        assert slow.recv(100).startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"this is no HTTP\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_the_shape_of_every_refusal(
    tmp_path_factory: pytest.TempPathFactory, head: bytes
) -> None:
    with serving.service(tmp_path_factory.mktemp("data")) as running, connected(running) as opened:
        opened.sendall(head)
        said = b"".join(iter(lambda: received(opened), b""))

    first, _, body = said.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 400 ")
    assert list(json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])) == ["error"]


def received(opened: socket.socket) -> bytes:
    try:
        return opened.recv(4096)
    except ConnectionResetError:
        return b""


def test_connections_leave_files_for_the_work(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        assert connections.most_connections() == 128
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    monkeypatch.setattr(connections, "most_connections", lambda: 20)
    with serving.service(tmp_path_factory.mktemp("data")) as running:
        held = [half_a_head(running) for _ in range(30)]
        try:
            time.sleep(0.5)
            for each in held[:15]:
                each.close()
            time.sleep(0.5)

            assert running.ask("GET", "/").status_code == 200
            assert len([each for each in held[20:] if refused(each)]) == 10
        finally:
            for each in held:
                each.close()


def refused(opened: socket.socket) -> bool:
    try:
        return opened.recv(10) == b""
    except ConnectionResetError:
        return True
