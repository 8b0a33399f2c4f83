"""Whose a history's row is, and what a walk through it does not show: nobody's request is taken or sent again."""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchmod.checkpoint import FILE_NAME
from tests.servers import segmind_contract as contract
from tests.servers.segmind import SegmindStandIn
from tests.support import Shoot, read_events, remote_rows, shoot

GRACE_S = 0.35
"""A little more than the grace of the runs here."""
CLIP = "https://example.com/x.mp4"
PROOF: dict[str, Any] = {"id": "proof", "video_url": "https://example.com/p.mp4", "prompt": "p"}
MORE: dict[str, dict[str, Any]] = {
    "a prompt": {"prompt": "the further one"},
    "a first frame": {"first_frame_url": "https://example.com/the-further-one.png"},
}
"""What one of two requests for a clip has and the other one has not."""


def without_history(work: Shoot) -> dict[str, str]:
    """The environment of a service that has no history."""
    return {name: value for name, value in work.environ.items() if "HISTORY" not in name}


def made_for(work: Shoot) -> dict[str, dict[str, Any]]:
    """id → the inputs of the request it was given."""
    jobs = {job.request_id: dict(job.inputs) for job in work.server.ledger.jobs}
    return {row_id: jobs.get(line["request_id"], {}) for row_id, line in work.results().items()}


def busy(server: SegmindStandIn, count: int = 150, *, ago_s: float = 0.0) -> None:
    """So many requests of somebody else's, each a second older than the next one: more than a page."""
    for number in range(count):
        server.seed({"video_url": f"https://x.example/{number}.mp4", "mode": "adhere_1"}, ago_s=ago_s - number)


@pytest.mark.parametrize("more", MORE)
@pytest.mark.parametrize("skew_s", [0, -5])
def test_a_request_for_the_same_clip_with_a_further_field_is_another_one(
    tmp_path: Path, more: str, skew_s: float
) -> None:
    """`a` is never accepted, `b` is accepted and its answer lost; by a clock that is behind, `a` is the nearer one."""
    a = {"id": "a", "video_url": CLIP}
    with SegmindStandIn(queued_s=0, processing_s=0, clock_skew_s=skew_s) as server:
        work = shoot(tmp_path, server, [PROOF, a, {**a, "id": "b", **MORE[more]}])
        server.faults.add("reset_before_accept", after=1)
        server.faults.add("accept_then_reset", match="the-further-one" if more == "a first frame" else "the further")
        for _ in range(2):
            work.run("--max-in-flight", "1")
            time.sleep(GRACE_S)

        assert (work.run().code, set(work.statuses().values())) == (0, {"succeeded"})
        assert (server.ledger.accepted, server.ledger.paid_twice()) == (3, {})
        assert made_for(work)["a"] == {"video_url": CLIP, "mode": "adhere_1"}
        assert made_for(work)["b"] == {"video_url": CLIP, "mode": "adhere_1", **MORE[more]}


@pytest.mark.parametrize(
    ("a", "more"), [({}, {"prompt": "as felt"}), ({"prompt": "as felt"}, {"variant": 2})], ids=["a field less", "equal"]
)
def test_a_row_of_a_request_that_is_still_in_the_air_is_given_to_nobody(
    tmp_path: Path, a: dict[str, Any], more: dict[str, Any]
) -> None:
    """`b` is answered slowly; meanwhile `a` meets a documented 500, and asks a history that lists `b`."""
    quick = {"id": "a", "video_url": CLIP, **a}
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, [PROOF])
        assert work.run().code == 0
        lead = {"id": "lead", "video_url": "https://example.com/l.mp4", "prompt": "l"}
        work.rows([PROOF, lead, {**quick, "id": "b", **more}, quick])
        server.faults.add("accept_then_delay", match="as felt", seconds=3)
        server.faults.add("error_500_json", match=CLIP)
        codes = [work.run().code]
        time.sleep(GRACE_S)
        codes.append(work.run().code)

        assert codes[-1] == 0
        assert set(work.statuses().values()) == {"succeeded"}
        assert server.ledger.accepted == 4
        assert len({line["request_id"] for line in work.results().values()}) == 4
        told = {event["id"] for event in read_events(work.folder) if event["event"] == "uncertain"}
        assert "b" not in told


def hours_off(hours: float) -> Callable[..., dict[str, Any]]:
    """A history that says local times and no zone."""
    whole = contract.history_row

    def row(job: Any, now: float, *, url: str, skew_s: float) -> dict[str, Any]:
        made = whole(job, now, url=url, skew_s=skew_s + hours * 3600)
        return {**made, "created_at": made["created_at"].rstrip("Z")}

    return row


@pytest.mark.parametrize("hours", [-8, 9])
def test_a_history_of_another_zone_finds_what_it_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    monkeypatch.setattr(contract, "history_row", hours_off(hours))
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("proof", "lost"))
        server.faults.add("accept_then_reset", match="/lost.mp4")
        assert (work.run().code, work.statuses()["lost"]) == (0, "succeeded")

        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (2, {})


def moved(server: SegmindStandIn, name: str, *, by_s: float) -> None:
    """A request was accepted at another time than we thought: our clock was wrong when it left."""
    for job in server.ledger.jobs:
        if name in job.inputs["video_url"]:
            server.ledger._jobs[job.request_id] = replace(job, accepted_at=job.accepted_at + by_s)


@pytest.mark.parametrize(("whose", "status"), [("", "succeeded"), ("/lost.mp4", "uncertain")])
def test_a_clock_that_was_wrong_when_a_request_left_proves_nothing(tmp_path: Path, whose: str, status: str) -> None:
    """An hour ahead at every request, which those show that we hold; or at the lost one alone: then nobody can say."""
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("proof", "lost"))
        server.faults.add("accept_then_reset", match="/lost.mp4")
        assert work.run(environ=without_history(work)).code == 1
        moved(server, whose, by_s=-3600)
        busy(server)
        for _ in range(2):
            time.sleep(GRACE_S)
            work.run()

        assert work.statuses()["lost"] == status
        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (2, {})


def test_after_a_documented_500_an_equal_row_of_another_hour_is_not_overlooked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very first request: nothing proves the history, or tells its zone, yet."""
    monkeypatch.setattr(contract, "history_row", hours_off(-8))
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("first"))
        server.faults.add("error_500_json_created")
        work.run()

        assert (work.statuses()["first"], server.ledger.submits_seen) == ("uncertain", 1)


def by_day(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pages of the oldest rows first, the rows of a page newest first."""
    old = sorted(rows, key=lambda row: row["created_at"])
    return [row for start in range(0, len(old), 100) for row in reversed(old[start : start + 100])]


@pytest.mark.parametrize(
    "order", [lambda rows: sorted(rows, key=lambda row: row["created_at"]), by_day], ids=["oldest first", "pages"]
)
def test_a_history_that_is_not_newest_first_is_walked_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: Callable[..., Any]
) -> None:
    """`proof` was sent a day and a half ago and stands on the first page, far from the request that was lost now."""
    monkeypatch.setattr(contract, "_sorted", lambda rows, _: order(rows))
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("proof", "recent"))
        assert work.run().code == 0
        moved(server, "/proof.mp4", by_s=-1.5 * 86400)
        with sqlite3.connect(work.folder / FILE_NAME) as record:
            sent = "UPDATE attempt SET sent_at = sent_at - 129600 WHERE body LIKE '%/proof.mp4%'"
            assert record.execute(sent).rowcount == 1
        record.close()
        busy(server, ago_s=1.45 * 86400)
        work.rows(remote_rows("proof", "recent", "lost"))
        server.faults.add("accept_then_reset", match="/lost.mp4")
        assert work.run(environ=without_history(work)).code == 1
        time.sleep(GRACE_S)

        assert (work.run().code, work.statuses()["lost"]) == (0, "succeeded")
        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (3, {})
