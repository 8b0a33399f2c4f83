"""Measures what a durable commit costs: intent and receipt of a paid request, with each setting of `synchronous`.

`python benchmarks/commit.py [FOLDER]`: the disk is the folder's (default: here). The three settings take turns, so
that what else the machine does meets all of them.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from batchmod.checkpoint import FILE_NAME, Checkpoint
from tests import given

SETTINGS = ("FULL", "NORMAL", "OFF")


def main() -> int:
    """Print median, slowest and ratio of each setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path())
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--works", type=int, default=50, help="works a round")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        took = {name: [0.0] for name in SETTINGS}
        records = {name: opened(Path(folder) / name, name) for name in SETTINGS}
        for number in range(chosen.rounds):
            for name, record in records.items():
                took[name] += timed(record, first=number * chosen.works, count=chosen.works)
        for record in records.values():
            record.close()
    full = statistics.median(took["FULL"][1:])
    print("synchronous   median ms   95 % ms   pairs/s   FULL is so many times slower")
    for name, seconds in took.items():
        ordered = sorted(seconds[1:])
        median, high = statistics.median(ordered), ordered[int(0.95 * len(ordered))]
        print(f"{name:11}{1e3 * median:12.3f}{1e3 * high:10.3f}{1 / median:10.0f}   {full / median:.1f}")
    return 0


def opened(folder: Path, synchronous: str) -> Checkpoint:
    """A record of its own with another setting."""
    folder.mkdir()
    record = Checkpoint.open(folder / FILE_NAME)
    record._db.execute(f"PRAGMA synchronous={synchronous}")  # noqa: SLF001 - no setting: the product has one value
    record.own()
    return record


def timed(record: Checkpoint, *, first: int, count: int) -> list[float]:
    """Seconds of each intent with its receipt."""
    took = []
    for number in range(first, first + count):
        job = given.job(f"r{number}", prompt=f"as wool, {number}")
        work = record.open_work(job, run_id="r")
        began = time.perf_counter()
        body = {"prompt": job.prompt}
        attempt = record.intend(work.work_id, body=body, at=0.0, reserved_usd=0.6, jobs=(job,), state={})
        record.accept(work.work_id, attempt, request_id=f"request-{number}", state={"status_url": "https://…"})
        took.append(time.perf_counter() - began)
    return took


if __name__ == "__main__":
    sys.exit(main())
