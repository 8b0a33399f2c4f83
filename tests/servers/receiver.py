"""Somebody who is told of runs: keeps what is posted, and answers as the test says."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Post:
    """One message as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(kw_only=True, slots=True)
class Receiver:
    """What came; `answers` are given one by one, and 204 after these. A negative one hangs so many seconds."""

    url: str
    posts: list[Post] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    on_post: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def kinds(self) -> list[str]:
        """What each message is about."""
        return [post.json["type"] for post in self.posts]


@contextmanager
def receiver(*answers: int) -> Iterator[Receiver]:
    """A receiver on loopback."""
    made: list[Receiver] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            mine = made[0]
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            mine.posts.append(Post(path=self.path, headers=headers, body=body))
            mine.on_post.set()
            status = mine.answers.pop(0) if mine.answers else 204
            if status < 0:
                mine.released.wait(-status)
                return
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", f"{mine.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.append(Receiver(url=f"http://127.0.0.1:{server.server_address[1]}", answers=list(answers)))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield made[0]
        finally:
            made[0].released.set()
            server.shutdown()
            thread.join()


def said(posts: Sequence[Post]) -> list[dict[str, Any]]:
    """The data of each message."""
    return [post.json["data"] for post in posts]
