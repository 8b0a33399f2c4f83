"""What can be said of a URL by looking at it: its origin, its identity, and whether it may be asked."""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

CUT: Final = "?…"
"""What stands in an event where a URL's query was cut."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_SIGNING_PREFIXES: Final = ("x-amz-", "x-goog-", "x-oss-")
_SIGNERS: Final = frozenset({"awsaccesskeyid", "googleaccessid", "ossaccesskeyid", "key-pair-id"})
_SIGNED_WITH_A_SIGNER: Final = _SIGNERS | {"signature", "expires", "policy", "hash-algorithm", "security-token"}
_AZURE_MARKS: Final = frozenset({"sig", "se"})
_AZURE_SAS: Final = frozenset(
    {"sv", "se", "sr", "sp", "sig", "st", "spr", "sip", "ss", "srt", "si", "sdd", "ses"}
    | {"skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid"}
)

STORES: Final = {"s3": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az"}
"""Scheme of an object's URL → the store it stands for."""

_PLAIN: Final = re.compile(
    r"https?://[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
    r"(?::(?!80/|443/)[1-9][0-9]{0,3}|:[1-5][0-9]{4})?/[A-Za-z0-9_/.~%+=,@-]*"
    r"|(?:s3|gs|az)://[a-z0-9][a-z0-9.-]*/(?:[A-Za-z0-9_.~%+=,@-]*/)*[A-Za-z0-9_.~%+=,@-]+"
)
_USUAL: Final = re.compile(
    r"(https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::(?!80(?!\d)|443(?!\d))[1-9]\d{1,3}|:[1-5]\d{4})?)"
    r"(?:[/?#][^\x00-\x20\\\x7f]*)?",
    re.ASCII,
)
"""What most URLs are: everybody reads them alike, and their origin stands in them as `origin_of` writes it."""
_UNFIT: Final = re.compile(r"[\x00-\x20\\\x7f]")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_SPECIAL: Final = (
    ipaddress.IPv4Network("192.0.0.0/24"),
    ipaddress.IPv4Network("192.88.99.0/24"),
    ipaddress.IPv6Network("3fff::/20"),
)
"""Not public by the registries of IANA, though `ipaddress` takes them, or some of them, for it."""


@lru_cache(maxsize=4096)
def origin_of(url: str) -> str:
    """`scheme://host[:port]`, lower case, a default port dropped; ValueError if it has no such parts."""
    if (usual := _USUAL.fullmatch(url)) is not None:
        return usual[1]
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.hostname
    if not scheme or not host:
        raise ValueError(f"not an absolute URL: {without_query(url)}")
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(scheme)) else f":{parts.port}"
    return f"{scheme}://{_bracketed(host)}{port}"


def without_query(url: str) -> str:
    """The URL for messages: no query, no fragment, no user or password; never raises.

    An object's URL stays as it is: a `?` or `#` in it is part of its name.
    """
    if is_stored(url):
        return url
    try:
        parts = urlsplit(url)
        host = parts.hostname
        origin = origin_of(url) if host and parts.scheme else f"//{_bracketed(host or '')}"
    except ValueError:
        return "an unreadable URL"
    return f"{origin}{parts.path}" if host else url.partition("?")[0].partition("#")[0]


def cut(value: str) -> str:
    """A URL, or an identity made of one, without its query, `?…` in its place; any other text as it is."""
    mark, url = ("url:", value[4:]) if value.startswith("url:") else ("", value)
    if mark and "?" not in url:  # an identity's fragment is ours: the content that was seen there
        return value
    if not url.lower().startswith(("http://", "https://")) or not ("?" in url or "#" in url) or " " in url:
        return value
    return f"{mark}{without_query(url)}{CUT}"


def is_stored(value: str) -> bool:
    """Whether this is an object's URL, by its scheme alone: `s3://…`, `gs://…` (`gcs`), `az://…` (`abfs`, `abfss`)."""
    scheme, mark, _ = value.partition("://")
    return bool(mark) and scheme.lower() in STORES


def check_stored_url(url: str) -> str | None:
    """What speaks against an object's URL, or None: a bucket and a key, as they are, without escapes."""
    _, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if not is_stored(url):
        return f"not the URL of an object: {without_query(url)}"
    if not bucket or not key.strip("/") or key.endswith("/"):
        return f"an object's URL has a bucket and a name, such as s3://bucket/folder/clip.mp4: {url!r}"
    if "@" in bucket and (":" in bucket or not url.lower().startswith(("az:", "abfs"))):
        return "a URL must not hold a user or password"
    if "?versionId=" in key:
        return f"an object is taken as it is now, not an older version of it: {url}"
    if any(not each.isprintable() for each in url):
        return f"an object's URL has no control characters: {url!r}"
    return None


def identity_of_stored(url: str) -> str:
    """An object's URL with the scheme's common spelling; bucket and key stay as they are. ValueError for another."""
    if (problem := check_stored_url(url)) is not None:
        raise ValueError(problem)
    scheme, _, rest = url.partition("://")
    short = STORES[scheme.lower()] if scheme.lower() != "abfss" else "abfss"
    return f"{short}://{rest}"


def is_signed_for(url: str, stored: str) -> bool:
    """Whether a URL is one under which a store gives this very object, whoever signed it, and when."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    bucket, _, key = stored.partition("://")[2].partition("/")
    bucket = bucket.partition("@")[0]
    path = unquote(parts.path)
    if parts.scheme not in _DEFAULT_PORTS or not key:
        return False
    return path == f"/{bucket}/{key}" or (path == f"/{key}" and host.startswith(f"{bucket.lower()}."))


def identity_of_url(url: str) -> str:
    """The URL without what changes from one signing to the next; ValueError where `origin_of` raises it.

    Known: S3 and its kin (X-Amz-*, and the older AWSAccessKeyId), Google (X-Goog-*, GoogleAccessId),
    Azure SAS, CloudFront and Aliyun. Everything else keeps its order and its spelling.
    """
    if is_stored(url):
        return identity_of_stored(url)
    parts = urlsplit(url)
    fields = [field for field in parts.query.split("&") if field]
    signed = _signing_names({_name(field) for field in fields})
    kept = "&".join(
        field for field in fields if _name(field) not in signed and not _name(field).startswith(_SIGNING_PREFIXES)
    )
    return f"{origin_of(url)}{parts.path or '/'}{'?' if kept else ''}{kept}"


def are_plain(urls: Iterable[str]) -> bool:
    """Whether all of these are good and their own identity, as one sees at a glance."""
    return all(map(_PLAIN.fullmatch, urls))


def _name(field: str) -> str:
    return field.partition("=")[0].lower()


def _signing_names(names: set[str]) -> frozenset[str]:
    """The parameters that sign here; `expires` or `st` alone may be anybody's and stay."""
    signed: frozenset[str] = frozenset()
    if names & _SIGNERS:
        signed |= _SIGNED_WITH_A_SIGNER
    if names >= _AZURE_MARKS:
        signed |= _AZURE_SAS
    return signed


def check_base_url(url: str) -> str | None:
    """What speaks against sending a key to this base URL, or None."""
    if (problem := _unreadable(url)) is not None:
        return problem
    parts = urlsplit(url)
    shown = without_query(url)
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        return f"a base URL has no query and no fragment: {shown}"
    if parts.scheme == "http" and not is_loopback_host(parts.hostname or ""):
        return f"plain http is for this machine only, since the key would be readable on the way: {shown}"
    return None


def check_webhook_url(url: str) -> str | None:
    """What speaks against posting a message there, or None: https, or plain http to this machine."""
    if (problem := _unreadable(url)) is not None:
        return problem
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback_host(parts.hostname or ""):
        return f"plain http is for this machine only, since anybody on the way could read it: {origin_of(url)}"
    return None


def check_request_url(url: str) -> str | None:
    """What speaks against asking this URL at all, or None: http(s) with a host, no user or password."""
    return _unreadable(url)


def check_hop(url: str, *, came_from: str | None, loopback_allowed: bool) -> str | None:
    """What speaks against fetching `url`, to which `came_from` (None: nobody) redirected, or None."""
    if (problem := _unreadable(url)) is not None:
        return problem
    parts = urlsplit(url)
    if came_from is not None and parts.scheme == "http" and urlsplit(came_from).scheme == "https":
        return f"a redirect from https down to http is not followed: {without_query(url)}"
    host = parts.hostname or ""
    if host == "localhost":
        return None if loopback_allowed else "this machine is no place to download from: localhost"
    return check_address(host, loopback_allowed=loopback_allowed) if _address(host) is not None else None


@lru_cache(maxsize=256)
def check_address(address: str, *, loopback_allowed: bool) -> str | None:
    """What speaks against connecting to this IP address for a download, or None if it is public."""
    ip = _address(address)
    if ip is None:
        return f"not an IP address: {address}"
    inner = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    if loopback_allowed and (inner or ip).is_loopback:
        return None
    return None if inner is None and _is_public(ip) else f"not a public address: {address}"


@lru_cache(maxsize=256)
def is_loopback_host(host: str) -> bool:
    """Whether a URL's host is this machine: `localhost`, 127.0.0.0/8 or ::1."""
    ip = _address(host)
    return host.lower() == "localhost" if ip is None else ip.is_loopback


def _is_public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return _is_public(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if ip.sixtofour is not None and not _is_public(ip.sixtofour):
            return False
        if ip.is_site_local:
            return False
    if any(ip in network for network in _SPECIAL):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


@lru_cache(maxsize=256)
def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _unreadable(url: str) -> str | None:
    """What keeps a URL from being an http(s) URL that everybody reads alike."""
    return None if _USUAL.fullmatch(url) is not None else _fault_of(url)


@lru_cache(maxsize=4096)
def _fault_of(url: str) -> str | None:
    # urlsplit drops tabs and newlines silently, and others read a backslash as a slash
    if _UNFIT.search(url):
        return f"a URL has no spaces, control characters or backslashes: {without_query(url)!r}"
    try:
        parts = urlsplit(url)
        has_host = bool(origin_of(url))
    except ValueError:
        has_host, parts = False, SplitResult("", "", "", "", "")
    if not has_host or parts.scheme not in _DEFAULT_PORTS:
        return f"not an http or https URL: {without_query(url)}"
    if parts.username is not None or parts.password is not None:
        return f"a URL must not hold a user or password: {without_query(url)}"
    return None


def is_put_up(output: str) -> bool:
    """Whether an `output` is the address of a store, or of a web server that takes files, and no folder here."""
    return is_stored(output) or output.lower().startswith(("http://", "https://"))


def output_fault(said: str) -> str | None:
    """What speaks against putting outputs there, or None: a path is one, and so is a prefix in a store."""
    scheme, mark, rest = said.partition("://")
    if not mark:
        return None
    if not is_put_up(said):
        shown = without_query(said)
        return f"{shown} is neither a folder nor a store: {scheme}:// takes no outputs; s3, gs, az and https do"
    if not is_stored(said) and (fault := check_base_url(said)) is not None:
        return fault
    if _UNFIT.search(said) or "?" in said or "#" in said:
        return f"{said.partition('?')[0]!r} has characters that a prefix for outputs may not have"
    bucket, *path = rest.rstrip("/").split("/")
    if not bucket:
        return f"{said!r} names no bucket; write {scheme}://bucket/prefix"
    if "" in path or "." in path or ".." in path:
        return f"{said!r} has an empty part, or . or .. in it"
    return None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
