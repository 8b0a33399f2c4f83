"""Fetch a finished file into a part file: public addresses only, every hop looked at, nothing taken on trust."""

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final, ParamSpec, TypeVar, cast
from urllib.parse import urljoin, urlsplit

import httpx

from batchmod.transport.calls import Call, written
from batchmod.transport.doors import Doors, Wire, wire
from batchmod.transport.outcome import address_was_refused, problem_of
from batchmod.urls import check_hop

_REDIRECTS: Final = 5
_READ_TIMEOUT_S: Final = 60.0
_DEADLINE_S: Final = 3600.0
"""For one call; a file that needs longer goes on where it stopped when it is asked for again."""

_WRITE_BYTES: Final = 1024**2
_LEFT_FREE: Final = 16 * _WRITE_BYTES
"""On a disk that fills up, the last room is for the record: an output can be fetched again, a receipt cannot."""
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_GONE: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """What came of a download. `bytes` and `sha256` are of the whole part file, the hash only where `ok`."""

    ok: bool
    status: int = 0
    bytes: int = 0
    sha256: str = ""
    content_type: str = ""
    problem: str = ""
    gone: bool = False
    """403, 404 or 410: the URL has expired or the file was deleted."""
    retry: bool = False
    """The same URL may well work later."""


class FailedError(Exception):
    """A download that ended without its file."""

    def __init__(self, problem: str, *, status: int = 0, retry: bool = False) -> None:
        super().__init__(problem)
        self.status = status
        self.retry = retry


class _DiskError(Exception):
    """Carries an OSError of the disk past those of the wire."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """The rules of one download; `run` carries it out."""

    doors: Doors
    target: Path
    loopback_allowed: bool
    max_bytes: int
    connect_timeout_s: float
    user_agent: str

    async def run(self, url: str, *, resume: bool) -> Fetched:
        """See `Transport.download`."""
        try:
            async with asyncio.timeout(_DEADLINE_S):
                return await self._fetched(url, resume=resume)
        except _DiskError as exc:
            raise exc.error from None
        except FailedError as exc:
            return self._without_file(str(exc), status=exc.status, retry=exc.retry)
        except Exception as exc:  # noqa: BLE001 - trouble of the wire is an answer, whatever its class
            problem = problem_of(exc, _host(url))
            return self._without_file(problem, retry=not address_was_refused(exc))

    def _without_file(self, problem: str, *, status: int = 0, retry: bool = False) -> Fetched:
        return Fetched(
            ok=False, status=status, bytes=_size(self.target), problem=problem, gone=status in _GONE, retry=retry
        )

    async def _fetched(self, url: str, *, resume: bool) -> Fetched:
        have = _have(self.target) if resume else 0
        # a range that the server does not give is asked for once more from the beginning
        for offset in dict.fromkeys((have, 0)):
            async with self.answered(url, offset) as response:
                start = _starts_at(response, offset)
                if start is not None:
                    return await self._stored(response, start)
        raise FailedError(f"{_host(url)} does not send the file from its beginning", status=HTTPStatus.PARTIAL_CONTENT)

    @contextlib.asynccontextmanager
    async def answered(
        self, url: str, offset: int, *, method: str = "GET", last: int | None = None
    ) -> AsyncIterator[httpx.Response]:
        """The first answer that is no redirect, of the bytes from `offset` to `last`; each hop is looked at before.

        Raises FailedError where a hop is refused.
        """
        came_from: str | None = None
        for _ in range(1 + _REDIRECTS):
            if (problem := check_hop(url, came_from=came_from, loopback_allowed=self.loopback_allowed)) is not None:
                raise FailedError(problem)
            response = await self._asked(url, offset, method=method, last=last)
            try:
                location = response.headers.get("location")
                if response.status_code not in _MOVED or location is None:
                    yield response
                    return
            finally:
                with contextlib.suppress(Exception):
                    await response.aclose()
            came_from, url = url, _joined(url, location)
        raise FailedError(f"{_host(url)}: more than {_REDIRECTS} redirects")

    async def _asked(self, url: str, offset: int, *, method: str, last: int | None) -> httpx.Response:
        # identity: the bytes on disk are the bytes whose length and range the server names
        headers = {"accept": "*/*", "accept-encoding": "identity", "user-agent": self.user_agent}
        if offset or last is not None:
            headers["range"] = f"bytes={offset}-{'' if last is None else last}"
        wait = self.connect_timeout_s
        times = {"connect": wait, "pool": 3 * wait, "read": _READ_TIMEOUT_S}
        url = written(url)
        wire.set(Wire(url=url))
        door = self.doors.for_download(url, loopback_allowed=self.loopback_allowed)
        return await door.handle_async_request(Call(method, url, headers=headers, extensions={"timeout": times}))

    async def _stored(self, response: httpx.Response, start: int) -> Fetched:
        expected = self._expected_size(response, start)
        part = await _on_disk(_PartFile, self.target, start) if start else _PartFile(self.target, 0)
        try:
            async for chunk in cast(httpx.AsyncByteStream, response.stream):
                self._check_size(part.size + len(chunk))
                if part.add(chunk):
                    await _on_disk(part.flush)
        except Exception as exc:
            if not isinstance(exc, _DiskError):
                await _on_disk(part.flush)
            raise
        if expected is not None and part.size != expected:
            raise FailedError(f"the file was cut at {part.size} of {expected} bytes", retry=True)
        return Fetched(
            ok=True,
            status=response.status_code,
            bytes=part.size,
            sha256=await _on_disk(part.seal),
            content_type=response.headers.get("content-type", ""),
        )

    def _expected_size(self, response: httpx.Response, start: int) -> int | None:
        """The whole file's size, None if the server does not say; FailedError where it cannot be taken."""
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise FailedError(f"the file comes encoded as {encoding[:20]!r}, which was not asked for")
        length = response.headers.get("content-length", "")
        if not length.isdecimal():
            return None
        self._check_size(start + int(length))
        return start + int(length)

    def _check_size(self, size: int) -> None:
        if size > self.max_bytes:
            raise FailedError(f"the file is larger than {self.max_bytes} bytes")


class _PartFile:
    """The part file from `start` on, what follows cut off; opened anew for each write, so nothing stays open."""

    def __init__(self, path: Path, start: int) -> None:
        self.size = start
        self._path = path
        self._digest = hashlib.sha256()
        self._pending = bytearray()
        self._begun = bool(start)
        if not start:
            return
        with path.open("r+b") as file:
            file.truncate(start)
            while piece := file.read(_WRITE_BYTES):
                self._digest.update(piece)

    def add(self, chunk: bytes) -> bool:
        """Keep a chunk in memory; true when it is time to flush."""
        self._pending += chunk
        self.size += len(chunk)
        return len(self._pending) >= _WRITE_BYTES

    def flush(self, *, durable: bool = False) -> None:
        """Write what is in memory to its place; `durable`: so that a power cut leaves all of the file."""
        piece = bytes(self._pending)
        self._pending.clear()
        room = shutil.disk_usage(self._path.parent)
        if room.total and room.free < _LEFT_FREE:  # some network file systems tell no sizes
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        with self._path.open("r+b" if self._begun else "wb", buffering=0) as file:
            if self._begun:
                file.seek(self.size - len(piece))
            left = memoryview(piece)
            while left:
                left = left[file.write(left) :]
            if durable:
                os.fsync(file.fileno())
        self._begun = True
        self._digest.update(piece)

    def seal(self) -> str:
        """Flush, make it durable, and give its SHA-256."""
        self.flush(durable=True)
        return self._digest.hexdigest()


def _starts_at(response: httpx.Response, offset: int) -> int | None:
    """Where the body belongs in the file, None if it does not fit; FailedError if it is no file at all."""
    status = response.status_code
    if status == HTTPStatus.OK:
        return 0
    if offset and status == HTTPStatus.PARTIAL_CONTENT:
        given = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("content-range", "").strip())
        return offset if given is not None and int(given[1]) == offset else None
    if offset and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return None
    passing = status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    raise FailedError(f"{_host(str(response.request.url))} answered {status}", status=status, retry=passing)


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as exc:
        raise FailedError(f"{_host(url)} redirects to what is no URL") from exc


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "the host"
    except ValueError:
        return "the host"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _have(path: Path) -> int:
    try:
        return _size(path)
    except OSError as exc:
        raise _DiskError(exc) from exc


async def _on_disk(work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Disk work in a thread; its OSError comes out as _DiskError."""
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except OSError as exc:
        raise _DiskError(exc) from exc
