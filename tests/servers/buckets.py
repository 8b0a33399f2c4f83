"""A real S3 server on loopback, with a door in front of it that minds signatures, counts, and fails when told to."""

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs

KEY: Final = "AKIDOFTHETESTS"
SECRET: Final = "secret-of-the-tests"
REGION: Final = "eu-central-1"
_CODES: Final = {403: "AccessDenied", 404: "NoSuchKey"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request as it came in."""

    method: str
    path: str
    query: str
    signed_url: bool
    """Whether the signature stood in the URL, so that anybody could have sent it."""


@dataclass(kw_only=True, slots=True)
class Buckets:
    """Where the server is, and everything it was asked."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    """`METHOD /bucket/key` (a regular expression) → status and S3's code of the answer to all such requests."""
    delays: dict[str, float] = field(default_factory=dict)
    """`METHOD /bucket/key` (a regular expression) → seconds before the answer."""
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    """`METHOD /bucket/key` (a regular expression) → what happens when such a request comes in."""
    fault: Callable[[Asked], int | None] = lambda _: None
    """The status to answer a request with instead of the store's own answer; None for that."""
    _port: int = 0
    _server: Any = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Answer, on the same port as before."""
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        class Quiet(MotoRequestHandler):
            def log(self, *_: object) -> None:
                pass

        door = _Door(self, DomainDispatcherApplication(create_backend_app))
        self._server = make_server("127.0.0.1", self._port, door, threaded=True, request_handler=Quiet)
        self._server.daemon_threads = True
        self._port = self._server.server_port
        self.url = f"http://127.0.0.1:{self._port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody: connections are refused. What is kept stays."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        self._server = None

    @property
    def environ(self) -> dict[str, str]:
        """What a program must have in its environment to use the server."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def make(self, bucket: str) -> None:
        """A bucket of this name."""
        backend().create_bucket(bucket, region_name=REGION)

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """An object, as if somebody else had put it."""
        backend().put_object(bucket, key, content)

    def content(self, bucket: str, key: str) -> bytes | None:
        """An object's bytes, None where there is none."""
        found = backend().get_object(bucket, key)
        value: bytes | None = None if found is None else found.value
        return value

    def keys(self, bucket: str) -> list[str]:
        """The names of all objects there, in order."""
        return sorted(key for key in backend().buckets[bucket].keys if self.content(bucket, key) is not None)

    def unfinished(self, bucket: str) -> int:
        """Uploads in parts that were neither completed nor aborted."""
        return len(backend().buckets[bucket].multiparts)

    def requests(self, method: str, key: str = ".*") -> list[Asked]:
        """Those of a method whose path matches."""
        return [each for each in self.asked if each.method == method and re.fullmatch(key, each.path)]


def backend() -> Any:
    """Where the server keeps everything: in this process."""
    from moto.s3.models import s3_backends

    return s3_backends["123456789012"]["aws"]


@contextmanager
def buckets() -> Iterator[Buckets]:
    """A server with no bucket in it; one at a time in a process."""
    backend().reset()
    made = Buckets()
    made.start()
    try:
        yield made
    finally:
        made.stop()
        backend().reset()


class _Door:
    """In front of the server, which itself lets everybody in."""

    def __init__(self, book: Buckets, behind: Callable[..., Iterable[bytes]]) -> None:
        self._book = book
        self._behind = behind

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        fields = parse_qs(query)
        asked = Asked(
            method=environ["REQUEST_METHOD"], path=path, query=query, signed_url="X-Amz-Signature" in fields
        )  # fmt: skip
        self._book.asked.append(asked)
        line = f"{asked.method} {path}"
        for pattern, act in list(self._book.before.items()):
            if re.fullmatch(pattern, line):
                act()
        time.sleep(next((wait for pattern, wait in self._book.delays.items() if re.fullmatch(pattern, line)), 0.0))
        status = self._book.fault(asked)
        wrong = (
            _unsigned(environ, fields)
            or next((no for pattern, no in self._book.refused.items() if re.fullmatch(pattern, line)), None)
            or (None if status is None else (status, _CODES.get(status, "InternalError")))
        )
        if wrong is None:
            return self._behind(environ, start)
        status, code = wrong
        _drain(environ)
        body = f"<Error><Code>{code}</Code><Message>{code}, says the door</Message></Error>".encode()
        headers = [("content-type", "application/xml"), ("content-length", str(len(body)))]
        start(f"{status} {code}", headers)
        return [] if asked.method == "HEAD" else [body]


def _unsigned(environ: Mapping[str, Any], fields: Mapping[str, list[str]]) -> tuple[int, str] | None:
    """What S3 says to a request whose signature is missing, of a stranger, or too old."""
    if "X-Amz-Signature" in fields:
        made = datetime.strptime(fields["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if time.time() > made.timestamp() + float(fields["X-Amz-Expires"][0]):
            return 403, "AccessDenied"
        credential = fields["X-Amz-Credential"][0]
    else:
        found = re.search(r"Credential=(\S+?),", environ.get("HTTP_AUTHORIZATION", ""))
        if found is None:
            return 403, "AccessDenied"
        credential = found[1]
    key, _, region, *_ = credential.split("/")
    if key != KEY:
        return 403, "InvalidAccessKeyId"
    return None if region == REGION else (400, "AuthorizationHeaderMalformed")


def _drain(environ: Mapping[str, Any]) -> None:
    """Read what was sent: a client whose body nobody takes would see a broken connection and not the answer."""
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left > 0 and (piece := environ["wsgi.input"].read(min(left, 65_536))):
        left -= len(piece)
