"""A stand-in for Segmind's modify-video service: real HTTP on loopback, real files, a ledger and faults by name.

By hand: `python tests/servers/segmind.py --port 8801 --fault accept_then_reset`.
"""

import argparse
import json
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from aiohttp import web

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers import segmind_contract as contract
from tests.servers.clips import Clip
from tests.servers.faults import Reply
from tests.servers.ledger import Job, Kind
from tests.servers.segmind_service import ROUTES, Service
from tests.servers.segmind_settings import KEY, Settings
from tests.servers.standin import Origin, Route, StandIn

__all__ = ["KEY", "Clip", "Job", "Kind", "Origin", "SegmindStandIn", "Settings"]


class SegmindStandIn(StandIn):
    """Segmind, as its pages describe it; `settings` are the fields of `Settings`."""

    origins: ClassVar[frozenset[Origin]] = frozenset(Origin) - {Origin.ELSEWHERE, Origin.BUCKET}
    routes: ClassVar[tuple[Route, ...]] = ROUTES
    no_route: ClassVar[Reply] = contract.NO_ROUTE
    wrong_verb: ClassVar[Reply] = contract.WRONG_VERB
    clip_in_body: ClassVar[bytes] = rb'"video_url":\s*"([^"]*)"'

    def __init__(self, *, port: int = 0, faults: Iterable[str] = (), **settings: Any) -> None:
        super().__init__(Service(Settings(**settings)), port=port, faults=faults)

    def key_in(self, request: web.Request) -> str:
        return request.headers.get("x-api-key", "")

    def error(self, status: int, text: str) -> Reply:
        return contract.error(status, text)

    def environment(self) -> dict[str, str]:
        return {
            "SEGMIND_API_KEY": self.key,
            "SEGMIND_BASE_URL": self.url,
            "SEGMIND_UPLOAD_BASE_URL": self.upload_url,
            "SEGMIND_HISTORY_BASE_URL": self.history_url,
        }


def main() -> None:
    """Serves until Ctrl-C, then prints the ledger."""
    parser = argparse.ArgumentParser(description="A stand-in for Segmind's modify-video service, on loopback.")
    parser.add_argument("--port", type=int, default=8801)
    parser.add_argument("--fault", action="append", default=[], metavar="NAME[@KIND][:TIMES]")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long a job takes")
    chosen = parser.parse_args()
    with SegmindStandIn(port=chosen.port, faults=chosen.fault, processing_s=chosen.seconds) as server:
        for name, value in server.environment().items():
            print(f"export {name}={value}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(json.dumps(server.ledger.snapshot(), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
