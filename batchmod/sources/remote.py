"""Clips and pictures on the web and in buckets: asked about without being fetched, or fetched."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from batchmod import clock
from batchmod.errors import MissingExtra, StorageError
from batchmod.urls import is_loopback_host, is_stored

if TYPE_CHECKING:  # the HTTP client and the stores' libraries are loaded only where something is asked
    from batchmod.storage import Stores
    from batchmod.transport import Asked, Transport

Answer = TypeVar("Answer")

_AT_ONCE: Final = 16
_EACH_S: Final = 10.0
_ALL_S: Final = 120.0
_OK: Final = 200


def ask(urls: Mapping[str, bool], *, each_s: float = _EACH_S, all_s: float = _ALL_S) -> "dict[str, Asked | None]":
    """What servers say of these files; None for those that nobody was asked about, since the time was over.

    `urls`: whether the beginning and the end of the file are wanted too.
    """
    stored = {url: pieces for url, pieces in urls.items() if is_stored(url)}
    found = _looked_at(stored, all_s=all_s) if stored else {}
    on_the_web = {url: pieces for url, pieces in urls.items() if url not in stored}
    if on_the_web:
        found |= _apart(lambda transport: _asked(transport, on_the_web, each_s, all_s))
    return {url: found[url] for url in urls}


def fetch(url: str, target: Path) -> str | None:
    """Fetch a clip or picture; what went wrong, if anything did."""
    if is_stored(url):
        return _brought(url, target)

    async def fetched(transport: "Transport") -> str | None:
        got = await transport.download(url, target, loopback_allowed=_is_near(url))
        return None if got.ok else got.problem

    return _apart(fetched)


async def _asked(
    transport: "Transport", urls: Mapping[str, bool], each_s: float, all_s: float
) -> "dict[str, Asked | None]":
    found: dict[str, Asked | None] = dict.fromkeys(urls)
    waiting = iter(found)

    async def work_off() -> None:
        for url in waiting:
            found[url] = await transport.ask(url, loopback_allowed=_is_near(url), limit_s=each_s, pieces=urls[url])

    workers = [asyncio.ensure_future(work_off()) for _ in range(min(_AT_ONCE, len(found)))]
    _, late = await asyncio.wait(workers, timeout=all_s)
    for worker in late:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return found


def _looked_at(urls: Mapping[str, bool], *, all_s: float) -> "dict[str, Asked | None]":
    """What the stores say of objects, several at a time; None for those that nobody asked for in time."""
    from batchmod.storage import Stores

    stores, end = Stores(), clock.ticks() + all_s

    def look(url: str) -> "Asked | None":
        return _object(stores, url, pieces=urls[url]) if clock.ticks() < end else None

    try:
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            return dict(zip(urls, pool.map(look, urls), strict=True))
    finally:
        stores.close()


def _object(stores: "Stores", url: str, *, pieces: bool) -> "Asked":
    from batchmod.transport.asking import PIECE_BYTES, Asked

    try:
        if pieces:
            read = stores.pieces(url, size=PIECE_BYTES)
            return Asked(
                status=_OK, size=read.stored.size, etag=read.stored.etag, head=read.head, tail=read.tail
            )  # fmt: skip
        seen = stores.info(url)
    except (MissingExtra, StorageError) as error:
        return Asked(problem=_short(error, url))
    if seen is None:
        return Asked(problem="it is not there: check the bucket and the name, letter by letter")
    return Asked(status=_OK, size=seen.size, etag=seen.etag)


def _brought(url: str, target: Path) -> str | None:
    from batchmod.storage import Stores

    stores = Stores()
    try:
        stores.fetch(url, target)
    except (MissingExtra, StorageError) as error:
        return _short(error, url)
    finally:
        stores.close()
    return None


def _short(error: Exception, url: str) -> str:
    """Without the URL, which stands before it wherever it is shown."""
    text = str(error).removeprefix(url).lstrip(": ")
    return f"it {text}" if text.startswith("is ") else text


def _apart(work: "Callable[[Transport], Awaitable[Answer]]") -> Answer:
    """Carry out in a thread of its own, since whoever calls may have an event loop running."""
    from batchmod.transport import Transport

    async def carried() -> Answer:
        transport = Transport()
        try:
            return await work(transport)
        finally:
            await transport.aclose()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(lambda: asyncio.run(carried())).result()


def _is_near(url: str) -> bool:
    """This machine is asked only where the manifest says so itself, never by a redirect or a name."""
    return is_loopback_host(urlsplit(url).hostname or "")
