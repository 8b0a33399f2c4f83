"""Jobs a second against bare loops that make the same requests per job and keep nothing.

`python -m benchmarks.throughput [--jobs 5000] [--in-flight 500]`: a loopback server that answers at once with a file
of 64 KB. batchmod keeps its record durable, checks every file and gives it its name; the loops throw everything away.
All of them ask for the same: a submit, a status, a result, a file.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks import batch
from benchmarks.provider import ROOT, asked, serving

CALLS = 4
"""Requests a job."""
BODY = {"video_url": "https://example.com/clip.mp4", "mode": "adhere_1", "prompt": "as wool"}

Fetch = Callable[[str, str], Awaitable[bytes]]


async def one(fetch: Fetch, origin: str) -> None:
    """One job, with nothing kept."""
    told = json.loads(await fetch("POST", f"{origin}/v2/modify-video"))
    assert json.loads(await fetch("GET", told["status_url"]))["status"] == "COMPLETED"
    await fetch("GET", json.loads(await fetch("GET", told["response_url"]))["output"])


async def loop(fetch: Fetch, origin: str, *, jobs: int, in_flight: int) -> float:
    """Seconds that so many jobs take, so many at once."""
    left = iter(range(jobs))

    async def worker() -> None:
        for _ in left:
            await one(fetch, origin)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return time.perf_counter() - began


async def bare_httpx(origin: str, *, jobs: int, in_flight: int, over_aiohttp: bool) -> float:
    import httpx
    from httpx_aiohttp import AiohttpTransport

    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    transport = AiohttpTransport(limits=limits) if over_aiohttp else httpx.AsyncHTTPTransport(limits=limits)
    async with httpx.AsyncClient(transport=transport, timeout=600) as client:

        async def fetch(method: str, url: str) -> bytes:
            answer = await client.request(method, url, json=BODY if method == "POST" else None)
            return answer.content

        return await loop(fetch, origin, jobs=jobs, in_flight=in_flight)


async def bare_aiohttp(origin: str, *, jobs: int, in_flight: int) -> float:
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:

        async def fetch(method: str, url: str) -> bytes:
            async with session.request(method, url, json=BODY if method == "POST" else None) as answer:
                return await answer.read()

        return await loop(fetch, origin, jobs=jobs, in_flight=in_flight)


LOOPS = {
    "httpx": lambda *a, **k: bare_httpx(*a, **k, over_aiohttp=False),
    "httpx over aiohttp": lambda *a, **k: bare_httpx(*a, **k, over_aiohttp=True),
    "aiohttp": bare_aiohttp,
}


def baseline(name: str, origin: str, *, jobs: int, in_flight: int) -> float:
    """Jobs a second of a bare loop, in a process of its own."""
    words = ["--loop", name, "--origin", origin, "--jobs", str(jobs), "--in-flight", str(in_flight)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "benchmarks.throughput", *words]
    seconds = float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{name:32}{jobs / seconds:8.1f}   {1e3 * cpu / jobs / CALLS:7.2f} ms", flush=True)
    return jobs / seconds


def of_batchmod(depth: str, origin: str, folder: Path, *, jobs: int, in_flight: int) -> float:
    """Jobs a second of batchmod, its start and its tables included."""
    manifest = batch.rows(folder / depth, jobs)
    ran = batch.run(manifest, origin, "--max-in-flight", str(in_flight), "--verify", depth, *batch.FAST)
    if ran.code or ran.statuses.get("succeeded") != jobs:
        raise SystemExit(f"batchmod ended with {ran.code}: {ran.statuses} {ran.said}")
    name = f"batchmod --verify {depth}"
    a_job = f"{1e3 * ran.cpu_s / jobs:.2f} ms of CPU a job, {1e3 * ran.main_cpu_s / jobs:.2f} in the main thread"
    print(f"{name:32}{jobs / ran.wall_s:8.1f}   {1e3 * ran.cpu_s / jobs / CALLS:7.2f} ms   {a_job}", flush=True)
    return jobs / ran.wall_s


def verification(file: Path) -> None:
    """What a check costs by itself, in CPU time."""
    from batchmod import work

    for depth in ("container", "decode"):
        began = time.process_time()
        for _ in range(20):
            work.verify_video(str(file), depth)  # type: ignore[arg-type]
        print(f"a check with --verify {depth}: {1e3 * (time.process_time() - began) / 20:.1f} ms of CPU")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--loop-jobs", type=int, help="jobs of the bare loops, where they are to be fewer")
    parser.add_argument("--in-flight", type=int, default=500)
    parser.add_argument("--folder", type=Path, help="where outputs go: its disk counts")
    parser.add_argument("--loop", choices=LOOPS, help=argparse.SUPPRESS)
    parser.add_argument("--origin", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.loop:
        print(asyncio.run(LOOPS[args.loop](args.origin, jobs=args.jobs, in_flight=args.in_flight)))
        return 0
    return compared(args)


def compared(args: argparse.Namespace) -> int:
    print(f"{batch.machine()}\n{args.jobs} jobs, {args.in_flight} in flight, {CALLS} requests a job, 64 KB outputs\n")
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        file = batch.clip(Path(name) / "clip.mp4")
        verification(file)
        print(f"\n{'':32}jobs/s   CPU a call")
        found: dict[str, float] = {}
        with serving("--file", file) as origin:
            for each in LOOPS:
                jobs = args.loop_jobs or args.jobs
                found[each] = baseline(each, origin, jobs=jobs, in_flight=args.in_flight)
            for depth in ("container", "decode"):
                found[depth] = of_batchmod(depth, origin, Path(name), jobs=args.jobs, in_flight=args.in_flight)
            told = asked(origin)
    calls = sum(told["counts"].values())
    print(f"\nthe server: {told['counts']}, {1e3 * told['cpu_s'] / calls:.2f} ms of CPU a call\n")
    over = found["httpx over aiohttp"]
    bars = (
        ("container", "httpx", 6.0), ("container", "httpx over aiohttp", 0.5), ("decode", "httpx", 2.0)
    )  # fmt: skip
    print(f"container: {found['container'] / over:.2f} of bare httpx over aiohttp (aim 0.8)")
    return max(
        batch.verdict(f"{mine}: {found[mine] / found[theirs]:.2f} times bare {theirs} (at least {bar})",
                      passed=found[mine] >= bar * found[theirs])
        for mine, theirs, bar in bars
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
