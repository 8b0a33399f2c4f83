"""One more version on demand, reviews, and runs that end before everything is done."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchmod import clock, planning
from tests import given
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Shoot, bare_environment, read_events, remote_rows, shoot, write_clip


def without_history(work: Shoot) -> dict[str, str]:
    """The environment of a service that has no history."""
    return {name: value for name, value in work.environ.items() if "HISTORY" not in name}


def test_pay_again_opens_one_more_version_of_what_it_names(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one", "two"))
        work.run()
        first = (work.folder / "videos/one_v001.mp4").read_bytes()

        assert work.run("--pay-again", "O*").code == 0
        assert work.outputs() == ["one_v001.mp4", "one_v002.mp4", "two_v001.mp4"]
        assert (work.folder / "videos/one_v001.mp4").read_bytes() == first
        assert work.results()["one"]["output"] == "videos/one_v002.mp4"
        assert (work.run().code, server.ledger.submits_seen) == (0, 3)


def test_pay_again_that_was_broken_off_is_gone_on_with_and_opens_no_more(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one", "two"))
        work.run()
        server.faults.add("error_406_credits", after=1)
        broken = work.run("--pay-again", "*", "--max-in-flight", "1")

        assert (broken.code, server.ledger.accepted) == (3, 3)
        assert work.run("--pay-again", "*").code == 0
        assert (server.ledger.accepted, len(work.outputs())) == (4, 4)


def test_pay_again_after_a_kill_pays_once(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one", "two"))
        work.run()
        server.configure(processing_s=600)
        words = ("run", str(work.manifest), "--provider", "segmind", "--yes", "--pay-again", "*", *PACE)
        process = subprocess.Popen(
            [sys.executable, "-m", "batchmod", *words],
            env=bare_environment() | work.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        server.ledger.wait_until(lambda ledger: ledger.accepted == 4, timeout_s=20)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        server.advance(600)
        server.configure(processing_s=0)

        assert work.run("--pay-again", "*").code == 0
        assert (server.ledger.accepted, len(work.outputs())) == (4, 4)


def test_pay_again_does_not_touch_what_was_sent_or_may_have_been(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("lost", "sent"))
        server.faults.add("accept_then_reset", match="lost.mp4")
        server.faults.add("error_401_invalid", on="status", times=None)
        work.run("--max-in-flight", "1", environ=without_history(work))
        assert work.statuses() == {"lost": "uncertain", "sent": "submitted"}
        server.faults.clear()
        work.run("--pay-again", "*", environ=without_history(work))

        assert work.statuses() == {"lost": "uncertain", "sent": "succeeded"}
        assert server.ledger.submits_seen == 2


def reviewed(work: Shoot, **review: Any) -> int:
    """The number of requests after a run in which the row says this."""
    (row,) = remote_rows("one")
    work.rows([{**row, **review}])
    assert work.run().code == 0
    return work.server.ledger.submits_seen


def test_redo_is_an_event_and_not_a_standing_order(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))

        assert reviewed(work, review="redo") == 1  # there is nothing to be done again yet
        assert reviewed(work, review="redo", review_of=1) == 2
        assert [reviewed(work, review="redo", review_of=1) for _ in range(2)] == [2, 2]
        assert reviewed(work, review="redo", review_of=2) == 3  # it speaks of a newer version
        assert reviewed(work, review="redo", review_of=2) == 3
        assert reviewed(work) == 3
        assert reviewed(work, review="redo") == 4  # the cell was seen without it
        assert reviewed(work, review="redo") == 4
        assert work.outputs() == [f"one_v00{number}.mp4" for number in (1, 2, 3, 4)]


def test_a_redo_that_was_refused_is_not_spent_twice(tmp_path: Path) -> None:
    rows = [{**remote_rows("one")[0], "review": "redo", "review_of": 1}]
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        work.run()
        work.rows(rows)
        server.faults.add("error_406_credits")

        assert work.run().code == 3
        assert (work.run().code, work.run().code, server.ledger.accepted) == (0, 0, 2)
        assert work.outputs() == ["one_v001.mp4", "one_v002.mp4"]


def test_keep_lets_nothing_be_paid_again(tmp_path: Path) -> None:
    (row,) = remote_rows("one")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, [row])
        work.run()
        work.rows([{**row, "review": "keep"}])

        assert (work.run("--pay-again", "*").code, server.ledger.submits_seen) == (0, 1)

        work.rows([{**row, "review": "keep", "prompt": "another"}])

        assert (work.run().code, work.statuses(), server.ledger.submits_seen) == (0, {"one": "held"}, 1)


def test_a_review_that_says_hold_holds(tmp_path: Path) -> None:
    held, free = remote_rows("held", "free")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, [{**held, "review": "hold"}, free])

        assert (work.run().code, work.statuses()) == (0, {"held": "held", "free": "succeeded"})
        assert server.ledger.submits_seen == 1


def test_after_its_time_a_run_sends_nothing_new_and_collects_what_was_sent(tmp_path: Path) -> None:
    ids = [f"r{number:02}" for number in range(12)]
    with SegmindStandIn(queued_s=0, processing_s=0.4) as server:
        work = shoot(tmp_path, server, remote_rows(*ids))
        began = time.monotonic()
        done = work.run("--until", "1s", "--max-in-flight", "1")
        sent = server.ledger.submits_seen

        assert (done.code, 0 < sent < 12, time.monotonic() - began < 6) == (3, True, True)
        assert list(work.statuses().values()).count("succeeded") == sent
        assert "time that was given" in done.err
        server.configure(processing_s=0)
        assert (work.run().code, server.ledger.submits_seen, server.ledger.paid_twice()) == (0, 12, {})


def test_no_wait_sends_and_leaves_and_a_later_run_collects(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=600) as server:
        work = shoot(tmp_path, server, remote_rows("one", "two"))
        left = work.run("--no-wait")

        assert (left.code, set(work.statuses().values()), server.ledger.accepted) == (3, {"submitted"}, 2)

        server.advance(600)

        assert (work.run().code, set(work.statuses().values())) == (0, {"succeeded"})
        assert server.ledger.submits_seen == 2


def test_a_twin_that_comes_with_a_request_that_is_collected_is_counted_once(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=600) as server:
        (row,) = remote_rows("one")
        work = shoot(tmp_path, server, [row, {**row, "id": "two"}])
        work.run("--no-wait")
        server.advance(600)
        done = work.run()

        assert (done.code, set(work.statuses().values()), server.ledger.accepted) == (0, {"succeeded"}, 1)
        assert "2 videos made" in done.out
        assert "copy" not in done.out
        assert "copied" not in {event["event"] for event in read_events(work.folder)}


@pytest.mark.parametrize(("balance", "warned"), [(1.25, True), (1000.0, False)])
def test_a_balance_below_the_plan_is_a_warning(tmp_path: Path, balance: float, *, warned: bool) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0, credits=balance) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b", "c"))
        done = work.run("--max-in-flight", "1")

        assert ("the balance at segmind is $1.25, the plan may cost $1.80" in done.err) == warned
        assert (done.code, server.ledger.accepted) == ((3, 2) if warned else (0, 3))


FIVE_IN_THE_MORNING = 1_777_870_800.0
"""2026-05-04T05:00:00Z; tests live in UTC."""


@pytest.mark.parametrize(
    ("when", "seconds"),
    [
        ("06:00", 3600),
        ("6:00", 3600),
        ("05:00", 86400),
        ("04:59", 86340),
        ("23:59", 68340),
        ("2h30m", 9000),
        ("90m", 5400),
        ("45s", 45),
        ("1h1m1s", 3661),
        (" 2H ", 7200),
        ("0s", 0),
    ],
)
def test_until_is_a_time_of_day_or_a_duration(when: str, seconds: float) -> None:
    assert clock.seconds_until(when, at=FIVE_IN_THE_MORNING) == seconds


@pytest.mark.parametrize("when", ["", " ", "soon", "25:00", "12:60", "6", "1.5h", "30m2h", "-1h", "06:00:00"])
def test_anything_else_is_no_end(when: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"."):
        clock.seconds_until(when, at=FIVE_IN_THE_MORNING)
    with SegmindStandIn() as server:
        refused = shoot(tmp_path, server, remote_rows("one")).run(f"--until={when}")

        assert (refused.code, "--until" in refused.err, server.ledger.requests) == (2, True, ())


@pytest.mark.parametrize(
    ("facts", "has_history", "safe"),
    [
        ({"output_life_s": 7 * 86400.0}, False, True),
        ({"output_life_s": 86400.0}, False, True),
        ({"output_life_s": 3600.0}, False, False),
        ({"output_life_s": 3600.0}, True, True),
        ({"output_life_s": None}, False, False),
        ({"output_life_s": 3600.0, "reminted": True}, False, True),
    ],
)
def test_what_expires_within_a_day_may_not_be_left(facts: dict[str, Any], *, has_history: bool, safe: bool) -> None:
    problem = planning.expiry_problem(replace(given.HOSTED, **facts), has_history=has_history)

    assert (problem is None) == safe


def test_the_embedded_engine_lets_nothing_expire() -> None:
    assert planning.expiry_problem(given.LOCAL, has_history=False) is None


@pytest.mark.parametrize(("per_second", "high"), [(2.0, 4.0), (0.5, 1.0), (0.02, 0.6)])
def test_the_upper_estimate_follows_the_dearest_true_price_and_no_call_is_cheaper_than_a_call(
    per_second: float, high: float
) -> None:
    job = given.job()
    plan = planning.plan(
        [job],
        known=planning.Known(dearest={(job.provider, job.origin): per_second}),
        facts=given.FACTS,
        clips={job.video.identity: given.CLIP},
        flaws={},
    )
    (estimate,) = (item.estimate for item in plan.items)

    assert estimate is not None
    assert estimate.high == pytest.approx(high)
    assert estimate.low <= estimate.likely <= estimate.high


def test_a_dearer_true_price_than_was_thought_is_reserved_from_then_on(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    rows = [{"id": row_id, "video_url": "clip.mp4", "prompt": f"look {row_id}"} for row_id in "ab"]
    with SegmindStandIn(queued_s=0, processing_s=0, price=2.0) as server:
        work = shoot(tmp_path, server, rows[:1])
        work.run()
        work.rows(rows)

        assert (work.run("--max-cost-usd", "3.90").code, server.ledger.submits_seen) == (3, 1)
        assert (work.run("--max-cost-usd", "4.10").code, server.ledger.submits_seen) == (0, 2)
