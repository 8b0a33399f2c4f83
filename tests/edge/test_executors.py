"""Worker processes: without our keys, deaf to Ctrl-C, gone with us, stopped at once."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchmod import executors
from batchmod.executors import Inline, Processes
from batchmod.work import WorkerDied

ROOT = Path(__file__).parents[2]
KEYS = ("SEGMIND_API_KEY", "ANOTHER_KEY")


@contextmanager
def pool(count: int = 1) -> Iterator[Processes]:
    opened = Processes(count, drop_environment=KEYS)
    try:
        yield opened
    finally:
        opened.close()


def children_of(pid: int) -> list[int]:
    """The processes that a process has started, by Linux's own account."""
    return [int(word) for task in Path(f"/proc/{pid}/task").glob("*/children") for word in task.read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def gone_within(seconds: float, *pids: int) -> bool:
    end = time.monotonic() + seconds
    while any(map(is_alive, pids)):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_inline_work_gives_its_result_and_its_error() -> None:
    inline = Inline()

    assert asyncio.run(inline.submit(divmod, 7, 2)) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(inline.submit(divmod, 1, 0))
    inline.close()


def test_work_gives_its_result_and_its_error_from_another_process() -> None:
    async def work() -> tuple[int, int]:
        found = await executor.submit(divmod, 7, 2), await executor.submit(os.getpid)
        with pytest.raises(ZeroDivisionError):
            await executor.submit(divmod, 1, 0)
        assert found[0] == (3, 1)
        return found[1], os.getpid()

    with pool() as executor:
        there, here = asyncio.run(work())

    assert there != here


def test_a_worker_has_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", "sk-1")
    monkeypatch.setenv("HARMLESS", "yes")
    with pool() as executor:
        found = [asyncio.run(executor.submit(os.getenv, name)) for name in (*KEYS, "HARMLESS")]

    assert found == [None, None, "yes"]
    assert os.environ["SEGMIND_API_KEY"] == "sk-1"


def test_a_worker_leaves_ctrl_c_to_its_parent() -> None:
    with pool() as executor:
        found = asyncio.run(executor.submit(signal.getsignal, signal.SIGINT))

    assert found is signal.SIG_IGN


def test_a_worker_is_no_fork() -> None:
    """A forked worker would inherit the lock of the output folder."""
    with pool() as executor:
        pid = asyncio.run(executor.submit(os.getpid))
        words = Path(f"/proc/{pid}/cmdline").read_text()

    assert "spawn_main" in words


def test_closing_ends_running_work_at_once() -> None:
    async def work() -> float:
        running = [asyncio.create_task(executor.submit(time.sleep, 60)) for _ in range(3)]
        pid = await executor.submit(os.getpid)
        began = time.monotonic()
        executor.close()
        ends = await asyncio.wait_for(asyncio.gather(*running, return_exceptions=True), 5)
        assert all(isinstance(end, BaseException) for end in ends)
        assert gone_within(5, pid)
        return time.monotonic() - began

    with pool(4) as executor:
        assert asyncio.run(work()) < 5


@pytest.mark.skipif(sys.platform == "win32", reason="there is no nice(2)")
def test_workers_can_be_made_to_give_way() -> None:
    executor = Processes(1, nicer=3)
    try:
        assert asyncio.run(executor.submit(os.nice, 0)) == min(19, os.nice(0) + 3)
    finally:
        executor.close()


def test_closing_twice_or_unused_is_nothing() -> None:
    executor = Processes(1)
    executor.close()
    executor.close()


def test_a_worker_that_dies_does_not_end_what_comes_later() -> None:
    async def work() -> int:
        with pytest.raises(WorkerDied):
            await executor.submit(os._exit, 1)
        return await executor.submit(os.getpid)

    with pool() as executor:
        assert asyncio.run(work()) != os.getpid()


PARENT = """
import asyncio, os, sys, time
sys.path.insert(0, sys.argv[1])
from batchmod.executors import Processes

async def work():
    executor = Processes(2)
    await asyncio.gather(executor.submit(os.getpid), executor.submit(time.sleep, 0.3))
    busy = [asyncio.create_task(executor.submit(time.sleep, 120)) for _ in range(int(sys.argv[2]))]
    await asyncio.sleep(0.2)
    print("ready", flush=True)
    await asyncio.sleep(120)

if __name__ == "__main__":
    asyncio.run(work())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("busy", [0, 2])
def test_workers_end_when_their_parent_is_killed(tmp_path: Path, busy: int) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT, "utf-8")
    words = [sys.executable, str(script), str(ROOT), str(busy)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        workers = children_of(parent.pid)
        parent.kill()
        parent.wait()

    gone = gone_within(5, *workers)
    for pid in filter(is_alive, workers):
        os.kill(pid, signal.SIGKILL)

    assert len(workers) >= 2
    assert gone


def test_the_cores_are_those_this_process_may_use() -> None:
    assert 1 <= executors.cores() <= (os.cpu_count() or 1)
