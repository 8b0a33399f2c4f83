"""The stores of a command, one file system each: lazily opened, safe to use from several threads."""

import asyncio
import contextlib
import os
import threading
import uuid
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from pathlib import Path
from typing import Any, Final, TypeVar

from batchmod import files
from batchmod.errors import StorageError
from batchmod.storage.objects import Pieces, Stored, stored_of
from batchmod.storage.opening import opened, store_of
from batchmod.storage.parts import put_file
from batchmod.storage.reaching import is_public
from batchmod.storage.troubles import trouble_of

Answer = TypeVar("Answer")

SIGNED_FOR_S: Final = 24 * 3600.0
"""How long a signed URL is good for: a service may leave a request in its queue for hours before it fetches."""

_QUESTION_S: Final = 120.0
_LISTING_S: Final = 1800.0
_LEAST_BYTES_S: Final = 50_000
"""A transfer that is slower over all is given up."""
_PIECE: Final = 65_536


class Stores:
    """Objects by their URLs: `s3://bucket/key`, `gs://…`, `az://…`.

    All calls block, and raise MissingExtra where a store's library is not installed, StorageError for what a store
    says or does not say, and OSError of this machine's own disk. Credentials, region and endpoint come by each store's
    usual ways; nothing is remembered of an object from one call to the next.
    """

    def __init__(self) -> None:
        self._systems: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._asking: set[Future[Any]] = set()

    def info(self, url: str) -> Stored | None:
        """What the store says of an object; None where there is none of this name."""
        system, path = self._at(url)
        try:
            return stored_of(url, self._said(system._info(path), url, limit_s=_QUESTION_S))  # noqa: SLF001 - the coroutine behind `info`
        except StorageError as error:
            if error.slug == "object_missing":
                return None
            raise

    def seen(self, url: str) -> Stored:
        """What the store says of an object. Raises `object_missing` where there is none."""
        return self._there(url)

    def pieces(self, url: str, *, size: int = _PIECE) -> Pieces:
        """An object's first and last bytes. Raises StorageError, also where it becomes another one meanwhile."""
        stored = self._there(url)
        spans = [(0, min(size, stored.size)), (max(size, stored.size - size), stored.size)]
        head, tail = (self.read(url, start=start, end=end) if start < end else b"" for start, end in spans)
        self._unchanged(url, stored)
        return Pieces(stored=stored, head=head, tail=tail)

    def read(self, url: str, *, start: int | None = None, end: int | None = None) -> bytes:
        """An object's bytes, or those from `start` up to `end`; for what fits into memory."""
        system, path = self._at(url)
        read: bytes = self._said(system._cat_file(path, start=start, end=end), url, limit_s=_QUESTION_S)  # noqa: SLF001
        return read

    def write(self, content: bytes, url: str, *, if_absent: bool = False) -> Stored:
        """Put a small object. `if_absent`: raises `object_there` rather than touch one that is there."""
        system, path = self._at(url)
        mode = {"mode": "create"} if if_absent else {}
        self._said(system._pipe_file(path, content, **mode), url, limit_s=_QUESTION_S)  # noqa: SLF001
        return self._whole(url, len(content))

    def fetch(self, url: str, path: Path) -> Stored:
        """Fetch an object to `path`, whole or not at all, durably; whatever is there is replaced."""
        before = self._there(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        try:
            system, key = self._at(url)
            self._said(system._get_file(key, str(part)), url, limit_s=_patience(before.size))  # noqa: SLF001
            self._unchanged(url, before)
            if part.stat().st_size != before.size:
                message = f"{url}: {part.stat().st_size:,} of {before.size:,} bytes came"
                raise StorageError(message, slug="store_failed", retry=True)
            _synced(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        files.sync_folder(path.parent)
        return before

    def put(self, path: Path, url: str, *, if_absent: bool = False) -> Stored:
        """Put a file; readers see the old object or the new one, whole.

        Raises `file_changed` where the file is another one afterwards, `object_there` with `if_absent`. A process that
        is killed leaves no object, but may leave the parts of an unfinished upload, which the store keeps until it is
        told otherwise.
        """
        system, key = self._at(url)
        before = path.stat()
        if store_of(url) == "s3":
            putting = put_file(system, path, key, if_absent=if_absent)
        else:
            putting = system._put_file(str(path), key, **_manner(url, if_absent=if_absent))  # noqa: SLF001
        self._said(putting, url, limit_s=_patience(before.st_size))
        after = path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise StorageError(f"{path} changed while it went to {url}", slug="file_changed", retry=True)
        return self._whole(url, before.st_size)

    def list(self, prefix: str, *, few: bool = False) -> Iterator[Stored]:
        """All objects below a folder, however deep, in the order of their names; none where there is no such folder.

        `few`: there are no more than a store tells in one answer, so that nobody waits longer than for a question.
        """
        system, path = self._at(f"{prefix.rstrip('/')}/")
        scheme, limit_s = prefix.partition("://")[0], _QUESTION_S if few else _LISTING_S
        found = self._said(system._find(path.rstrip("/"), detail=True), prefix, limit_s=limit_s)  # noqa: SLF001
        for name in sorted(found):
            stored = stored_of(f"{scheme}://{name}", found[name])
            if stored is not None and not name.endswith("/"):  # a store's web page makes such objects for folders
                yield stored

    def remove(self, url: str) -> None:
        """Remove an object; nothing where there is none."""
        system, path = self._at(url)
        with _nothing_where_missing():
            self._said(system._rm_file(path), url, limit_s=_QUESTION_S)  # noqa: SLF001

    def presign(self, url: str, expires_s: float = SIGNED_FOR_S) -> str | None:
        """A URL under which anybody may fetch the object for a while; None where these credentials cannot sign.

        The object is not asked for. The URL is a secret as long as it is good.
        """
        system, path = self._at(url)
        try:
            signing = getattr(system, "_url", None) if store_of(url) == "s3" else None
            if signing is not None:
                signed = self._said(signing(path, expires=int(expires_s)), url, limit_s=_QUESTION_S)
            else:
                signed = system.sign(path, expiration=int(expires_s))
        except StorageError as error:
            if error.retry:
                raise
            return None
        except Exception:  # noqa: BLE001 - whatever keeps a library from signing, the object can still be fetched
            return None
        return signed if isinstance(signed, str) and signed.startswith(("https://", "http://")) else None

    def presign_public(self, url: str, expires_s: float = SIGNED_FOR_S, *, near: bool = False) -> str | None:
        """`presign`, for a service on the internet: None where the store's address is no public one.

        `near`: the service runs on this machine, and reaches what this machine reaches.
        """
        signed = self.presign(url, expires_s)
        return signed if signed is not None and (near or is_public(signed)) else None

    def close(self) -> None:
        """Let go of the connections; what is asked for later opens new ones. Whoever waits gets a StorageError."""
        self.stop()
        with self._lock:
            systems, self._systems = list(self._systems.values()), {}
        for system in systems:
            _closed(system)

    def stop(self) -> None:
        """Whoever waits for a store gets a StorageError at once."""
        for future in tuple(self._asking):
            future.cancel()

    def _at(self, url: str) -> tuple[Any, str]:
        """The store's file system, and the object's path as it wants it."""
        store = store_of(url)
        with self._lock:
            if store not in self._systems:
                self._systems[store] = opened(store)
            system = self._systems[store]
        return system, url if store == "az" and "@" in url else url.partition("://")[2]

    def _there(self, url: str) -> Stored:
        stored = self.info(url)
        if stored is None:
            message = f"{url} is not there: check the bucket and the name, letter by letter"
            raise StorageError(message, slug="object_missing")
        return stored

    def _unchanged(self, url: str, before: Stored) -> None:
        after = self._there(url)
        if (after.size, after.etag) != (before.size, before.etag):
            message = f"{url} became another one while it was read"
            raise StorageError(message, slug="store_failed", retry=True)

    def _whole(self, url: str, size: int) -> Stored:
        stored = self._there(url)
        if stored.size != size:
            message = f"{url} has {stored.size:,} bytes where {size:,} were put: does somebody else write there?"
            raise StorageError(message, slug="store_failed", retry=True)
        return stored

    def _said(self, asking: Coroutine[Any, Any, Answer], url: str, *, limit_s: float) -> Answer:
        """Carry out in fsspec's own loop; when the time is over, nobody waits for it any more."""
        from fsspec.asyn import get_loop

        future = asyncio.run_coroutine_threadsafe(asking, get_loop())
        self._asking.add(future)
        try:
            return future.result(limit_s)
        except Late as late:
            raise trouble_of(late, url, store=store_of(url)) from late
        except Exception as error:
            raise trouble_of(error, url, store=store_of(url)) from error
        finally:
            self._asking.discard(future)
            future.cancel()


def _manner(url: str, *, if_absent: bool) -> dict[str, Any]:
    """How the other libraries want it said."""
    if if_absent:
        return {"mode": "create"}
    return {"overwrite": True} if store_of(url) == "az" else {}


def _patience(size: int) -> float:
    return _QUESTION_S + size / _LEAST_BYTES_S


def _synced(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _nothing_where_missing() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        if error.slug != "object_missing":
            raise


def _closed(system: Any) -> None:
    """s3fs holds its connections until it is collected, which no program of ours waits for."""
    creator = getattr(system, "_s3creator", None)
    if creator is None:
        return
    from fsspec.asyn import get_loop

    with contextlib.suppress(Exception):
        asyncio.run_coroutine_threadsafe(creator.__aexit__(None, None, None), get_loop()).result(5)
