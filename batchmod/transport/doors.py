"""Open connections: which proxy, which certificates, which addresses, and one attempt per send."""

import asyncio
import errno
import select
import socket
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from batchmod.transport.sessions import Session
from batchmod.urls import check_address, is_loopback_host, origin_of

KEEPALIVE_S: Final = 4.0
"""How long an idle connection may be used again: under the 5 s after which common servers close theirs."""

BRIEFLY_S: Final = 1.0
"""The same for a request that must not meet a connection that its server closes at that moment: under any server's."""

_CONNECTIONS: Final = 1000
_HEADER_BYTES: Final = 64 * 1024


@dataclass(kw_only=True, slots=True)
class Wire:
    """One attempt: what is asked, and the connection it left on, if there ever was one."""

    url: str
    connection: asyncio.BaseTransport | None = None

    def abort(self) -> None:
        """Drop the connection with all that still waits to be written; closing would wait for the server."""
        if isinstance(self.connection, asyncio.WriteTransport):
            self.connection.abort()


wire: Final[ContextVar[Wire]] = ContextVar("wire")
"""Set by whoever sends, for this room's connectors, which httpx hands nothing else to."""


class BrokenOffError(aiohttp.ClientError):
    """The connection ended after it existed. aiohttp retries some errors by itself, but never this one."""


class _Key(NamedTuple):
    proxy: str | None
    origin: str = ""
    """Whose requests these are; downloads come from wherever outputs lie, and share one."""
    idle_s: float = KEEPALIVE_S
    """How long its connections may have been idle; 0 closes each after its answer."""
    download: bool = False
    loopback_allowed: bool = False


class Doors:
    """The clients of one `Transport`, shared by all requests: one an origin, opened on first use, one for downloads."""

    def __init__(self, *, trust_env: bool) -> None:
        self._trust_env = trust_env
        self._open: dict[_Key, httpx.AsyncBaseTransport] = {}
        self._proxies: dict[str, str | None] = {}
        """Origin → the proxy on the way there: to read the environment takes longer than to write a request."""
        self._context: ssl.SSLContext | None = None

    def for_request(self, url: str, *, idle_s: float) -> httpx.AsyncBaseTransport:
        """The client of a request's origin whose connections have been idle for so long at most; 0: new ones only."""
        origin = origin_of(url)
        return self._door(_Key(proxy=self._proxy_to(origin), origin=origin, idle_s=idle_s))

    def for_download(self, url: str, *, loopback_allowed: bool) -> httpx.AsyncBaseTransport:
        """The pool for a download, which connects to public addresses only (and to loopback, if allowed)."""
        proxy = self._proxy_to(origin_of(url))
        return self._door(_Key(proxy=proxy, download=True, loopback_allowed=loopback_allowed))

    async def aclose(self) -> None:
        """Close every connection."""
        while self._open:
            await self._open.popitem()[1].aclose()

    def _door(self, key: _Key) -> httpx.AsyncBaseTransport:
        door = self._open.get(key)
        if door is None:
            context = self._ssl_context()
            door = self._open[key] = Session(verify=context, client=lambda: _session(key, context))
        return door

    def _ssl_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = httpx.create_ssl_context(trust_env=self._trust_env)
        return self._context

    def _proxy_to(self, origin: str) -> str | None:
        if origin not in self._proxies:
            self._proxies[origin] = self._environments_proxy(origin)
        return self._proxies[origin]

    def _environments_proxy(self, origin: str) -> str | None:
        """The environment's proxy for this origin; never one for this machine itself."""
        parts = urlsplit(origin)
        host = parts.hostname or ""
        if not self._trust_env or is_loopback_host(host) or proxy_bypass(host):
            return None
        proxies = getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


class _Connector(aiohttp.TCPConnector):
    """Notes which connection an attempt got, and gives it none on which something has come that nobody asked for.

    aiohttp would take that for the answer to what is sent next: a late refusal for the one to a paid request.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._used = WeakSet[ResponseHandler]()

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        connection = await super().connect(*args, **kwargs)
        while (line := connection.protocol) is not None and line in self._used and not _is_quiet(line):
            connection.close()
            connection = await super().connect(*args, **kwargs)
        if line is not None:
            self._used.add(line)
        wire.get().connection = connection.transport
        return connection


def _is_quiet(line: ResponseHandler) -> bool:
    """Whether nothing has come on a connection that was idle, nor its end; also what the loop has not read yet."""
    end = None if line.transport is None else line.transport.get_extra_info("socket")
    if line.should_close or end is None:
        return False
    if not hasattr(select, "poll"):  # pragma: no cover - Windows
        return True
    looking = select.poll()
    looking.register(end.fileno(), select.POLLIN)
    return not looking.poll(0)


def _session(key: _Key, context: ssl.SSLContext) -> aiohttp.ClientSession:
    # with a proxy the addresses are the proxy's business: it is the one that resolves and connects
    screen = _screen(loopback_allowed=key.loopback_allowed) if key.download and key.proxy is None else None
    keeping: dict[str, Any] = {"keepalive_timeout": key.idle_s} if key.idle_s else {"force_close": True}
    return aiohttp.ClientSession(
        connector=_Connector(limit=_CONNECTIONS, ssl=context, socket_factory=screen, **keeping),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=key.proxy,
        middlewares=(_once,),
        max_line_size=_HEADER_BYTES,
        max_field_size=_HEADER_BYTES,
    )


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send exactly what was asked, once: a GET that aiohttp repeats could end as "refused" after it arrived."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise BrokenOffError from exc


def _screen(*, loopback_allowed: bool) -> Callable[[aiohttp.AddrInfoType], socket.socket]:
    """A maker of sockets that looks at the very address that is about to be connected to."""

    def make(info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        problem = check_address(str(address[0]), loopback_allowed=loopback_allowed)
        if problem is not None:
            raise OSError(errno.EACCES, problem)
        return socket.socket(family, kind, protocol)

    return make
