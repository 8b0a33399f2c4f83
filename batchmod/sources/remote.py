"""Clips and pictures on the web: asked about without being fetched, or fetched."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from batchmod.urls import is_loopback_host

if TYPE_CHECKING:  # the HTTP client is loaded only where something is asked
    from batchmod.transport import Asked, Transport

Answer = TypeVar("Answer")

_AT_ONCE: Final = 16
_EACH_S: Final = 10.0
_ALL_S: Final = 120.0


def ask(urls: Mapping[str, bool], *, each_s: float = _EACH_S, all_s: float = _ALL_S) -> "dict[str, Asked | None]":
    """What servers say of these files; None for those that nobody was asked about, since the time was over.

    `urls`: whether the beginning and the end of the file are wanted too.
    """
    return _apart(lambda transport: _asked(transport, urls, each_s, all_s)) if urls else {}


def fetch(url: str, target: Path) -> str | None:
    """Fetch a clip or picture; what went wrong, if anything did."""

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
