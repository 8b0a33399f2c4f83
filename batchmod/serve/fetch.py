"""Fetches the clips and pictures that a request names by a URL, from public addresses only.

Transport resolves a name once and looks at the very address it is about to connect to, at each redirect anew; so no
name, however it is spelled or changed, leads to this machine or its network. No proxy is used: it would do the
resolving, out of our sight.
"""

import asyncio
import re
from pathlib import Path
from typing import Final

from batchmod.transport import Fetched, Transport
from batchmod.urls import without_query

_TRIES: Final = 2
_INNER: Final = re.compile(r"(not a public address)\b[^)]*")


class UnreachableError(Exception):
    """A clip or picture could not be had; the text is meant for whoever asked."""


class Fetcher:
    """Fetches for one event loop."""

    def __init__(self, *, time_s: float, loopback_allowed: bool = False) -> None:
        """`time_s` for one file; `loopback_allowed` lets URLs lead to this machine, which no service should."""
        self._time_s = time_s
        self._loopback_allowed = loopback_allowed
        self._transport = Transport(trust_env=False)

    async def fetch(self, field: str, url: str, target: Path, *, most: int) -> None:
        """Fetch what `field` names into `target`, `most` bytes at most. Raises UnreachableError, or OSError (disk)."""
        try:
            async with asyncio.timeout(self._time_s):
                problem = await self._fetched(url, target, most)
        except TimeoutError:
            problem = f"it did not arrive within {self._time_s:g} seconds"
        if problem is not None:
            raise UnreachableError(f"Could not download {field} {without_query(url)}: {problem}")

    async def _fetched(self, url: str, target: Path, most: int) -> str | None:
        """What went wrong, or None."""
        got = Fetched(ok=False)
        for _ in range(_TRIES):
            got = await self._transport.download(url, target, loopback_allowed=self._loopback_allowed, max_bytes=most)
            if got.ok or not got.retry:
                break
        # which address a name has inside this network is nobody's business outside
        return None if got.ok else _INNER.sub(r"\1", got.problem)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()
