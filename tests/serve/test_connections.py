"""Who holds a connection without asking for anything holds it for a while only, and not all there are."""

import resource
import socket
import time

import pytest

from batchmod.serve import connections
from tests import serving


def half_a_head(running: serving.Running) -> socket.socket:
    """A connection on which a request's head has begun to come, and does not go on."""
    opened = socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2])), timeout=10)
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
