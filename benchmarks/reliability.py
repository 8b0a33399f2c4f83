"""Kills a batch again and again in a storm of faults, and holds what came out against the service's ledger.

`python benchmarks/reliability.py --jobs 1000 --kills 100` prints the figures and ends with 1 if a promise broke.
Nothing is paid: the service is the stand-in of the tests, on loopback.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.servers.segmind import SegmindStandIn
from tests.storms import (
    FAST,
    brew,
    disagreements,
    end_by_itself,
    half_files,
    kill_again_and_again,
    neither_delivered_nor_shown,
    settle,
    storm_rows,
    told,
)
from tests.support import Shoot, shoot, write_clip


def main() -> int:
    """Print the figures; 1 where something was paid twice, lost, or told wrongly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--uploads", action="store_true", help="clips of our own instead of clips on the web")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, SegmindStandIn(**FAST) as server:
        rows = storm_rows(chosen.jobs)
        for row in rows if chosen.uploads else ():
            row["video_url"] = write_clip(Path(folder) / f"{row['id']}.mp4", mark=row["id"]).name
        work = shoot(Path(folder), server, rows, limits={"stop_after_failures": 1000})
        brew(server, seed=chosen.seed)
        return weather(work, kills=chosen.kills, seed=chosen.seed)


def weather(work: Shoot, *, kills: int, seed: int) -> int:
    """Kill, let it end, clear the sky, and count."""
    began, ids = time.monotonic(), ids_of(work)
    storm = kill_again_and_again(work, jobs=len(ids), kills=kills, dice=random.Random(seed))
    killed_s, delivered = time.monotonic() - began, len(work.outputs())
    say("jobs", len(ids))
    say("kills", f"{storm.kills} in {killed_s:.0f} s, the last with {delivered} of {len(ids)} delivered")
    ended = end_by_itself(work)
    uncertain = list(work.statuses().values()).count("uncertain")
    lost = neither_delivered_nor_shown(work)
    say("uncertain", f"{uncertain} when the storm ended (run ended with {ended.code})")
    last = settle(work)
    ledger, broken = work.server.ledger, [*storm.broken, *half_files(work, set()), *disagreements(work, ids), *lost]
    faults = sum(seen.fault is not None for seen in ledger.requests)
    say("", f"{list(work.statuses().values()).count('uncertain')} in the end (run ended with {last.code})")
    say("billed", f"{ledger.billed} (${ledger.billed_usd:.2f})")
    say("paid twice", len(ledger.paid_twice()))
    say("lost", len(lost))
    say("submits", f"{ledger.submits_seen}, accepted {ledger.accepted}")
    say("resolved", f"{told(work)['resolved']} requests of unknown fate, by asking the history")
    say("faults", f"{faults} in {len(ledger.requests)} requests")
    say("broken", "nothing" if not broken else "; ".join(broken[:10]))
    say("wall time", f"{time.monotonic() - began:.0f} s")
    return int(bool(broken) or last.code != 0)


def ids_of(work: Shoot) -> list[str]:
    """The ids of its manifest."""
    lines = work.manifest.read_text(encoding="utf-8").splitlines()
    return [line.split(": ", 1)[1] for line in lines if line.startswith("- id: ")]


def say(name: str, value: object) -> None:
    """A line of the table."""
    print(f"{name:12}{value}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
