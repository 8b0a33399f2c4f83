"""What a provider's history proves, and what it does not: nothing lost is sent again by a guess."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchmod.checkpoint import FILE_NAME, Checkpoint
from tests.servers import segmind_contract as contract
from tests.servers.segmind import Kind, SegmindStandIn
from tests.support import Shoot, call, remote_rows, shoot, write_clip

GRACE_S = 0.35
"""A little more than the grace of the runs here."""


def without_history(work: Shoot) -> dict[str, str]:
    """The environment of a service that has no history."""
    return {name: value for name, value in work.environ.items() if "HISTORY" not in name}


def lose_one(work: Shoot, *, then: tuple[str, ...] = ()) -> None:
    """Lose the answer to the first row's request; then have the rows in `then` accepted, unseen by any history."""
    work.server.faults.add("accept_then_reset")
    assert work.run(environ=without_history(work)).code == 1
    if then:
        work.rows(remote_rows("lost", *then))
        work.run(environ=without_history(work))
    work.server.faults.clear()
    assert work.statuses()["lost"] == "uncertain"
    time.sleep(GRACE_S)


def others(server: SegmindStandIn, count: int = 120) -> None:
    """A busy account: so many requests of somebody else's, more than a page."""
    for number in range(count):
        server.seed({"video_url": f"https://x.example/{number}.mp4", "mode": "adhere_1"}, ago_s=0)


def pages(server: SegmindStandIn) -> list[str]:
    """The numbers of the history pages that were asked for."""
    return [seen.path.split("page=")[1].split("&")[0] for seen in server.ledger.requests if seen.kind is Kind.HISTORY]


def test_the_history_of_another_key_proves_nothing(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0, other_keys=("SG_other",)) as server:
        work = shoot(tmp_path, server, remote_rows("lost"))
        lose_one(work)
        work.rows(remote_rows("lost", "proof"))
        other = {**work.environ, "SEGMIND_API_KEY": "SG_other"}
        for _ in range(3):
            assert work.run(environ=other).code == 1
            assert work.statuses() == {"lost": "uncertain", "proof": "succeeded"}
            time.sleep(GRACE_S)

        assert (work.run().code, work.statuses()["lost"], server.ledger.submits_seen) == (0, "succeeded", 2)


@pytest.mark.parametrize("fault", ["accept_then_html", "accept_then_wrong_json", "accept_then_empty"])
def test_an_answer_that_is_no_page_of_the_history_is_not_its_end(tmp_path: Path, fault: str) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("lost"))
        lose_one(work)
        others(server)
        work.rows(remote_rows("lost", "proof"))
        server.faults.add(fault, on="history", times=None, match="page=2")
        for _ in range(2):
            assert work.run().code == 1
            assert (work.statuses()["lost"], server.ledger.submits_seen) == ("uncertain", 2)

        server.faults.clear()

        assert "2" in pages(server)
        assert (work.run().code, server.ledger.submits_seen, server.ledger.paid_twice()) == (0, 2, {})


def test_a_history_that_gives_its_first_page_again_and_again_is_not_walked_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contract.history_page

    def first_page(rows: list[dict[str, Any]], query: dict[str, str], **more: Any) -> dict[str, Any]:
        return whole(rows, {**query, "page": "1"}, **more)

    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("lost"))
        lose_one(work)
        others(server)
        work.rows(remote_rows("lost", "proof"))
        monkeypatch.setattr(contract, "history_page", first_page)
        for _ in range(2):
            assert (work.run().code, work.statuses()["lost"]) == (1, "uncertain")
        monkeypatch.undo()

        assert len(pages(server)) < 20
        assert (server.ledger.submits_seen, work.statuses()["proof"]) == (2, "succeeded")


def ignoring(monkeypatch: pytest.MonkeyPatch, **ours: str) -> None:
    """The history answers every question as if it had been asked with these."""
    whole = contract.history_page

    def page(rows: list[dict[str, Any]], query: dict[str, str], **more: Any) -> dict[str, Any]:
        return whole(rows, {**query, **ours}, **more)

    monkeypatch.setattr(contract, "history_page", page)


def test_a_short_history_that_knows_no_pages_is_walked_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("lost", "proof"))
        ignoring(monkeypatch, page="1")
        server.faults.add("reset_before_accept", match="lost.mp4")
        assert work.run(environ=without_history(work)).code == 1
        server.seed({"video_url": "https://example.com/theirs.mp4", "prompt": "as clay", "mode": "adhere_1"})
        time.sleep(GRACE_S)
        work.rows([*remote_rows("lost", "proof"), {**remote_rows("theirs")[0], "prompt": "as clay"}])
        rescued = call("rescue", work.manifest, "--provider", "segmind", environ=work.environ)

        assert (rescued.code, work.statuses()["theirs"]) == (0, "succeeded"), rescued.err
        assert (work.run().code, set(work.statuses().values())) == (0, {"succeeded"})
        assert (server.ledger.submits_seen, server.ledger.accepted, server.ledger.paid_twice()) == (3, 2, {})


def test_a_history_that_knows_neither_pages_nor_their_size_may_hide_a_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("lost"))
        lose_one(work)
        others(server, 30)
        work.rows(remote_rows("lost", "proof"))
        ignoring(monkeypatch, page="1", per_page="20")
        for _ in range(2):
            assert (work.run().code, work.statuses()) == (1, {"lost": "uncertain", "proof": "succeeded"})

        assert server.ledger.submits_seen == 2


def test_a_request_without_its_id_in_the_history_could_be_the_lost_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contract.history_row

    def nameless(job: Any, now: float, **more: Any) -> dict[str, Any]:
        row = whole(job, now, **more)
        return row if "proof" in job.inputs["prompt"] else {k: v for k, v in row.items() if k != "request_id"}

    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("lost"))
        lose_one(work)
        work.rows(remote_rows("lost", "proof"))
        monkeypatch.setattr(contract, "history_row", nameless)
        for _ in range(2):
            assert (work.run().code, work.statuses()["lost"]) == (1, "uncertain")

        assert server.ledger.submits_seen == 2


def test_a_provider_whose_clock_is_behind_and_busy_is_asked_for_more_than_a_page(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0, clock_skew_s=-5400) as server:
        work = shoot(tmp_path, server, remote_rows("lost"))
        lose_one(work)
        others(server)
        work.rows(remote_rows("lost", "proof"))
        codes = [work.run(environ=without_history(work)).code, work.run().code]

        assert (codes, work.statuses()["lost"]) == ([1, 0], "succeeded")
        assert "2" in pages(server)
        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (2, {})


def test_the_last_documented_500_is_looked_up_like_the_others(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("proof", "one"))
        server.faults.add("error_500_json", times=2, match="one.mp4")
        server.faults.add("error_500_json_created", match="one.mp4")
        done = work.run("--max-in-flight", "1")

        assert (done.code, work.statuses()["one"], server.ledger.accepted) == (0, "succeeded", 2)
        assert (work.run("--retry-failed").code, server.ledger.paid_twice()) == (0, {})


def test_a_row_of_the_same_clip_with_shortened_inputs_keeps_a_request_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = remote_rows("lost", "proof")
    rows[0]["prompt"] = "a long prompt " * 30
    whole = contract.history_row

    def shortened(job: Any, now: float, **more: Any) -> dict[str, Any]:
        row = whole(job, now, **more)
        return {**row, "request_body": {**row["request_body"], "prompt": row["request_body"]["prompt"][:200]}}

    monkeypatch.setattr(contract, "history_row", shortened)
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, rows)
        server.faults.add("accept_then_reset")
        for _ in range(3):
            assert (work.run().code, work.statuses()["lost"]) == (1, "uncertain")
            time.sleep(GRACE_S)

        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (2, {})


def local_rows(folder: Path, *ids: str) -> list[dict[str, Any]]:
    """Rows that each cost 60 cents."""
    write_clip(folder / "clip.mp4")
    return [{"id": row_id, "video_url": "clip.mp4", "prompt": f"look {row_id}"} for row_id in ids]


Edit = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]

EDITS: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "deleted": (lambda rows: rows[1:], ()),
    "held": (lambda rows: [{**rows[0], "hold": True}, *rows[1:]], ()),
    "edited": (lambda rows: [{**rows[0], "prompt": "another"}, *rows[1:]], ()),
    "left out": (lambda rows: rows, ("--only", "new")),
    "as it was": (lambda rows: rows, ()),
}


@pytest.mark.parametrize("how", EDITS)
def test_what_was_never_accepted_is_sent_by_a_plan_alone(tmp_path: Path, how: str) -> None:
    """The grace ends between the two walks of the second run, so that it learns of it when its plan is made."""
    edit, words = EDITS[how]
    rows = local_rows(tmp_path, "lost", "proof", "new")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, rows[:2])
        server.faults.add("reset_before_accept")
        assert work.run("--history-grace", "600").code == 1
        assert work.statuses() == {"lost": "uncertain", "proof": "succeeded"}
        with Checkpoint.look_at(work.folder / FILE_NAME) as record:
            (lost,) = record.uncertain_attempts()
        server.configure(processing_s=1.5)
        work.rows(edit(rows))
        work.run("--history-grace", str(time.time() - (lost.seen_dead_at or 0) + 1.2), *words)

        assert "look lost" not in prompts(server)
        with Checkpoint.look_at(work.folder / FILE_NAME) as record:
            assert record.uncertain_attempts() == ()
            assert record.totals().reserved_usd == 0

        server.configure(processing_s=0)
        work.rows(rows)
        assert (work.run("--max-cost-usd", "1.75").code, prompts(server).count("look lost")) == (3, 0)
        assert (work.run().code, prompts(server).count("look lost"), server.ledger.paid_twice()) == (0, 1, {})


def prompts(server: SegmindStandIn) -> list[str]:
    """What was accepted."""
    return [job.inputs["prompt"] for job in server.ledger.jobs]
