"""Who may come in: decided from a request's head alone, before any of its body is read.

A page of another site, opened in a browser on this machine, reaches loopback too. It is told by four marks: the Host
it asked for (a name of its own that it has pointed here), its Origin, `Sec-Fetch-Site`, and that it cannot know the
token which our own page was served with.
"""

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from batchmod.serve.contract import KEY_INVALID, KEY_MISSING, Refused

TOKEN_HEADER: Final = "x-page-token"  # noqa: S105 - a header's name
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN: Final = ("/assets/", "/outputs/", "/page/")
_HTTP: Final = 80
_PAGES: Final = frozenset({"/", "/docs", "/openapi.json", "/favicon.ico"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Door:
    """The rules of one service."""

    names: frozenset[str]
    """Hosts that are answered to, besides addresses where `addresses`; lower case, without port."""
    addresses: bool
    """Whether any IP address is answered to: unlike a name, an address cannot be pointed elsewhere."""
    key: str | None
    token: str
    public_origin: str | None = None


def names_of(*, host: str, machine: str, public_url: str | None) -> frozenset[str]:
    """The hosts a service on `host` answers to; `machine` is the machine's own name."""
    public = {(urlsplit(public_url).hostname or "").lower()} if public_url else set()
    if host.lower() in _LOOPBACK_NAMES or _is_loopback(host):
        return _LOOPBACK_NAMES | public | {host.lower()}
    own = machine.lower()
    return _LOOPBACK_NAMES | public | {host.lower(), own, f"{own}.local"}


def is_open(path: str) -> bool:
    """Whether a path needs no key: pages that hold nothing secret, and files whose URL is the secret."""
    return path in _PAGES or path.startswith(_OPEN)


def check(door: Door, *, method: str, path: str, headers: Mapping[str, str]) -> None:
    """Raise Refused where a request must not come in; the names in `headers` are lower case."""
    _check_host(door, headers.get("host", ""))
    from_browser = _check_site(door, method=method, path=path, headers=headers)
    if is_open(path):
        return
    _check_key(door, headers.get("x-api-key", ""))
    if from_browser and not hmac.compare_digest(headers.get(TOKEN_HEADER, "").encode(), door.token.encode()):
        raise Refused(403, "This request comes from a browser, but not from this service's own page; reload the page")


def base_of(door: Door, headers: Mapping[str, str]) -> str:
    """The origin with which links to this service begin, as this client sees it."""
    host = headers.get("host", "")
    public = door.public_origin
    return public if public and urlsplit(public).netloc == host else f"http://{host}"


def answers_to(door: Door, netloc: str, *, port: int) -> bool:
    """Whether a URL's host and port are this service's, which listens on `port`."""
    if door.public_origin and urlsplit(door.public_origin).netloc == netloc:
        return True
    return _is_ours(door, _name_of(netloc)) and (urlsplit(f"//{netloc}").port or _HTTP) == port


def _is_ours(door: Door, name: str) -> bool:
    return name in door.names or (door.addresses and _is_address(name))


def _check_host(door: Door, host: str) -> None:
    if not _is_ours(door, _name_of(host)):
        raise Refused(403, "This service does not answer to that Host; start it with --public-url to give it a name")


def _check_site(door: Door, *, method: str, path: str, headers: Mapping[str, str]) -> bool:
    """Whether it is our own page that asks; Refused for any other page. No browser: False."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site not in ("same-origin", "none") and not _is_link(method, path, headers):
        raise Refused(403, "Pages of other sites must not use this service")
    if origin is not None and origin not in (f"http://{headers.get('host', '')}", door.public_origin):
        raise Refused(403, "Pages of other origins must not use this service")
    return site is not None or origin is not None


def _is_link(method: str, path: str, headers: Mapping[str, str]) -> bool:
    """A person who follows a link to a page or a file; a frame or a script says otherwise."""
    opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return method == "GET" and opened and is_open(path)


def _check_key(door: Door, given: str) -> None:
    if door.key is None:
        return
    if not given:
        raise Refused(401, KEY_MISSING)
    if not hmac.compare_digest(given.encode(), door.key.encode()):
        raise Refused(401, KEY_INVALID)


def _name_of(host: str) -> str:
    """The host without its port; empty where it is no host that could be anybody's."""
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname or "", parts.port
    except ValueError:
        return ""
    return "" if parts.netloc != host or "@" in host else name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return _is_address(name) and ipaddress.ip_address(name).is_loopback
