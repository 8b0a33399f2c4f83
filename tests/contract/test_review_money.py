"""Money is counted once, whatever happens to a row; what may have been paid is never sent again."""

import asyncio
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchmod import index
from batchmod.checkpoint import FILE_NAME, Checkpoint
from batchmod.errors import StoppedEarly
from batchmod.limits import Budget
from batchmod.runner.money import Purse
from tests import given
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Shoot, call, command, remote_rows, shoot, write_clip


def local_rows(folder: Path, *ids: str) -> list[dict[str, Any]]:
    """Rows that each cost 60 cents: a short clip, and a prompt of their own."""
    write_clip(folder / "clip.mp4")
    return [{"id": row_id, "video_url": "clip.mp4", "prompt": f"look {row_id}"} for row_id in ids]


def money(work: Shoot) -> tuple[float, float]:
    """What is spent and reserved, in US dollars."""
    with Checkpoint.look_at(work.folder / FILE_NAME) as record:
        totals = record.totals()
    return round(totals.spent_usd, 6), round(totals.reserved_usd, 6)


def test_what_was_given_up_is_not_paid_again_and_its_money_stays_counted(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, local_rows(tmp_path, "one"))
        environ = {name: value for name, value in work.environ.items() if "HISTORY" not in name}
        environ["SEGMIND_HISTORY_BASE_URL"] = "http://127.0.0.1:9"
        server.faults.add("accept_then_reset")
        assert (work.run(environ=environ).code, money(work)[1] > 0) == (1, True)
        reserved = money(work)[1]
        call("resolve", work.folder, "--give-up", "one", environ=environ)

        assert money(work) == (reserved, 0)
        assert work.run("--retry-failed", environ=environ).code == 1
        assert (work.statuses(), server.ledger.submits_seen) == ({"one": "failed"}, 1)
        assert money(work) == (reserved, 0)


def test_a_missing_file_that_is_fetched_again_counts_once(tmp_path: Path) -> None:
    rows = local_rows(tmp_path, "one", "two")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, rows[:1])
        work.run()
        (work.folder / "videos/one_v001.mp4").unlink()
        work.rows(rows)
        done = work.run("--max-cost-usd", "1.25", "--max-in-flight", "1")

        assert (done.code, set(work.statuses().values()), money(work)) == (0, {"succeeded"}, (1.2, 0))
        assert "$0.60" in done.out


def test_a_request_that_is_gone_on_with_counts_once(tmp_path: Path) -> None:
    rows = local_rows(tmp_path, "one", "two")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, rows[:1])
        server.faults.add("error_403", on="download", times=None)
        assert (work.run().code, money(work)) == (3, (0, 0.6))
        server.faults.clear()
        work.rows(rows)
        done = work.run("--max-cost-usd", "1.25", "--max-in-flight", "1")

        assert (done.code, set(work.statuses().values()), money(work)) == (0, {"succeeded"}, (1.2, 0))


def test_what_an_older_run_gives_back_does_not_widen_the_cap_of_this_one() -> None:
    folder = Budget(cap_usd=None, done_usd=0.0, reserved_usd=3.6)
    this_run = Budget(cap_usd=1.2, done_usd=0.0, reserved_usd=0.0)
    purse = Purse((folder, {1: 3.6}), (this_run, {}))

    async def hold() -> list[bool]:
        both = [await purse.hold(2, 0.6), await purse.hold(3, 0.6)]
        purse.settle(1)
        return [*both, await purse.hold(4, 0.6)]

    assert asyncio.run(hold()) == [True, True, False]


def test_a_cap_of_one_run_is_not_widened_by_what_an_older_run_gives_back(tmp_path: Path) -> None:
    rows = local_rows(tmp_path, "lost", "a", "b", "c")
    limits = {"max_cost_per_run_usd": 1.25}
    with SegmindStandIn(queued_s=0, processing_s=0, history_delay_s=30) as server:
        work = shoot(tmp_path, server, rows[:1], limits=limits)
        server.faults.add("accept_then_reset")
        assert (work.run().code, work.statuses()) == (1, {"lost": "uncertain"})
        server.advance(60)
        work.rows(rows, limits=limits)
        done = work.run("--max-in-flight", "1")

        assert (done.code, server.ledger.submits_seen) == (3, 3)
        assert list(work.statuses().values()) == ["succeeded", "succeeded", "succeeded", "planned"]
        assert "$1.20 of $1.25" in done.err


def test_what_is_free_passes_a_spent_cap() -> None:
    purse = Purse((Budget(cap_usd=0.5, done_usd=0.6, reserved_usd=0.0), {}))

    assert asyncio.run(purse.hold(1, 0.0))
    assert not asyncio.run(purse.hold(2, 0.01))


def test_a_copied_output_folder_does_not_pay_again(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        server.faults.add("error_406_credits")
        assert (work.run().code, work.statuses()) == (3, {"one": "planned"})
        copy = tmp_path / "outputs/copy"
        shutil.copytree(work.folder, copy)
        codes = [work.run().code, work.run("--output", str(copy)).code]

        assert (codes, server.ledger.paid_twice(), server.ledger.accepted) == ([0, 0], {}, 1)
        with Checkpoint.look_at(copy / FILE_NAME) as copied, Checkpoint.look_at(work.folder / FILE_NAME) as record:
            assert copied.fact("folder_id") != record.fact("folder_id")


def test_an_index_that_another_process_holds_stops_a_run_in_words(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        work.run()
        work.rows(remote_rows("one", "two"))
        with closing(sqlite3.connect(work.home / index.FILE_NAME, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            held = command(*words(work), environ=work.environ)
            holder.execute("ROLLBACK")

        assert (held.code, server.ledger.submits_seen) == (3, 1)
        assert "index_refused" in held.err
        assert "Traceback" not in held.err
        assert (work.run().code, server.ledger.submits_seen) == (0, 2)


def words(work: Shoot) -> tuple[str, ...]:
    """A paid run's command."""
    return ("run", str(work.manifest), "--provider", "segmind", "--yes", "--history-grace", "0.3", *PACE)


@pytest.mark.parametrize("what", ["rebuild", "claim", "keep"])
def test_an_index_that_is_held_is_no_bug_and_never_keeps_a_receipt_out(tmp_path: Path, what: str) -> None:
    path = tmp_path / "paid.sqlite3"
    with (
        index.Index.open(path, folder=tmp_path, folder_id="here") as mine,
        closing(sqlite3.connect(path, isolation_level=None)) as holder,
        Checkpoint.open(tmp_path / FILE_NAME) as record,
    ):
        mine._db.execute("PRAGMA busy_timeout=10")  # else it would wait for five seconds
        holder.execute("BEGIN IMMEDIATE")
        if what == "keep":
            mine.keep(record.open_work(given.job(), run_id="run"))
            return
        with pytest.raises(StoppedEarly) as stopped:
            mine.rebuild(()) if what == "rebuild" else mine.claim("key", at=time.time())

    assert stopped.value.slug == "index_refused"
