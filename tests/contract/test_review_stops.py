"""A hand on the brake, a full disk, and eyes on a folder that is being worked on."""

import json
import os
import pty
import resource
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from batchmod import app, files
from batchmod.checkpoint import BALLAST_NAME, FILE_NAME, Checkpoint
from tests.disks import FILM, fill, small_disk
from tests.servers.clips import Clip, encoded
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Shoot, bare_environment, call, remote_rows, shoot, write_clip, write_manifest

Process = subprocess.Popen[str]


@contextmanager
def running(
    work: Shoot,
    *argv: str,
    also: tuple[Path, ...] = (),
    most_bytes: int | None = None,
    word: tuple[str, ...] = ("--yes",),
) -> Iterator[Process]:
    """A paid run in a process of its own; `most_bytes`: no file of its may be larger; `word`: for the money."""
    manifests = map(str, (work.manifest, *also))
    words = ("run", *manifests, "--provider", "segmind", *word, "--history-grace", "0.3", *PACE, *argv)
    process = subprocess.Popen(
        [sys.executable, "-m", "batchmod", *words],
        env=bare_environment() | work.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if most_bytes is not None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: Process) -> tuple[int, str]:
    """Exit code and what it said."""
    _, err = process.communicate(timeout=30)
    return process.returncode, err


def test_a_stop_while_a_request_is_in_the_air_waits_for_its_id_and_no_longer(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=600) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        server.faults.add("delay_then_accept", on="submit", seconds=1.5)
        with running(work) as process:
            server.ledger.wait_until(lambda ledger: ledger.submits_seen == 1, timeout_s=20)
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            code, err = ended(process)

        assert (code, work.statuses(), server.ledger.accepted) == (130, {"one": "submitted"}, 1), err
        assert work.results()["one"]["request_id"] == server.ledger.jobs[0].request_id

        server.advance(600)

        assert (work.run().code, server.ledger.submits_seen) == (0, 1)


def test_a_stop_in_the_first_of_two_manifests_does_not_begin_the_second(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=600) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        second = write_manifest(tmp_path / "second.yaml", remote_rows("b1", "b2"))
        with running(work, also=(second,)) as process:
            server.ledger.wait_until(lambda ledger: ledger.polls >= 1, timeout_s=20)
            process.send_signal(signal.SIGINT)
            code, err = ended(process)

        assert (code, server.ledger.submits_seen) == (130, 1), err
        assert not (tmp_path / "outputs/second/videos").exists()


def test_after_a_stop_nothing_is_sent_up_and_nobody_waits_for_his_turn(tmp_path: Path) -> None:
    ids = [f"r{number:02}" for number in range(20)]
    for row_id in ids:
        write_clip(tmp_path / f"{row_id}.mp4", mark=row_id)
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, [{"id": row_id, "video_url": f"{row_id}.mp4"} for row_id in ids])
        server.faults.add("error_406_credits", times=None)
        began = time.monotonic()
        done = work.run("--submits-per-minute", "6")

        assert (done.code, server.ledger.submits_seen) == (3, 1)
        assert server.ledger.uploads <= 8
        assert time.monotonic() - began < 8


def test_a_time_that_was_given_counts_from_the_command_also_while_it_waits_for_the_folder(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        with ExitStack() as lock:
            lock.enter_context(held(work.folder))
            with running(work, "--if-locked", "wait", "--until", "1s") as process:
                time.sleep(3)
                lock.close()
                code, err = ended(process)

        assert (code, server.ledger.submits_seen) == (3, 0), err
        assert "the time that was given is over" in err


def test_a_stop_ends_the_wait_for_a_folder(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        with held(work.folder), running(work, "--if-locked", "wait") as process:
            time.sleep(2)
            process.send_signal(signal.SIGTERM)
            code, err = ended(process)

        assert (code, server.ledger.submits_seen) == (143, 0), err


def test_a_stop_while_the_history_is_asked_asks_nothing_more_of_anybody(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("known", "lost"))
        server.faults.add("accept_then_reset", on="submit", match="/lost.mp4")
        work.run(environ={name: value for name, value in work.environ.items() if "HISTORY" not in name})
        work.rows(remote_rows("known", "lost", "new"))
        server.faults.add("accept_then_delay", on="history", times=None, seconds=2)
        seen = len(server.ledger.requests)
        with running(work, word=()) as process:
            server.ledger.wait_until(lambda ledger: len(ledger.requests) > seen, timeout_s=20)
            process.send_signal(signal.SIGTERM)
            code, err = ended(process)

        assert (code, server.ledger.submits_seen) == (143, 2), err


def test_whoever_stops_reading_events_does_not_stop_the_run(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one", "two"))
        with running(work, "--json") as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.close()
            process.stdout = None
            code, err = ended(process)

        assert (code, err, work.statuses()) == (0, "", {"one": "succeeded", "two": "succeeded"})


def test_an_event_after_one_that_was_cut_is_whole(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        work.run()
        events = work.folder / "events.jsonl"
        events.write_bytes(events.read_bytes()[:-20])
        work.rows(remote_rows("one", "two"))
        work.run()
        lines = events.read_text(encoding="utf-8").splitlines()

    cut = [number for number, line in enumerate(lines) if not line.endswith("}")]
    assert len(cut) == 1
    assert json.loads(lines[cut[0] + 1])["event"] == "run_started"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """A folder that another run is working in."""
    folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder):
        yield


def test_ctrl_c_at_the_question_ends_it(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "batchmod", "run", str(work.manifest), "--provider", "segmind"],
            env=bare_environment() | work.environ,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        try:
            shown = b""
            while b"[y/N]" not in shown:
                shown += os.read(ours, 1000)
            process.send_signal(signal.SIGINT)
            code = process.wait(10)
        finally:
            process.kill()
            process.wait()
            os.close(ours)
            os.close(theirs)

        assert (code, server.ledger.submits_seen) == (130, 0)


def test_without_room_for_the_ballast_nothing_is_sent(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        with running(work, most_bytes=600_000) as process:
            code, err = ended(process)

        assert (code, server.ledger.requests) == (3, ()), err
        assert "disk_full" in err
        assert not (work.folder / BALLAST_NAME).exists()
        assert work.run().code == 0
        assert (work.folder / BALLAST_NAME).stat().st_size == 1 << 20


@pytest.mark.parametrize("in_flight", [1, 6])
def test_every_receipt_is_written_down_on_a_disk_that_fills_up(tmp_path: Path, in_flight: int) -> None:
    ids = [f"r{number}" for number in range(10)]
    with SegmindStandIn(queued_s=0, processing_s=0) as server, small_disk(tmp_path / "disk", megabytes=64) as disk:
        work = shoot(tmp_path, server, remote_rows(*ids), output=str(disk / "shots"))
        server.faults.add("accept_then_delay", on="submit", times=None, seconds=1.0, after=1)
        with running(work, "--max-in-flight", str(in_flight)) as process:
            server.ledger.wait_until(lambda ledger: ledger.accepted == 1 + in_flight, timeout_s=20)
            fill(disk)
            code, err = ended(process)
        with closing(sqlite3.connect(disk / "shots" / FILE_NAME)) as db:
            known = {row[0] for row in db.execute("SELECT request_id FROM attempt WHERE request_id IS NOT NULL")}

        assert (code, "Traceback" in err) == (3, False), err
        assert known == {job.request_id for job in server.ledger.jobs}

        (disk / FILM).unlink()
        server.faults.clear()

        assert (work.run().code, server.ledger.paid_twice(), server.ledger.accepted) == (0, {}, 10)


def test_a_disk_that_fills_up_while_an_output_is_fetched_is_no_bug(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(encoded(Clip()) + struct.pack(">I4s", 8 + 3_000_000, b"free") + bytes(3_000_000))
    with SegmindStandIn(queued_s=0, processing_s=0, output=film) as server:
        work = shoot(tmp_path, server, remote_rows("one", "two"))
        with running(work, most_bytes=2_000_000) as process:
            code, err = ended(process)

        assert (code, "disk_full" in err, "Traceback" in err) == (3, True, False), err
        assert (work.run().code, server.ledger.paid_twice(), len(work.outputs())) == (0, {}, 2)


def test_looking_at_a_folder_again_and_again_never_holds_up_the_run_in_it(tmp_path: Path) -> None:
    path, end = tmp_path / FILE_NAME, time.monotonic() + 3.0
    with Checkpoint.open(path) as run, closing(sqlite3.connect(path, isolation_level=None)) as old:
        run.begin_run("a", at=1.0)
        old.execute("BEGIN")
        old.execute("SELECT count(*) FROM run").fetchone()
        run.begin_run("b", at=2.0)

        def look() -> None:
            while time.monotonic() < end:
                app.standing(tmp_path)

        looking = [threading.Thread(target=look) for _ in range(2)]
        for thread in looking:
            thread.start()
        slowest = 0.0
        while time.monotonic() < end:
            began = time.monotonic()
            run.set_facts({"x": str(began)})
            slowest = max(slowest, time.monotonic() - began)
        for thread in looking:
            thread.join()

    assert slowest < 1.5


@pytest.mark.parametrize("words", [("status",), ("plan", "--provider", "segmind"), ("report", "--no-scores")])
def test_looking_at_a_folder_that_is_written_to_waits_for_nobody_and_leaves_nothing(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        work.run()
        record = (work.folder / FILE_NAME).read_bytes()
        names = {path.name for path in work.folder.iterdir()}
        with closing(sqlite3.connect(work.folder / FILE_NAME, isolation_level=None)) as run:
            run.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            done = call(words[0], work.manifest, *words[1:], environ=work.environ)
            run.execute("ROLLBACK")

        assert (done.code, time.monotonic() - began < 4) == (0, True), done.err
        assert (work.folder / FILE_NAME).read_bytes() == record
        assert {path.name for path in work.folder.iterdir()} == names
