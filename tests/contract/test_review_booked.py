"""Requests that were booked from a history: they are theirs for ever, and vouch for nothing."""

from pathlib import Path
from typing import Any

import pytest

from batchmod.checkpoint import FILE_NAME, Checkpoint
from tests import given
from tests.servers import segmind_contract as contract
from tests.servers.segmind import SegmindStandIn
from tests.support import Ran, Shoot, call, remote_rows, shoot

MIRROR = "https://cdn.example.net/mirror/"


def rescue(work: Shoot, *more: str) -> Ran:
    """`batchmod rescue` of its manifest."""
    words = ("rescue", str(work.manifest), "--provider", "segmind", "--polls-per-minute", "60000", *more)
    return call(*words, environ=work.environ)


def mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A history that lists every clip under a URL of its own."""
    whole = contract.history_row

    def row(job: Any, now: float, **more: Any) -> dict[str, Any]:
        made = whole(job, now, **more)
        url = made["request_body"]["video_url"].replace("https://example.com/", MIRROR)
        return {**made, "request_body": {**made["request_body"], "video_url": url}}

    monkeypatch.setattr(contract, "history_row", row)


@pytest.mark.parametrize("rebuilt", [False, True])
def test_a_request_that_was_rescued_vouches_for_no_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, rebuilt: bool
) -> None:
    """Its inputs came from that very history, so of course it shows them."""
    mirrored(monkeypatch)
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        old = {"id": "old", "video_url": f"{MIRROR}old.mp4", "prompt": "as wool, old"}
        server.seed({"video_url": old["video_url"], "mode": "adhere_1", "prompt": old["prompt"]})
        work = shoot(tmp_path, server, [old])
        assert rescue(work).code == 0
        if rebuilt:
            for path in work.folder.glob(f"{FILE_NAME}*"):
                path.unlink()
            assert call("resolve", str(work.folder), "--rebuild", environ=work.environ).code == 0
        work.rows([old, *remote_rows("lost")])
        server.faults.add("accept_then_reset", match="/lost.mp4")
        for _ in range(3):
            assert work.run("--history-grace", "0").code == 1

        assert work.statuses() == {"old": "succeeded", "lost": "uncertain"}
        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (1, {})


def test_a_pair_by_hand_that_does_not_fit_does_not_spoil_the_history(tmp_path: Path) -> None:
    """The row it names is not what was sent: that says nothing of what else the history lists."""
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("odd", "proof"))
        server.faults.add("reset_before_accept", match="/odd.mp4")
        assert work.run("--history-grace", "600").code == 1
        other = server.seed({"video_url": "https://example.com/other.mp4", "mode": "adhere_1"})
        assert rescue(work, "--pair", f"odd={other.request_id}", "--history-grace", "600").code == 0
        work.rows(remote_rows("odd", "proof", "lost"))
        server.faults.add("reset_before_accept", match="/lost.mp4")
        codes = [work.run("--history-grace", "0").code for _ in range(2)]

        assert (codes[-1], set(work.statuses().values())) == (0, {"succeeded"})
        assert (server.ledger.accepted, server.ledger.paid_twice()) == (2, {})


def test_a_job_is_opened_and_booked_at_once_or_not_at_all(tmp_path: Path) -> None:
    """One that was given up must not be left planned: the next run would pay for it."""
    job, other = given.job("a"), given.job("b", prompt="another")
    about: dict[str, Any] = {"body": {}, "at": 1.0, "reserved_usd": 0.6, "account": None}
    with Checkpoint.open(tmp_path / FILE_NAME) as record:
        record.own()
        taken = record.book(other, run_id="r", request_id="theirs", jobs=[other], **about)
        work = record.open_work(job, run_id="r")
        record.fail(work.work_id, code="given_up", message="by hand", billed=None, at=2.0)
        assert record.book(job, run_id="r", request_id="theirs", jobs=[job], **about) is None
        left = record.work(work.work_id)

        assert (left.status, left.error_code) == ("failed", "given_up")
        assert record.book(job, run_id="r", request_id="mine", jobs=[job], **about) == work.work_id
        assert [attempt.booked for attempt in record.accepted_attempts("hosted", given.ORIGIN)] == [True, True]
        assert {record.work(number).status for number in (work.work_id, taken or 0)} == {"submitted"}
