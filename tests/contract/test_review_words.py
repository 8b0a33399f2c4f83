"""What a service says: its key is repeated nowhere, and a refusal ends what it is about and no more."""

import asyncio
from pathlib import Path

import pytest

from batchmod import executors
from tests.servers.segmind import SegmindStandIn
from tests.support import call, files_holding, remote_rows, shoot


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("error_401_invalid", "submit"),
        ("error_400", "submit"),
        ("failed_422", "submit"),
        ("error_401_invalid", "status"),
        ("error_401_invalid", "result"),
        ("error_403", "history"),
    ],
)
def test_a_key_that_the_service_repeats_goes_no_further(tmp_path: Path, fault: str, kind: str) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0, key="SG_the_key_nobody_may_see") as server:
        work = shoot(tmp_path, server, remote_rows("one", "two"))
        if kind == "history":
            server.faults.add("accept_then_reset")
        server.faults.add(fault, on=kind, text=f"not allowed for the key {server.key}, sorry")
        said = [work.run("--json"), call("status", work.folder, environ=work.environ)]

        assert fault in {seen.fault for seen in server.ledger.requests}
        assert [done for done in said if server.key in done.out + done.err] == []
        assert files_holding(server.key, tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux shows a process's environment")
def test_a_worker_was_never_given_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", "SG_the_key_nobody_may_see")

    async def environment() -> bytes:
        pool = executors.Processes(1, drop_environment=("SEGMIND_API_KEY",))
        try:
            return await pool.submit(Path.read_bytes, Path("/proc/self/environ"))
        finally:
            pool.close()

    found = asyncio.run(environment())

    assert b"PATH=" in found
    assert b"SG_the_key" not in found


def test_a_prompt_that_exceeds_a_limit_is_no_cap_of_the_account(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("long", "short", "shorter"))
        text = "Value rejected: prompt exceeds the limit of 1000 characters"
        server.faults.add("error_406_value", match="long.mp4", text=text, times=None)
        done = work.run()

        assert (done.code, work.results()["long"]["error_code"]) == (1, "refused_value")
        assert work.statuses() == {"long": "failed", "short": "succeeded", "shorter": "succeeded"}


def test_a_spending_cap_stops_them_all(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b"))
        server.faults.add("error_406_spend_cap")

        assert (work.run().code, set(work.statuses().values()), server.ledger.submits_seen) == (3, {"planned"}, 1)
