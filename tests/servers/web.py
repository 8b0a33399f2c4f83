"""Clips on the web: a server whose files, ETags and manners the test chooses."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.servers.loopback import served


@dataclass(kw_only=True, slots=True)
class File:
    """A file as the server gives it; `etags` are given in turn, the last one for ever."""

    content: bytes
    etags: list[str] = field(default_factory=lambda: ['"one"'])
    status: int = 200
    ranges: bool = True
    heads: bool = True
    content_type: str = "video/mp4"

    def etag(self) -> str:
        return self.etags.pop(0) if len(self.etags) > 1 else self.etags[0]


@dataclass(kw_only=True, slots=True)
class Web:
    """The files by their paths, and what was asked."""

    url: str
    files: dict[str, File] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def web() -> Iterator[Web]:
    """A server on loopback."""
    made: list[Web] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            made[0].asked.append((self.command, self.path))
            file = made[0].files.get(path)
            if file is None or file.status >= 400 or (not with_body and not file.heads):
                self.send_response(404 if file is None else file.status if file.status >= 400 else 403)
                self.send_header("content-length", "0")
                self.end_headers()
                return
            body, wanted = file.content, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
            part = wanted is not None and file.ranges
            self.send_response(206 if part else file.status)
            if wanted is not None and part:
                first, last = int(wanted[1]), min(int(wanted[2]), len(body) - 1)
                self.send_header("content-range", f"bytes {first}-{last}/{len(body)}")
                body = body[first : last + 1]
            self.send_header("content-type", file.content_type)
            self.send_header("content-length", str(len(body)))
            if etag := file.etag():
                self.send_header("etag", etag)
            self.end_headers()
            if with_body:
                with suppress(OSError):
                    self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with served(Handler) as url:
        made.append(Web(url=url))
        yield made[0]
