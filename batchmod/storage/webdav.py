"""A folder of a web server that speaks WebDAV (RFC 4918), with the face of `Stores`; over our own HTTP client."""

import asyncio
import mimetypes
import os
import tempfile
import threading
import uuid
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree as ET

from batchmod import files
from batchmod.errors import StorageError
from batchmod.model import FileAsBytes, Reply, Request, Sent
from batchmod.storage.objects import Stored
from batchmod.storage.stores import Stores

if TYPE_CHECKING:  # the HTTP client is loaded only where something is asked
    from batchmod.transport import Transport

_DAV: Final = "{DAV:}"
_READ_S: Final = 120.0
_TRIES: Final = 3
_AGAIN: Final = frozenset({408, 423, 429, 500, 502, 503, 504})
_REFUSED: Final = frozenset({401, 403})
_NO_FOLDER: Final = 409


class WebDav(Stores):
    """Files below a folder of one server; names are written as they are, and escaped on the way.

    A file appears under its name when all of it is there: it goes up beside it, and is moved. Raises as `Stores` does.
    """

    def __init__(self, *, user: str = "", password: str = "") -> None:
        super().__init__()
        said = b64encode(f"{user}:{password}".encode()).decode()
        self._secret: Mapping[str, str] = {"authorization": f"Basic {said}"} if user else {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="webdav", daemon=True)
        self._thread.start()
        self._transport: Transport | None = None
        self._made: set[str] = set()

    def info(self, url: str) -> Stored | None:
        """What the server says of a file; None where there is none of this name, or a folder."""
        try:
            found: dict[str, Stored | None] = dict(self._properties(url, depth="0"))
        except StorageError as error:
            if error.slug == "object_missing":
                return None
            raise
        return found.get(url)

    def read(self, url: str, *, start: int | None = None, end: int | None = None) -> bytes:
        """A file's bytes, or those from `start` up to `end`; for what fits into memory."""
        return self._asked("GET", url).body[start:end]

    def write(self, content: bytes, url: str, *, if_absent: bool = False) -> Stored:
        """Put a small file. `if_absent`: raises `object_there` rather than touch one that is there."""
        with tempfile.TemporaryDirectory(prefix="batchmod-") as folder:
            path = Path(folder) / "content"
            path.write_bytes(content)
            return self.put(path, url, if_absent=if_absent)

    def fetch(self, url: str, path: Path) -> Stored:
        """Fetch a file to `path`, whole or not at all, durably; whatever is there is replaced."""
        before = self._there(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        try:
            reply = self._asked("GET", url, into=part)
            if reply.file is None:
                part.write_bytes(reply.body)
            if part.stat().st_size != before.size:
                raise StorageError(f"{url} became another one while it was read", slug="store_failed", retry=True)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        files.sync_folder(path.parent)
        return before

    def put(self, path: Path, url: str, *, if_absent: bool = False) -> Stored:
        """Put a file; readers see the old one or the new one, whole."""
        folder, _, name = url.rpartition("/")
        self._make(folder)
        beside = f"{folder}/.{name}.{uuid.uuid4().hex}.part"
        size = path.stat().st_size
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        body = FileAsBytes(path=str(path), media_type=kind, sha256=files.sha256_of(path))
        try:
            self._asked("PUT", beside, file=body)
            moved = {"destination": _escaped(url), "overwrite": "F" if if_absent else "T"}
            self._asked("MOVE", beside, headers=moved)
        except StorageError:
            with suppress(StorageError):
                self.remove(beside)
            raise
        return self._whole(url, size)

    def list(self, prefix: str, *, few: bool = False) -> Iterator[Stored]:  # noqa: ARG002 - a question for each folder
        """All finished files below a folder, however deep; none where there is no such folder."""
        waiting = [prefix.rstrip("/")]
        while waiting:
            folder = waiting.pop()
            try:
                found = self._properties(f"{folder}/", depth="1")
            except StorageError as error:
                if error.slug != "object_missing":
                    raise
                continue
            for url, stored in found:
                if stored is None:
                    waiting += [url.rstrip("/")] if url.rstrip("/") != folder else []
                elif not url.rpartition("/")[2].startswith("."):
                    yield stored

    def remove(self, url: str) -> None:
        """Remove a file; nothing where there is none."""
        try:
            self._asked("DELETE", url)
        except StorageError as error:
            if error.slug != "object_missing":
                raise

    def presign(self, url: str, expires_s: float = 0.0) -> str | None:  # noqa: ARG002 - as `Stores` has it
        """None: such a server signs nothing."""
        return None

    def close(self) -> None:
        """Let go of the connections; the object is of no more use."""
        if self._transport is not None:
            asyncio.run_coroutine_threadsafe(self._transport.aclose(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _make(self, folder: str) -> None:
        """Make a folder, and those above it that are lacking; never the server's own root."""
        if folder in self._made or not urlsplit(folder).path.strip("/"):
            return
        try:
            self._asked("MKCOL", folder, fine=(HTTPStatus.METHOD_NOT_ALLOWED,))
        except StorageError as error:
            if error.slug != "object_missing":
                raise
            self._make(folder.rpartition("/")[0])
            self._asked("MKCOL", folder, fine=(HTTPStatus.METHOD_NOT_ALLOWED,))
        self._made.add(folder)

    def _properties(self, url: str, *, depth: str) -> Sequence[tuple[str, Stored | None]]:
        """What the server says of a file, or of a folder and what is in it; None for folders."""
        body = self._asked("PROPFIND", url, headers={"depth": depth}).body
        if b"<!DOCTYPE" in body:
            raise StorageError(f"{url}: the server's answer is no plain XML", slug="store_failed")
        try:
            root = ET.fromstring(body)  # noqa: S314 - without a DOCTYPE there are no entities
        except ET.ParseError as error:
            raise StorageError(f"{url}: the server's answer is no XML ({error})", slug="store_failed") from error
        return [_seen(response, url) for response in root.iter(f"{_DAV}response")]

    def _asked(
        self,
        method: str,
        url: str,
        *,
        file: FileAsBytes | None = None,
        headers: Mapping[str, str] | None = None,
        into: Path | None = None,
        fine: tuple[int, ...] = (),
    ) -> Reply:
        """A good answer. Raises StorageError; what may pass is tried a few times."""
        request = Request(
            method=method, url=_escaped(url), file=file, headers=headers or {}, read_timeout_s=_READ_S
        )  # fmt: skip
        for left in reversed(range(_TRIES)):
            reply = asyncio.run_coroutine_threadsafe(self._sent(request, into), self._loop).result()
            if reply.sent is Sent.ANSWERED and (reply.status < HTTPStatus.MULTIPLE_CHOICES or reply.status in fine):
                return reply
            error = _trouble(method, url, reply)
            if not (error.retry and left):
                raise error
            threading.Event().wait(0.5 * (_TRIES - left))
        raise AssertionError(method)

    async def _sent(self, request: Request, into: Path | None) -> Reply:
        if self._transport is None:
            from batchmod.transport import Transport

            self._transport = Transport()
        return await self._transport.send(request, secret_headers=self._secret, into=into)


def _trouble(method: str, url: str, reply: Reply) -> StorageError:
    if reply.sent is not Sent.ANSWERED:
        text = f"{url}: the store cannot be reached ({reply.problem})"
        return StorageError(text, slug="store_unreachable", retry=not reply.file_changed)
    if reply.status in _REFUSED:
        advice = "look at BATCHMOD_STORE_USER and BATCHMOD_STORE_PASSWORD, and at what that user may do there"
        return StorageError(f"{url}: the store refuses {method} ({reply.status}): {advice}", slug="store_refused")
    if reply.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE, _NO_FOLDER):
        return StorageError(f"{url} is not there: check the address, letter by letter", slug="object_missing")
    if reply.status == HTTPStatus.PRECONDITION_FAILED:
        return StorageError(f"{url} is there already", slug="object_there")
    if method in ("PROPFIND", "MKCOL", "MOVE") and reply.status in (HTTPStatus.METHOD_NOT_ALLOWED, 501):
        text = f"{url}: the server does not speak WebDAV ({method}: {reply.status}); outputs can go to one that does"
        return StorageError(text, slug="store_refused")
    again = reply.status in _AGAIN
    return StorageError(f"{url}: the store failed ({method}: {reply.status})", slug="store_failed", retry=again)


def _seen(response: ET.Element, asked: str) -> tuple[str, Stored | None]:
    """A file or folder of an answer: its URL as we write it, and what is said of a file."""
    parts = urlsplit(asked)
    path = unquote(urlsplit(response.findtext(f"{_DAV}href") or "").path)
    url = f"{parts.scheme}://{parts.netloc}{path}"
    if response.find(f".//{_DAV}resourcetype/{_DAV}collection") is not None:
        return url, None
    size = response.findtext(f".//{_DAV}getcontentlength") or "0"
    etag = response.findtext(f".//{_DAV}getetag") or ""
    return url, Stored(url=url, size=int(size), etag=etag, modified=_moment(response))


def _moment(response: ET.Element) -> float | None:
    with suppress(ValueError, TypeError):
        return parsedate_to_datetime(response.findtext(f".//{_DAV}getlastmodified") or "").timestamp()
    return None


def _escaped(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{quote(rest, safe='/:[]@')}"
