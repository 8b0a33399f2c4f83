"""The log: through the standard library, quiet unless it is asked for, and without a secret in it."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import batchmod
from batchmod.app.logs import LOGGER, EventLog, words
from batchmod.model import Event
from tests.servers.segmind import SegmindStandIn
from tests.support import call, command, files_holding, remote_rows, shoot

URL = "https://bucket.example.com/a.mp4?X-Amz-Signature=c0ffee&X-Amz-Credential=me&X-Amz-Algorithm=x"


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0, key="SG_the_key_nobody_may_see") as standin:
        yield standin


@contextmanager
def everything_logged() -> Iterator[io.StringIO]:
    """What every logger of this process says meanwhile, at level DEBUG, with its arguments."""
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield said
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def test_a_log_in_json_says_of_each_step_what_it_is_about(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a", "b"))
    server.faults.add("error_400")
    log = tmp_path / "log.jsonl"
    done = work.run("--log-file", str(log), "--log-format", "json", "--log-level", "debug")
    records = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    by_event = {record["event"]: record for record in records}

    assert done.code == 1
    assert len({record["run_id"] for record in records}) == 1
    assert all(record["time"].endswith("Z") and record["logger"] == "batchmod" for record in records)
    accepted = by_event["submitted"]
    assert (accepted["provider"], accepted["level"]) == ("segmind", "info")
    assert accepted["request_id"] in accepted["message"]
    assert (by_event["succeeded"]["request_id"], by_event["polled"]["level"]) == (accepted["request_id"], "debug")
    assert {"id", "job_key", "provider", "request_id"} <= by_event["output_known"].keys()
    assert (by_event["failed"]["level"], by_event["failed"]["code"]) == ("error", "bad_request")
    assert by_event["run_ended"]["message"] == "run ended with 1: 1 failed, 1 succeeded"


def test_a_log_is_appended_to_and_its_level_leaves_out_the_rest(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    log = tmp_path / "log"
    log.write_text("what was there\n", encoding="utf-8")
    work.run("--log-file", str(log), "--log-level", "warning")
    server.faults.add("error_400")
    work.rows(remote_rows("a", "b"))
    work.run("--log-file", str(log), "--log-level", "warning")
    first, failed, ended = log.read_text("utf-8").splitlines()

    assert first == "what was there"
    assert failed.split()[1] == "ERROR"
    assert "b: failed [bad_request]" in failed
    assert ended.split()[1] == "WARNING"


def test_a_log_on_standard_error_takes_the_place_of_the_progress_there(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    done = work.run("--log-format", "json")

    assert [json.loads(line)["event"] for line in done.err.splitlines()][-1] == "run_ended"
    assert done.out.startswith("shots: 1 video made")


def test_what_cannot_begin_is_in_the_log(tmp_path: Path) -> None:
    done = call("run", "nowhere.yaml", "--log-file", str(tmp_path / "log"), environ={}, cwd=tmp_path)
    lines = (tmp_path / "log").read_text("utf-8").splitlines()

    assert done.code == 2
    assert "ERROR" in lines[0]
    assert "[bad_manifest]" in lines[0]


def test_a_command_leaves_the_loggers_as_they_were(server: SegmindStandIn, tmp_path: Path) -> None:
    before = list(LOGGER.handlers), LOGGER.level
    shoot(tmp_path, server, remote_rows("a")).run("--log-file", str(tmp_path / "log"))

    assert (list(LOGGER.handlers), LOGGER.level) == before


def test_the_library_configures_no_logger_and_speaks_to_those_that_are_there(
    server: SegmindStandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    for name, value in work.environ.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level(logging.INFO, logger="batchmod"):
        summary = batchmod.run_sync(batchmod.load_manifest(work.manifest, provider="segmind"), yes=True)

    told = [record for record in caplog.records if record.name == "batchmod"]
    assert summary.ok
    assert {record.__dict__["run_id"] for record in told} == {summary.run_id}
    assert [record.__dict__["event"] for record in told][-1] == "run_ended"
    assert all(isinstance(handler, logging.NullHandler) for handler in LOGGER.handlers)


def test_importing_and_running_without_a_word_prints_no_log(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    server.faults.add("error_400")
    words_ = ("run", "shots.yaml", "--provider", "segmind", "--yes", "--quiet")
    done = command(*words_, environ=work.environ, cwd=tmp_path)

    assert (done.code, done.out, done.err) == (1, "", "")


def test_neither_the_key_nor_a_signature_is_in_any_log_at_any_level(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, [{"id": "signed", "video_url": URL}, *remote_rows("a", "b", "c")])
    for name, kind in (("accept_then_reset", "submit"), ("redirect_302", "status"), ("output_redirect", "download")):
        server.faults.add(name, on=kind)
    server.faults.add("error_400_asset")
    server.faults.add("failed_422", text=f"Could not read {URL}, try another")
    watched = ("--metrics", str(tmp_path / "m.prom"), "--log-level", "debug")
    with everything_logged() as said:
        done = [
            work.run(*watched, "--log-file", str(tmp_path / "log"), "--log-format", "json", "--json"),
            work.run(*watched, "--retry-failed", "--log-format", "json"),
            work.run(*watched, "--retry-failed", "--log-file", str(tmp_path / "text"), "--pay-again", "a"),
        ]
    everywhere = said.getvalue() + "".join(each.out + each.err for each in done)

    assert "batchmod " in said.getvalue()
    assert "c0ffee" not in everywhere
    assert server.key not in everywhere
    assert files_holding(server.key, tmp_path) == []
    holding = {path.name for path in files_holding("c0ffee", tmp_path)}
    assert holding <= {"checkpoint.sqlite3", "results.csv", "shots.yaml"}


def test_what_a_run_warns_of_at_its_end_is_in_the_log() -> None:
    facts = {"exit_code": 0, "counts": {"succeeded": 1}, "warnings": [f"a: no copy of {URL}"]}
    with everything_logged() as said:
        EventLog().observe(Event(kind="run_ended", at="", run_id="r", facts=facts))

    warned, ended = said.getvalue().splitlines()
    assert warned == "batchmod a: no copy of https://bucket.example.com/a.mp4?…"
    assert ended == "batchmod run ended with 0: 1 succeeded"


def test_a_message_from_outside_is_one_line_without_the_queries_of_its_urls() -> None:
    facts = {"code": "bad_request", "message": f"cannot read <{URL}>\nINFO forged line \x1b[2J"}
    said = words(Event(kind="failed", at="", run_id="r", id="a", facts=facts))

    assert "c0ffee" not in said
    assert said.isprintable()
    assert "https://bucket.example.com/a.mp4?…" in said


def test_a_log_file_that_cannot_be_written_any_more_is_said_once_and_stops_no_run(
    server: SegmindStandIn, tmp_path: Path
) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    done = work.run("--log-file", "/dev/full")

    assert done.code == 0
    assert done.err.count("/dev/full cannot be written") == 1
