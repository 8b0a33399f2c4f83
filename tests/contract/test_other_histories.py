"""Histories that are not Segmind's: long ones, ones sorted the other way, nested bodies, and what they prove."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from batchmod.app.traces import body_of
from batchmod.model import Attempt, HistoryRow
from batchmod.reconcile import Found, Known, NeverAccepted, StillOpen, Walk, exact, gap, resolve, same_inputs
from tests.servers.ledger import Kind
from tests.servers.luma import LumaStandIn
from tests.servers.replicate import ReplicateStandIn
from tests.servers.vendor import VendorStandIn
from tests.support import call, remote_rows, shoot

STAND_INS: Mapping[str, type[VendorStandIn]] = {"luma": LumaStandIn, "replicate": ReplicateStandIn}


@pytest.mark.parametrize("oldest_first", [False, True])
def test_a_lost_request_is_found_behind_two_hundred_others_however_they_are_sorted(
    *, oldest_first: bool, tmp_path: Path
) -> None:
    with LumaStandIn(oldest_first=oldest_first) as server:
        for number in range(230):
            server.seed_fields(video_url=f"https://example.com/old{number}.mp4", mode="flex_1")
        work = shoot(tmp_path, server, remote_rows("lost", "other"), at="luma")
        server.faults.add("accept_then_reset", on="submit")
        done = work.run("--history-grace", "60")

        assert (done.code, server.ledger.submits_seen, server.ledger.paid_twice()) == (0, 2, {})
        assert server.ledger.history_calls >= 3


@pytest.mark.parametrize("oldest_first", [False, True])
def test_what_is_not_there_is_sent_again_only_after_all_of_the_list_was_seen(
    *, oldest_first: bool, tmp_path: Path
) -> None:
    with LumaStandIn(oldest_first=oldest_first) as server:
        for number in range(120):
            server.seed_fields(video_url=f"https://example.com/old{number}.mp4", mode="flex_1")
        work = shoot(tmp_path, server, remote_rows("lost", "other"), at="luma")
        server.faults.add("reset_before_accept", on="submit")
        first = work.run("--history-grace", "60").code
        time.sleep(0.35)
        codes = [work.run().code, work.run().code]

        assert (first, codes[-1]) == (1, 0)
        assert (server.ledger.accepted, server.ledger.paid_twice()) == (2, {})


def test_an_old_row_ends_the_walk_only_where_the_list_is_newest_first(tmp_path: Path) -> None:
    with LumaStandIn() as server:
        for number in range(350):
            server.seed_fields(video_url=f"https://example.com/{number}.mp4", mode="flex_1", ago_s=90_000.0 + number)
        work = shoot(tmp_path, server, remote_rows("lost", "other"), at="luma")
        server.faults.add("accept_then_reset", on="submit")
        done = work.run("--history-grace", "60")

        assert (done.code, server.ledger.submits_seen) == (0, 2)
        # both and rows from yesterday are on the first page, the second shows that they descend: that is enough
        assert server.ledger.count(Kind.HISTORY) == 2


def test_a_rebuilt_record_does_not_take_a_lost_request_for_never_accepted(tmp_path: Path) -> None:
    """Without the record and the event log nobody knows how a body was written: it is not looked for by a guess."""
    with LumaStandIn(history_delay_s=0.0) as server:
        work = shoot(tmp_path, server, remote_rows("lost", "other"), at="luma")
        server.faults.add("accept_then_reset", on="submit")
        server.faults.add("error_503", on="history", times=None)
        work.run()
        server.faults.clear()
        for name in ("checkpoint.sqlite3", "events.jsonl"):
            (work.folder / name).unlink()
        call("resolve", work.manifest, "--rebuild", environ=work.environ)
        time.sleep(0.35)
        codes = [work.run().code for _ in range(3)]

        assert codes[-1] in (0, 1)
        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (2, {})


def test_a_line_of_the_table_tells_nothing_of_a_body_in_other_words() -> None:
    line = {"provider": "luma", "mode": "flex_1", "video_url": "https://example.com/a.mp4", "prompt": "wool"}

    assert body_of(line) == {}
    assert body_of({**line, "provider": "segmind"})["video_url"] == "https://example.com/a.mp4"


BODY: Mapping[str, Any] = {"model": "ray-2", "media": {"url": "https://example.com/a.mp4?sig=1"}, "mode": "flex_1"}


def attempt(body: object) -> Attempt:
    return Attempt(
        attempt_id=1, work_id=1, provider="luma", origin="o", body=body, sent_at=10_000.0, seen_dead_at=10_000.0
    )


def row(body: Mapping[str, Any], request_id: str = "r9") -> HistoryRow:
    return HistoryRow(request_id=request_id, at=10_001.0, status="completed", inputs=body)


def verdict(body: object, theirs: Mapping[str, Any]) -> object:
    proof = {"media": {"url": "https://example.com/proof.mp4"}}
    walk = Walk(rows=(row(theirs), row(proof, "r1")), complete=True)
    return resolve([attempt(body)], walk=walk, known=[Known(request_id="r1", body=proof)], now=99_999.0, grace_s=1.0)[0]


def test_a_nested_body_is_recognised_with_further_fields_and_not_with_others() -> None:
    assert same_inputs(BODY, {**BODY, "callback_url": None, "media": {**BODY["media"], "x": 1}})
    assert not same_inputs(BODY, {**BODY, "media": {"url": "https://example.com/b.mp4"}})
    assert not same_inputs(BODY, {**BODY, "media": "https://example.com/a.mp4"})


def test_a_gap_however_deep_makes_a_body_inexact_and_still_finds_it() -> None:
    gappy = {**BODY, "media": {"url": gap("https://example.com/a.mp4")}}

    assert exact(BODY)
    assert not exact(gappy)
    assert isinstance(verdict(gappy, BODY), Found)
    assert isinstance(verdict(gappy, {"media": {"url": "https://example.com/z.mp4"}}), StillOpen)


def test_a_row_for_the_same_clip_with_other_inputs_keeps_absence_from_counting_however_deep_the_url_is() -> None:
    assert isinstance(verdict(BODY, {**BODY, "mode": "flex_2"}), StillOpen)
    assert isinstance(verdict(BODY, {"media": {"url": "https://example.com/z.mp4"}}), NeverAccepted)


@pytest.mark.parametrize("name", ["luma", "replicate"])
def test_a_request_with_a_first_frame_is_not_taken_for_the_one_without(name: str, tmp_path: Path) -> None:
    with STAND_INS[name]() as server:
        row = remote_rows("a")[0]
        work = shoot(tmp_path, server, [row], at=name)
        theirs = {"video_url": row["video_url"], "prompt": row["prompt"], "mode": "adhere_1"}
        server.seed_fields(**theirs, first_frame_url="https://example.com/a.png", ago_s=0.0)
        server.faults.add("reset_before_accept", on="submit")
        lost = work.run()

        assert (lost.code, work.statuses()) == (1, {"a": "uncertain"})

        own = server.seed_fields(**theirs, ago_s=0.0)
        assert (work.run().code, work.results()["a"]["request_id"]) == (0, own.request_id)


@pytest.mark.parametrize("name", ["luma", "replicate"])
def test_an_id_that_is_not_found_is_looked_for_in_the_list_and_collected(name: str, tmp_path: Path) -> None:
    with STAND_INS[name](processing_s=0.5) as server:
        work = shoot(tmp_path, server, remote_rows("a"), at=name)
        server.faults.add("error_503", on="status", times=None)
        work.run("--no-wait", "--accept-expiry")
        server.faults.clear()
        for number in range(130):
            server.seed_fields(video_url=f"https://example.com/{number}.mp4", mode="flex_1", ago_s=0.0)
        server.faults.add("error_404", on="status", times=None)
        done = work.run()

        assert (done.code, work.statuses()) == (0, {"a": "succeeded"}), done.out + done.err
        assert (server.ledger.submits_seen, server.ledger.count(Kind.HISTORY) >= 2) == (1, True)


@pytest.mark.parametrize("name", ["luma", "replicate"])
def test_an_id_that_the_list_does_not_show_either_is_uncertain_and_it_is_said_what_was_asked(
    name: str, tmp_path: Path
) -> None:
    with STAND_INS[name](processing_s=0.5, history_delay_s=3600.0) as server:
        work = shoot(tmp_path, server, remote_rows("a"), at=name)
        server.faults.add("error_404", on="status", times=None)
        done = work.run()

        assert (done.code, work.statuses()) == (1, {"a": "uncertain"})
        assert "neither the service nor its history knows the request" in work.results()["a"]["error"]

        server.faults.clear()
        assert (work.run().code, work.statuses(), server.ledger.submits_seen) == (0, {"a": "succeeded"}, 1)
