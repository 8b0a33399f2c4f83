"""`output: s3://…`: what is up after a run, what a store that fails costs, and who may go on with what lies there."""

import json
import re
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchmod.app.storing import record_copies, tenancy
from batchmod.lease import Terms
from tests.machines import STORE, UP, begun, card, machine, run
from tests.servers.bucket import SECRET, Asked, Bucket, bucket
from tests.servers.segmind import SegmindStandIn
from tests.support import (
    Shoot,
    call,
    files_holding,
    read_events,
    remote_rows,
    write_clip,
)


@pytest.fixture
def store() -> Iterator[Bucket]:
    with bucket() as made:
        yield made


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as made:
        yield made


def below(store: Bucket) -> list[str]:
    """What lies in the store, without what changes its name."""
    found = (key.removeprefix(UP) for key in store.names())
    return [re.sub(r"^(record|lease)/\w+", r"\1/*", name) for name in found]


def test_a_run_leaves_outputs_tables_the_log_and_the_record_in_the_store_and_nothing_else(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    work = machine(tmp_path, server)
    done = run(work, store)

    assert (done.code, server.ledger.billed) == (0, 2), done.err
    assert below(store) == [
        *("batchmod.json", "events.jsonl", "lease/*.json", "record/*.sqlite3", "report.html", "results.csv"),
        *("run.json", "videos/a_v001.mp4", "videos/b_v001.mp4"),
    ]
    for name in ("events.jsonl", "report.html", "results.csv", "run.json", "videos/a_v001.mp4"):
        assert store.read(UP + name) == (work.folder / name).read_bytes()
    assert STORE in done.out


def test_the_record_in_the_store_is_whole_and_final(tmp_path: Path, store: Bucket, server: SegmindStandIn) -> None:
    work = machine(tmp_path, server)
    run(work, store)
    copy = tmp_path / "copy.sqlite3"
    copy.write_bytes(store.read(UP + card(store)["record"]))

    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT status, count(*) FROM work GROUP BY status").fetchall() == [("succeeded", 2)]
        assert db.execute("SELECT exit_code FROM run").fetchall() == [(0,)]
    assert (card(store)["final"], card(store)["attempts"], card(store)["only_there"]) == (True, 2, 0)


def test_the_report_is_a_page_there(tmp_path: Path, store: Bucket, server: SegmindStandIn) -> None:
    run(machine(tmp_path, server), store)
    page = store.read(f"{UP}report.html").decode()
    named = set(re.findall(r'"((?:videos|thumbs|delivered)/[^"]+)"', page))

    assert {"videos/a_v001.mp4", "videos/b_v001.mp4"} <= named
    assert {f"{UP}{name}" for name in named} <= set(store.names())


def test_what_is_up_and_unchanged_is_not_asked_for_again(tmp_path: Path, store: Bucket, server: SegmindStandIn) -> None:
    work = machine(tmp_path, server, *(f"r{number}" for number in range(12)))
    run(work, store)
    store.forget()
    again = run(work, store)

    assert (again.code, server.ledger.billed) == (0, 12)
    assert not [each for each in store.asked if "videos" in each.key]
    assert len(store.asked) < 40, "a number that does not grow with the outputs"


def test_outputs_go_up_while_others_are_still_made(tmp_path: Path, store: Bucket) -> None:
    with SegmindStandIn(queued_s=0, processing_s=2.0) as server:
        work = machine(tmp_path, server, "a", "b")
        first = machine(tmp_path / "first", server, "a", output=STORE)
        shutil.copy(first.manifest, work.manifest)
        seen: list[str] = []

        def watch(asked: Asked) -> int | None:
            if asked.verb == "PUT" and "videos/" in asked.key:
                seen.append(read_events(work.folder)[-1]["event"])
            return None

        store.fault = watch
        assert run(work, store).code == 0
    assert seen
    assert "run_ended" not in seen


def test_a_rehearsal_has_a_place_of_its_own_in_the_store(tmp_path: Path, server: SegmindStandIn, store: Bucket) -> None:
    work = machine(tmp_path, server, "a")
    plan = call("plan", work.manifest, "--rehearse", "--json", environ=work.environ | store.environ)

    assert plan.code == 0
    assert json.loads(plan.out)[0]["output"].endswith("outputs/shots/rehearsal")


def test_no_key_of_the_store_stands_anywhere(tmp_path: Path, store: Bucket, server: SegmindStandIn) -> None:
    work = machine(tmp_path, server)
    done = run(work, store)
    store.stop()
    failed = run(work, store)
    store.start()

    assert SECRET not in done.out + done.err + failed.out + failed.err
    assert not files_holding(SECRET, tmp_path)
    assert not [key for key in store.names() if SECRET.encode() in store.read(key)]


def test_without_a_bucket_nothing_is_sent(tmp_path: Path, store: Bucket, server: SegmindStandIn) -> None:
    done = run(machine(tmp_path, server, output="s3://nobody-has-this/autumn"), store)

    assert (done.code, server.ledger.submits_seen) == (2, 0), done.err
    assert "nobody-has-this" in done.err
    assert "Traceback" not in done.err


def test_a_store_that_may_only_be_read_is_found_before_anything_is_sent(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    store.fault = lambda asked: 403 if asked.verb == "PUT" else None
    done = run(machine(tmp_path, server), store)

    assert (done.code, server.ledger.submits_seen) == (2, 0), done.err


def test_a_store_that_is_away_at_the_beginning_stops_the_run_and_the_folder_goes_on_without_it(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    work = machine(tmp_path, server)
    store.stop()
    stopped = run(work, store)
    seen = server.ledger.submits_seen
    without = run(work, store, "--output", str(work.folder))
    store.start()
    again = run(work, store)

    assert (stopped.code, seen) == (3, 0), stopped.err
    assert "--output" in stopped.err
    assert (without.code, again.code, server.ledger.billed) == (0, 0, 2), again.err
    assert f"{UP}videos/a_v001.mp4" in store.names()


def test_a_store_that_goes_away_costs_no_output_and_gets_the_rest_later(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    work = machine(tmp_path, server, "a", "b", "c")
    store.fault = lambda asked: 503 if asked.verb != "GET" and "videos/" in asked.key else None
    done = run(work, store)

    assert (done.code, server.ledger.billed, work.outputs()) == (
        3,
        3,
        ["a_v001.mp4", "b_v001.mp4", "c_v001.mp4"],
    ), done.err
    assert set(work.statuses().values()) == {"succeeded"}
    told = [each for each in read_events(work.folder) if each["event"] == "not_stored"]
    assert told
    assert len({each["output"] for each in told}) == len(told), "once for each"
    assert json.loads((work.folder / "run.json").read_text())["stop_reason"] == "not_stored"
    assert card(store)["only_there"] == 3
    store.fault = lambda _: None
    again = run(work, store)
    assert (again.code, server.ledger.submits_seen) == (0, 3), again.err
    assert card(store)["only_there"] == 0
    assert f"{UP}videos/c_v001.mp4" in store.names()


def test_pages_that_could_not_be_put_up_are_a_reason_to_run_again(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    work = machine(tmp_path, server)
    store.fault = lambda asked: 503 if asked.verb != "GET" and "results.csv" in asked.key else None
    done = run(work, store)
    store.fault = lambda _: None
    again = run(work, store)

    assert (done.code, again.code, server.ledger.billed) == (3, 0, 2), done.err
    assert "results.csv" in done.err
    assert store.read(f"{UP}results.csv") == (work.folder / "results.csv").read_bytes()


def lease_of_another(store: Bucket) -> None:
    about = {"host": "render-3", "pid": 4711, "boot": "elsewhere", "started": "1"}
    store.client.put_object(Bucket="shots", Key=f"{UP}lease/000007.json", Body=json.dumps(about).encode())


def test_a_second_machine_is_refused_while_the_first_one_runs(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    lease_of_another(store)
    work = machine(tmp_path, server)
    done, skipped = run(work, store), run(work, store, "--if-locked", "skip")

    assert (done.code, skipped.code, server.ledger.submits_seen) == (4, 0, 0), done.err
    assert "process 4711 on render-3" in done.err


def test_a_machine_that_is_silent_is_taken_over(
    tmp_path: Path, store: Bucket, server: SegmindStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease_of_another(store)
    monkeypatch.setattr(tenancy, "TERMS", Terms(beat_s=20.0, stale_s=-5.0))
    done = run(machine(tmp_path, server), store)

    assert (done.code, server.ledger.billed) == (0, 2), done.err
    assert [key for key in store.names() if "lease/" in key] == [f"{UP}lease/000008.json"]


def test_a_run_whose_store_was_taken_over_sends_nothing_more(
    tmp_path: Path, store: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenancy, "TERMS", Terms(beat_s=0.05, stale_s=60.0))
    with SegmindStandIn(queued_s=0, processing_s=1.0) as server:

        def meddle(asked: Asked) -> int | None:
            if server.ledger.submits_seen and not any("000099" in key for key in store.names()):
                store.fault = lambda _: None
                store.client.put_object(Bucket="shots", Key=f"{UP}lease/000099.json", Body=b'{"host": "other"}')
            return None

        store.fault = meddle
        done = run(machine(tmp_path, server, "a", "b", "c", "d"), store, "--max-in-flight", "1")

        assert done.code == 3, done.err
        assert "lease_lost" in done.err
        assert server.ledger.submits_seen < 4


def test_a_lost_disk_costs_nothing(tmp_path: Path, store: Bucket, server: SegmindStandIn) -> None:
    lost = machine(tmp_path / "lost", server)
    run(lost, store)
    shutil.rmtree(tmp_path / "lost")
    work = machine(tmp_path / "new", server, "a", "b", "c")
    store.forget()
    done = run(work, store)

    assert (done.code, server.ledger.billed) == (0, 3), done.err
    assert work.statuses() == dict.fromkeys("abc", "succeeded")
    assert work.outputs() == ["c_v001.mp4"], "what is up need not be here"
    assert not store.of("GET", "videos/")
    assert "went on with the record of s3://shots/autumn" in done.err


def test_the_first_machine_goes_on_with_what_the_second_has_done(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    one, two = machine(tmp_path / "one", server), machine(tmp_path / "two", server, "a", "b", "c")
    run(one, store)
    run(two, store)
    one.rows(remote_rows("a", "b", "c", "d"), output=STORE)
    done = run(one, store)

    assert (done.code, server.ledger.billed) == (0, 4), done.err
    assert server.ledger.paid_twice() == {}
    assert list(one.folder.glob("checkpoint.sqlite3.before-*"))
    assert set(one.statuses()) == set("abcd")


def test_a_twin_of_an_output_that_is_only_in_the_store_is_copied_from_there(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    run(machine(tmp_path / "lost", server, "a"), store)
    twin = [*remote_rows("a"), {**remote_rows("a")[0], "id": "twin"}]
    work = machine(tmp_path / "new", server, rows=twin)
    done = run(work, store)

    assert (done.code, server.ledger.billed) == (0, 1), done.err
    assert work.statuses() == {"a": "succeeded", "twin": "succeeded"}
    assert store.read(f"{UP}videos/twin_v001.mp4") == store.read(f"{UP}videos/a_v001.mp4")


def test_an_output_that_is_gone_from_the_store_too_is_fetched_again_and_not_paid_again(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    work = machine(tmp_path, server)
    run(work, store)
    (work.folder / "videos" / "a_v001.mp4").unlink()
    store.client.delete_object(Bucket="shots", Key=f"{UP}videos/a_v001.mp4")
    done = run(work, store)

    assert (done.code, server.ledger.submits_seen) == (0, 2), done.err
    assert f"{UP}videos/a_v001.mp4" in store.names()


def test_two_records_that_have_gone_on_apart_are_both_left_alone(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    one, two = machine(tmp_path / "one", server), machine(tmp_path / "two", server, "a", "b", "c")
    run(one, store)
    run(two, store)
    one.rows(remote_rows("a", "b", "d"), output=STORE)
    run(one, store, "--output", str(one.folder))
    there, seen = store.read(f"{UP}batchmod.json"), server.ledger.submits_seen
    done = run(one, store)

    assert (done.code, server.ledger.submits_seen) == (2, seen), done.err
    assert "record_elsewhere" in done.err
    assert store.read(f"{UP}batchmod.json") == there


def test_a_store_that_belongs_to_another_folder_is_refused(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    run(machine(tmp_path / "one", server), store)
    other = machine(tmp_path / "two", server, "x")
    run(other, store, "--output", str(other.folder))
    done = run(other, store)

    assert (done.code, server.ledger.submits_seen) == (2, 3), done.err
    assert "belongs to another output folder" in done.err


def test_outputs_of_which_no_card_tells_are_refused(tmp_path: Path, store: Bucket, server: SegmindStandIn) -> None:
    run(machine(tmp_path / "one", server), store)
    store.client.delete_object(Bucket="shots", Key=f"{UP}batchmod.json")
    done = run(machine(tmp_path / "two", server), store)

    assert (done.code, server.ledger.submits_seen) == (2, 2), done.err
    assert "record_refused" in done.err


def test_a_damaged_card_is_refused(tmp_path: Path, store: Bucket, server: SegmindStandIn) -> None:
    work = machine(tmp_path, server)
    run(work, store)
    store.client.put_object(Bucket="shots", Key=f"{UP}batchmod.json", Body=b'{"final": tru')
    done = run(work, store)

    assert (done.code, server.ledger.submits_seen) == (2, 2), done.err
    assert "batchmod.json" in done.err


def killed_at(work: Shoot, store: Bucket, moment: Callable[[Asked], bool]) -> None:
    """Run until the store is asked for something, and kill the process while it waits for the answer."""
    came, go_on = threading.Event(), threading.Event()

    def hold(asked: Asked) -> int | None:
        if not came.is_set() and moment(asked):
            came.set()
            go_on.wait(30)
            return 500
        return None

    store.fault = hold
    with begun(work, store) as process:
        assert came.wait(30), process.communicate(timeout=10)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    go_on.set()
    store.fault = lambda _: None


def killed_in_a_request(work: Shoot, store: Bucket, server: SegmindStandIn) -> None:
    """Kill a run that has sent something and has no output yet."""
    with begun(work, store) as process:
        until = time.monotonic() + 30
        while server.ledger.submits_seen < 1 and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        process.wait(10)


def test_the_same_machine_goes_on_after_a_kill(tmp_path: Path, store: Bucket) -> None:
    with SegmindStandIn(queued_s=0, processing_s=2.0) as server:
        work = machine(tmp_path, server)
        killed_in_a_request(work, store, server)
        assert card(store)["final"] is False
        done = run(work, store)

        assert (done.code, server.ledger.paid_twice()) == (0, {}), done.err
        assert server.ledger.billed == 2
        assert card(store)["final"] is True


def test_another_machine_pays_for_nothing_of_which_only_a_copy_tells(
    tmp_path: Path, store: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenancy, "TERMS", Terms(beat_s=20.0, stale_s=-5.0))
    with SegmindStandIn(queued_s=0, processing_s=2.0) as server:
        killed_in_a_request(machine(tmp_path / "lost", server), store, server)
        seen = server.ledger.submits_seen
        work = machine(tmp_path / "new", server)
        done = run(work, store)

        assert (done.code, server.ledger.submits_seen) == (2, seen), done.err
        assert "--take-copy" in done.err
        assert not (work.folder / "checkpoint.sqlite3").exists()


def test_a_copy_that_is_taken_looks_into_the_history_first(
    tmp_path: Path, store: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenancy, "TERMS", Terms(beat_s=20.0, stale_s=-5.0))
    with SegmindStandIn(queued_s=0, processing_s=2.0) as server:
        killed_in_a_request(machine(tmp_path / "lost", server), store, server)
        work = machine(tmp_path / "new", server)
        done = run(work, store, "--take-copy")

        assert (done.code, server.ledger.paid_twice()) == (0, {}), done.err
        assert server.ledger.billed == 2, "each row once, whoever sent it"
        assert work.statuses() == {"a": "succeeded", "b": "succeeded"}


@pytest.mark.parametrize(
    "part",
    [
        "videos/a",
        "record/",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("results.csv", "batchmod.json", "lease/")),
    ],
)
def test_a_kill_while_something_goes_up_leaves_it_whole_or_not_there(
    tmp_path: Path, store: Bucket, server: SegmindStandIn, part: str
) -> None:
    work = machine(tmp_path, server)
    killed_at(work, store, lambda asked: asked.verb in ("PUT", "POST") and part in asked.key)
    for key in store.names():
        name = key.removeprefix(UP)
        if name.startswith("videos/"):
            assert store.read(key) == (work.folder / name).read_bytes()
    if f"{UP}batchmod.json" in store.names() and card(store)["record"]:
        assert UP + card(store)["record"] in store.names()
    done = run(work, store)

    assert (done.code, server.ledger.billed, server.ledger.paid_twice()) == (0, 2, {}), done.err
    for name in ("videos/a_v001.mp4", "videos/b_v001.mp4", "results.csv"):
        assert store.read(UP + name) == (work.folder / name).read_bytes()
    assert card(store)["final"] is True


def test_the_record_goes_up_while_a_run_is_on(tmp_path: Path, store: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_copies, "EVERY_S", 0.1)
    with SegmindStandIn(queued_s=0, processing_s=1.5) as server:
        seen: list[dict[str, Any]] = []

        def watch(asked: Asked) -> int | None:
            if asked.verb == "PUT" and "record/" in asked.key and f"{UP}batchmod.json" in store.names():
                seen.append(card(store))
            return None

        store.fault = watch
        work = machine(tmp_path, server)
        assert run(work, store).code == 0

    under_way = [each for each in seen if each["unfinished"]]
    assert under_way
    assert not any(each["final"] for each in under_way)
    assert under_way[-1]["unfinished"][0]["provider"] == "segmind"
    assert len([key for key in store.names() if "record/" in key]) == 1


def test_a_take_over_that_was_killed_begins_anew(
    tmp_path: Path, store: Bucket, server: SegmindStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(machine(tmp_path / "lost", server), store)
    work = machine(tmp_path / "new", server)
    killed_at(work, store, lambda asked: asked.verb == "GET" and "events.jsonl" in asked.key)
    assert not (work.folder / "checkpoint.sqlite3").exists()
    done = run(work, store)

    assert (done.code, server.ledger.billed) == (0, 2), done.err
    assert not (work.folder / ".taking").exists()


def test_a_large_file_whose_upload_was_killed_is_not_there_and_goes_up_whole_later(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    work = machine(tmp_path, server, "a")
    assert run(work, store, "--output", str(work.folder)).code == 0
    large = work.folder / "videos" / "large.mov"
    large.write_bytes(bytes(40 << 20))
    killed_at(
        work, store, lambda asked: asked.verb == "PUT" and "large.mov" in asked.key and "partNumber=2" in asked.query
    )
    assert f"{UP}videos/large.mov" not in store.names()
    done = run(work, store)

    assert (done.code, server.ledger.submits_seen) == (0, 1), done.err
    assert len(store.read(f"{UP}videos/large.mov")) == 40 << 20


def test_a_run_never_puts_its_record_over_another_ones(tmp_path: Path, store: Bucket, server: SegmindStandIn) -> None:
    """It slept, another run went on, and it wakes up at its very end."""
    work = machine(tmp_path, server)
    theirs = b'{"schema_version": 1, "marks": ["x"], "folder_id": "f", "manifest": "m", "run_id": "x", "machine": "y", '
    theirs += b'"at": "2026-05-03T10:00:00.000Z", "final": true}'

    def meddle(asked: Asked) -> int | None:
        if asked.verb == "PUT" and "results.csv" in asked.key:
            store.fault = lambda _: None
            store.client.put_object(Bucket="shots", Key=f"{UP}batchmod.json", Body=theirs)
        return None

    store.fault = meddle
    done = run(work, store)

    assert (done.code, server.ledger.billed) == (3, 2), done.err
    assert store.read(f"{UP}batchmod.json") == theirs
    assert "lease_lost" in done.err


def test_a_store_is_no_path_for_the_commands_that_read_the_record(tmp_path: Path, store: Bucket) -> None:
    for command in ("status", "report", "resolve"):
        done = call(command, STORE, environ=store.environ)

        assert done.code == 2
        assert "give the manifest" in done.err


@pytest.mark.parametrize("output", ["s3://", "s3:///x", "s3://b/../c", "s3://b/c?d=e", "ftp://host/x", "s3://b/a//c"])
def test_an_output_that_is_no_place_is_a_mistake_in_the_manifest_and_on_the_command_line(
    tmp_path: Path, server: SegmindStandIn, output: str
) -> None:
    wrong = machine(tmp_path / "a", server, output=output)
    done = call("check", wrong.manifest, environ=wrong.environ)
    right = machine(tmp_path / "b", server)
    said = call("plan", right.manifest, "--output", output, environ=right.environ)

    assert (done.code, said.code) == (2, 2)
    assert "shots.yaml:2" in done.err
    assert "--output" in said.err


def test_two_manifests_do_not_share_a_place(tmp_path: Path, server: SegmindStandIn) -> None:
    both = [machine(tmp_path / name, server, name).manifest for name in ("a", "b")]
    done = call("plan", *both, environ={"BATCHMOD_HOME": str(tmp_path / "home")})

    assert done.code == 2
    assert "share one place" in done.err


def test_check_and_plan_say_what_another_machine_has_left_and_write_nothing(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    run(machine(tmp_path / "one", server), store)
    work = machine(tmp_path / "two", server)
    store.forget()
    check = call("check", work.manifest, "--no-media", environ=work.environ | store.environ)
    plan = call("plan", work.manifest, "--provider", "segmind", environ=work.environ | store.environ)

    for done in (check, plan):
        assert done.code == 0
        assert "holds a record of" in done.err
        assert "takes it down first" in done.err
    assert {each.verb for each in store.asked} <= {"GET", "HEAD"}
    assert not work.folder.exists()


def test_check_says_that_a_run_could_not_use_the_store(tmp_path: Path, store: Bucket, server: SegmindStandIn) -> None:
    work = machine(tmp_path, server, output="s3://nobody-has-this/autumn")
    done = call("check", work.manifest, "--no-media", environ=work.environ | store.environ)

    assert done.code == 0
    assert "bucket_missing" in done.err


def test_copies_that_are_up_are_not_made_again_on_another_machine(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    def rows(folder: Path) -> list[dict[str, Any]]:
        write_clip(folder / "a.mp4")
        return [{"id": "a", "video_url": "a.mp4", "prompt": "as wool"}]

    one = machine(tmp_path / "one", server, rows=rows(tmp_path / "one"))
    first = run(one, store, "--deliver", "h264")
    assert f"{UP}delivered/a_v001.mp4" in store.names(), first.err
    two = machine(tmp_path / "two", server, rows=rows(tmp_path / "two"))
    store.forget()
    done = run(two, store, "--deliver", "h264")

    assert (done.code, server.ledger.billed) == (0, 1), done.err
    assert "no copy" not in done.err
    assert not [each for each in store.asked if each.verb == "PUT" and each.key.endswith(".mp4")]
    assert two.results()["a"]["delivered"] == "delivered/a_v001.mp4"


def test_an_interrupted_run_still_puts_its_record_up(tmp_path: Path, store: Bucket) -> None:
    with SegmindStandIn(queued_s=0, processing_s=30.0) as server:
        work = machine(tmp_path, server, "a")
        with begun(work, store) as process:
            until = time.monotonic() + 30
            while server.ledger.submits_seen < 1 and time.monotonic() < until:
                time.sleep(0.02)
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=30)

        assert process.returncode == 130, said
        assert card(store)["final"] is True
        assert card(store)["unfinished"][0]["status"] == "submitted"
        work_elsewhere = machine(tmp_path / "two", server, "a")
        server.advance(60)
        done = run(work_elsewhere, store)
        assert (done.code, server.ledger.billed, server.ledger.submits_seen) == (0, 1, 1), done.err
