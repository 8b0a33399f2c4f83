"""The pace of a whole run over real sockets: limits that nobody tells, and a provider that has enough of questions."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

import batchmod
from benchmarks import batch
from benchmarks.provider import asked, serving
from tests.servers.kie import KieStandIn
from tests.servers.ledger import Seen
from tests.servers.segmind import Kind, SegmindStandIn
from tests.servers.standin import StandIn
from tests.support import Shoot, call, remote_rows, shoot


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


@pytest.mark.parametrize(("name", "start"), [("segmind", SegmindStandIn), ("kie", KieStandIn)])
def test_a_refused_question_stops_the_questions_of_all_for_as_long_as_it_says(
    name: str, start: Callable[..., StandIn], tmp_path: Path
) -> None:
    """Kie says it under HTTP 200."""
    with start(queued_s=0, processing_s=0.6) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b", "c"), at=name)
        server.faults.add("error_429_retry_after", on="status", seconds=1.5, after=3)
        assert work.run().code == 0
        polls = [seen for seen in server.ledger.requests if seen.kind is Kind.STATUS]

    refused = next(seen.at for seen in polls if seen.fault is not None)
    waits = [seen.at - refused for seen in polls if seen.at > refused]
    assert waits
    assert not [wait for wait in waits if 0.3 < wait < 1.4]  # those within an instant were on their way already


RATE = ("--submits-per-minute", "60", "--polls-per-minute", "60000")
"""With a burst of 8: twelve requests take 4 s, six and six by themselves none."""
SHARED_S = 2.0


def two_manifests(folder: Path, server: SegmindStandIn, rows: int) -> list[Shoot]:
    return [shoot(folder / name, server, remote_rows(*(f"{name}{i}" for i in range(rows)))) for name in "ab"]


def took_to_submit(server: SegmindStandIn) -> float:
    """Seconds from the first paid request to the last."""
    sent = [seen.at for seen in server.ledger.requests if seen.kind is Kind.SUBMIT]
    return max(sent) - min(sent)


def test_manifests_of_one_command_share_the_pace_of_their_key(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        one, other = two_manifests(tmp_path, server, 6)
        words = ("run", one.manifest, other.manifest, "--provider", "segmind", "--yes", *RATE)
        environ = {**one.environ, "BATCHMOD_HOME": str(tmp_path / "home")}
        assert call(*words, environ=environ).code == 0

        assert server.ledger.billed == 12
        assert took_to_submit(server) > SHARED_S


def test_runs_at_the_same_time_in_one_program_share_the_pace_of_their_key(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        works = two_manifests(tmp_path, server, 6)
        environ = {**works[0].environ, "BATCHMOD_HOME": str(tmp_path / "home")}
        loaded = [batchmod.load_manifest(work.manifest, provider="segmind", environ=environ) for work in works]

        async def both() -> list[batchmod.Summary]:
            wishes = {"yes": True, "submits_per_minute": 60.0, "polls_per_minute": 60000.0}
            return await asyncio.gather(*(batchmod.run(each, **wishes) for each in loaded))  # type: ignore[arg-type]

        assert [summary.exit_code for summary in asyncio.run(both())] == [0, 0]
        assert server.ledger.billed == 12
        assert took_to_submit(server) > SHARED_S


@contextmanager
def down_after(server: SegmindStandIn, accepted: int, *, seconds: float) -> Iterator[None]:
    """Once so many jobs run, a gateway answers for the service for a while: 503 to everything."""

    def outage() -> None:
        server.ledger.wait_until(lambda ledger: ledger.accepted >= accepted and ledger.polls >= accepted, timeout_s=30)
        for kind in (Kind.SUBMIT, Kind.STATUS, Kind.UPLOAD):
            server.faults.add(DOWN, on=kind, times=None)
        time.sleep(seconds)
        server.faults.clear()

    weather = threading.Thread(target=outage)
    weather.start()
    yield
    weather.join()


DOWN = "error_503_not_created"


def test_a_provider_that_goes_down_and_comes_back_is_tried_seldom_and_by_questions_alone(tmp_path: Path) -> None:
    rows = [f"r{number}" for number in range(9)]
    with SegmindStandIn(queued_s=0, processing_s=0.5) as server:
        work = shoot(tmp_path, server, remote_rows(*rows))
        with down_after(server, 3, seconds=5.0):
            done = work.run("--max-in-flight", "3")
        refused = [seen for seen in server.ledger.requests if seen.fault == DOWN]

        assert (done.code, work.statuses()) == (0, dict.fromkeys(rows, "succeeded"))
        assert (server.ledger.submits_seen, server.ledger.billed) == (9, 9)
        assert {seen.kind for seen in refused} == {Kind.STATUS}
        assert probes(refused) in (2, 3)


def probes(refused: list[Seen]) -> int:
    """How many came by themselves, ever later, after the failures that opened the circuit."""
    waits = [later.at - earlier.at for earlier, later in pairwise(refused)]
    alone = [wait for wait in waits if wait > 0.9]
    assert alone == waits[len(waits) - len(alone) :]
    assert [wait > 0.95 * least for wait, least in zip(alone, (1.0, 2.0, 4.0), strict=False)] == [True] * len(alone)
    assert len(waits) - len(alone) < 6  # three jobs were asked for, none of them more than twice
    return len(alone)
