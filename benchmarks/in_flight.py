"""What it costs to have 5,000 jobs in flight that are all asked for.

`python -m benchmarks.in_flight [--jobs 5000]`: every job is asked for each 10 s, 500 questions a second, for a minute
in which none of them ends. The baseline is a bare loop of so many tasks that ask as often over the same HTTP client.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import batch
from benchmarks.provider import ROOT, asked, serving

EVERY_S = 10.0
CORE, MEGABYTES = 0.50, 400.0
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def megabytes(pid: int, name: str = "VmRSS") -> float:
    """Memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def watched(pid: int, origin: str, seconds: float) -> tuple[float, float, float]:
    """(share of a core, megabytes, questions a second) of a process over so many seconds."""
    before, questions, began = cpu_s(pid), asked(origin)["counts"].get("status", 0), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    asked_for = asked(origin)["counts"].get("status", 0) - questions
    return (cpu_s(pid) - before) / took, megabytes(pid, "VmHWM"), asked_for / took


def started(manifest: Path, origin: str, jobs: int) -> "subprocess.Popen[bytes]":
    """A run that leaves all jobs in flight."""
    environ = os.environ | {"SEGMIND_API_KEY": "k", "SEGMIND_BASE_URL": origin, "BATCHMOD_HOME": str(manifest.parent)}
    words = ["run", str(manifest), "--provider", "segmind", "--yes", "--quiet", "--max-in-flight", str(jobs)]
    pace = ["--submits-per-minute", "10000000", "--polls-per-minute", str(60 * jobs / EVERY_S)]
    return subprocess.Popen([sys.executable, "-m", "batchmod", *words, *pace], env=environ, cwd=ROOT)


async def bare(origin: str, jobs: int, seconds: float) -> None:
    """So many tasks, each asking every 10 s, over httpx and aiohttp."""
    import httpx
    from httpx_aiohttp import AiohttpTransport

    async with httpx.AsyncClient(transport=AiohttpTransport(limits=httpx.Limits(max_connections=100))) as client:
        (await client.post(f"{origin}/v2/modify-video", json={})).raise_for_status()

        async def ask(number: int) -> None:
            await asyncio.sleep(EVERY_S * number / jobs)
            while True:
                (await client.get(f"{origin}/status/0")).json()
                await asyncio.sleep(EVERY_S)

        tasks = [asyncio.ensure_future(ask(number)) for number in range(jobs)]
        await asyncio.sleep(EVERY_S + seconds + 5)
        for task in tasks:
            task.cancel()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare:
        asyncio.run(bare(args.bare, args.jobs, args.seconds))
        return 0
    print(f"{batch.machine()}\n{args.jobs} jobs, each asked for every {EVERY_S:.0f} s\n")
    print(f"{'':28}{'of a core':>10}{'memory':>10}{'asked/s':>9}{'CPU each':>10}")
    with tempfile.TemporaryDirectory() as name, serving("--takes-s", 3600) as origin:
        words = ["--bare", origin, "--jobs", str(args.jobs), "--seconds", str(args.seconds)]
        with subprocess.Popen([sys.executable, "-m", "benchmarks.in_flight", *words], cwd=ROOT) as process:
            time.sleep(EVERY_S + 2)
            line("bare httpx over aiohttp", *watched(process.pid, origin, args.seconds))
        with started(batch.rows(Path(name) / "batch", args.jobs), origin, args.jobs) as process:
            while len(asked(origin)["accepted"]) < args.jobs + 1:
                time.sleep(1)
            time.sleep(2 * EVERY_S)  # their first questions come quicker
            core, memory, rate = watched(process.pid, origin, args.seconds)
            line("batchmod", core, memory, rate)
            process.kill()
    print()
    enough = rate >= 0.9 * args.jobs / EVERY_S
    return batch.verdict(
        f"{core:.0%} of a core (under {CORE:.0%}), {memory:.0f} MB (under {MEGABYTES:.0f}), {rate:.0f} asked a second",
        passed=core < CORE and memory < MEGABYTES and enough,
    )


def line(name: str, core: float, memory: float, rate: float) -> None:
    print(f"{name:28}{core:10.1%}{memory:7.0f} MB{rate:9.0f}{1e3 * core / max(rate, 1e-9):7.2f} ms", flush=True)


if __name__ == "__main__":
    sys.exit(main())
