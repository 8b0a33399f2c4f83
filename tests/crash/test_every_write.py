"""Killed at any write, sync, rename, connect or send it makes, a run pays once and leaves only whole files."""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from batchmod import index
from tests.servers.segmind import SegmindStandIn
from tests.storms import disagreements, environ, half_files, marked_without_a_file
from tests.support import PACE, Shoot, remote_rows, shoot, write_clip

CALLS = (
    *("write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "rename", "renameat", "renameat2"),
    *("link", "linkat", "unlink", "unlinkat", "connect", "sendto", "sendmsg"),
)
"""What leaves a trace outside of the process."""
NEED = {"pwrite64", "fsync", "fdatasync", "rename", "link", "connect", "sendto"}
"""What a run surely makes: the record, names given, requests."""
SAMPLE = (
    *(("connect", 1.0), ("sendto", 0.4), ("sendto", 0.6), ("sendto", 0.9), ("link", 1.0)),
    *(("rename", 0.5), ("fsync", 0.6), ("fdatasync", 0.5), ("fdatasync", 0.8), ("pwrite64", 0.7)),
)
"""(call, where among all the run makes of it)."""
LINE = Path(__file__).with_name("one_thread.py")


@cache
def why_not() -> str:
    """Why calls cannot be counted here; empty where they can."""
    if shutil.which("strace") is None:
        return "strace is not installed (apt-get install strace)"
    probe = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=write:signal=SIGKILL:when=1", "echo"]
    killed = subprocess.run(probe, capture_output=True, check=False).returncode == -signal.SIGKILL
    return "" if killed else "strace may not trace here"


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


def set_up(folder: Path, server: SegmindStandIn) -> Shoot:
    """A batch with one row done, which proves the history, and one to be uploaded, sent and fetched."""
    work = shoot(folder, server, remote_rows("proof"))
    assert work.run().code == 0
    write_clip(folder / "one.mp4", mark="one")
    work.rows([*remote_rows("proof"), {"id": "one", "video_url": "one.mp4", "prompt": "as wool, one"}])
    return work


def traced(work: Shoot, *how: str) -> int:
    """A run under the tracer; its exit code."""
    run = ["run", str(work.manifest), "--provider", "segmind", "--yes", "--quiet", "--history-grace", "0.3", *PACE]
    words = ["strace", "-f", "-qq", *how, sys.executable, str(LINE), *run]
    return subprocess.run(words, env=environ(work), capture_output=True, timeout=120, check=False).returncode


def killed_at(work: Shoot, name: str, number: int) -> int:
    """A run that dies as it makes its n-th call of a name; its exit code."""
    inject = f"inject={name}:signal=SIGKILL:when={number}"
    return traced(work, "-o", "/dev/null", "-e", f"trace={name}", "-e", inject)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Counter[str]:
    """How many calls of each name an undisturbed run makes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = set_up(folder, server)
        code = traced(work, "-o", str(folder / "trace"), "-e", f"trace={','.join('?' + name for name in CALLS)}")
        assert (code, disagreements(work, ["proof", "one"])) == (0, [])
    lines = (folder / "trace").read_text(encoding="utf-8").splitlines()
    return Counter(found[1] for line in lines if (found := re.match(r"\d+ +(\w+)\(", line)))


def broken_promises(
    folder: Path, name: str, number: int, *, start: Callable[[Path, SegmindStandIn], Shoot] = set_up
) -> list[str]:
    """Kill a run at its n-th call of a name, go on until the end, and say which promises did not hold."""
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = start(folder, server)
        code = killed_at(work, name, number)
        broken = [] if code == -signal.SIGKILL else [f"not killed, but ended with {code}"]
        broken += [*half_files(work, set()), *marked_without_a_file(work)]
        last = work.run()
        for _ in range(5):
            if last.code == 0:
                break
            time.sleep(0.35)
            last = work.run()
        broken += [] if last.code == 0 else [f"ended with {last.code}: {last.err}"]
        broken += disagreements(work, ["proof", "one"])
        return broken + ([] if server.ledger.accepted == 2 else [f"{server.ledger.accepted} accepted"])


def test_a_run_makes_the_calls_that_the_sweep_kills_at(made: Counter[str]) -> None:
    assert made.keys() >= NEED


@pytest.mark.parametrize(("name", "where"), SAMPLE)
def test_killed_at_a_call_and_run_again_everything_is_paid_once_and_whole(
    name: str, where: float, made: Counter[str], tmp_path: Path
) -> None:
    assert broken_promises(tmp_path, name, max(1, round(where * made[name]))) == []


def anew(folder: Path, server: SegmindStandIn) -> Shoot:
    """The same of somebody whose index of paid work is not there yet."""
    work = set_up(folder, server)
    shutil.rmtree(work.home)
    return work


@pytest.fixture(scope="module")
def index_writes(tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """Which of a run's writes into databases go into an index of paid work that it makes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        assert traced(anew(folder, server), "-y", "-o", str(folder / "trace"), "-e", "trace=pwrite64") == 0
    lines = (folder / "trace").read_text(encoding="utf-8").splitlines()
    writes = [line for line in lines if re.match(r"\d+ +pwrite64\(", line)]
    return [number for number, line in enumerate(writes, 1) if index.FILE_NAME in line.split(",")[0]]


@pytest.mark.parametrize("which", range(4))
def test_killed_while_the_index_of_paid_work_is_made_for_the_first_time_the_next_run_goes_on(
    which: int, index_writes: list[int], tmp_path: Path
) -> None:
    assert broken_promises(tmp_path, "pwrite64", index_writes[which], start=anew) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_every_single_write_into_a_new_index_everything_is_paid_once(
    index_writes: list[int], tmp_path: Path
) -> None:
    found = {n: broken_promises(tmp_path / str(n), "pwrite64", n, start=anew) for n in index_writes}

    assert {number: broken for number, broken in found.items() if broken} == {}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CALLS)
def test_killed_at_every_single_call_everything_is_paid_once_and_whole(
    name: str, made: Counter[str], tmp_path: Path
) -> None:
    broken = {}
    for number in range(1, made[name] + 1):
        found = broken_promises(tmp_path / str(number), name, number)
        # One more or fewer is a matter of how the loop was woken and how a body was cut into pieces.
        if found and not (number > made[name] - 4 and found[0].startswith("not killed")):
            broken[number] = found

    assert broken == {}
