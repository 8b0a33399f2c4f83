"""`batchmod status --watch`: a run seen from a second terminal, without disturbing it."""

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from batchmod import files
from batchmod.app.watching import Phase, Watch
from batchmod.checkpoint import FILE_NAME
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Shoot, bare_environment, call, remote_rows, shoot

VALIDATOR = Draft202012Validator(files.schema("status"))


LONG = "日本語のとても長い名前" * 6


@pytest.fixture
def slow() -> Iterator[SegmindStandIn]:
    """A service that takes its time until it is told not to."""
    with SegmindStandIn(queued_s=0, processing_s=600) as standin:
        yield standin


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shoot, "subprocess.Popen[str]"]]:
    """A run that goes on, for those who only look at it."""
    rows = [{"id": LONG, "video_url": "https://example.com/a.mp4", "prompt": "as wool"}, *remote_rows("b")]
    with SegmindStandIn(queued_s=0, processing_s=600) as standin:
        work = shoot(tmp_path_factory.mktemp("lively"), standin, rows)
        with going_on(work) as run:
            yield work, run


@contextmanager
def going_on(work: Shoot) -> Iterator["subprocess.Popen[str]"]:
    """A run in a process of its own, until its first request is accepted."""
    words = ("run", str(work.manifest), "--provider", "segmind", "--yes", "--drain-seconds", "1", "--json", *PACE)
    run = subprocess.Popen(
        [sys.executable, "-m", "batchmod", *words],
        env=bare_environment() | work.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert run.stdout is not None
        while '"submitted"' not in run.stdout.readline():
            assert run.poll() is None
        yield run
    finally:
        run.kill()
        run.communicate()


def objects(out: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in out.splitlines()]
    for each in found:
        VALIDATOR.validate(each)
    return found


def test_a_run_that_goes_on_is_seen_with_what_is_in_flight(lively: tuple[Shoot, "subprocess.Popen[str]"]) -> None:
    work, run = lively
    (seen,) = objects(json.dumps(json.loads(call("status", work.folder, "--json", environ={}).out)))
    said = call("status", work.manifest, environ={}).out

    assert (seen["phase"], seen["holder"]) == ("running", f"process {run.pid}")
    assert seen["counts"].get("submitted", 0) >= 1
    assert seen["reserved_usd"] > 0
    flight = seen["in_flight"][0]
    assert (flight["provider"], flight["phase"]) == ("segmind", "at the provider")
    assert flight["request_id"]
    assert f"run {seen['run']['run_id']} has gone on for" in said


def test_a_watch_ends_with_the_run(slow: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, slow, remote_rows("a"))
    with going_on(work) as run, watching(work.folder, "--json") as watch:
        assert watch.stdout is not None
        first = watch.stdout.readline()
        run.send_signal(signal.SIGINT)
        told = objects(first + watch.communicate(timeout=60)[0])

    assert watch.returncode == 0
    assert (told[0]["phase"], told[-1]["phase"]) == ("running", "ended")
    assert (told[-1]["run"]["exit_code"], told[-1]["run"]["stop_reason"]) == (130, "sigint")


@contextmanager
def watching(path: Path, *more: str) -> Iterator["subprocess.Popen[str]"]:
    """A watch in a process of its own."""
    words = ("status", str(path), "--watch", "--interval", "0.2", *more)
    watch = subprocess.Popen(
        [sys.executable, "-m", "batchmod", *words],
        env=bare_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield watch
    finally:
        watch.kill()
        watch.communicate()


def test_after_a_kill_no_run_is_alive(slow: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, slow, remote_rows("a"))
    with going_on(work) as run:
        run.kill()
        run.wait()
        watch = call("status", work.folder, "--watch", "--interval", "0.01", environ={})
        once = call("status", work.folder, environ={})

    assert (watch.code, once.code) == (0, 0)
    assert "no run is alive" in watch.out
    assert "was cut off; say the same `batchmod run` again" in once.out
    assert watch.out.count("\n") == 1


def test_before_the_first_run_a_watch_waits_and_says_so(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        with watching(work.manifest) as watch:
            assert watch.stdout is not None
            first = watch.stdout.readline()
            assert not work.folder.exists()
            work.run()
            rest = watch.communicate(timeout=60)[0]

    assert "no run yet; waiting for one to begin" in first
    assert "ended with 0" in rest.splitlines()[-1]
    assert watch.returncode == 0


def test_ctrl_c_ends_a_watch_and_nothing_else(lively: tuple[Shoot, "subprocess.Popen[str]"]) -> None:
    work, run = lively
    with watching(work.folder) as watch:
        assert watch.stdout is not None
        assert "goes on; " in watch.stdout.readline()
        watch.send_signal(signal.SIGINT)
        out, err = watch.communicate(timeout=60)

    assert (watch.returncode, out, err) == (130, "", "")
    assert run.poll() is None


def test_several_folders_are_shown_one_by_one(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        works = [shoot(tmp_path / name, server, remote_rows(name)) for name in ("one", "two")]
        for work in works:
            work.run()
    folders = [work.folder for work in works]
    said, told = call("status", *folders, environ={}), call("status", *folders, "--json", environ={})

    assert [line for line in said.out.splitlines() if "1 succeeded" in line][1].startswith(str(works[1].folder))
    assert [each["output"] for each in objects(told.out)] == [str(work.folder) for work in works]


def test_a_watch_holds_no_lock_that_a_commit_or_a_new_run_waits_for(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b"))
        work.run()
    with Watch(work.folder) as watch, closing(sqlite3.connect(work.folder / FILE_NAME, timeout=0.0)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        seen = watch.look().seen
        assert seen is not None
        for _ in range(50):  # with no patience at all, each of these would fail where anybody held a lock
            with db:
                db.execute("UPDATE work SET attempts = attempts + 1")
            watch.look()
        assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        with files.locked(work.folder):
            assert watch.look().phase is Phase.PREPARING
        assert seen.rows == 2


def test_a_look_writes_nothing_and_makes_nothing(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        work.run()
    before = {path: path.read_bytes() for path in work.folder.rglob("*") if path.is_file()}
    with Watch(work.folder) as watch:
        watch.look()
        watch.look()

    assert {path: path.read_bytes() for path in work.folder.rglob("*") if path.is_file()} == before


def test_on_a_terminal_it_is_drawn_over_itself_and_no_wider(lively: tuple[Shoot, "subprocess.Popen[str]"]) -> None:
    words = ("status", str(lively[0].folder), "--watch", "--interval", "0.2")
    shown = _on_a_terminal(words, columns=40)
    screens = shown.split("\x1b[J")

    assert len(screens) >= 3
    assert screens[1].startswith("\x1b[")
    assert "A\r" in screens[1]
    lines = [line.split("\r")[-1] for line in screens[1].replace("\x1b[K", "").split("\r\n")]
    assert lines
    assert all(sum(2 if ord(each) > 0x2E80 else 1 for each in line) <= 40 for line in lines)
    assert any(line.endswith("...") for line in lines)


def _on_a_terminal(words: tuple[str, ...], *, columns: int) -> str:
    """What a command shows on a terminal of so many columns until it has drawn four times."""
    import fcntl
    import struct
    import termios

    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environ = bare_environment() | {"PYTHONIOENCODING": "utf-8", "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-m", "batchmod", *words], env=environ, stdout=far, stderr=far) as watch:
        os.close(far)
        shown, until = b"", time.monotonic() + 60
        while shown.count(b"\x1b[J") < 4 and time.monotonic() < until:
            shown += os.read(near, 65536)
        watch.kill()
    os.close(near)
    return shown.decode("utf-8", "replace")
