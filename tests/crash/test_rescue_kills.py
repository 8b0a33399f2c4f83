"""Killed between any two writes, a rescue leaves nothing that the next run would pay for."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.segmind import SegmindStandIn
from tests.support import Shoot, bare_environment, call, remote_rows, shoot

DRIVER = Path(__file__).with_name("between_writes.py")
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


def rescue(work: Shoot, *, k: int) -> int:
    """`rescue` in a process of its own, killed before its k-th transaction; its exit code."""
    words = ("rescue", str(work.manifest), "--provider", "segmind", "--polls-per-minute", "60000")
    return subprocess.run(
        [sys.executable, str(DRIVER), str(k), *words],
        env=bare_environment() | work.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    ).returncode


def test_a_rescue_killed_between_two_writes_leaves_nothing_to_be_paid(tmp_path: Path) -> None:
    """The row was given up, so a plain run leaves it alone; the history shows that it was accepted after all."""
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path / "work", server, remote_rows("a"))
        server.faults.add("accept_then_reset")
        environ = {name: value for name, value in work.environ.items() if "HISTORY" not in name}
        assert work.run(environ=environ).code == 1
        assert call("resolve", str(work.folder), "--give-up", "a", environ=work.environ).code == 0
        shutil.copytree(tmp_path / "work", tmp_path / "before")
        k, code = 0, -signal.SIGKILL
        while code == -signal.SIGKILL:
            k += 1
            shutil.rmtree(tmp_path / "work")
            shutil.copytree(tmp_path / "before", tmp_path / "work")
            code = rescue(work, k=k)
            assert work.run().code in (0, 1)
            assert server.ledger.submits_seen == 1, f"paid again after a kill before write {k}"

        assert (code, work.statuses()) == (0, {"a": "succeeded"})
        assert k > 5
