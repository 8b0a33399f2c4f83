"""A provider with 8 slots of 0.2 s that refuses the rest, and a client that was told 64 in flight.

`python -m benchmarks.eight_slots [--jobs 400]`: 429 and `Retry-After: 1` to whoever finds no slot. The ideal is what
8 slots can do; the baseline is the loop that people write: so many at once, and after a 429 as long a sleep as it
asked for. Then the same with a Retry-After of 89 s, and with limits that fall and rise while it runs.
"""

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import batch
from benchmarks.provider import asked, serving

SLOT_S = 0.2
TOLD = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A provider, and what is asked of a run against it."""

    name: str
    options: tuple[object, ...]
    slots: tuple[tuple[float, int], ...]
    """(from so many seconds after the first submit, so many slots)."""
    most_s: float | None = None
    """At most so long from the first submit to the last acceptance and its slot's end; None: 1.25 times the ideal."""
    most_refused: int = 40


CASES = (
    Case(name="the job holds its slot", options=("--retry-after", 1), slots=((0, 8),), most_s=11.0),
    Case(name="the call holds it", options=("--retry-after", 1, "--blocks"), slots=((0, 8),), most_s=11.0),
    Case(name="Retry-After: 89", options=("--retry-after", 89), slots=((0, 8),), most_s=11.0),
    Case(name="no Retry-After", options=(), slots=((0, 8),), most_s=11.0),
    Case(name="8, then 3, then 16", options=("--retry-after", 1), slots=((0, 8), (3, 3), (8, 16)), most_refused=80),
)


def ideal(case: Case, jobs: int) -> float:
    """Seconds in which the slots could have done so many jobs."""
    at, left = 0.0, float(jobs)
    for number, (since, slots) in enumerate(case.slots):
        until = case.slots[number + 1][0] if number + 1 < len(case.slots) else float("inf")
        done = slots / SLOT_S * (until - since)
        if done >= left:
            return at + left * SLOT_S / slots
        at, left = until, left - done
    return at


def changing(case: Case, origin: str, stop: threading.Event) -> None:
    """Change the limit as the case says, from the first submit on."""
    while not stop.is_set() and not asked(origin)["accepted"]:
        time.sleep(0.02)
    began = time.monotonic()
    for since, slots in case.slots[1:]:
        if stop.wait(max(0.0, began + since - time.monotonic())):
            return
        asked(origin, f"limit/{slots}/0")


def measured(case: Case, jobs: int, folder: Path, file: Path) -> int:
    """Run a case and say whether its bars were met."""
    stop = threading.Event()
    with serving("--file", file, "--slots", 8, "--takes-s", SLOT_S, *case.options) as origin:
        changer = threading.Thread(target=changing, args=(case, origin, stop))
        changer.start()
        manifest = batch.rows(folder / case.name.replace(" ", "-").replace(":", ""), jobs)
        ran = batch.run(manifest, origin, "--max-in-flight", str(TOLD), "--verify", "container", *batch.FAST)
        stop.set()
        changer.join()
        told = asked(origin)
    took, least = told["accepted"][-1] + SLOT_S, ideal(case, jobs)
    refused, done = len(told["refused"]), ran.statuses.get("succeeded", 0)
    most_s = case.most_s or 1.25 * least
    print(f"{case.name:26}{took:8.2f} s{least:8.2f} s{refused:9}{done:7} of {jobs}{ran.run_s:9.1f} s", flush=True)
    return int(not (done == jobs and took <= most_s * jobs / 400 and refused <= case.most_refused and not ran.code))


async def naive(origin: str, jobs: int) -> tuple[int, int]:
    """The loop people write, over aiohttp: (done, refused)."""
    import aiohttp

    left, refused, done = iter(range(jobs)), 0, 0

    async def worker(session: aiohttp.ClientSession) -> None:
        nonlocal refused, done
        for _ in left:
            while True:
                async with session.post(f"{origin}/v2/modify-video", json={}) as answer:
                    told: Any = await answer.json(content_type=None)
                    if answer.status == 200:
                        break
                    refused += 1
                    await asyncio.sleep(float(answer.headers.get("retry-after", 1)))
            while True:
                async with session.get(told["status_url"]) as answer:
                    if (await answer.json(content_type=None))["status"] == "COMPLETED":
                        break
                await asyncio.sleep(0.05)
            done += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=TOLD)) as session:
        await asyncio.gather(*(worker(session) for _ in range(TOLD)))
    return done, refused


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--case", type=int, help="only this one, from 0")
    args = parser.parse_args()
    print(f"{batch.machine()}\n{args.jobs} jobs, 8 slots of {SLOT_S} s, told {TOLD} in flight\n")
    print(f"{'':26}{'took':>10}{'ideal':>10}{'refused':>9}{'done':>14}{'whole run':>12}")
    with tempfile.TemporaryDirectory() as name:
        file = batch.clip(Path(name) / "clip.mp4")
        with serving("--slots", 8, "--takes-s", SLOT_S, "--retry-after", 1) as origin:
            done, refused = asyncio.run(naive(origin, args.jobs))
            took = asked(origin)["accepted"][-1] + SLOT_S
        least = args.jobs * SLOT_S / 8
        print(f"{'the loop people write':26}{took:8.2f} s{least:8.2f} s{refused:9}{done:7} of {args.jobs}")
        chosen = CASES if args.case is None else [CASES[args.case]]
        missed = [case for case in chosen if measured(case, args.jobs, Path(name), file)]
    print()
    return max(batch.verdict(case.name, passed=case not in missed) for case in chosen)


if __name__ == "__main__":
    sys.exit(main())
