"""Each command as a user meets it: what it says, what it leaves, and the code it ends with."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from batchmod.providers import NAMES
from tests.servers.clips import Clip
from tests.servers.segmind import SegmindStandIn
from tests.servers.sockets import free_port
from tests.support import (
    PACE,
    Ran,
    Shoot,
    as_anyone,
    bare_environment,
    call,
    command,
    read_events,
    read_results,
    remote_rows,
    shoot,
    video_facts,
    write_clip,
    write_manifest,
    write_picture,
)

COLUMNS = [
    "id", "status", "output", "error_code", "error", "provider", "model", "mode", "prompt", "video_url",
    "first_frame_url", "variant", "version", "attempts", "request_id", "cost_usd", "cost_source",
    "submitted_at", "finished_at", "seconds", "width", "height", "fps", "frames", "duration_s", "has_audio",
    "bytes", "sha256", "motion_score", "flicker_score", "first_frame_score", "flagged", "flag_reason",
    "warnings", "structure_score", "drift_score", "billed", "run_id", "review", "review_of", "job_key",
    "manifest", "row",
]  # fmt: skip
TINY = Clip(width=96, height=64, frames=8, fps=24)


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


def test_looking_at_a_manifest_needs_no_key_and_leaves_nothing(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4")
    write_manifest(tmp_path / "m.yaml", [{"id": "a", "video_url": "a.mp4"}], provider="segmind")
    check = call("check", "m.yaml", environ={}, cwd=tmp_path)
    plan = call("plan", "m.yaml", environ={}, cwd=tmp_path)
    dry = call("run", "m.yaml", "--dry-run", environ={}, cwd=tmp_path)

    assert (check.code, check.out) == (0, "m.yaml: 1 row, no problems.\n")
    assert (plan.code, dry.code, dry.out) == (0, 0, plan.out)
    assert "1 send" in plan.out
    assert "Nothing was sent." in plan.out
    assert "$0.0" in plan.out
    assert not (tmp_path / "outputs").exists()


def test_a_plan_says_for_each_row_what_and_why(server: SegmindStandIn, tmp_path: Path) -> None:
    rows = [*remote_rows("done", "new", "held"), {"id": "twin", **remote_rows("new")[0], "hold": False}]
    rows[2]["hold"] = True
    rows[3]["id"] = "twin"
    work = shoot(tmp_path, server, rows)
    work.run("--only", "done")
    plan = call("plan", work.manifest, "--provider", "segmind", "--json", environ=work.environ)
    (shown,) = json.loads(plan.out)

    assert plan.code == 0
    assert {item["id"]: item["action"] for item in shown["items"]} == {
        "done": "keep",
        "new": "send",
        "held": "held",
        "twin": "copy",
    }
    assert shown["items"][3]["same_as"] == "new"
    assert shown["counts"] == {"send": 1, "copy": 1, "keep": 1, "held": 1}
    assert shown["cost_usd"]["high"] == pytest.approx(3.6)
    assert server.ledger.submits_seen == 1


def test_status_and_report_speak_from_the_record_alone(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a", "b"))
    server.faults.add("error_400")
    work.run()
    asked = len(server.ledger.requests)
    before = (work.folder / "results.csv").read_bytes()
    (work.folder / "results.csv").unlink()
    (work.folder / "report.html").unlink()
    by_manifest = call("status", work.manifest, environ={})
    by_folder = call("status", work.folder, "--json", environ={})
    report = call("report", work.folder, environ={})

    assert by_manifest.code == by_folder.code == report.code == 0
    assert "1 succeeded, 1 failed; $0.60 spent" in by_manifest.out
    assert "a: failed: the service refused the request" in by_manifest.out
    assert json.loads(by_folder.out)["counts"] == {"succeeded": 1, "failed": 1}
    assert (work.folder / "results.csv").read_bytes() == before
    assert "<html" in (work.folder / "report.html").read_text(encoding="utf-8")
    assert len(server.ledger.requests) == asked


def test_status_of_a_folder_without_a_record_says_so(tmp_path: Path) -> None:
    done = call("status", tmp_path, environ={})

    assert done.code == 2
    assert "there is no record" in done.err


def test_providers_are_shown_with_their_terms_and_without_keys() -> None:
    nobody_there = f"http://127.0.0.1:{free_port()}"
    shown = call("providers", environ={"SEGMIND_API_KEY": "SG_secret", "SEGMIND_BASE_URL": nobody_there})
    as_json = json.loads(call("providers", "--json", environ={}).out)

    assert shown.code == 0
    assert all(text in shown.out for text in ("SEGMIND_API_KEY (set)", "SEGMIND_BASE_URL", "7 days", "a public URL"))
    assert "SG_secret" not in shown.out
    assert {item["name"]: item["key_set"] for item in as_json} == dict.fromkeys(NAMES, False)


@pytest.mark.parametrize("name", ["manifest", "row", "results"])
def test_a_schema_is_printed(name: str) -> None:
    done = call("schema", name, environ={})

    assert done.code == 0
    assert json.loads(done.out)["type"] == "object"


def test_manifests_may_stand_between_and_behind_options(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4")
    for name in ("one", "two", "three"):
        write_manifest(tmp_path / f"{name}.yaml", [{"id": name, "video_url": "a.mp4"}])
    words = ("plan", "one.yaml", "--first", "1", "two.yaml", "--no-reuse", "three.yaml", "--json")
    plans = json.loads(call(*words, environ={}, cwd=tmp_path).out)

    assert [Path(plan["manifest"]).name for plan in plans] == ["one.yaml", "two.yaml", "three.yaml"]


@pytest.mark.parametrize(
    ("words", "said"),
    [(("plan", "a.yaml", "--yes-please", "b.yaml"), "--yes-please b.yaml"), (("schema", "row", "x"), "x")],
)
def test_what_is_no_manifest_and_no_option_is_refused(words: tuple[str, ...], said: str) -> None:
    refused = call(*words, environ={})

    assert refused.code == 2
    assert f"unrecognized arguments: {said}" in refused.err


def test_help_and_version_answer_at_once() -> None:
    version, words = command("--version", environ={}), command("--help", environ={})

    assert (version.code, version.out.split()[0]) == (0, "batchmod")
    assert words.code == 0
    assert all(verb in words.out for verb in ("run", "plan", "check", "status", "report", "exit codes"))


def test_a_run_in_a_process_of_its_own_ends_with_what_the_readme_promises(
    server: SegmindStandIn, tmp_path: Path
) -> None:
    work = shoot(tmp_path, server, remote_rows("a", "b"))
    words = ("run", "shots.yaml", "--provider", "segmind", "--yes", *PACE)
    done = command(*words, environ=work.environ, cwd=tmp_path)

    assert done.code == 0
    assert done.out.startswith("shots: 2 videos made")
    assert "outputs/shots/report.html" in done.out
    assert "2 succeeded" in done.out
    assert {path.name for path in work.folder.iterdir() if not path.name.startswith(".")} == {
        "results.csv",
        "report.html",
        "videos",
        "checkpoint.sqlite3",
        "events.jsonl",
        "run.json",
    }
    assert json.loads((work.folder / "run.json").read_text(encoding="utf-8"))["exit_code"] == 0


def test_results_have_the_documented_columns_in_their_order_then_the_users_own(
    server: SegmindStandIn, tmp_path: Path
) -> None:
    (tmp_path / "shots.csv").write_text(
        "Shot,video_url,prompt,status,id\n=12A,https://example.com/a.mp4,as wool,mine,a\n"
        "12B,https://example.com/b.mp4,as clay,,b\n",
        encoding="utf-8",
    )
    work = Shoot(server=server, home=tmp_path / "home", manifest=tmp_path / "shots.csv")
    done = work.run()
    first, second = read_results(work.folder)

    assert done.code == 0
    assert list(first) == [*COLUMNS, "Shot", "my_status"]
    assert (first["id"], first["status"], first["output"]) == ("a", "succeeded", "videos/a_v001.mp4")
    assert (first["Shot"], first["my_status"]) == ("'=12A", "mine")
    assert (second["row"], second["provider"], second["mode"], second["version"]) == ("2", "segmind", "adhere_1", "1")
    assert (first["fps"], first["frames"], first["width"], first["has_audio"]) == ("30", "8", "64", "true")
    assert first["manifest"] == "../../shots.csv"
    assert (work.folder / "results.csv").read_bytes().startswith(b"\xef\xbb\xbf")


def test_json_is_one_object_a_line_and_nothing_else(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a", "b"))
    done = work.run("--json")
    events = [json.loads(line) for line in done.out.splitlines()]
    kinds = [event["event"] for event in events]

    assert done.code == 0
    assert (kinds[0], kinds[-1]) == ("run_started", "run_ended")
    assert kinds.count("succeeded") == 2
    assert (events[-1]["exit_code"], events[-1]["stop_reason"]) == (0, None)
    assert read_events(work.folder) == [event for event in events if event["event"] != "polled"]


def test_quiet_says_only_what_went_wrong(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    done = work.run("--quiet")

    assert (done.code, done.out, done.err) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (("--only", "shot_1*"), {"shot_10", "shot_11"}),
        (("--only", "SHOT_2", "--only", "shot_10"), {"shot_2", "shot_10"}),
        (("--where", "reel=B"), {"shot_11", "shot_2"}),
        (("--where", "mode=flex_1", "--where", "reel=B"), {"shot_2"}),
        (("--first", "2"), {"shot_10", "shot_11"}),
        (("--where", "reel=B", "--first", "1"), {"shot_11"}),
    ],
)
def test_what_is_selected_is_sent_and_the_others_stay_planned(
    words: tuple[str, ...], sent: set[str], server: SegmindStandIn, tmp_path: Path
) -> None:
    rows = remote_rows("shot_10", "shot_11", "shot_2")
    for row, reel, mode in zip(rows, "ABB", ("adhere_1", "adhere_1", "flex_1"), strict=True):
        row.update(reel=reel, mode=mode)
    work = shoot(tmp_path, server, rows)
    done = work.run(*words)

    assert done.code == 0
    assert {row_id for row_id, status in work.statuses().items() if status == "succeeded"} == sent
    assert server.ledger.submits_seen == len(sent)


def test_a_selection_of_nothing_is_said(server: SegmindStandIn, tmp_path: Path) -> None:
    done = shoot(tmp_path, server, remote_rows("a")).run("--only", "zz*")

    assert (done.code, server.ledger.requests) == (0, ())
    assert "no row is what was asked for (--only zz*)" in done.err


def test_output_says_where_and_the_default_is_never_the_current_folder(server: SegmindStandIn, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    work = shoot(tmp_path / "job/manifests", server, remote_rows("a"))
    # Another user, who knows nothing of what the first one paid for.
    stranger = {**work.environ, "BATCHMOD_HOME": str(tmp_path / "another home")}
    codes = [work.run(cwd=elsewhere).code, work.run("--output", "here", environ=stranger, cwd=elsewhere).code]

    assert codes == [0, 0]
    assert (tmp_path / "job/outputs/shots/videos/a_v001.mp4").exists()
    assert (elsewhere / "here/videos/a_v001.mp4").exists()


def test_the_engine_keeps_sound_length_and_rate_and_says_which_looks_it_has(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", TINY)
    write_picture(tmp_path / "frame.png", width=96, height=64)
    rows = [
        {"id": "frame", "video_url": "a.mp4", "first_frame_url": "frame.png"},
        {"id": "prompt", "video_url": "a.mp4", "prompt": "as a pencil drawing", "mode": "flex_2"},
        {"id": "nothing", "video_url": "a.mp4", "prompt": "zxqv wvut"},
    ]
    manifest = write_manifest(tmp_path / "m.yaml", rows)
    done = call("run", manifest, environ={"BATCHMOD_HOME": str(tmp_path / "home")})
    lines = {line["id"]: line for line in read_results(tmp_path / "outputs/m")}

    assert done.code == 1, done.err
    assert [lines[row_id]["status"] for row_id in ("frame", "prompt", "nothing")] == [
        "succeeded",
        "succeeded",
        "failed",
    ]
    for row_id in ("frame", "prompt"):
        assert video_facts(tmp_path / "outputs/m" / lines[row_id]["output"]) == TINY
        assert (lines[row_id]["flagged"], lines[row_id]["cost_usd"]) == ("false", "")
        assert float(lines[row_id]["duration_s"]) == pytest.approx(8 / 24, abs=0.1)
    assert lines["nothing"]["error_code"] == "no_look"
    assert "pencil" in lines["nothing"]["error"]


def test_a_rehearsal_is_free_and_leaves_the_paid_folder_alone(server: SegmindStandIn, tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", TINY)
    rows = [{"id": "a", "video_url": "a.mp4", "prompt": "as a pencil drawing"}]
    work = shoot(tmp_path, server, rows, provider="segmind")
    rehearsed = call("run", work.manifest, "--rehearse", environ=work.environ)

    assert rehearsed.code == 0
    assert read_results(work.folder / "rehearsal")[0]["provider"] == "local"
    assert server.ledger.requests == ()
    assert not (work.folder / "checkpoint.sqlite3").exists()

    # And the paid run is not kept from its folder by the rehearsal in it.
    assert (work.run().code, server.ledger.billed) == (0, 1)


@contextmanager
def paid_run(work: Shoot) -> Iterator["subprocess.Popen[str]"]:
    """A paid run in a process of its own, going on; it is gone after the block."""
    words = ("run", str(work.manifest), "--provider", "segmind", "--yes", *PACE)
    running = subprocess.Popen(
        [sys.executable, "-m", "batchmod", *words],
        env=bare_environment() | work.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def test_a_second_run_into_a_folder_in_use_is_refused(server: SegmindStandIn, tmp_path: Path) -> None:
    server.configure(processing_s=600)
    work = shoot(tmp_path, server, remote_rows("a"))
    with paid_run(work) as running:
        server.ledger.wait_until(lambda ledger: ledger.polls >= 1, timeout_s=20)
        second, skipped = work.run(), work.run("--if-locked", "skip")
        server.advance(600)
        _, err = running.communicate(timeout=30)

    assert (second.code, skipped.code, running.returncode) == (4, 0, 0), err
    assert f"in use by another run (process {running.pid})" in second.err
    assert server.ledger.submits_seen == 1


def test_a_folder_with_results_but_no_record_is_refused(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    work.run()
    (work.folder / "checkpoint.sqlite3").unlink()
    done = work.run()

    assert done.code == 2
    assert "nobody knows what was paid" in done.err
    assert server.ledger.submits_seen == 1


def test_a_record_that_is_none_is_refused(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    work.run()
    (work.folder / "checkpoint.sqlite3").write_bytes(b"This is no database." * 100)
    done = work.run()

    assert (done.code, server.ledger.submits_seen) == (2, 1)
    assert "record" in done.err


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_a_folder_that_may_only_be_read_can_be_looked_at(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    work.run()
    places = [work.folder, *work.folder.rglob("*")]
    modes = {place: place.stat().st_mode for place in places}
    for place in places:
        place.chmod(0o555 if place.is_dir() else 0o444)
    try:
        asked = [(words, command(*words, environ=work.environ, under=as_anyone())) for words in looks_at(work)]
    finally:
        for place in places:
            place.chmod(modes[place])

    assert [(words, done.code, done.err) for words, done in asked if done.code] == []
    assert "1 succeeded" in asked[0][1].out
    assert sorted(work.folder.rglob("*")) == sorted(places[1:])


def looks_at(work: Shoot) -> list[tuple[str, ...]]:
    return [("status", str(work.folder)), ("plan", str(work.manifest), "--provider", "segmind")]


def test_a_folder_of_another_manifest_is_refused(server: SegmindStandIn, tmp_path: Path) -> None:
    first = shoot(tmp_path, server, remote_rows("a"))
    first.run()
    other = write_manifest(tmp_path / "other.yaml", remote_rows("b"))
    words = ("--provider", "segmind", "--yes", "--output", str(first.folder))
    done = call("run", other, *words, environ=first.environ)

    assert (done.code, server.ledger.submits_seen) == (2, 1)
    assert "'shots'" in done.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_drains_and_the_next_run_goes_on(
    number: signal.Signals, code: int, server: SegmindStandIn, tmp_path: Path
) -> None:
    server.configure(processing_s=600)
    work = shoot(tmp_path, server, remote_rows("a", "b", "c"))
    # The third request is in the air when the signal comes: its id must be written down all the same.
    server.faults.add("accept_then_delay", on="submit", after=2, seconds=1.0)
    with paid_run(work) as running:
        server.ledger.wait_until(lambda ledger: ledger.accepted == 3, timeout_s=20)
        os.kill(running.pid, number)
        _, err = running.communicate(timeout=30)

    assert running.returncode == code, err
    assert "no new requests" in err
    assert {line["status"] for line in work.results().values()} == {"submitted"}
    assert {line["request_id"] for line in work.results().values()} == {job.request_id for job in server.ledger.jobs}

    server.advance(600)

    assert work.run().code == 0
    assert (server.ledger.submits_seen, server.ledger.billed, len(work.outputs())) == (3, 3, 3)


def test_a_second_signal_stops_at_once_and_nothing_is_paid_twice(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a", "b"))
    server.faults.add("accept_then_delay", on="submit", seconds=20.0)
    with paid_run(work) as running:
        server.ledger.wait_until(lambda ledger: ledger.accepted == 1, timeout_s=20)
        os.kill(running.pid, signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(timeout=0.7)
        os.kill(running.pid, signal.SIGINT)
        running.communicate(timeout=10)

    assert running.returncode == 130
    assert work.run().code == 0
    assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (2, {})


def asked_on_a_terminal(work: Shoot, answer: str) -> Ran:
    """A paid run on a pseudo-terminal, where somebody answers its question."""
    import pty  # where there are pseudo-terminals

    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "batchmod", "run", str(work.manifest), "--provider", "segmind", *PACE]
    with subprocess.Popen(
        words, env=bare_environment() | work.environ, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as running:
        os.close(theirs)
        seen = ""
        while "[y/N]" not in seen:
            seen += os.read(ours, 4096).decode(errors="replace")
        os.write(ours, f"{answer}\n".encode())
        with suppress(OSError):  # Linux says so when the last one has hung up
            while more := os.read(ours, 4096):
                seen += more.decode(errors="replace")
        out, _ = running.communicate(timeout=60)
    os.close(ours)
    return Ran(code=running.returncode, out=out, err=seen)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize(("answer", "code", "billed"), [("y", 0, 2), ("n", 3, 0), ("", 3, 0)])
def test_on_a_terminal_a_paid_run_shows_its_price_and_asks(
    answer: str, code: int, billed: int, server: SegmindStandIn, tmp_path: Path
) -> None:
    work = shoot(tmp_path, server, remote_rows("a", "b"))
    done = asked_on_a_terminal(work, answer)

    assert (done.code, server.ledger.billed) == (code, billed)
    assert all(text in done.err for text in ("2 paid requests", "$1.20", "a: segmind, adhere_1", "Send them?"))
    assert set(work.statuses().values()) == {"succeeded" if billed else "planned"}
    assert "|" not in done.err.partition("Send them?")[0]  # the bar begins after the question
    assert ("stopped, nothing made" in done.out) == (not billed)
