"""Killed from outside at random moments, with everything going wrong at the service, a batch is paid once and whole."""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
)
from tests.support import Shoot, shoot, write_clip

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


def remote(folder: Path, count: int) -> list[dict[str, Any]]:
    """Clips on the web: nothing is uploaded."""
    return storm_rows(count)


def local(folder: Path, count: int) -> list[dict[str, Any]]:
    """Clips of our own, each uploaded before it is asked for."""
    rows = storm_rows(count)
    for row in rows:
        row["video_url"] = write_clip(folder / f"{row['id']}.mp4", mark=row["id"]).name
    return rows


def batch(folder: Path, server: SegmindStandIn, rows: list[dict[str, Any]]) -> Shoot:
    """A batch that is not stopped by a row of failures: in this storm there will be one."""
    return shoot(folder, server, rows, limits={"stop_after_failures": 1000})


def weather(folder: Path, rows: list[dict[str, Any]], *, kills: int, seed: int) -> None:
    """Kill a batch so many times, let it end, and hold it against the ledger."""
    ids = [row["id"] for row in rows]
    with SegmindStandIn(**FAST) as server:
        work = batch(folder, server, rows)
        brew(server, seed=seed)
        storm = kill_again_and_again(work, jobs=len(rows), kills=kills, dice=random.Random(seed))
        ended = end_by_itself(work)

        assert storm.broken == []
        assert storm.kills >= min(kills, 5) // 2, storm  # how many hit depends on the machine's pace
        assert ended.code in (0, 1), ended.err
        assert server.ledger.paid_twice() == {}
        assert half_files(work, set()) == []
        assert neither_delivered_nor_shown(work) == []

        last = settle(work)

        assert (last.code, disagreements(work, ids)) == (0, []), last.err
        assert server.ledger.key_leaks == 0


@pytest.mark.parametrize(("rows", "count", "kills"), [(remote, 60, 8), (local, 12, 4)])
def test_killed_at_random_in_a_storm_everything_is_paid_once_and_delivered(
    rows: Callable[[Path, int], list[dict[str, Any]]], count: int, kills: int, tmp_path: Path
) -> None:
    weather(tmp_path, rows(tmp_path, count), kills=kills, seed=count)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("rows", "count", "kills"), [(remote, 1000, 100), (local, 200, 40)])
def test_a_thousand_jobs_and_a_hundred_kills_later_everything_is_paid_once_and_delivered(
    rows: Callable[[Path, int], list[dict[str, Any]]], count: int, kills: int, tmp_path: Path
) -> None:
    weather(tmp_path, rows(tmp_path, count), kills=kills, seed=count)
