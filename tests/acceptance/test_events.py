"""`run --json` and events.jsonl: what is promised to programs that read along."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from batchmod import files
from tests import events
from tests.servers.segmind import SegmindStandIn
from tests.support import (
    PACE,
    bare_environment,
    call,
    command,
    read_events,
    remote_rows,
    shoot,
    write_clip,
    write_manifest,
)

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as standin:
        yield standin


def last_of(out: str) -> dict[str, Any]:
    return events.check_all(out)[-1]


@pytest.mark.parametrize("name", ["event", "run", "status"])
def test_the_schemas_are_sound_and_say_what_each_fact_is(name: str) -> None:
    schema = files.schema(name)
    Draft202012Validator.check_schema(schema)

    for kind in schema.get("$defs", {"": schema}).values():
        assert kind["additionalProperties"] is False
        lacking = [fact for fact, about in kind["properties"].items() if not about.get("description")]
        assert lacking == []


def test_the_examples_of_the_schema_are_events_of_it() -> None:
    for example in files.schema("event")["examples"]:
        events.check(example)


def test_every_kind_that_the_code_tells_is_in_the_schema() -> None:
    code = "".join(path.read_text("utf-8") for path in (_ROOT / "batchmod").rglob("*.py"))
    told = {*re.findall(r'\btell\(\s*"(\w+)"', code), *re.findall(r'\bEvent\(\s*kind="(\w+)"', code)}
    told |= set(re.findall(r'\b_tell\(\s*"(\w+)"', code))

    assert {"intended", "stopping", "run_ended", "error", "failed"} <= told
    assert told - set(events.kinds()) == set()


def test_a_fact_that_the_schema_does_not_know_is_found_out() -> None:
    event = {**files.schema("event")["examples"][0], "colour": "red"}

    with pytest.raises(AssertionError, match="colour"):
        events.check(event)
    with pytest.raises(AssertionError, match="no event 'exploded'"):
        events.check({**event, "event": "exploded"})
    with pytest.raises(ValidationError):
        Draft202012Validator(files.schema("event")).validate(event)


def test_every_line_of_runs_of_all_kinds_is_as_the_schema_says(server: SegmindStandIn, tmp_path: Path) -> None:
    rows = [*remote_rows("a", "b", "c", "d", "e"), {**remote_rows("a")[0], "id": "twin"}]
    work = shoot(tmp_path, server, rows)
    for name, kind in (("error_400", "submit"), ("accept_then_reset", "submit"), ("error_429_neither", "submit")):
        server.faults.add(name, on=kind)
    first = work.run("--json", "--first", "3")
    left = work.run("--json", "--no-wait", "--accept-expiry")
    resumed = work.run("--json", "--retry-failed")
    again = work.run("--json", "--pay-again", "a")
    stopped = work.run("--json", "--pay-again", "*", "--max-cost-usd", "0.01")
    declined = work.run("--json", "--if-locked", "skip")
    seen = [event for done in (first, left, resumed, again, stopped, declined) for event in events.check_all(done.out)]
    kept = read_events(work.folder)
    for event in kept:
        events.check(event)
    kinds = {event["event"] for event in seen}

    assert kinds >= {"run_started", "planned", "intended", "submitted", "failed", "retrying", "polled", "left"}
    assert kinds >= {"output_known", "succeeded", "copied", "stopping", "run_ended"}
    assert kinds >= {"uncertain"} or "resolved" in kinds
    assert kept == [event for event in seen if event["event"] not in ("polled", "progress")]
    assert [done.code for done in (left, stopped)] == [3, 3]


def test_a_run_of_the_engine_and_of_several_manifests_is_told_run_by_run(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4")
    for name in ("one", "two"):
        write_manifest(tmp_path / f"{name}.yaml", [{"id": name, "video_url": "a.mp4", "prompt": "as a drawing"}])
    done = call(
        "run", "one.yaml", "two.yaml", "--json", environ={"BATCHMOD_HOME": str(tmp_path / "home")}, cwd=tmp_path
    )
    told = events.check_all(done.out)
    runs = list(dict.fromkeys(event["run_id"] for event in told))
    ends = [event for event in told if event["event"] == "run_ended"]

    assert done.code == 0
    assert len(runs) == 2
    assert [event["run_id"] for event in ends] == runs
    assert told[-1] == ends[-1]
    assert any(event["event"] == "progress" for event in told)
    for name, run_id in zip(("one", "two"), runs, strict=True):
        folder = tmp_path / "outputs" / name
        about = json.loads((folder / "run.json").read_text("utf-8"))
        Draft202012Validator(files.schema("run")).validate(about)
        assert about["run_id"] == run_id
        assert {event["run_id"] for event in read_events(folder)} == {run_id}


def test_a_run_has_one_name_wherever_it_is_named(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    words = ("--json", "--metrics", str(tmp_path / "m.prom"), "--log-file", str(tmp_path / "log"))
    run_id = last_of(work.run(*words).out)["run_id"]
    status = json.loads(call("status", work.folder, "--json", environ={}).out)

    assert re.fullmatch("[0-9a-f]{12}", run_id)
    assert work.results()["a"]["run_id"] == run_id
    assert json.loads((work.folder / "run.json").read_text("utf-8"))["run_id"] == run_id
    assert {event["run_id"] for event in read_events(work.folder)} == {run_id}
    assert status["run"]["run_id"] == run_id
    assert f'run_id="{run_id}"' in (tmp_path / "m.prom").read_text("utf-8")
    assert all(run_id in line for line in (tmp_path / "log").read_text("utf-8").splitlines())


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("nowhere.yaml",), 2, "bad_manifest"),
        (("bad.yaml",), 2, "bad_manifest"),
        (("bad.yaml", "--format", "json"), 2, "bad_manifest"),
        (("good.yaml", "--provider", "nobody"), 2, "usage"),
        (("good.yaml", "--provider", "segmind"), 2, "missing_key"),
        (("good.yaml", "--log-file", "no/such/folder/log"), 2, "usage"),
        (("good.yaml", "--first", "none"), 2, "usage"),
        ((), 2, "usage"),
    ],
)
def test_what_cannot_begin_ends_with_a_line_too(words: tuple[str, ...], code: int, reason: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4")
    write_manifest(tmp_path / "good.yaml", [{"id": "a", "video_url": "a.mp4"}])
    write_manifest(tmp_path / "bad.yaml", [{"id": "a", "video_url": "a.mp4", "mode": "flex_9"}])
    done = call("run", "--json", *words, environ={}, cwd=tmp_path)
    error, end = events.check_all(done.out)[-2:]

    assert done.code == end["exit_code"] == code
    assert (error["event"], error["code"]) == ("error", reason)
    assert (end["event"], end["stop_reason"]) == ("run_ended", reason)
    assert done.err
    if words[:1] == ("bad.yaml",):
        assert error["problems"][0]["line"] == 5


def test_a_paid_run_without_a_word_and_a_folder_in_use_end_with_a_line(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    words = ("run", work.manifest, "--provider", "segmind", "--json")
    unasked = call(*words, environ=work.environ)
    with files.locked(work.folder):
        busy = call(*words, "--yes", environ=work.environ)
        skipped = call(*words, "--yes", "--if-locked", "skip", environ=work.environ)

    assert (unasked.code, last_of(unasked.out)["stop_reason"]) == (2, "spending_needs_a_word")
    assert (busy.code, last_of(busy.out)["exit_code"], last_of(busy.out)["stop_reason"]) == (4, 4, "folder_in_use")
    assert (skipped.code, last_of(skipped.out)["exit_code"], last_of(skipped.out)["stop_reason"]) == (0, 0, None)
    assert "another run holds the folder" in last_of(skipped.out)["message"]
    assert server.ledger.submits_seen == 0


def test_a_run_that_breaks_in_its_middle_says_so_in_its_last_line(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    (work.folder / "videos").parent.mkdir(parents=True)
    (work.folder / "videos").write_text("a file where a folder must be", encoding="utf-8")
    words = ("run", work.manifest, "--provider", "segmind", "--yes", "--json", *PACE)
    done = call(*words, environ=work.environ)
    end = last_of(done.out)

    assert done.code != 0
    assert (end["event"], end["exit_code"]) == ("run_ended", done.code)


def test_a_run_that_is_stopped_ends_with_130_in_its_last_line_as_well(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=60) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        words = [
            sys.executable,
            "-m",
            "batchmod",
            "run",
            str(work.manifest),
            "--provider",
            "segmind",
            "--yes",
            "--json",
        ]
        environ = bare_environment() | work.environ
        run = subprocess.Popen([*words, *PACE], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert run.stdout is not None
        lines = []
        for line in run.stdout:
            lines.append(line)
            if '"event": "submitted"' in line:
                run.send_signal(signal.SIGINT)
        run.communicate()
    end = last_of("".join(lines))

    assert run.returncode == 130
    assert (end["event"], end["exit_code"], end["stop_reason"]) == ("run_ended", 130, "sigint")


def test_a_run_that_is_ended_at_once_says_what_it_has_brought_and_spent(tmp_path: Path) -> None:
    program = tmp_path / "slow"
    program.write_text("#!/bin/sh\ntouch began\nexec sleep 60\n", encoding="utf-8")
    program.chmod(0o755)
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"), on_succeeded=["./slow"])
        words = [sys.executable, "-m", "batchmod", "run", str(work.manifest), "--provider", "segmind", "--yes"]
        words += ["--json", "--allow-hooks", *PACE]
        environ = bare_environment() | work.environ
        run = subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(600):
            if (work.folder / "began").exists():
                break
            time.sleep(0.05)
        assert run.stderr is not None
        run.send_signal(signal.SIGTERM)
        while "SIGTERM" not in run.stderr.readline():
            pass
        run.send_signal(signal.SIGTERM)
        end = last_of(run.communicate()[0])

        assert (run.returncode, end["exit_code"], end["message"]) == (143, 143, "stopped at once")
        assert (end["made"], end["spent_usd"]) == (1, pytest.approx(server.ledger.billed_usd))


def test_standard_output_holds_lines_only_whatever_it_can_write(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, [{**remote_rows("a")[0], "id": "ü", "prompt": "as wool 😀"}])
    environ = work.environ | {"PYTHONIOENCODING": "ascii"}
    done = command(
        "run", "shots.yaml", "--provider", "segmind", "--yes", "--json", *PACE, environ=environ, cwd=tmp_path
    )
    told = events.check_all(done.out)

    assert done.code == 0
    assert told[-1]["counts"] == {"succeeded": 1}
    assert {event["id"] for event in told if "id" in event} == {"ü"}
    assert {event["inputs"]["prompt"] for event in told if "inputs" in event} == {"as wool 😀"}


def test_the_commands_on_the_pages_can_be_typed_as_they_stand(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a"), provider="segmind")
    pages = (_ROOT / "docs" / name for name in ("watching.md", "events.md"))
    lines = [
        line for page in pages for line in re.findall(r"^    (batchmod .+)$", page.read_text("utf-8"), re.MULTILINE)
    ]
    typed = [re.split(r" [|>;] ", line)[0].replace("/var/lib/node_exporter/textfile", str(tmp_path)) for line in lines]
    typed.sort(key=lambda line: "status" in line)  # a watch waits for a run
    done = [call(*line.split()[1:], environ=work.environ, cwd=tmp_path) for line in typed]

    assert len(done) >= 5
    assert [each.code for each in done] == [0] * len(done)
    assert (tmp_path / "batchmod.prom").exists()
    assert (tmp_path / "batchmod.log").exists()
