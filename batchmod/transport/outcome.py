"""Say what an exception of the HTTP client means: what is known of the request, and what a person is told.

httpx's own classes are useless for this over aiohttp: a connection closed after the request was accepted arrives
as `httpx.ConnectTimeout`, like one that was refused. Only aiohttp's exceptions in the `__cause__` chain count.
"""

import errno
import os
import ssl
from collections.abc import Iterator
from typing import Final

import aiohttp

from batchmod.model import Sent

_WORDS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aiohttp.ConnectionTimeoutError, "no connection to {host} in time"),
    (aiohttp.SocketTimeoutError, "{host} took the request and then said nothing for too long"),
    (aiohttp.ServerDisconnectedError, "{host} closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "the answer of {host} was cut off"),
    (aiohttp.ClientHttpProxyError, "the proxy refused the way to {host}"),
    (aiohttp.ClientResponseError, "what {host} sent is no HTTP answer"),
    (aiohttp.ClientOSError, "the connection to {host} broke{why}"),
    (TimeoutError, "{host} was too slow"),
)
"""From the narrow to the wide: the first that fits is said."""


def sent_of(exc: BaseException) -> Sent:
    """NEVER_SENT where the chain shows that no connection existed, else UNKNOWN; see the module."""
    before_a_connection = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
    never = any(isinstance(link, before_a_connection) for link in chain_of(exc))
    return Sent.NEVER_SENT if never else Sent.UNKNOWN


def chain_of(exc: BaseException) -> Iterator[BaseException]:
    """The exception and what it was raised from, outermost first."""
    link: BaseException | None = exc
    while link is not None:
        yield link
        link = link.__cause__


def address_was_refused(exc: BaseException) -> bool:
    """Whether our own look at the address, not the network, kept the connection from being made."""
    return any(
        isinstance(link, aiohttp.ClientConnectorError) and link.os_error.errno == errno.EACCES for link in chain_of(exc)
    )


def problem_of(exc: BaseException, host: str) -> str:
    """What happened, in words. Built from known parts only: `str(exc)` may hold URLs with their query."""
    for link in chain_of(exc):
        if isinstance(link, aiohttp.ClientConnectorError):
            return _no_connection(link, host)
        for kind, words in _WORDS:
            if isinstance(link, kind):
                return words.format(host=host, why=_why(link))
    return f"the exchange with {host} failed ({type(exc).__name__})"


def _no_connection(exc: aiohttp.ClientConnectorError, host: str) -> str:
    cause = exc.os_error
    match exc:
        case aiohttp.ClientConnectorDNSError():
            return f"the name {host} cannot be resolved ({cause.strerror})"
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(cause, "verify_message", "") or "no reason given"
            return f"the certificate of {host} is not trusted ({why}); SSL_CERT_FILE can name your own authority"
        case aiohttp.ClientConnectorSSLError():
            return f"no TLS connection to {host} ({getattr(cause, 'reason', None) or 'no reason given'})"
        case aiohttp.ClientProxyConnectionError():
            return f"no connection to the proxy on the way to {host}{_why(cause)}"
        case _:
            return f"no connection to {host}{_why(cause)}"


def _why(exc: BaseException) -> str:
    if not isinstance(exc, OSError) or not exc.errno:
        return ""
    if isinstance(exc.__cause__, ssl.SSLError):
        return " (TLS error)"
    own_words = exc.strerror if exc.errno == errno.EACCES else None
    return f" ({own_words or os.strerror(exc.errno)})"
