"""Two machines in turn, killed at random moments, a disk lost now and then: one store, and nothing is paid twice."""

import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.machines import begun, machine, run
from tests.servers.bucket import Bucket, bucket
from tests.servers.segmind import SegmindStandIn
from tests.support import Shoot

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL"),
]

ROWS = 10
RUNS = 14
FINE = (0, 1, 2, 3, 4, 130, -signal.SIGINT, -signal.SIGKILL)


def one_run(work: Shoot, store: Bucket, dice: random.Random) -> "tuple[int, str]":
    """A run that may be killed, or told to stop, before it ends by itself."""
    with begun(work, store, "--max-in-flight", "3") as process:
        try:
            said, _ = process.communicate(timeout=dice.uniform(0.5, 3.5))
        except subprocess.TimeoutExpired:
            process.send_signal(dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT]))
            said, _ = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_paid_twice_whichever_machine_goes_on(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    with bucket() as store, SegmindStandIn(queued_s=0, processing_s=0.3) as server:
        machines = [machine(tmp_path / name, server, *(f"r{n}" for n in range(ROWS))) for name in ("one", "two")]
        for _ in range(RUNS):
            work = dice.choice(machines)
            if dice.random() < 0.1:
                shutil.rmtree(work.folder, ignore_errors=True)
                shutil.rmtree(work.home, ignore_errors=True)
            code, said = one_run(work, store, dice)
            assert code in FINE, said
            assert "Traceback" not in said

        for work in machines:
            done = run(work, store)
            assert done.code in (0, 2), done.err  # refused, or whole
        assert server.ledger.paid_twice() == {}
        assert server.ledger.billed <= ROWS
