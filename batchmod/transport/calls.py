"""A request of which everything is settled: httpx would parse its URL once more and add headers of its own."""

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, cast

import httpx

_AS_HTTPX_WRITES_IT: Final = re.compile(
    r"https?://[a-z0-9][a-z0-9.-]*(?::\d{3,5})?(?:/[\w.~!$&'()*+,;=:@-]*)+", re.ASCII
)
_DEFAULT_PORT: Final = re.compile(r"http://[^/]*:0*80/|https://[^/]*:0*443/|://[^/]*:0")


def written(url: str) -> str:
    """The URL to the byte as it is sent: quoted where it must be, no fragment. Raises httpx.InvalidURL."""
    url = url.partition("#")[0]
    plain = _AS_HTTPX_WRITES_IT.fullmatch(url) and "/." not in url and not _DEFAULT_PORT.match(url)
    return url if plain else str(httpx.URL(url))


class Call(httpx.Request):
    """A request for `Session`, which reads these attributes and no other, the URL as a text."""

    def __init__(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        extensions: dict[str, Any],
        body: AsyncIterator[bytes] | None = None,
    ) -> None:
        """`url`: as `written` gives it. `body`: its length and kind stand in `headers`. `extensions`: its timeouts."""
        self.method = method
        self.url = cast(httpx.URL, url)
        self.headers = cast(httpx.Headers, headers)
        self.extensions = extensions
        self.body = body
