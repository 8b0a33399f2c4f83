"""Works that end otherwise than most: asked for once more, gone, found no more, or of rows that are not there."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from batchmod import app, providers
from batchmod.app.services import Services
from batchmod.checkpoint import FILE_NAME, Checkpoint
from batchmod.errors import UsageError
from batchmod.model import ProviderFacts
from tests.servers.segmind import SegmindStandIn
from tests.storms import environ
from tests.support import PACE, Shoot, call, few_tries_at_an_output, paid_long_ago, remote_rows, shoot, write_clip

CLIP = Path(__file__).parents[2] / "manifests" / "demo" / "bunny.mp4"


def without_history(work: Shoot) -> dict[str, str]:
    """The environment of a service that has no history."""
    return {name: value for name, value in work.environ.items() if "HISTORY" not in name}


def test_the_same_command_after_a_stop_pays_again_only_for_what_it_had_not(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        work.run()
        work.rows(remote_rows("a", "b"))
        server.faults.add("error_406_credits", match="/b.mp4")
        stopped = work.run("--pay-again", "a", "--max-in-flight", "1")

        assert (stopped.code, work.outputs()) == (3, ["a_v001.mp4", "a_v002.mp4"])
        assert work.run("--pay-again", "a").code == 0
        assert (server.ledger.accepted, work.outputs()) == (3, ["a_v001.mp4", "a_v002.mp4", "b_v001.mp4"])
        assert work.run("--pay-again", "a").code == 0  # that run has ended: said once more, it is meant once more
        assert (server.ledger.accepted, work.outputs()) == (4, [*(f"a_v00{n}.mp4" for n in (1, 2, 3)), "b_v001.mp4"])


def test_pay_again_that_was_stopped_hides_no_output_and_waits_to_be_said_again(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b"))
        work.run()
        server.faults.add("error_406_credits", times=None)
        stopped = work.run("--pay-again", "*")
        shown = {row_id: (line["status"], line["output"]) for row_id, line in work.results().items()}

        assert (stopped.code, shown) == (3, {i: ("succeeded", f"videos/{i}_v001.mp4") for i in ("a", "b")})

        server.faults.clear()

        assert (work.run().code, server.ledger.accepted) == (0, 2)  # nobody said it
        planned = call("plan", work.manifest, "--provider", "segmind", environ=work.environ)
        assert "2 keep; costs nothing" in planned.out
        assert work.run("--pay-again", "a").code == 0
        assert (server.ledger.accepted, work.outputs()) == (3, ["a_v001.mp4", "a_v002.mp4", "b_v001.mp4"])


def test_a_further_version_that_another_folder_keeps_from_being_sent_has_not_ended(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        work.run()
        assert work.run("--no-reuse", "--output", str(tmp_path / "other")).code == 0
        kept = work.run("--pay-again", "a")

        assert (kept.code, server.ledger.accepted, work.statuses()) == (3, 2, {"a": "succeeded"})
        assert "another output folder is paying for this very request" in kept.err


def test_a_review_takes_over_a_version_that_was_wished_for(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        work.run()
        server.faults.add("error_406_credits")
        assert work.run("--pay-again", "a").code == 3
        work.rows([{**remote_rows("a")[0], "review": "redo", "review_of": 1}])

        assert work.run().code == 0
        assert (server.ledger.accepted, work.outputs()) == (2, ["a_v001.mp4", "a_v002.mp4"])
        assert (work.run().code, work.run("--pay-again", "a").code, server.ledger.accepted) == (0, 0, 3)


@pytest.mark.parametrize("fault", ["error_403", "error_404"])
def test_a_host_that_refuses_a_young_file_for_a_while_loses_nothing(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_tries_at_an_output(monkeypatch)
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        work.run()
        (work.folder / "videos/one_v001.mp4").unlink()
        server.faults.add(fault, on="download", times=None)
        away = work.run()

        assert (away.code, work.statuses(), work.outputs()) == (3, {"one": "succeeded"}, [])
        server.faults.clear()
        assert (work.run().code, work.outputs(), server.ledger.submits_seen) == (0, ["one_v001.mp4"], 1)


@pytest.mark.parametrize("known", [True, False], ids=["the file has expired", "nobody knows the request"])
def test_a_file_that_is_gone_for_good_is_said_once_and_paid_again_by_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    few_tries_at_an_output(monkeypatch)
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        work.run()
        (work.folder / "videos/one_v001.mp4").unlink()
        paid_long_ago(work, days=8)
        bare = work.environ if known else without_history(work)
        gone = work.run(environ=bare)
        line = work.results()["one"]

        assert (gone.code, line["status"], line["error_code"], line["billed"]) == (
            1,
            "failed",
            "output_expired",
            "true",
        )
        assert float(line["cost_usd"]) > 0
        assert (work.run("--retry-failed", environ=bare).code, server.ledger.submits_seen) == (1, 1)

        other = Shoot(server=server, home=work.home, manifest=tmp_path / "other/shots.yaml")
        other.rows(remote_rows("one"))

        assert (other.run().code, other.statuses(), server.ledger.submits_seen) == (0, {"one": "held"}, 1)
        assert (other.run("--no-reuse").code, server.ledger.submits_seen) == (0, 2)


def test_what_was_given_up_here_is_not_paid_by_another_folder_either(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        server.faults.add("accept_then_reset")
        work.run(environ=without_history(work))
        call("resolve", work.folder, "--give-up", "one", environ=work.environ)
        assert work.run().code == 1
        other = Shoot(server=server, home=work.home, manifest=tmp_path / "other/shots.yaml")
        other.rows(remote_rows("one"))

        assert (other.run().code, other.statuses(), server.ledger.submits_seen) == (0, {"one": "held"}, 1)

        for name in ("checkpoint.sqlite3", "events.jsonl", "results.csv"):
            (work.folder / name).unlink()
        assert call("resolve", work.folder, "--rebuild", environ=work.environ).code == 0
        assert (work.run().code, work.statuses(), server.ledger.submits_seen) == (1, {"one": "failed"}, 1)


def test_an_older_version_that_was_lost_with_its_record_is_collected(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        work.run()
        work.run("--pay-again", "a")
        with Checkpoint.look_at(work.folder / FILE_NAME) as record:
            before = record.totals()
        (work.folder / "videos/a_v001.mp4").unlink()
        (work.folder / FILE_NAME).unlink()
        call("resolve", work.folder, "--rebuild", environ=work.environ)
        asked = call("status", work.folder, environ=work.environ)

        assert "the next run collects it" in asked.out
        assert (work.run().code, work.outputs(), server.ledger.submits_seen) == (0, ["a_v001.mp4", "a_v002.mp4"], 2)
        with Checkpoint.look_at(work.folder / FILE_NAME) as record:
            assert record.totals().spent_usd == pytest.approx(before.spent_usd)
            assert record.unfinished() == ()


def test_a_request_that_nobody_knows_and_no_row_names_is_said_with_its_id(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("gone", "stays"))
        server.faults.add("error_401_invalid", on="status", times=None)
        work.run("--max-in-flight", "1")
        request_id = work.results()["gone"]["request_id"]
        server.faults.clear()
        server.faults.add("error_404", on="status", times=None, match=request_id)
        work.rows(remote_rows("stays"))
        for _ in range(2):
            ended = work.run(environ=without_history(work))

            assert (ended.code, work.statuses()) == (1, {"stays": "succeeded"})
            assert f"request {request_id} to segmind, which no row shows any more, is uncertain" in ended.err


def test_a_request_that_is_for_nobody_known_is_collected_under_its_own_name(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("gone", "stays"))
        server.faults.add("error_401_invalid", on="status", times=None)
        work.run("--max-in-flight", "1")
        request_id = work.results()["gone"]["request_id"]
        server.faults.clear()
        with closing(sqlite3.connect(work.folder / FILE_NAME)) as db, db:
            db.execute("DELETE FROM delivery")
        work.rows(remote_rows("stays"))

        assert work.run().code == 0
        assert work.outputs() == [f"request-{request_id}_v001.mp4", "stays_v001.mp4"]


def test_what_is_uncertain_beside_the_chosen_rows_is_said_by_its_id_and_not_their_failure(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b"))
        server.faults.add("accept_then_reset", match="/b.mp4")
        bare = without_history(work)
        work.run(environ=bare)
        only = work.run("--only", "a", environ=bare)
        other = Shoot(server=server, home=work.home, manifest=tmp_path / "other.yaml")
        other.rows(remote_rows("c"))
        added = other.run("--add", "--output", str(work.folder), environ=bare)

        for ended in (only, added):
            assert (ended.code, "no row shows" in ended.err) == (0, False)
            assert "b: not among the rows of this run, and uncertain" in ended.err
        work.rows(remote_rows("a"))
        assert work.run(environ=bare).code == 1  # now no row shows it any more


def test_without_its_providers_key_a_request_no_row_names_is_said_with_its_id(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        server.faults.add("error_401_invalid", on="status", times=None)
        work.run()
        request_id = work.results()["a"]["request_id"]
        write_clip(tmp_path / "clip.mp4")
        work.rows([{"id": "here", "video_url": "clip.mp4", "prompt": "black and white"}])
        keyless = {name: value for name, value in work.environ.items() if name != "SEGMIND_API_KEY"}
        ended = call("run", work.manifest, "--provider", "local", environ=keyless)

        assert (ended.code, work.statuses()) == (1, {"here": "succeeded"})
        assert f"{request_id} at segmind cannot be collected: its key is not set" in ended.err


def test_two_uncertain_requests_of_one_id_are_not_guessed_between(tmp_path: Path) -> None:
    (row,) = remote_rows("a")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, [row])
        bare = without_history(work)
        server.faults.add("accept_then_reset", times=2)
        work.run(environ=bare)
        work.rows([{**row, "prompt": "edited"}])
        work.run(environ=bare)
        refused = call("resolve", work.folder, "--resend", "a", environ=bare)

        assert (refused.code, server.ledger.submits_seen) == (2, 2)
        assert "a is the name of 2 requests: attempt:1 (sent at " in refused.err
        assert "attempt:2" in refused.err
        assert call("resolve", work.folder, "--give-up", "attempt:1", environ=bare).code == 1
        left = call("resolve", work.folder, environ=bare)
        assert ("a (attempt:2)" in left.out, "attempt:1" in left.out) == (True, False)
        assert call("resolve", work.folder, "--resend", "a", environ=bare).code == 0


@pytest.mark.parametrize("name", ["a", "attempt:1"])
def test_an_uncertain_row_of_a_record_made_anew_has_its_name(tmp_path: Path, name: str) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        bare = without_history(work)
        server.faults.add("accept_then_reset")
        work.run(environ=bare)
        for path in (FILE_NAME, "events.jsonl", "results.csv"):
            (work.folder / path).unlink()
        (work.folder / "videos").mkdir(exist_ok=True)
        assert call("resolve", work.folder, "--rebuild", environ=bare).code == 1
        work.run(environ=bare)
        listed = call("resolve", work.folder, environ=bare)

        assert (listed.code, "a (attempt:1): sent to segmind at 20" in listed.out) == (1, True)
        assert call("resolve", work.folder, "--resend", name, environ=bare).code == 0
        assert (work.run(environ=bare).code, work.statuses()) == (0, {"a": "succeeded"})


def test_a_job_that_failed_for_a_file_that_is_gone_there_is_sent_up_anew(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, [{"id": "a", "video_url": "a.mp4", "prompt": "as wool"}])
        work.run()
        server.forget_assets()
        assert work.run("--pay-again", "a").code == 1
        assert "Could not read the input at" in work.results()["a"]["error"]

        assert (work.run("--retry-failed").code, server.ledger.uploads) == (0, 2)


def test_being_turned_away_costs_a_row_none_of_its_attempts(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        server.faults.add("error_429_retry_after", times=3, seconds=0.05)
        server.faults.add("error_400", times=3)
        assert (work.run().code, work.results()["a"]["attempts"]) == (1, "1")

        assert [work.run("--retry-failed").code for _ in range(3)] == [1, 1, 1]
        assert (work.results()["a"]["attempts"], server.ledger.submits_seen) == ("3", 6)


def test_a_request_is_claimed_for_its_folder_before_it_leaves(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        server.faults.add("accept_then_delay", seconds=60)
        words = ("run", str(work.manifest), "--provider", "segmind", "--yes", *PACE)
        start = [sys.executable, "-m", "batchmod", *words]
        with subprocess.Popen(start, env=environ(work), stderr=subprocess.DEVNULL) as first:
            try:
                server.ledger.wait_until(lambda ledger: ledger.submits_seen == 1, timeout_s=30)
                other = Shoot(server=server, home=work.home, manifest=tmp_path / "other/shots.yaml")
                other.rows(remote_rows("one"))
                held = other.run()
            finally:
                first.kill()

        assert (held.code, other.statuses(), server.ledger.submits_seen) == (0, {"one": "held"}, 1)


def test_a_file_under_an_outputs_name_is_taken_for_it_only_by_its_hash(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        work.run()
        foreign = write_clip(work.folder / "videos/one_v001.mp4", mark="somebody else's").read_bytes()
        with closing(sqlite3.connect(work.folder / FILE_NAME)) as db, db:  # as if killed before it was written down
            db.execute("UPDATE work SET status = 'submitted'")
            db.execute("UPDATE delivery SET delivered = 0")
        assert work.run().code == 0
        line = work.results()["one"]

        assert (line["output"], server.ledger.submits_seen) == ("videos/one_v002.mp4", 1)
        assert (work.folder / line["output"]).read_bytes() == server.output_of(line["request_id"])
        assert (work.folder / "videos/one_v001.mp4").read_bytes() == foreign


def test_every_frame_of_an_output_is_decoded_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    content = bytearray(CLIP.read_bytes())
    content[60_000:70_000] = bytes(10_000)  # in the middle of the pictures: the structure is whole
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(content)
    with SegmindStandIn(queued_s=0, processing_s=0, output=damaged) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        first = work.run()

        assert (first.code, work.statuses(), work.outputs()) == (3, {"one": "submitted"}, [])
        assert "the file is not whole" in first.err
        assert (work.run("--verify", "container").code, work.outputs()) == (0, ["one_v001.mp4"])
        assert server.ledger.submits_seen == 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Forgetful(Services):
    """Services whose outputs are gone within the hour."""

    def facts(self, name: str) -> ProviderFacts:
        return replace(providers.facts(name), output_life_s=3600.0)


def test_what_would_be_gone_before_it_is_collected_is_not_sent_and_left(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=600) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        services = Forgetful(environ=without_history(work))

        def left(*, accept_expiry: bool) -> int:
            options = app.Options(provider="segmind", yes=True, no_wait=True, accept_expiry=accept_expiry)
            loaded = app.load(work.manifest, options, services)
            confirm, control = (lambda *_: True), app.Control()
            run = app.run(loaded, options, observe=lambda _: None, confirm=confirm, control=control)
            return asyncio.run(run).exit_code

        with pytest.raises(UsageError, match="keeps outputs for 1 h"):
            left(accept_expiry=False)
        assert server.ledger.submits_seen == 0
        assert (left(accept_expiry=True), server.ledger.submits_seen) == (3, 1)
