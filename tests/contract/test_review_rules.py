"""Rules of the paid request that nothing held in place: each of these fails without its line."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from batchmod.checkpoint import FILE_NAME
from batchmod.providers.segmind.history import history_spans
from tests.servers import segmind_contract as contract
from tests.servers.segmind import Kind, SegmindStandIn
from tests.servers.segmind_service import Service
from tests.servers.standin import Call
from tests.support import Shoot, bare_environment, read_events, remote_rows, shoot

GRACE_S = 0.35
"""A little more than the grace of the runs here."""
DAY_S = 86400.0


@pytest.mark.parametrize(("takes_s", "warm"), [(0.0, True), (1.2, False)])
def test_a_paid_request_leaves_on_a_new_connection_or_on_one_that_was_paid_on_a_moment_ago(
    tmp_path: Path, takes_s: float, *, warm: bool
) -> None:
    """One that was idle may be closed by the other side just then: nobody could say whether the request arrived."""
    with SegmindStandIn(queued_s=0, processing_s=takes_s) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b", "c"))
        assert work.run("--max-in-flight", "1").code == 0
        seen = [request for request in server.ledger.requests if request.origin == "api"]
        submits = [number for number, request in enumerate(seen) if request.kind is Kind.SUBMIT]

        assert len(submits) == 3
        assert any(request.kind is not Kind.SUBMIT for request in seen[: submits[-1]])  # there were others to be used
        before = [[each for each in seen[:number] if each.peer == seen[number].peer] for number in submits]
        for number, used in zip(submits, before, strict=True):
            assert all(each.kind is Kind.SUBMIT for each in used)
            assert all(seen[number].at - each.at < 1.0 for each in used[-1:])
        assert any(before) is warm


def intents(work: Shoot) -> list[str]:
    """The outcomes of all attempts the record knows of."""
    with closing(sqlite3.connect(f"file:{work.folder / FILE_NAME}?mode=ro", uri=True)) as record:
        return [row[0] for row in record.execute("SELECT outcome FROM attempt")]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_what_still_waits_for_its_turn_has_no_intent(tmp_path: Path) -> None:
    """Killed then, it is planned, not uncertain: one request in ten minutes is let through here."""
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b", "c", "d"))
        words = ["run", str(work.manifest), "--provider", "segmind", "--yes", "--submits-per-minute", "0.1"]
        environ = bare_environment() | work.environ
        slow = subprocess.Popen([sys.executable, "-m", "batchmod", *words], env=environ, stdout=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 60
            while work.server.ledger.billed < 1 or not work.outputs():
                assert time.monotonic() < until
                time.sleep(0.05)
            time.sleep(0.5)
            assert intents(work) == ["accepted"]
        finally:
            os.kill(slow.pid, signal.SIGKILL)
            slow.wait()

        assert (work.run().code, server.ledger.accepted, server.ledger.paid_twice()) == (0, 4, {})
        assert not [event for event in read_events(work.folder) if event["event"] == "uncertain"]


def test_the_history_is_asked_for_a_day_more_at_both_ends_in_pieces_that_are_allowed() -> None:
    since, now = 1_790_000_000.0, 1_790_000_000.0 + 70 * DAY_S
    spans = list(history_spans(since, now))

    assert spans[0][1] == now + DAY_S
    assert spans[-1][0] == since - DAY_S
    assert all(end - start <= 30 * DAY_S for start, end in spans)
    assert all(later[0] == earlier[1] for later, earlier in pairwise(spans))


def test_a_provider_whose_day_is_tomorrow_is_asked_for_tomorrow(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0, clock_skew_s=DAY_S) as server:
        work = shoot(tmp_path, server, remote_rows("proof", "lost"))
        server.faults.add("accept_then_reset", match="/lost.mp4")

        assert (work.run().code, work.statuses()["lost"], server.ledger.accepted) == (0, "succeeded", 2)


def test_requests_of_another_key_prove_nothing_of_this_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A team's history shows the other key's requests at once, and this one's not yet."""

    def shared(service: Service, job: Any, _: Call, now: float) -> list[dict[str, Any]]:
        row = contract.history_row(job, now, url=service.url_of(job), skew_s=0)
        return [] if "/lost.mp4" in job.inputs["video_url"] else [row]

    monkeypatch.setattr(Service, "_rows", shared)
    with SegmindStandIn(queued_s=0, processing_s=0, other_keys=("SG_other",)) as server:
        work = shoot(tmp_path, server, remote_rows("proof"))
        assert work.run().code == 0
        work.rows(remote_rows("proof", "lost"))
        other = {**work.environ, "SEGMIND_API_KEY": "SG_other"}
        server.faults.add("accept_then_reset", match="/lost.mp4")
        for _ in range(3):
            assert work.run(environ=other).code == 1
            time.sleep(GRACE_S)

        assert (work.statuses()["lost"], server.ledger.submits_seen) == ("uncertain", 2)


def test_a_request_that_no_row_names_and_no_key_can_collect_is_told_and_is_no_success(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("done"))
        assert work.run().code == 0
        server.configure(processing_s=600)
        work.rows(remote_rows("done", "left"))
        assert work.run("--no-wait").code == 3
        work.rows(remote_rows("done"))
        bare = {name: value for name, value in work.environ.items() if name != "SEGMIND_API_KEY"}
        ran = work.run(environ=bare)
        request_id = server.ledger.jobs[1].request_id

        assert ran.code == 1
        assert request_id in ran.out + ran.err
        server.advance(700)
        assert (work.run().code, work.outputs()) == (0, ["done_v001.mp4", "left_v001.mp4"])
        assert server.ledger.submits_seen == 2
