"""Bodies beyond JSON, and answers that are files, over real sockets."""

import asyncio
import hashlib
import json
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from batchmod.model import FileAsBytes, FileSize, Reply, Request, Sent
from batchmod.transport import Transport
from tests.servers.sockets import Peer, RawServer, keep_answering


def sent(request: Request, *, into: Path | None = None) -> Reply:
    async def go() -> Reply:
        transport = Transport()
        try:
            return await transport.send(request, into=into)
        finally:
            await transport.aclose()

    return asyncio.run(go())


def file_of(path: Path, content: bytes) -> FileAsBytes:
    path.write_bytes(content)
    return FileAsBytes(path=str(path), media_type="video/mp4", sha256=hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("size", [0, 1, 98_304, 98_305, 1_000_000])
def test_a_file_is_a_body_byte_by_byte(size: int, tmp_path: Path) -> None:
    content = bytes(number % 251 for number in range(size))
    with RawServer(keep_answering) as server:
        reply = sent(Request(method="PUT", url=server.url, file=file_of(tmp_path / "a", content)))
        (seen,) = server.seen

    assert (reply.status, seen.size, seen.sha256) == (200, size, hashlib.sha256(content).hexdigest())
    assert (seen.headers["content-type"], seen.headers["content-length"]) == ("video/mp4", str(size))
    assert "transfer-encoding" not in seen.headers


def test_the_contracts_own_headers_win_over_ours(tmp_path: Path) -> None:
    with RawServer(keep_answering) as server:
        file = file_of(tmp_path / "a", b"x")
        sent(
            Request(
                method="PUT", url=server.url, file=file, headers={"Content-Type": "video/quicktime", "X-Amz-A": "1"}
            )
        )
        (seen,) = server.seen

    assert (seen.headers["content-type"], seen.headers["x-amz-a"]) == ("video/quicktime", "1")


def test_a_form_has_its_fields_in_their_order_and_the_file_where_it_stands(tmp_path: Path) -> None:
    content = b"\r\n--boundary?\r\n" * 9000
    form: dict[str, str | FileAsBytes] = {
        "key": "uploads/ä.mp4",
        "policy": "p",
        "file": file_of(tmp_path / "a", content),
    }
    with RawServer(keep_answering) as server:
        reply = sent(Request(method="POST", url=server.url, form=form))
        (seen,) = server.seen

    kind = seen.headers["content-type"]
    message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + seen.body)
    parts: Any = message.get_payload()

    assert (reply.status, seen.complete, kind.startswith("multipart/form-data; boundary=")) == (200, True, True)
    assert [part.get_param("name", header="content-disposition") for part in parts] == ["key", "policy", "file"]
    assert [part.get_payload(decode=True) for part in parts] == ["uploads/ä.mp4".encode(), b"p", content]
    assert (parts[2].get_filename(), parts[2].get_content_type()) == ("file.mp4", "video/mp4")


def test_a_users_file_name_does_not_travel(tmp_path: Path) -> None:
    file = file_of(tmp_path / "the client's secret project.mp4", b"x")
    with RawServer(keep_answering) as server:
        sent(Request(method="POST", url=server.url, form={"file": file}))
        (seen,) = server.seen

    assert b"secret" not in seen.body


def test_a_files_size_is_a_number_of_a_body(tmp_path: Path) -> None:
    file_of(tmp_path / "a", b"x" * 1234)
    with RawServer(keep_answering) as server:
        sent(Request(method="POST", url=server.url, json={"size_bytes": FileSize(path=str(tmp_path / "a"))}))
        (seen,) = server.seen

    assert json.loads(seen.body) == {"size_bytes": 1234}


@pytest.mark.parametrize("as_form", [True, False])
def test_a_file_that_is_not_the_one_that_was_meant_is_never_sent_whole(*, as_form: bool, tmp_path: Path) -> None:
    file = file_of(tmp_path / "a", b"x" * 300_000)
    (tmp_path / "a").write_bytes(b"y" * 300_000)
    with RawServer(keep_answering) as server:
        how: dict[str, Any] = {"form": {"file": file}} if as_form else {"file": file}
        reply = sent(Request(method="POST", url=server.url, **how))

    assert (reply.sent, reply.file_changed) == (Sent.UNKNOWN, True)
    assert not any(seen.complete for seen in server.seen)


VIDEO = bytes(range(256)) * 5000


def brings_the_video(peer: Peer) -> None:
    keep_answering(peer, body=VIDEO, Content_Type="video/mp4", X_Request_Id="r1")


def asked_for_a_file(server: RawServer, into: Path) -> Reply:
    return sent(Request(method="POST", url=server.url, json={}, brings_file=True), into=into)


def test_a_file_goes_to_the_disk_and_not_into_memory(tmp_path: Path) -> None:
    with RawServer(
        lambda peer: keep_answering(peer, body=VIDEO, Content_Type="video/mp4", X_Request_Id="r1")
    ) as server:
        reply = asked_for_a_file(server, tmp_path / "part")

    assert (reply.sent, reply.status, reply.body, reply.file) == (Sent.ANSWERED, 200, b"", str(tmp_path / "part"))
    assert reply.headers["x-request-id"] == "r1"
    assert (tmp_path / "part").read_bytes() == VIDEO


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, "application/json"),
        (200, "application/problem+json"),
        (200, "text/html; charset=utf-8"),
        (200, ""),
        (500, "video/mp4"),
        (201, "video/mp4"),
    ],
)
def test_what_is_no_file_is_read_as_any_answer(status: int, kind: str, tmp_path: Path) -> None:
    headers = {"Content_Type": kind} if kind else {}
    with RawServer(lambda peer: keep_answering(peer, status, b'{"a": 1}', **headers)) as server:
        reply = asked_for_a_file(server, tmp_path / "part")

    assert (reply.status, reply.body, reply.file) == (status, b'{"a": 1}', None)
    assert not (tmp_path / "part").exists()


def test_a_file_that_is_cut_is_unknown_and_what_its_headers_said_is_kept(tmp_path: Path) -> None:
    def cut(peer: Peer) -> None:
        peer.read_request()
        head = "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nX-Request-Id: r1\r\nContent-Length: 1000000\r\n\r\n"
        peer.send(head.encode() + VIDEO[:1000])

    with RawServer(cut) as server:
        reply = asked_for_a_file(server, tmp_path / "part")

    assert (reply.sent, reply.status, reply.file, reply.headers["x-request-id"]) == (Sent.UNKNOWN, 0, None, "r1")
    assert reply.problem


def test_a_file_that_cannot_be_written_is_unknown_too(tmp_path: Path) -> None:
    with RawServer(
        lambda peer: keep_answering(peer, body=VIDEO, Content_Type="video/mp4", X_Request_Id="r1")
    ) as server:
        reply = asked_for_a_file(server, tmp_path / "no such folder" / "part")

    assert (reply.sent, reply.headers["x-request-id"]) == (Sent.UNKNOWN, "r1")
