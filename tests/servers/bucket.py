"""One bucket of a real S3 server on loopback: its objects by their keys, its requests, and faults as told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import boto3

from tests.servers import buckets as server
from tests.servers.buckets import SECRET, Buckets, buckets

__all__ = ["NAME", "SECRET", "Asked", "Bucket", "bucket"]

NAME: Final = "shots"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its verb, the object's key, and its query."""

    verb: str
    key: str
    query: str


Fault = Callable[[Asked], int | None]
"""The status to answer a request with instead of the store's own answer; None for that."""


@dataclass(slots=True)
class Bucket:
    """One bucket and its server."""

    server: Buckets
    _fault: Fault = lambda _: None

    def start(self) -> None:
        """Answer, on the same port as before."""
        self.server.start()

    def stop(self) -> None:
        """Answer nobody: connections are refused."""
        self.server.stop()

    @property
    def fault(self) -> Fault:
        """What is answered instead of the store's own answer."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._fault = fault
        self.server.fault = lambda asked: fault(_of(asked))

    @property
    def asked(self) -> list[Asked]:
        """All requests so far."""
        return [_of(each) for each in self.server.asked]

    def forget(self) -> None:
        """Count requests from now on."""
        self.server.asked.clear()

    @property
    def environ(self) -> dict[str, str]:
        """What points a client here."""
        return self.server.environ

    @property
    def client(self) -> Any:
        """The vendor's own client."""
        return boto3.client(
            "s3",
            endpoint_url=self.server.url,
            aws_access_key_id=server.KEY,
            aws_secret_access_key=SECRET,
            region_name=server.REGION,
        )

    def names(self) -> list[str]:
        """Every object there is."""
        return self.server.keys(NAME)

    def read(self, key: str) -> bytes:
        """An object's content."""
        content = self.server.content(NAME, key)
        assert content is not None, key
        return content

    def half(self) -> list[str]:
        """The keys of uploads in parts that were neither ended nor given up."""
        return [each.key_name for each in server.backend().buckets[NAME].multiparts.values()]

    def of(self, verb: str, part: str = "") -> list[str]:
        """The keys that were asked for with this verb and have this in them."""
        return [each.key for each in self.asked if each.verb == verb and part in each.key]


@contextmanager
def bucket() -> Iterator[Bucket]:
    """An empty bucket for the block."""
    with buckets() as made:
        made.make(NAME)
        yield Bucket(made)


def _of(asked: server.Asked) -> Asked:
    _, name, key = [*asked.path.split("/", 2), "", ""][:3]
    return Asked(asked.method, key if name == NAME else "", asked.query)
