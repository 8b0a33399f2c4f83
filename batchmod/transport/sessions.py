"""httpx-aiohttp without what it builds for a request, or reads of an answer, that nobody here looks at."""

from collections.abc import AsyncIterator, Iterable
from functools import lru_cache
from typing import cast

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from yarl import URL

from batchmod.transport.calls import Call


class Session(AiohttpTransport):
    """Carries out a `Call` as it stands, following and decoding nothing; its errors are aiohttp's own."""

    async def handle_async_request(self, request: httpx.Request) -> "Answer":
        """Send a `Call`, and answer as soon as the headers have come."""
        call = cast(Call, request)
        times = call.extensions["timeout"]
        if not isinstance(self.client, aiohttp.ClientSession):
            self.client = self.get_client()
        found = await self.client.request(
            call.method,
            URL(str(call.url), encoded=True),  # to the byte; yarl would respell a signed one (`%2F` to `/`)
            headers=call.headers,
            data=call.body,
            allow_redirects=False,
            auto_decompress=False,
            compress=False,
            timeout=_timeout(times["connect"], times["pool"], times["read"]),
        )
        return Answer(found, call)


class Answer(httpx.Response):
    """An answer whose body has not been read: of httpx's face what this room looks at, header names in lower case."""

    def __init__(self, found: aiohttp.ClientResponse, call: Call) -> None:
        self.status_code = found.status
        self.headers = cast(httpx.Headers, headers_of(found.raw_headers))
        self.stream = _Stream(found)
        self.request = call
        self._found = found

    async def aclose(self) -> None:
        """Give the connection back, or close it where the body was not read to its end."""
        self._found.release()
        await self._found.wait_for_close()


class _Stream(httpx.AsyncByteStream):
    """The body, in whatever pieces it comes."""

    def __init__(self, found: aiohttp.ClientResponse) -> None:
        self._content = found.content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._content.readany():
            yield piece


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by their names in lower case; one that comes twice is a list (RFC 9110, 5.3)."""
    raw = tuple(raw)
    try:
        return _joined((name.decode(), value.decode()) for name, value in raw)
    except UnicodeDecodeError:
        return _joined((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)


def _joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for given, value in headers:
        name = given.lower()
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


@lru_cache(maxsize=64)
def _timeout(connect_s: float, pool_s: float, read_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(sock_connect=connect_s, connect=pool_s, sock_read=read_s)
