"""Send one request and say exactly what became of it."""

import asyncio
import contextlib
import os
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final, cast
from urllib.parse import urlsplit

import httpx

from batchmod import __version__
from batchmod.model import Reply, Request, Sent
from batchmod.transport import doors
from batchmod.transport.asking import Asked, asked
from batchmod.transport.body import Body, body_of
from batchmod.transport.calls import Call, written
from batchmod.transport.doors import Doors, Wire, wire
from batchmod.transport.download import Download, Fetched
from batchmod.transport.outcome import problem_of, sent_of
from batchmod.urls import check_request_url

ANSWER_BYTES: Final = 32 * 1024**2
"""The largest answer that is read; a larger one is not readable, hence unknown."""

FILE_BYTES: Final = 2 * 1024**3
"""The largest answer that is written to a file."""

WRITE_STALL_S: Final = 120.0
"""How long a server may leave a piece of the body untaken."""

_SLOW_ANSWER_S: Final = 600.0
"""How long an answer may drip in after its first byte was due."""

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
USER_AGENT: Final = f"batchmod/{__version__}"


class _UnsendableError(Exception):
    """A request that cannot be made; its text is meant for people."""

    def __init__(self, problem: str, *, file_changed: bool = False) -> None:
        super().__init__(problem)
        self.file_changed = file_changed


class _UnreadableError(Exception):
    """An answer that nobody can use; its text is meant for people."""


class _CutError(Exception):
    """An answer that broke off after its headers; raised from what broke it."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.headers = headers


@dataclass(frozen=True, kw_only=True, slots=True)
class _Prepared:
    door: httpx.AsyncBaseTransport
    call: Call
    wire: Wire
    body: Body | None
    guard: asyncio.Timeout
    patience_s: float
    into: Path | None


class Transport:
    """HTTP for one event loop: all requests share its connections, and `aclose` ends them.

    Proxies and certificates come from HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR
    unless `trust_env` is false; requests to this machine itself never go through a proxy.
    """

    def __init__(
        self, *, connect_timeout_s: float = 10.0, trust_env: bool = True, user_agent: str | None = None
    ) -> None:
        self.user_agent = user_agent or USER_AGENT
        self._connect_timeout_s = connect_timeout_s
        self._doors = Doors(trust_env=trust_env)

    async def send(
        self,
        request: Request,
        *,
        secret_headers: Mapping[str, str] = _NO_HEADERS,
        idle_s: float | None = None,
        into: Path | None = None,
    ) -> Reply:
        """Send once, follow nothing, and answer with all that is known; never raises for the wire.

        `secret_headers` go with this request only and are repeated nowhere. `idle_s`: how long the connection may have
        been idle, where that is not for the client to say; 0 asks for a new one, closed afterwards. `into`: where the
        body of a good answer that is no JSON is written, durably, as it comes.
        asyncio.CancelledError passes through: a cancelled send is unknown, not unsent.
        """
        try:
            prepared = self._prepared(request, secret_headers, idle_s=idle_s, into=into)
        except _UnsendableError as exc:
            return Reply(sent=Sent.NEVER_SENT, problem=str(exc), file_changed=exc.file_changed)
        except Exception as exc:  # noqa: BLE001 - whatever it was, no connection had been asked for
            return Reply(sent=Sent.NEVER_SENT, problem=f"the request could not be made ({type(exc).__name__})")
        try:
            return await _exchanged(prepared)
        except Exception as exc:  # noqa: BLE001 - the set of outcomes is closed: what nobody named is unknown
            return _unanswered(prepared, exc)

    async def download(
        self,
        url: str,
        target: Path,
        *,
        loopback_allowed: bool,
        max_bytes: int = 2 * 1024**3,
        resume: bool = False,
    ) -> Fetched:
        """Fetch `url` into the part file `target`; OSError of the disk is raised, trouble of the wire is not.

        Only public addresses are connected to, and loopback where `loopback_allowed`. `resume` goes on after the
        bytes that are already there, if the server can.
        """
        fetch = self._download(target, loopback_allowed=loopback_allowed, max_bytes=max_bytes)
        return await fetch.run(url, resume=resume)

    async def ask(self, url: str, *, loopback_allowed: bool, limit_s: float, pieces: bool = False) -> Asked:
        """What a server says of a file; never raises for the wire. Addresses as in `download`.

        `pieces`: the beginning and the end of the file are wanted too.
        """
        rules = self._download(Path(), loopback_allowed=loopback_allowed, max_bytes=0)
        return await asked(url, rules, limit_s=limit_s, pieces=pieces)

    def _download(self, target: Path, *, loopback_allowed: bool, max_bytes: int) -> Download:
        return Download(
            doors=self._doors,
            target=target,
            loopback_allowed=loopback_allowed,
            max_bytes=max_bytes,
            connect_timeout_s=self._connect_timeout_s,
            user_agent=self.user_agent,
        )

    async def aclose(self) -> None:
        """Close all connections; the object is of no more use."""
        await self._doors.aclose()

    def _prepared(
        self, request: Request, secret_headers: Mapping[str, str], *, idle_s: float | None, into: Path | None
    ) -> _Prepared:
        """Make everything ready up to, but not including, the first network call."""
        if (problem := check_request_url(request.url)) is not None:
            raise _UnsendableError(problem)
        body = _body(request)
        own = {"user-agent": self.user_agent, **request.headers}
        headers = _headers(own, secret_headers, body)
        patience_s = request.read_timeout_s + _SLOW_ANSWER_S
        pool_s = 3 * self._connect_timeout_s
        guard = asyncio.timeout(pool_s + patience_s)
        times = {"connect": self._connect_timeout_s, "pool": pool_s, "read": request.read_timeout_s}
        url = written(request.url)
        sent = None if body is None else _watched(body, guard, patience_s)
        call = Call(request.method, url, headers=headers, body=sent, extensions={"timeout": times})
        return _Prepared(
            door=self._door(url, idle_s=doors.KEEPALIVE_S if idle_s is None else idle_s),
            call=call,
            wire=Wire(url=url),
            body=body,
            guard=guard,
            patience_s=patience_s,
            into=into,
        )

    def _door(self, url: str, *, idle_s: float) -> httpx.AsyncBaseTransport:
        try:
            return self._doors.for_request(url, idle_s=idle_s)
        except OSError as exc:
            raise _UnsendableError(f"the certificates cannot be read, see SSL_CERT_FILE ({exc.strerror})") from exc


def _body(request: Request) -> Body | None:
    try:
        return body_of(request)
    except OSError as exc:
        raise _UnsendableError(f"{exc.filename} cannot be read ({exc.strerror})", file_changed=True) from exc
    except (TypeError, ValueError) as exc:
        raise _UnsendableError("the request's body is no JSON") from exc


def _headers(own: Mapping[str, str], secret: Mapping[str, str], body: Body | None) -> dict[str, str]:
    headers = {"accept": "*/*", "accept-encoding": "gzip"}
    if body is not None:
        headers |= {"content-type": body.content_type, "content-length": str(body.length)}
    headers |= {name.lower(): value for given in (own, secret) for name, value in given.items()}
    for name, value in headers.items():
        if not value.isascii() or not value.isprintable():
            raise _UnsendableError(f"the value of the header {name} holds a character that no header may hold")
    return headers


async def _watched(body: Body, guard: asyncio.Timeout, patience_s: float) -> AsyncIterator[bytes]:
    """The body's pieces; each one taken moves the deadline, since aiohttp itself never stops writing."""
    now = asyncio.get_running_loop().time
    async for piece in body:
        guard.reschedule(now() + WRITE_STALL_S)
        yield piece
    guard.reschedule(now() + patience_s)


async def _exchanged(prepared: _Prepared) -> Reply:
    wire.set(prepared.wire)
    done = False
    try:
        async with prepared.guard:
            response = await prepared.door.handle_async_request(prepared.call)
            headers = _kept(response.headers)
            try:
                into = prepared.into
                file = into if into is not None and _is_file(response.status_code, headers) else None
                body = await _read(response, headers) if file is None else await _stored(response, headers, file)
            except Exception as exc:
                raise _CutError(headers) from exc
            finally:
                # the answer is whole or lost by now; what goes wrong in putting the connection away changes nothing
                with contextlib.suppress(Exception):
                    await response.aclose()
        done = prepared.body is None or prepared.body.finished
    finally:
        if not done:
            prepared.wire.abort()
    return Reply(
        sent=Sent.ANSWERED,
        status=response.status_code,
        headers=headers,
        body=body,
        file=None if file is None else str(file),
    )


def _is_file(status: int, headers: Mapping[str, str]) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    plain = kind.startswith("text/") or kind.endswith(("/json", "+json", "/xml")) or not kind
    encoded = headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
    return status == HTTPStatus.OK and not plain and not encoded


async def _stored(response: httpx.Response, headers: Mapping[str, str], path: Path) -> bytes:
    """The body into a file, piece by piece; nothing of it is kept in memory."""
    declared, size = headers.get("content-length", ""), 0
    file = await asyncio.to_thread(path.open, "wb")
    try:
        async for chunk in cast(httpx.AsyncByteStream, response.stream):
            size += len(chunk)
            if size > FILE_BYTES:
                raise _UnreadableError(f"the file is larger than {FILE_BYTES // 1024**3} GB")
            await asyncio.to_thread(file.write, chunk)
        if declared.isdecimal() and size != int(declared):
            raise _UnreadableError(f"the file was cut at {size} of {declared} bytes")
        await asyncio.to_thread(_sealed, file)
    finally:
        file.close()
    return b""


def _sealed(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


async def _read(response: httpx.Response, headers: Mapping[str, str]) -> bytes:
    """The whole body, decoded, at most ANSWER_BYTES of it; _UnreadableError or the client's exception otherwise."""
    if response.status_code < HTTPStatus.OK:
        raise _UnreadableError(f"an answer with status {response.status_code} is none")
    raw = bytearray()
    async for chunk in cast(httpx.AsyncByteStream, response.stream):
        raw += chunk
        if len(raw) > ANSWER_BYTES:
            raise _UnreadableError(f"the answer is larger than {ANSWER_BYTES // 1024**2} MB")
    return _decoded(bytes(raw), headers.get("content-encoding", "").strip().lower())


def _decoded(raw: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity") or not raw:
        return raw
    if encoding not in ("gzip", "x-gzip"):
        raise _UnreadableError(f"the answer is encoded as {encoding[:20]!r}, which was not asked for")
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        plain = unpacker.decompress(raw, ANSWER_BYTES)
    except zlib.error as exc:
        raise _UnreadableError("the answer is no gzip, though it says so") from exc
    if not unpacker.eof:
        raise _UnreadableError("the answer's gzip is cut off or too large")
    return plain


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "set-cookie"}


def _unanswered(prepared: _Prepared, exc: Exception) -> Reply:
    host = urlsplit(prepared.wire.url).hostname or ""
    if prepared.body is not None and prepared.body.problem:
        return Reply(sent=Sent.UNKNOWN, problem=prepared.body.problem, file_changed=True)
    headers = exc.headers if isinstance(exc, _CutError) else {}
    cause = exc.__cause__ if isinstance(exc, _CutError) else exc
    if isinstance(cause, _UnreadableError):
        return Reply(sent=Sent.UNKNOWN, headers=headers, problem=f"{host}: {cause}")
    # two witnesses: the exception says that there was no connection, and nobody got one
    sent = sent_of(exc) if prepared.wire.connection is None else Sent.UNKNOWN
    return Reply(sent=sent, headers=headers, problem=problem_of(cause or exc, host))
