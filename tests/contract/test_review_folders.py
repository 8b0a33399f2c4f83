"""One user's folders: links to them, copies of them, and what one of them holds of a history."""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchmod.checkpoint import FILE_NAME, Checkpoint
from tests.servers.segmind import SegmindStandIn
from tests.support import Shoot, call, read_events, read_results, remote_rows, shoot

GRACE_S = 0.35
"""A little more than the grace of the runs here."""


def facts(folder: Path) -> tuple[str | None, set[str | None]]:
    """A folder's id, and the accounts its requests were sent with."""
    with Checkpoint.look_at(folder / FILE_NAME) as record:
        every = (record.last_attempt(work.work_id) for work in record.works())
        return record.fact("folder_id"), {attempt.account for attempt in every if attempt is not None}


def statuses(folder: Path) -> dict[str, str]:
    """id → status."""
    return {line["id"]: line["status"] for line in read_results(folder)}


def lose_the_second(work: Shoot, folder: Path) -> None:
    """Two requests, of which one is accepted and its answer lost, seen by no history yet."""
    work.server.faults.add("accept_then_reset", match="/two.mp4")
    environ = {name: value for name, value in work.environ.items() if "HISTORY" not in name}
    assert work.run("--output", str(folder), environ=environ).code == 1
    assert statuses(folder) == {"one": "succeeded", "two": "uncertain"}
    time.sleep(GRACE_S)


def test_a_folder_that_is_named_by_a_link_is_the_same_folder(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one", "two"))
        real, link = tmp_path / "real", tmp_path / "link"
        real.mkdir()
        link.symlink_to(real)
        lose_the_second(work, real)
        before = facts(real)

        assert (work.run("--output", str(link)).code, statuses(real)["two"]) == (0, "succeeded")
        assert facts(real) == before
        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (2, {})


@pytest.mark.parametrize("rebuilt", [False, True])
def test_the_doubts_of_a_copied_folder_can_be_settled(tmp_path: Path, *, rebuilt: bool) -> None:
    """It gets an id of its own, and still knows which key its requests were sent with; both find the one request."""
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one", "two"))
        first, copy = tmp_path / "first", tmp_path / "copy"
        lose_the_second(work, first)
        shutil.copytree(first, copy)
        if rebuilt:
            server.faults.add("history_no_rows", on="history", times=None)
            work.run("--output", str(copy))
            server.faults.clear()
            assert statuses(copy)["two"] == "uncertain"
            for path in copy.glob(f"{FILE_NAME}*"):
                path.unlink()
            assert call("resolve", str(copy), "--rebuild", environ=work.environ).code in (0, 1)
            time.sleep(GRACE_S)
        codes = [work.run("--output", str(folder)).code for folder in (copy, first)]

        assert (codes, statuses(copy), statuses(first)) == ([0, 0], *[{"one": "succeeded", "two": "succeeded"}] * 2)
        assert facts(copy)[0] != facts(first)[0]
        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (2, {})


SHOT: dict[str, Any] = {"id": "a", "video_url": "https://example.com/x.mp4", "prompt": "as wool"}
PROOF: dict[str, Any] = {"id": "proof", "video_url": "https://example.com/p.mp4", "prompt": "p"}


def another(work: Shoot, folder: Path, rows: list[dict[str, Any]]) -> Shoot:
    """A further manifest of the same user, with a folder of its own."""
    made = Shoot(server=work.server, home=work.home, manifest=folder / "take2.yaml")
    made.rows(rows)
    return made


def test_a_request_that_another_folder_holds_is_not_taken_from_the_history(tmp_path: Path) -> None:
    """Its second variant is the same to the provider; the request for that never arrived."""
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        first = shoot(tmp_path / "x", server, [SHOT])
        assert first.run().code == 0
        second = another(first, tmp_path / "y", [PROOF, {**SHOT, "variant": 2}])
        server.faults.add("reset_before_accept", match="as wool")
        assert second.run("--max-in-flight", "1").code == 1
        time.sleep(GRACE_S)

        assert second.run().code == 0
        assert server.ledger.accepted == 3
        assert first.results()["a"]["request_id"] != second.results()["a"]["request_id"]


def test_a_request_that_may_be_another_folders_in_the_air_is_left_to_it(tmp_path: Path) -> None:
    """Its run was killed after the request had left; the one here, the same to the provider, never arrived."""
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        first = shoot(tmp_path / "x", server, [SHOT])
        server.faults.add("accept_then_reset", match="as wool")
        environ = {name: value for name, value in first.environ.items() if "HISTORY" not in name}
        assert first.run(environ=environ).code == 1
        with closing(sqlite3.connect(first.folder / FILE_NAME)) as record, record:
            record.execute("UPDATE work SET status = 'submitting', error = NULL, error_code = NULL")
            record.execute("UPDATE attempt SET outcome = 'open', seen_dead_at = NULL, note = NULL")
        second = another(first, tmp_path / "y", [PROOF, {**SHOT, "variant": 2}])
        server.faults.add("reset_before_accept", match="as wool")
        assert second.run("--max-in-flight", "1").code == 1
        time.sleep(GRACE_S)
        assert (second.run().code, second.statuses()["a"]) == (1, "uncertain")

        assert (first.run().code, first.statuses()) == (0, {"a": "succeeded"})
        assert (second.run().code, second.statuses()["a"]) == (0, "succeeded")
        assert server.ledger.accepted == 3
        assert first.results()["a"]["request_id"] != second.results()["a"]["request_id"]


def test_rescue_leaves_alone_what_another_folder_holds(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        first = shoot(tmp_path / "x", server, [SHOT])
        assert first.run().code == 0
        second = another(first, tmp_path / "y", [{**SHOT, "variant": 2}])
        done = call("rescue", str(second.manifest), "--provider", "segmind", environ=second.environ)

        assert (done.code, second.statuses()) == (0, {"a": "planned"})


def test_what_is_uncertain_is_found_while_other_jobs_still_work(tmp_path: Path) -> None:
    """Its grace ends long before the other job does."""
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("proof"))
        assert work.run().code == 0
        server.configure(processing_s=5)
        work.rows(remote_rows("proof", "lost", "long"))
        server.faults.add("accept_then_reset", match="/lost.mp4")
        assert work.run().code == 0
        told = [(event["event"], event.get("id")) for event in read_events(work.folder)]

        assert told.index(("resolved", "lost")) < told.index(("succeeded", "long"))
        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (3, {})


def test_money_of_what_was_never_accepted_is_free_while_other_jobs_still_work(tmp_path: Path) -> None:
    """At $3.60 at most for a clip of unknown length, the third one waits for the money of the one that was lost."""
    cap: dict[str, Any] = {"limits": {"max_cost_usd": 8.0}}
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("proof"), **cap)
        assert work.run().code == 0
        server.configure(processing_s=4)
        work.rows(remote_rows("proof", "lost", "long", "third"), **cap)
        server.faults.add("reset_before_accept", match="/lost.mp4")
        assert work.run().code == 3

        assert work.statuses() == {"proof": "succeeded", "lost": "planned", "long": "succeeded", "third": "succeeded"}
