"""The disk fills up in the middle of a batch: the id of whatever was paid for is kept all the same."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disks import FILM, small_disk
from tests.servers.clips import Clip, encoded, unique
from tests.servers.segmind import SegmindStandIn
from tests.storms import disagreements, environ, half_files
from tests.support import Ran, Shoot, remote_rows, shoot

FILLER = Path(__file__).with_name("filler.py")
IDS = [f"r{number}" for number in range(8)]
PAGE = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own: room for the 32 MB that a run wants free before it pays, and for some outputs."""
    with small_disk(tmp_path / "disk", megabytes=64) as mounted:
        yield mounted


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SegmindStandIn]:
    """Answers slowly, so that there are requests in the air; an output takes more room than the ballast gives."""
    heavy = tmp_path / "heavy.mp4"
    heavy.write_bytes(unique(encoded(Clip()), "." * 1_500_000))
    with SegmindStandIn(queued_s=0, processing_s=0, output=heavy) as running:
        running.faults.add("accept_then_delay", times=None, seconds=0.15)
        yield running


def run_and_fill(work: Shoot, *how: str) -> Ran:
    """A run whose disk fills up."""
    words = [sys.executable, str(FILLER), str(work.manifest), *how]
    done = subprocess.run(words, env=environ(work), capture_output=True, text=True, timeout=120, check=False)
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


def ids_kept(work: Shoot) -> set[str]:
    """The request ids in the record."""
    with sqlite3.connect(work.folder / "checkpoint.sqlite3") as record:
        return {row[0] for row in record.execute("SELECT request_id FROM attempt WHERE request_id IS NOT NULL")}


def broken_promises(work: Shoot, *how: str) -> list[str]:
    """Fill the disk, look what was kept, make room, go on, and say which promises did not hold."""
    first = run_and_fill(work, *how)
    filled = work.manifest.with_name(FILM)
    broken = [] if filled.exists() else ["the disk was never filled"]
    broken += [] if first.code in (0, 3) else [f"the full disk ended it with {first.code}: {first.err}"]
    filled.unlink(missing_ok=True)
    paid = {job.request_id for job in work.server.ledger.jobs}
    if ids_kept(work) != paid:
        broken.append(f"{len(paid)} paid, the ids of {len(ids_kept(work))} kept")
    broken += half_files(work, set())
    last = work.run()
    for _ in range(3):
        if last.code == 0:
            break
        time.sleep(0.35)  # one that was never sent is sent again when the history has had its time
        last = work.run()
    broken += [] if last.code == 0 else [f"ended with {last.code}: {last.err}"]
    return broken + disagreements(work, IDS)


EVENTS = 3 + 4 * len(IDS)
SAMPLE = [(3, 0), (6, 0), (8, 3), (11, 0), (16, 1), (24, 0)]
"""(event at which the disk fills, pages left)."""


@pytest.mark.parametrize(("k", "pages"), SAMPLE)
def test_the_disk_fills_up_and_the_ids_of_all_that_was_paid_for_are_kept(
    k: int, pages: int, disk: Path, server: SegmindStandIn
) -> None:
    assert broken_promises(shoot(disk, server, remote_rows(*IDS)), str(k), str(pages * PAGE)) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pages", [0, 1, 2, 3, 5, 8, 13, 21, 34, 64, 128])
@pytest.mark.parametrize("k", range(2, EVENTS, 3))
def test_wherever_the_disk_fills_up_the_ids_of_all_that_was_paid_for_are_kept(
    k: int, pages: int, disk: Path, server: SegmindStandIn
) -> None:
    assert broken_promises(shoot(disk, server, remote_rows(*IDS)), str(k), str(pages * PAGE)) == []


def test_without_its_ballast_a_run_would_lose_ids_on_a_full_disk(disk: Path, server: SegmindStandIn) -> None:
    promises = broken_promises(shoot(disk, server, remote_rows(*IDS)), "8", "0", "bare")

    assert any(promise.endswith(" kept") for promise in promises)


def test_an_id_that_no_disk_takes_is_said(disk: Path, server: SegmindStandIn) -> None:
    work = shoot(disk, server, remote_rows(*IDS))
    ended = run_and_fill(work, "8", "0", "bare")
    lost = {job.request_id for job in server.ledger.jobs} - ids_kept(work)

    assert lost
    assert [request_id for request_id in lost if request_id not in ended.err] == []


def test_what_is_half_fetched_makes_room_for_ids(disk: Path, server: SegmindStandIn) -> None:
    assert broken_promises(shoot(disk, server, remote_rows(*IDS)), "8", "0", "bare", "half-fetched") == []
