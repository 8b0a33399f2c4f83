"""One manifest whose rows go to different services: each to its own, with its own key, and none is paid twice."""

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from batchmod import providers
from tests.servers.clips import Clip
from tests.servers.everyone import STAND_INS
from tests.servers.standin import StandIn
from tests.support import PACE, call, shoot, write_clip


def test_each_row_goes_to_its_own_service_with_its_own_key(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", Clip(frames=60, fps=30))
    with ExitStack() as stack:
        servers: dict[str, StandIn] = {}
        for name in providers.HOSTED:
            made: Any = STAND_INS[name]
            servers[name] = stack.enter_context(made(key=f"SG_key_of_{name}_1", queued_s=0, processing_s=0))
        rows = []
        for name in servers:
            clip = "clip.mp4" if providers.facts(name).uploads else "https://example.com/a.mp4"
            rows.append({"id": name, "video_url": clip, "prompt": f"as wool at {name}", "provider": name})
        work = shoot(tmp_path, servers["segmind"], rows)
        environ = {name: value for server in servers.values() for name, value in server.environment().items()}
        environ |= {"BATCHMOD_HOME": str(tmp_path / "home")}
        first = call("run", work.manifest, "--yes", *PACE, environ=environ)
        again = call("run", work.manifest, "--yes", *PACE, environ=environ)

        assert (first.code, again.code) == (0, 0), first.err
        assert work.statuses() == dict.fromkeys(servers, "succeeded")
        assert {name: server.ledger.submits_seen for name, server in servers.items()} == dict.fromkeys(servers, 1)
        assert {name: server.ledger.billed for name, server in servers.items()} == dict.fromkeys(servers, 1)
        seen = [each for server in servers.values() for each in server.ledger.requests]
        assert {each.key for each in seen} <= {"good", "absent"}
        assert sum(server.ledger.key_leaks for server in servers.values()) == 0


@pytest.mark.parametrize("name", [name for name in providers.HOSTED if providers.facts(name).upload_life_s is not None])
def test_an_upload_is_used_while_it_surely_lives_and_then_made_anew(name: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", Clip(frames=60, fps=30))
    rows = [{"id": row_id, "video_url": "clip.mp4", "prompt": f"as wool, {row_id}"} for row_id in "abc"]
    life_s = providers.facts(name).upload_life_s or 0.0
    made: Any = STAND_INS[name]
    with made(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, rows[:1], at=name)
        work.run()
        stored = []
        for passed_s, count in ((life_s - 600, 2), (1200, 3)):
            with closing(sqlite3.connect(work.folder / "checkpoint.sqlite3")) as record, record:
                record.execute("UPDATE upload SET at = at - ?", (passed_s,))
            work.rows(rows[:count])
            assert work.run().code == 0
            stored.append(len(server.storage))

        assert (stored, server.ledger.billed) == ([1, 2], 3)
