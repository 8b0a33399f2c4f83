"""Replicate, over the wire: what is its own beside the rules that all providers are held to."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.servers.ledger import Kind
from tests.servers.replicate import KEPT_S, ReplicateStandIn
from tests.support import Shoot, call, remote_rows, shoot, write_clip


def at(folder: Path, server: ReplicateStandIn, *ids: str, **top: Any) -> Shoot:
    return shoot(folder, server, remote_rows(*ids), at="replicate", **top)


def test_outputs_that_are_removed_within_the_hour_may_not_be_left_there(tmp_path: Path) -> None:
    with ReplicateStandIn(processing_s=600) as server:
        work = at(tmp_path, server, "a")
        refused = work.run("--no-wait")

        assert (refused.code, server.ledger.submits_seen) == (2, 0)
        assert "1 h" in refused.err

        left = work.run("--no-wait", "--accept-expiry")
        server.advance(700)

        assert (left.code, server.ledger.submits_seen) == (3, 1)
        assert (work.run().code, work.statuses()) == (0, {"a": "succeeded"})


def test_an_output_that_was_removed_is_failed_billed_and_never_sent_again(tmp_path: Path) -> None:
    with ReplicateStandIn(processing_s=600) as server:
        work = at(tmp_path, server, "a")
        work.run("--no-wait", "--accept-expiry")
        server.advance(700 + KEPT_S)
        late = work.run()
        line = work.results()["a"]

        assert (late.code, line["error_code"], line["billed"]) == (1, "output_expired", "true")
        assert (work.run("--retry-failed").code, server.ledger.submits_seen) == (1, 1)


def test_a_lost_request_is_found_on_a_later_page_of_the_list(tmp_path: Path) -> None:
    with ReplicateStandIn() as server:
        work = at(tmp_path, server, "lost", "other")
        server.faults.add("accept_then_reset", on="submit", match="/lost.mp4")
        server.faults.add("error_503", on="history", times=None)
        first = work.run()
        server.faults.clear()
        for number in range(250):
            server.seed({"input": {"video": f"https://example.com/x{number}.mp4", "mode": "adhere_1"}}, ago_s=0)
        done = work.run()
        asked = [seen.path for seen in server.ledger.requests if seen.kind is Kind.HISTORY]

        assert (first.code, done.code) == (1, 0)
        assert work.statuses() == {"lost": "succeeded", "other": "succeeded"}
        assert sum("cursor=" in path for path in asked) >= 2
        assert server.ledger.submits_seen == 2


def test_a_list_that_has_forgotten_the_inputs_proves_nothing(tmp_path: Path) -> None:
    with ReplicateStandIn() as server:
        work = at(tmp_path, server, "lost", "other")
        server.faults.add("reset_before_accept", on="submit", match="/lost.mp4")
        server.faults.add("error_503", on="history", times=None)
        work.run()
        server.faults.clear()
        server.advance(KEPT_S + 60)
        time.sleep(0.35)
        later = work.run()

        assert (later.code, work.statuses()) == (1, {"lost": "uncertain", "other": "succeeded"})
        assert server.ledger.submits_seen == 2


@pytest.mark.parametrize(("fault", "billed"), [("aborted", "false"), ("canceled", "")])
def test_what_was_ended_at_the_service_says_so(fault: str, billed: str, tmp_path: Path) -> None:
    with ReplicateStandIn() as server:
        work = at(tmp_path, server, "a")
        server.faults.add(fault, on="submit")
        ended = work.run()
        line = work.results()["a"]

        assert (ended.code, line["status"], line["error_code"], line["billed"]) == (1, "failed", "cancelled", billed)


def test_a_429_that_says_in_words_when_it_is_over_is_waited_for(tmp_path: Path) -> None:
    with ReplicateStandIn() as server:
        work = at(tmp_path, server, "a")
        server.faults.add("error_429_words", on="submit")
        began = time.monotonic()
        done = work.run()

        assert (done.code, server.ledger.submits_seen, server.ledger.billed) == (0, 2, 1)
        assert time.monotonic() - began > 1.4


def test_an_upload_is_sent_again_when_the_service_has_dropped_it(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    with ReplicateStandIn() as server:
        rows = [{"id": name, "video_url": "clip.mp4", "prompt": f"as {name}"} for name in ("wool", "clay")]
        work = shoot(tmp_path, server, rows[:1], at="replicate")
        work.run()
        server.forget_assets()
        work.rows(rows)
        server.faults.add("error_400_asset", on="submit")
        again = work.run()

        assert (again.code, work.statuses()) == (0, {"wool": "succeeded", "clay": "succeeded"}), again.err
        assert (len(server.storage), server.ledger.billed) == (1, 2)


def test_a_deadline_goes_along_as_a_header(tmp_path: Path) -> None:
    with ReplicateStandIn() as server:
        work = at(tmp_path, server, "a", provider="replicate", provider_options={"cancel_after_s": 1800})
        done = work.run()
        seen = next(seen for seen in server.ledger.requests if seen.kind is Kind.SUBMIT)

        assert done.code == 0
        assert "cancel-after" in {name.lower() for name in seen.headers}


@pytest.mark.parametrize("query", ["", "?X-Amz-Signature=abc&X-Amz-Expires=60"])
def test_a_lost_record_is_made_anew_and_a_doubtful_request_found_by_its_inputs(query: str, tmp_path: Path) -> None:
    with ReplicateStandIn() as server:
        row = {"id": "a", "video_url": f"https://example.com/a.mp4{query}", "prompt": "as wool", "mode": "flex_1"}
        work = shoot(tmp_path, server, [row], at="replicate", provider="replicate")
        server.faults.add("accept_then_reset", on="submit")
        server.faults.add("error_503", on="history", times=None)
        lost = work.run()
        server.faults.clear()
        (work.folder / "checkpoint.sqlite3").unlink()
        anew = call("resolve", work.manifest, "--rebuild", "--ask", environ=work.environ)
        done = work.run()

        assert (lost.code, anew.code, done.code) == (1, 0, 0), anew.out + anew.err + done.err
        assert (work.statuses(), server.ledger.submits_seen) == ({"a": "succeeded"}, 1)
