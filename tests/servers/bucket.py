"""A bucket on loopback: a real S3 server from a package, with a ledger of requests, and faults by the test's word."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import boto3
from moto.backends import get_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

NAME: Final = "shots"
SECRET: Final = "store-secret-0123456789"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its verb, the object's key, and its query."""

    verb: str
    key: str
    query: str


Fault = Callable[[Asked], int | None]
"""The status to answer a request with instead of the store's own answer; None for that."""


@dataclass(kw_only=True, slots=True)
class Bucket:
    """One bucket and its server."""

    fault: Fault = lambda _: None
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    _server: BaseWSGIServer | None = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Answer, on the same port as before."""
        app = DomainDispatcherApplication(create_backend_app)

        def watched(environ: dict[str, Any], begin: Callable[..., Any]) -> Iterable[bytes]:
            _, bucket, key = [*environ["PATH_INFO"].split("/", 2), "", ""][:3]
            asked = Asked(environ["REQUEST_METHOD"], key if bucket == NAME else "", environ["QUERY_STRING"])
            self.asked.append(asked)
            status = self.fault(asked)
            if status is None:
                answer: Iterable[bytes] = app(environ, begin)
                return answer
            with suppress(OSError):
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            begin(f"{status} No", [("content-type", "application/xml")])
            return [f"<Error><Code>{'AccessDenied' if status == 403 else 'InternalError'}</Code></Error>".encode()]

        self._server = make_server("127.0.0.1", self.port, watched, threaded=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody: connections are refused."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        self._server = None

    @property
    def environ(self) -> dict[str, str]:
        """What points a client here."""
        return {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def client(self) -> Any:
        """The vendor's own client."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id="test",
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def names(self) -> list[str]:
        """Every object there is."""
        return sorted(self._objects())

    def read(self, key: str) -> bytes:
        """An object's content."""
        content: bytes = self._objects()[key].value
        return content

    def half(self) -> list[str]:
        """The keys of uploads in parts that were neither ended nor given up."""
        backend = get_backend("s3")["123456789012"]["aws"]
        return [each.key_name for each in backend.buckets[NAME].multiparts.values()]

    def _objects(self) -> dict[str, Any]:
        backend = get_backend("s3")["123456789012"]["aws"]
        return {key: backend.buckets[NAME].keys[key] for key in list(backend.buckets[NAME].keys)}

    def of(self, verb: str, part: str = "") -> list[str]:
        """The keys that were asked for with this verb and have this in them."""
        return [each.key for each in self.asked if each.verb == verb and part in each.key]


@contextmanager
def bucket() -> Iterator[Bucket]:
    """An empty bucket for the block."""
    made = Bucket()
    made.start()
    try:
        made.client.create_bucket(Bucket=NAME)
        made.asked.clear()
        yield made
    finally:
        made.stop()
        get_backend("s3").reset()
