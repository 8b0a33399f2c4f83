"""The pace of a whole run over real sockets: limits that nobody tells, and a provider that has enough of questions."""

import time
from pathlib import Path

import pytest

from benchmarks import batch
from benchmarks.provider import asked, serving
from tests.servers.segmind import Kind, SegmindStandIn
from tests.support import remote_rows, shoot


@pytest.mark.parametrize("how", [(), ("--blocks",)])
def test_a_retry_after_of_89_seconds_does_not_freeze_eight_slots(tmp_path: Path, how: tuple[str, ...]) -> None:
    file, began = batch.clip(tmp_path / "clip.mp4"), time.monotonic()
    with serving("--file", file, "--slots", 8, "--takes-s", 0.2, "--retry-after", 89, *how) as origin:
        manifest = batch.rows(tmp_path / "batch", 80)
        ran = batch.run(manifest, origin, "--max-in-flight", "64", "--verify", "container", *batch.FAST)
        told = asked(origin)

    assert (ran.code, ran.statuses) == (0, {"succeeded": 80}), ran.said
    assert (len(told["accepted"]), told["most_at_once"]) == (80, 8)
    assert 1 <= len(told["refused"]) <= 40
    assert time.monotonic() - began < 80


def test_a_rate_that_nobody_tells_is_kept_to_after_a_few_refusals(tmp_path: Path) -> None:
    file = batch.clip(tmp_path / "clip.mp4")
    with serving("--file", file, "--per-window", 20, "--window-s", 2) as origin:
        ran = batch.run(batch.rows(tmp_path / "batch", 120), origin, "--max-in-flight", "64", *batch.FAST)
        told = asked(origin)

    assert (ran.code, len(told["accepted"])) == (0, 120), ran.said
    assert len(told["refused"]) <= 60


def test_a_refused_question_stops_the_questions_of_all_for_as_long_as_it_says(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0.6) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b", "c"))
        server.faults.add("error_429_retry_after", on="status", seconds=1.5, after=3)
        assert work.run().code == 0
        polls = [seen for seen in server.ledger.requests if seen.kind is Kind.STATUS]

    refused = next(seen.at for seen in polls if seen.fault is not None)
    waits = [seen.at - refused for seen in polls if seen.at > refused]
    assert waits
    assert not [wait for wait in waits if 0.3 < wait < 1.4]  # those within an instant were on their way already
