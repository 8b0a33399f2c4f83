"""How long a command takes to begin: `python -m benchmarks.start` holds it against `python -c "import httpx"`."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rows import write_sheet


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=15, help="how often each is started, in turn")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batchmod-start-") as folder:
        sheet = write_sheet(Path(folder) / "ten.csv", 10)
        batchmod = [sys.executable, "-m", "batchmod"]
        commands = {
            'python -c "import httpx"': [sys.executable, "-c", "import httpx"],
            "batchmod --help": [*batchmod, "--help"],
            "batchmod plan, ten rows": [*batchmod, "plan", str(sheet), "--provider", "segmind"],
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(chosen.times):
            for name, command in commands.items():
                taken[name].append(started(command, Path(folder)))
    base, *_ = (statistics.median(cpu for _, cpu in each) for each in taken.values())
    for name, each in taken.items():
        wall, cpu = (statistics.median(column) for column in zip(*each, strict=True))
        print(f"  {name}: {wall:.3f} s, {cpu:.3f} s of CPU, {cpu / base:.2f} times import httpx (medians)")
    return 0


def started(command: Sequence[str], home: Path) -> tuple[float, float]:
    """Seconds by the clock and of CPU from start to end."""
    environ = {**os.environ, "BATCHMOD_HOME": str(home / "home"), "PYTHONPATH": str(Path.cwd())}
    began = time.monotonic()
    child = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - began, used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
