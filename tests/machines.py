"""Machines that put their outputs into one store: each a manifest, an output folder and a home of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.servers.bucket import Bucket
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Ran, Shoot, bare_environment, remote_rows, shoot

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


def begun(work: Shoot, store: Bucket, *more: str) -> "subprocess.Popen[str]":
    """The same, begun and not waited for."""
    argv = ["run", str(work.manifest), "--provider", work.provider, "--yes", "--no-scores", "--history-grace", "0.3"]
    return subprocess.Popen(
        [sys.executable, "-m", "batchmod", *argv, *PACE, *more],
        env=bare_environment() | work.environ | store.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def card(store: Bucket) -> dict[str, Any]:
    """What the store says of itself."""
    found: dict[str, Any] = json.loads(store.read(f"{UP}batchmod.json"))
    return found
