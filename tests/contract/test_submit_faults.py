"""Whatever goes wrong with the request that costs money: nothing is paid twice, and each row ends as the rules say."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.servers.segmind import Kind, SegmindStandIn
from tests.support import Shoot, call, read_events, remote_rows, shoot

GRACE_S = 0.3
FAULTS = sorted(name for name, recipe in SegmindStandIn().faults.catalogue.items() if Kind.SUBMIT in recipe.on)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What becomes of the row whose request met the fault: after the first run, and when runs change nothing more."""

    exit: int = 0
    status: str = "succeeded"
    code: str = ""
    end: int = 0
    end_status: str = "succeeded"
    submits: int = 2
    """POSTs in all, of both rows."""
    accepted: int = 2
    asks: bool = False
    """The history was asked."""
    flagged: str = "false"


FINE = Outcome()
# The reply is lost or says nothing: only the history can say that the job exists, and it does.
FOUND = Outcome(asks=True)
# The same from here, but no job exists: parked, and sent again only once the history has proven that it is not there.
PARKED = Outcome(exit=1, status="uncertain", code="uncertain", submits=3, asks=True)
# Patience was asked for, and nothing was created: sent again within the run.
AGAIN = Outcome(submits=3)
# The documented failure: sent again, after the history was asked.
ASKED = Outcome(submits=3, asks=True)
# The job ran and failed; the contract bills only what completes.
RAN_AND_FAILED = Outcome(exit=1, status="failed", code="generation_failed", end=1, end_status="failed")
FLAGGED = replace(FINE, flagged="true")


def refused(code: str) -> Outcome:
    """A definite no to this row: nothing was created, and the same request would be refused again."""
    return Outcome(exit=1, status="failed", code=code, end=1, end_status="failed", accepted=1)


# A no to every row: the batch stops after one request, and the next run goes on.
STOPPED = Outcome(exit=3, status="planned", submits=3)

EXPECTED: dict[str, Outcome] = {
    "accept_then_delay": FINE,
    "delay_then_accept": FINE,
    "accept_then_reset": FOUND,
    "accept_then_close": FOUND,
    "accept_then_cut_head": FOUND,
    "accept_then_cut_body": FOUND,
    "accept_then_no_http": FOUND,
    "accept_then_garbage": FOUND,
    "accept_then_html": FOUND,
    "accept_then_empty": FOUND,
    "accept_then_wrong_json": FOUND,
    "accept_then_bad_gzip": FOUND,
    # Whether it arrived before the connection ended cannot be seen from here.
    "reset_before_accept": PARKED,
    "close_before_accept": PARKED,
    # A paid request follows nobody to another place.
    **{f"redirect_{status}": refused("redirected") for status in (301, 302, 303, 307, 308)},
    **{
        f"error_{name}{suffix}": FOUND if suffix == "_created" else PARKED
        for name in ("408", "409", "425", "500_html", "502", "502_html", "503", "504")
        for suffix in ("", "_created", "_not_created")
    },
    "error_500_json": ASKED,
    "error_500_json_not_created": ASKED,
    "error_500_json_created": FOUND,
    "error_400": refused("bad_request"),
    "error_400_asset": refused("bad_request"),
    "error_405": refused("wrong_method"),
    "error_422_body": refused("bad_request"),
    "error_406_content_type": refused("bad_content_type"),
    "error_406_value": refused("refused_value"),
    "error_401_missing": STOPPED,
    "error_401_invalid": STOPPED,
    "error_403": STOPPED,
    "error_404": STOPPED,
    "error_406_credits": STOPPED,
    "error_406_spend_cap": STOPPED,
    "error_410": STOPPED,
    "error_429_reset_at": AGAIN,
    "error_429_retry_after": AGAIN,
    "error_429_neither": AGAIN,
    "failed_422": RAN_AND_FAILED,
    "failed_200": RAN_AND_FAILED,
    "foreign_status_url": FINE,
    # The first row's id: no proof of this row's job, which the history has under its own.
    "answer_repeats_id": FOUND,
    "history_late": FINE,
    "history_no_request_body": FINE,
    "history_unreadable_request_body": FINE,
    "history_request_body_as_text": FINE,
    "history_duplicate_rows": FINE,
    "output_silent": FINE,
    "output_24fps": FINE,
    "output_other_size": FINE,
    "output_other_length": FINE,
}


def test_every_fault_of_a_submit_has_an_expected_outcome() -> None:
    assert sorted(EXPECTED) == FAULTS


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_a_submit_ends_as_the_rules_say_and_nothing_is_paid_twice(name: str, tmp_path: Path) -> None:
    expected = EXPECTED[name]
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("hit", "other"))
        server.faults.add(name, on="submit", after=int(name == "answer_repeats_id"), seconds=GRACE_S)
        first = work.run("--history-grace", "60")  # however slow the machine is, it is not over in this run
        line = work.results()["hit"]

        assert (first.code, line["status"], line["error_code"]) == (expected.exit, expected.status, expected.code)

        ended = until_it_ends(work)

        assert (ended, work.statuses()) == (expected.end, {"hit": expected.end_status, "other": "succeeded"})
        assert (server.ledger.submits_seen, server.ledger.accepted) == (expected.submits, expected.accepted)
        assert bool(server.ledger.history_calls) == expected.asks
        assert server.ledger.paid_twice() == {}
        assert server.ledger.billed == len(work.outputs()) == list(work.statuses().values()).count("succeeded")
        assert server.ledger.key_leaks == 0


def until_it_ends(work: Shoot) -> int:
    """Run until a run changes nothing more; its exit code."""
    for _ in range(6):
        before = work.statuses()
        if "uncertain" in before.values():
            time.sleep(GRACE_S)
        code = work.run().code
        if work.statuses() == before:
            return code
    raise AssertionError(f"no end: {work.statuses()}")


@pytest.mark.parametrize("name", ["error_429_retry_after", "error_429_reset_at"])
def test_the_patience_that_was_asked_for_is_had(name: str, tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one", "two"))
        server.faults.add(name, seconds=1.0)
        done = work.run()
        refused_at, *later = [seen.at for seen in server.ledger.requests if seen.kind is Kind.SUBMIT]

    assert done.code == 0
    assert len(later) == 2
    assert min(later) - refused_at >= 0.95


def test_a_service_that_only_says_not_now_leaves_the_rows_planned(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        server.faults.add("error_429_retry_after", times=None, seconds=0.01)
        refused_ = work.run()

        assert (refused_.code, work.statuses(), server.ledger.accepted) == (3, {"one": "planned"}, 0)
        assert "rate limit" in refused_.err

        server.faults.clear()

        assert (work.run().code, server.ledger.accepted) == (0, 1)


def test_the_documented_failure_is_sent_again_twice_at_most(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        server.faults.add("error_500_json", times=None)
        done, line = work.run(), work.results()["one"]

        assert (done.code, line["status"], line["error_code"], line["billed"]) == (
            1,
            "failed",
            "provider_error",
            "false",
        )
        assert server.ledger.submits_seen == 3
        assert work.run().code == 1
        assert server.ledger.submits_seen == 3


def test_a_service_that_cannot_be_reached_for_a_while_is_tried_again(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one", "two"))
        with closed_for(server, 1.5):
            done = work.run()

        assert (done.code, server.ledger.submits_seen) == (0, 2)
        assert sum(event["event"] == "intended" for event in read_events(work.folder)) > 2
        assert work.results()["one"]["attempts"] == "1"  # what never left does not count


@pytest.mark.slow
def test_a_service_that_cannot_be_reached_stops_the_run_and_costs_nothing(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("done"))
        assert work.run().code == 0
        work.rows(remote_rows("done", "one", "two"))
        with server.unreachable():
            refused_ = work.run()
        stopped = next(event for event in read_events(work.folder) if event["event"] == "stopping")

        assert (refused_.code, stopped["code"]) == (3, "unreachable")
        assert work.statuses() == {"done": "succeeded", "one": "planned", "two": "planned"}
        assert "Run the same command again to go on" in refused_.out
        assert (work.run().code, server.ledger.submits_seen, server.ledger.billed) == (0, 3, 3)


@contextmanager
def closed_for(server: SegmindStandIn, seconds: float) -> Iterator[None]:
    """The API refuses connections for the block's first seconds."""
    closed = threading.Event()

    def close() -> None:
        with server.unreachable():
            closed.set()
            time.sleep(seconds)

    door = threading.Thread(target=close)
    door.start()
    closed.wait()
    yield
    door.join()


def test_a_lost_request_is_never_sent_again_where_there_is_no_history(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("lost", "other"))
        environ = {name: value for name, value in work.environ.items() if "HISTORY" not in name}
        server.faults.add("accept_then_reset")
        codes = [work.run(*more, environ=environ).code for more in ((), (), ("--retry-failed",))]

        assert codes == [1, 1, 1]
        assert work.statuses() == {"lost": "uncertain", "other": "succeeded"}
        assert server.ledger.submits_seen == 2

        assert work.run().code == 0
        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (2, {})


def test_a_history_that_lags_is_waited_for(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0, history_delay_s=60) as server:
        work = shoot(tmp_path, server, remote_rows("lost", "other"))
        server.faults.add("accept_then_reset")
        codes = [work.run("--history-grace", "600").code for _ in range(2)]
        seen_late = server.ledger.submits_seen
        server.advance(60)
        codes.append(work.run("--history-grace", "600").code)

        assert (codes, seen_late, server.ledger.submits_seen) == ([1, 1, 0], 2, 2)
        assert server.ledger.paid_twice() == {}


@pytest.mark.parametrize(
    "name",
    ["history_no_rows", "history_no_request_body", "history_unreadable_request_body"],
)
def test_a_history_that_does_not_show_what_is_known_proves_nothing(name: str, tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("lost", "other"))
        server.faults.add("accept_then_reset")
        server.faults.add(name, on="history", times=None)
        codes = []
        for _ in range(2):
            codes.append(work.run().code)
            time.sleep(GRACE_S)

        assert (codes, work.statuses()["lost"], server.ledger.submits_seen) == ([1, 1], "uncertain", 2)

        server.faults.clear()

        assert (work.run().code, server.ledger.paid_twice()) == (0, {})


@pytest.mark.parametrize(
    "name",
    [
        "accept_then_html",
        "accept_then_garbage",
        "accept_then_empty",
        "accept_then_wrong_json",
        "error_502",
        "error_404",
    ],
)
def test_a_history_that_cannot_be_read_is_not_an_empty_one(name: str, tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("failed", "other"))
        server.faults.add("error_500_json_created")
        server.faults.add(name, on="history", times=None)

        assert (work.run().code, work.statuses()["failed"], server.ledger.submits_seen) == (1, "uncertain", 2)

        server.faults.clear()

        assert (work.run().code, server.ledger.submits_seen, server.ledger.paid_twice()) == (0, 2, {})


@pytest.mark.parametrize("name", ["history_request_body_as_text", "history_duplicate_rows"])
def test_a_history_in_another_dress_is_still_read(name: str, tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("lost", "other"))
        server.faults.add("accept_then_reset")
        server.faults.add(name, on="history", times=None)

        assert (work.run().code, server.ledger.submits_seen, server.ledger.paid_twice()) == (0, 2, {})


@pytest.mark.parametrize("envelope", ["data", "data.results", "items", ""])
def test_a_history_is_found_in_any_envelope(envelope: str, tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0, history_envelope=envelope) as server:
        work = shoot(tmp_path, server, remote_rows("lost", "other"))
        server.faults.add("accept_then_reset")

        assert (work.run().code, server.ledger.submits_seen) == (0, 2)


@pytest.mark.parametrize("skew_s", [-5400.0, 5400.0])
def test_a_history_stamped_by_a_wrong_clock_is_still_read(skew_s: float, tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0, clock_skew_s=skew_s) as server:
        work = shoot(tmp_path, server, remote_rows("lost", "other"))
        server.faults.add("accept_then_reset")

        assert (work.run().code, server.ledger.submits_seen, server.ledger.paid_twice()) == (0, 2, {})


def test_the_same_request_made_elsewhere_before_is_not_taken_for_ours_and_keeps_ours_open(tmp_path: Path) -> None:
    """It may be ours after all: a clock that was an hour ahead when it left shows the same."""
    rows = remote_rows("lost", "other")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        inputs = {"video_url": rows[0]["video_url"], "mode": "adhere_1", "prompt": rows[0]["prompt"]}
        server.seed(inputs, ago_s=3600)
        work = shoot(tmp_path, server, rows)
        server.faults.add("reset_before_accept")
        first = work.run("--history-grace", "60").code  # however slow the machine is, it is not over in this run
        time.sleep(GRACE_S)
        assert (first, work.run().code, work.statuses()["lost"]) == (1, 1, "uncertain")

        assert call("resolve", str(work.folder), "--resend", "lost", environ=work.environ).code == 0
        assert work.run().code == 0
        assert (server.ledger.accepted, server.ledger.billed) == (2, 2)


HISTORY_FAULTS = sorted(
    name
    for name, recipe in SegmindStandIn().faults.catalogue.items()
    if Kind.HISTORY in recipe.on and not name.startswith("history_") and "delay" not in name
)


def test_whatever_goes_wrong_with_the_history_sends_nothing_again(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("lost", "other"))
        server.faults.add("accept_then_reset")
        for name in HISTORY_FAULTS:
            # Asked twice a run: before the plan and at the end (in the very first only at the end).
            server.faults.add(name, on="history", times=1, seconds=0.0)
        ran = 0
        while work.run().code != 0:
            ran += 1
            assert ran <= len(HISTORY_FAULTS)
            assert (work.statuses()["lost"], server.ledger.submits_seen) == ("uncertain", 2)

        assert ran >= len(HISTORY_FAULTS) // 2
        assert server.ledger.paid_twice() == {}
        assert server.ledger.key_leaks == 0
