"""A provider that lets so many submits a minute through and does not say so; a client told a hundred times that.

`python -m benchmarks.limit_finding [--per-minute 120] [--minutes 8]`, on the real clock; jobs take a minute and more.
The baseline runs at the same time against a provider of its own: after a 429 it waits a second, then two, four, ...
Then the same on a simulated clock, over an hour, for windows of the three kinds there are.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import threading
from pathlib import Path

from benchmarks import batch
from benchmarks.provider import asked, serving
from tests.pace_world import Bucket, Fixed, Sliding, World, untold

WARM_S = 150.0
JOB_S = 70.0
ENOUGH, FEW = 0.95, 0.02


async def naive(origin: str, until_s: float) -> None:
    """The loop people write: 16 at once, and ever longer sleeps after a 429."""
    import aiohttp

    async def worker(session: aiohttp.ClientSession) -> None:
        pause = 1.0
        while True:
            async with session.post(f"{origin}/v2/modify-video", json={}) as answer:
                refused = answer.status != 200
            pause = min(60.0, 2.0 * pause) if refused else 1.0
            await asyncio.sleep(pause * random.uniform(0.5, 1.0) if refused else 0.0)

    async with aiohttp.ClientSession() as session:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(worker(session) for _ in range(16))), until_s)


def told(origin: str, name: str, *, per_s: float, until_s: float) -> tuple[float, float]:
    """(share of the ideal, share refused) after the warm-up, and a line of the table."""
    seen = asked(origin)
    accepted = [at for at in seen["accepted"] if WARM_S <= at < until_s]
    refused = [at for at in seen["refused"] if WARM_S <= at < until_s]
    early = len([at for at in seen["refused"] if at < WARM_S])
    share = len(accepted) / (per_s * (until_s - WARM_S))
    ratio = len(refused) / max(1, len(accepted) + len(refused))
    print(f"{name:34}{share:10.1%}{ratio:10.2%}{early:12}", flush=True)
    return share, ratio


def real(per_minute: int, minutes: float, folder: Path) -> bool:
    """Batchmod itself on the real clock."""
    until_s, per_s = 60.0 * minutes, per_minute / 60.0
    file = batch.clip(folder / "clip.mp4")
    options = ("--file", file, "--takes-s", JOB_S, "--per-window", per_minute, "--window-s", 60)
    jobs = int(per_minute * (minutes + 2))
    with serving(*options) as origin, serving(*options) as other:
        beside = threading.Thread(target=lambda: asyncio.run(naive(other, until_s)))
        beside.start()
        words = ("--max-in-flight", "10000", "--submits-per-minute", str(100 * per_minute), "--verify", "container")
        manifest = batch.rows(folder / "real", jobs)
        batch.run(manifest, origin, *words, "--polls-per-minute", "3000", "--until", f"{int(until_s) + 5}s")
        beside.join()
        told(other, "the loop people write, real", per_s=per_s, until_s=until_s)
        share, ratio = told(origin, f"batchmod, real, {per_minute}/min", per_s=per_s, until_s=until_s)
    return share >= ENOUGH and ratio < FEW


def simulated(per_minute: int) -> list[bool]:
    """The same decisions on a simulated clock."""
    per_s, met = per_minute / 60.0, []
    kinds = {
        "sliding window": Sliding(per_minute),
        "window of the clock": Fixed(per_minute),
        "token bucket": Bucket(per_s, per_minute),
    }
    for name, limit in kinds.items():
        world = World(limit=limit, pace=untold(10000), takes_s=lambda dice: dice.uniform(120, 240)).run(3600)
        got, no = world.got_through(600, 3600), world.turned_away(600, 3600)
        early = world.turned_away(0, 600)
        print(f"{'simulated, ' + name:34}{got / (per_s * 3000):10.1%}{no / (got + no):10.2%}{early:12}")
        met.append(got >= ENOUGH * per_s * 3000 and no < FEW * (got + no))
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-minute", type=int, default=120)
    parser.add_argument("--minutes", type=float, default=8.0)
    args = parser.parse_args()
    print(f"{batch.machine()}\n{args.per_minute} submits in any minute, told {100 * args.per_minute}\n")
    print(f"{'':34}{'of ideal':>10}{'refused':>10}{'in warm-up':>12}")
    met = simulated(args.per_minute)
    with tempfile.TemporaryDirectory() as name:
        met.append(real(args.per_minute, args.minutes, Path(name)))
    print()
    return batch.verdict(f"at least {ENOUGH:.0%} of the ideal, under {FEW:.0%} refused", passed=all(met))


if __name__ == "__main__":
    sys.exit(main())
