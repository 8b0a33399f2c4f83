"""Segmind's v1: a call that blocks until its video is made; lost, it is looked up, and never sent again by itself."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers.ledger import Kind
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Shoot, bare_environment, read_events, remote_rows, shoot, write_clip

V1: dict[str, Any] = {"provider": "segmind", "provider_options": {"api_version": "v1"}}


@contextmanager
def on_v1(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> Iterator[tuple[SegmindStandIn, Shoot]]:
    quick = {"queued_s": 0, "processing_s": 0, **settings}
    with SegmindStandIn(**quick) as server:
        yield server, shoot(folder, server, rows, **V1)


@pytest.mark.parametrize("answer", ["bytes", "json"])
def test_the_answer_is_the_video_or_names_it(answer: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    rows = [*remote_rows("a"), {"id": "local", "video_url": "clip.mp4", "prompt": "wool"}]
    with on_v1(tmp_path, rows, blocking_answer=answer) as (server, work):
        done = work.run()
        lines = work.results()

        assert done.code == 0, done.err
        assert server.ledger.count(Kind.BLOCKING) == server.ledger.billed == 2
        assert server.ledger.count(Kind.SUBMIT, Kind.STATUS, Kind.RESULT, Kind.HISTORY) == 0
        assert server.ledger.downloads == (0 if answer == "bytes" else 2)
        assert {line["request_id"] for line in lines.values()} == {job.request_id for job in server.ledger.jobs}
        assert {(line["cost_usd"], line["cost_source"]) for line in lines.values()} == {("0.6", "provider")}
        for line in lines.values():
            assert (work.folder / line["output"]).read_bytes() == server.output_of(line["request_id"])
        told = [event for event in read_events(work.folder) if event["event"] == "output_known"]
        assert [event["balance_usd"] for event in told][-1] == pytest.approx(998.8)
        assert (work.run().code, server.ledger.submits_seen) == (0, 2)
        assert list((work.folder / ".work").glob("*")) == []


def test_another_version_of_the_api_is_the_same_request(tmp_path: Path) -> None:
    with on_v1(tmp_path, remote_rows("a")) as (server, work):
        first = work.run()
        work.rows(remote_rows("a"), provider="segmind", provider_options={"api_version": "v2"})

        assert (first.code, work.run().code, server.ledger.submits_seen) == (0, 0, 1)


LOST = (
    *("accept_then_reset", "accept_then_close", "accept_then_cut_head", "accept_then_cut_body"),
    *("accept_then_no_http", "accept_then_garbage", "accept_then_html", "accept_then_empty", "accept_then_wrong_json"),
    *("accept_then_bad_gzip", "error_502_created", "error_504_created", "error_408_created", "error_500_html_created"),
)


def test_a_lost_answer_is_looked_up_and_never_sent_again(tmp_path: Path) -> None:
    with on_v1(tmp_path, remote_rows(*LOST, "fine")) as (server, work):
        work.rows(remote_rows(*LOST, "fine"), **V1, limits={"stop_after_failures": 1000})
        for fault in LOST:
            server.faults.add(fault, on="blocking", match=f"/{fault}.mp4")
        done = work.run("--history-grace", "60")

        assert (done.code, set(work.statuses().values())) == (0, {"succeeded"}), done.err
        assert server.ledger.submits_seen == server.ledger.billed == len(LOST) + 1
        assert server.ledger.paid_twice() == {}
        assert list((work.folder / ".work").glob("*")) == []


def test_a_cut_answer_whose_id_had_come_is_found_by_it_without_a_history(tmp_path: Path) -> None:
    with on_v1(tmp_path, remote_rows("a")) as (server, work):
        environ = {name: value for name, value in work.environ.items() if "HISTORY" not in name}
        server.faults.add("accept_then_cut_body", on="blocking")
        done = work.run(environ=environ)
        told = [event["event"] for event in read_events(work.folder)]

        assert (done.code, work.statuses(), "uncertain" in told) == (0, {"a": "succeeded"}, True)
        assert (server.ledger.submits_seen, server.ledger.billed, server.ledger.history_calls) == (1, 1, 0)


def test_its_500_fails_the_row_and_sends_nothing_again(tmp_path: Path) -> None:
    with on_v1(tmp_path, remote_rows("a", "b")) as (server, work):
        server.faults.add("error_500_json", on="blocking", match="/a.mp4")
        done = work.run()
        line = work.results()["a"]

        assert (done.code, line["status"], line["error_code"], line["billed"]) == (
            1,
            "failed",
            "provider_error",
            "false",
        )
        assert (server.ledger.submits_seen, server.ledger.history_calls) == (2, 0)


@pytest.mark.parametrize(
    ("fault", "slug"),
    [("error_401_missing", "key_missing"), ("error_406_credits", "no_credits"), ("error_403", "not_allowed")],
)
def test_a_no_to_all_stops_it_too(fault: str, slug: str, tmp_path: Path) -> None:
    with on_v1(tmp_path, remote_rows("a", "b")) as (server, work):
        server.faults.add(fault, on="blocking")
        done = work.run()

        assert (done.code, set(work.statuses().values()), server.ledger.submits_seen) == (3, {"planned"}, 1)
        assert f'"stop_reason": "{slug}"' in (work.folder / "run.json").read_text()
        assert work.run().code == 0


def test_a_429_is_patient_and_sends_again(tmp_path: Path) -> None:
    with on_v1(tmp_path, remote_rows("a")) as (server, work):
        server.faults.add("error_429_retry_after", on="blocking", seconds=0.05)

        assert (work.run().code, server.ledger.submits_seen, server.ledger.billed) == (0, 2, 1)


def test_a_broken_file_is_asked_for_by_its_id(tmp_path: Path) -> None:
    half = write_clip(tmp_path / "half.mp4")
    half.write_bytes(half.read_bytes()[:-2000])
    with on_v1(tmp_path, remote_rows("a"), output=half) as (server, work):
        done = work.run()

        assert (done.code, work.statuses()) == (3, {"a": "submitted"}), done.err
        assert server.ledger.count(Kind.STATUS) >= 1
        assert (work.run().code, server.ledger.submits_seen) == (3, 1)


@contextmanager
def paid_run(work: Shoot, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "batchmod", "run", str(work.manifest), "--yes", *PACE, *words]
    environ = bare_environment() | work.environ
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        yield running


def test_the_first_ctrl_c_waits_for_the_video(tmp_path: Path) -> None:
    with on_v1(tmp_path, remote_rows("a", "b"), processing_s=3) as (server, work):
        with paid_run(work, "--max-in-flight", "1") as running:
            server.ledger.wait_until(lambda ledger: ledger.accepted == 1, timeout_s=20)
            os.kill(running.pid, signal.SIGINT)
            _, err = running.communicate(timeout=30)

        assert running.returncode == 130, err
        assert work.statuses() == {"a": "succeeded", "b": "planned"}
        assert (server.ledger.submits_seen, server.ledger.billed, server.ledger.history_calls) == (1, 1, 0)


def test_it_waits_no_longer_than_it_was_told_and_what_was_broken_off_is_looked_up(tmp_path: Path) -> None:
    with on_v1(tmp_path, remote_rows("a"), processing_s=600) as (server, work):
        with paid_run(work, "--drain-seconds", "0.5") as running:
            server.ledger.wait_until(lambda ledger: ledger.accepted == 1, timeout_s=20)
            began = time.monotonic()
            os.kill(running.pid, signal.SIGINT)
            _, err = running.communicate(timeout=30)

        assert running.returncode == 130, err
        assert 0.4 < time.monotonic() - began < 10
        server.advance(700)
        assert (work.run().code, work.statuses()) == (0, {"a": "succeeded"})
        assert (server.ledger.submits_seen, server.ledger.billed) == (1, 1)


def test_a_run_that_is_killed_while_the_call_blocks_is_looked_up(tmp_path: Path) -> None:
    with on_v1(tmp_path, remote_rows("a"), processing_s=600) as (server, work):
        with paid_run(work) as running:
            server.ledger.wait_until(lambda ledger: ledger.accepted == 1, timeout_s=20)
            running.kill()
            running.communicate(timeout=10)
        server.advance(700)

        assert (work.run().code, work.statuses()) == (0, {"a": "succeeded"})
        assert (server.ledger.submits_seen, server.ledger.billed) == (1, 1)
