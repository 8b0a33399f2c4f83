"""Clips and pictures on the web that an output is compared with: fetched once, and forgotten soon."""

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from batchmod import sources, work
from batchmod.urls import is_loopback_host, is_stored, without_query

if TYPE_CHECKING:  # the HTTP client is loaded only where a source is fetched
    from batchmod.transport import Transport

_KEPT: Final = 4
"""So many stay at hand, for further outputs of theirs."""


class Fetcher:
    """Fetches sources with the same care as outputs; those whom several outputs wait for, once."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="batchmod-scores-")
        self._transport: Transport | None = None
        self._files: dict[str, asyncio.Task[Path | work.Refusal]] = {}
        self._count = 0

    async def fetch(self, url: str) -> "Path | work.Refusal":
        """The file, or why it cannot be had."""
        if url not in self._files:
            self._forget()
            self._count += 1
            place = Path(self._folder.name) / str(self._count)
            self._files[url] = asyncio.ensure_future(self._download(url, place))
        return await asyncio.shield(self._files[url])

    def _forget(self) -> None:
        done = [url for url, task in self._files.items() if task.done()]
        for url in done[: max(0, len(done) - _KEPT)]:
            found = self._files.pop(url).result()
            if isinstance(found, Path):
                found.unlink(missing_ok=True)

    async def _download(self, url: str, place: Path) -> "Path | work.Refusal":
        if is_stored(url):
            problem = await asyncio.to_thread(sources.fetch, url, place)
            return place if problem is None else _unfetched(url, problem)
        if self._transport is None:
            from batchmod.transport import Transport

            self._transport = Transport()
        near = is_loopback_host(urlsplit(url).hostname or "")
        got = await self._transport.download(url, place, loopback_allowed=near)
        return place if got.ok else _unfetched(url, got.problem)

    async def close(self) -> None:
        """Stop what is being fetched, and forget everything."""
        for task in self._files.values():
            task.cancel()
        await asyncio.gather(*self._files.values(), return_exceptions=True)
        if self._transport is not None:
            await self._transport.aclose()
        self._folder.cleanup()


def _unfetched(url: str, problem: str) -> work.Refusal:
    return work.Refusal(slug="source_unreachable", message=f"{without_query(url)} could not be fetched: {problem}")
