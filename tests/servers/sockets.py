"""Raw loopback servers that misbehave on purpose: a script decides, byte by byte, what each connection gets."""

import contextlib
import hashlib
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

KEPT_BODY = 2**20


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request as it arrived; `body` is kept up to 1 MiB, `size` and `sha256` are of all of it."""

    line: str
    headers: dict[str, str]
    body: bytes
    size: int
    sha256: str
    complete: bool


class Peer:
    """One accepted connection, in a script's hands."""

    def __init__(self, server: "RawServer", sock: socket.socket) -> None:
        self._server = server
        self._sock = sock
        self._buffer = b""

    def read_head(self) -> tuple[str, dict[str, str]] | None:
        """The request line and headers (names in lower case), None when the client is gone."""
        while b"\r\n\r\n" not in self._buffer:
            chunk = self._received()
            if not chunk:
                return None
            self._buffer += chunk
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        return line, {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}

    def read_request(self) -> Seen | None:
        """A whole request, or what came of it before the client went; kept in `server.seen`."""
        head = self.read_head()
        if head is None:
            return None
        line, headers = head
        expected = int(headers.get("content-length", "0"))
        body, size, digest = b"", 0, hashlib.sha256()
        while size < expected:
            chunk, self._buffer = self._buffer or self._received(), b""
            if not chunk:
                break
            size += len(chunk)
            digest.update(chunk)
            body += chunk[: max(0, KEPT_BODY - len(body))]
        seen = Seen(
            line=line,
            headers=headers,
            body=body,
            size=size,
            sha256=digest.hexdigest(),
            complete=size == expected,
        )
        self._server.seen.append(seen)
        return seen

    def send(self, data: bytes) -> None:
        """Send raw bytes."""
        with contextlib.suppress(OSError):
            self._sock.sendall(data)

    def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        """Send a proper answer; header names with `_` for `-`."""
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def reset(self) -> None:
        """End the connection with a RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def read_something(self) -> bytes:
        """Whatever arrives next; empty when the client is gone."""
        data, self._buffer = self._buffer or self._received(), b""
        return data

    def hang(self) -> None:
        """Say nothing until the server is closed."""
        self._server.closing.wait(60)

    def tunnel_to(self, port: int) -> None:
        """Copy bytes both ways between the client and a port of this machine, as a proxy does after CONNECT."""
        with socket.create_connection(("127.0.0.1", port)) as far:
            back = threading.Thread(target=_copy, args=(far, self._sock), daemon=True)
            back.start()
            _copy(self._sock, far)
            back.join(5)

    def _received(self) -> bytes:
        try:
            return self._sock.recv(65536)
        except OSError:
            return b""


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


Script = Callable[[Peer], None]


@dataclass
class RawServer:
    """A context manager: a listening socket on loopback, each connection handled by `script` in its own thread."""

    script: Script
    tls: ssl.SSLContext | None = None
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    closing: threading.Event = field(default_factory=threading.Event)
    troubles: list[Exception] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        if self.troubles and error is None:
            raise self.troubles[0]

    @property
    def url(self) -> str:
        """The server's origin."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                wrapped = sock if self.tls is None else self.tls.wrap_socket(sock, server_side=True)
            except OSError:
                return
            with wrapped:
                try:
                    self.script(Peer(self, wrapped))
                except Exception as exc:  # noqa: BLE001 - shown by the block that owns the server
                    self.troubles.append(exc)


def keep_answering(peer: Peer, status: int = 200, body: bytes = b"{}", **headers: str) -> None:
    """Answer every request of a connection alike until the client goes."""
    while (seen := peer.read_request()) is not None and seen.complete:
        peer.answer(status, body, **headers)


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """A port on which connecting takes for ever: it listens, accepts nothing, and its queue is full."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            sock = waiting.enter_context(socket.socket())
            sock.settimeout(0)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 and service.test that nobody trusts, with its key, in one file.

    Skips the test where the openssl command is missing.
    """
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1,DNS:service.test"]
    command = ["openssl", "req", "-x509", *kind, *names, "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl command to make a certificate with")
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


def tls_server(certificate: Path) -> ssl.SSLContext:
    """A server's side of TLS with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
