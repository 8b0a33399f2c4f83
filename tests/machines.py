"""Machines that put their outputs into one store: each a manifest, an output folder and a home of its own."""

import json
from pathlib import Path
from typing import Any, Final

from tests.servers.bucket import Bucket
from tests.servers.segmind import SegmindStandIn
from tests.support import Ran, Shoot, remote_rows, shoot

STORE: Final = "s3://shots/autumn"
UP: Final = "autumn/"


def machine(
    folder: Path,
    server: SegmindStandIn,
    *ids: str,
    output: str = STORE,
    rows: list[dict[str, Any]] | None = None,
    **more: Any,
) -> Shoot:
    """A machine with rows of these ids."""
    return shoot(folder, server, rows or remote_rows(*(ids or ("a", "b"))), output=output, **more)


def run(work: Shoot, store: Bucket, *more: str) -> Ran:
    """`batchmod run` on that machine, with the store's keys."""
    return work.run(*more, environ=work.environ | store.environ)


def card(store: Bucket) -> dict[str, Any]:
    """What the store says of itself."""
    found: dict[str, Any] = json.loads(store.read(f"{UP}batchmod.json"))
    return found
