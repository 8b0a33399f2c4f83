"""Whether a service on the internet can reach the address of a signed URL."""

import socket
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from batchmod.urls import check_address

_PUBLIC: Final = (".amazonaws.com", ".amazonaws.com.cn", ".googleapis.com", ".blob.core.windows.net")


def is_public(url: str) -> bool:
    """Over https, at an address that everybody reaches: a store in a studio's own network is none."""
    parts = urlsplit(url)
    return parts.scheme == "https" and _is_public_host(parts.hostname or "")


@lru_cache(maxsize=64)
def _is_public_host(host: str) -> bool:
    if host.endswith(_PUBLIC):
        return True
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    return bool(found) and all(check_address(address, loopback_allowed=False) is None for address in found)
