"""`max_age` and `--retry-failed`, night after night: what is made once more, what is not, and what it may cost."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchmod.checkpoint import FILE_NAME
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Shoot, call, remote_rows, shoot, write_clip, write_manifest


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


CAP = {"max_cost_per_run_usd": 100}


def _age(folder: Path, *, days: float) -> None:
    """Let the record remember every output as so many days older."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as db, db:
        db.execute("UPDATE work SET finished_at = finished_at - ?", (days * 86400,))


def _work(folder: Path, server: SegmindStandIn, *ids: str, **top: Any) -> Shoot:
    return shoot(folder, server, remote_rows(*ids), **{"max_age": "30d", "limits": CAP, **top})


def test_an_old_output_is_made_once_more_and_then_is_young(server: SegmindStandIn, tmp_path: Path) -> None:
    work = _work(tmp_path, server, "a", "b")
    codes = [work.run().code]
    _age(work.folder, days=29)
    codes.append(work.run().code)

    assert (codes, server.ledger.submits_seen) == ([0, 0], 2)

    _age(work.folder, days=2)
    plan = call("plan", work.manifest, "--provider", "segmind", "--json", environ=work.environ)
    items = json.loads(plan.out)[0]["items"]
    codes = [work.run().code for _ in range(3)]

    assert [item["action"] for item in items] == ["send", "send"]
    assert all(item["why"].endswith("older than max_age") for item in items)
    assert (codes, server.ledger.submits_seen) == ([0, 0, 0], 4)
    assert work.outputs() == ["a_v001.mp4", "a_v002.mp4", "b_v001.mp4", "b_v002.mp4"]


def test_without_a_cap_nothing_old_is_paid_for_again_even_with_yes(server: SegmindStandIn, tmp_path: Path) -> None:
    work = _work(tmp_path, server, "a", limits={})
    work.run()
    _age(work.folder, days=40)
    refused = work.run()

    assert (refused.code, server.ledger.submits_seen) == (2, 1)
    assert "max_age would pay for outputs that are there" in refused.err
    assert "limits.max_cost_per_run_usd" in refused.err
    assert (work.run("--max-cost-usd", "50").code, server.ledger.submits_seen) == (0, 2)


def test_a_cap_holds_for_old_outputs_too(server: SegmindStandIn, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")  # each costs 60 cents
    rows = [{"id": row_id, "video_url": "clip.mp4", "prompt": f"look {row_id}"} for row_id in "abc"]
    work = shoot(tmp_path, server, rows, max_age="30d", limits={"max_cost_per_run_usd": 2.0})
    work.run()
    _age(work.folder, days=40)
    work.rows(rows, max_age="30d", limits={"max_cost_per_run_usd": 1.25})
    done = work.run()

    assert (done.code, server.ledger.submits_seen) == (3, 5)
    assert "budget" in done.err


def test_what_somebody_keeps_or_holds_never_becomes_too_old(server: SegmindStandIn, tmp_path: Path) -> None:
    rows = remote_rows("kept", "held", "plain")
    work = shoot(tmp_path, server, rows, max_age="30d", limits=CAP)
    work.run()
    _age(work.folder, days=40)
    rows[0]["review"], rows[1]["hold"] = "keep", True
    work.rows(rows, max_age="30d", limits=CAP)
    work.run()

    assert server.ledger.submits_seen == 4
    assert work.statuses() == {"kept": "succeeded", "held": "succeeded", "plain": "succeeded"}


def test_a_missing_file_is_fetched_and_not_made_once_more(server: SegmindStandIn, tmp_path: Path) -> None:
    work = _work(tmp_path, server, "a")
    work.run()
    _age(work.folder, days=40)
    (work.folder / "videos" / "a_v001.mp4").unlink()

    assert (work.run().code, server.ledger.submits_seen) == (0, 1)
    assert work.outputs() == ["a_v001.mp4"]


@pytest.mark.slow
def test_one_that_failed_is_not_made_once_more_night_after_night(server: SegmindStandIn, tmp_path: Path) -> None:
    work = _work(tmp_path, server, "a")
    work.run()
    _age(work.folder, days=40)
    server.faults.add("error_400", times=None)
    codes = [work.run().code for _ in range(3)]

    assert (codes, server.ledger.submits_seen) == ([1, 1, 1], 2)


def test_two_rows_of_one_request_are_one_once_more(server: SegmindStandIn, tmp_path: Path) -> None:
    rows = [remote_rows("a")[0], {**remote_rows("a")[0], "id": "twin"}]
    work = shoot(tmp_path, server, rows, max_age="30d", limits=CAP)
    work.run()
    _age(work.folder, days=40)

    assert (work.run().code, server.ledger.submits_seen) == (0, 2)
    assert work.outputs() == ["a_v001.mp4", "a_v002.mp4", "twin_v001.mp4", "twin_v002.mp4"]


@pytest.mark.slow
def test_a_long_sheet_grows_old_too(server: SegmindStandIn, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,video_url,prompt\na,https://example.com/a.mp4,as wool\n")
    top = "version: 1\nmax_age: 30d\nlimits: {max_cost_per_run_usd: 100}\ninclude: [rows.csv]\n"
    (tmp_path / "shots.yaml").write_text(top)
    work = Shoot(server=server, home=tmp_path / "home", manifest=tmp_path / "shots.yaml")
    work.run()
    _age(work.folder, days=40)

    assert (work.run().code, server.ledger.submits_seen) == (0, 2)


def test_retrying_failures_every_night_stops_after_three_requests(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("bad", "good"))
    server.faults.add("error_400", times=None, match="bad.mp4")
    codes = [work.run("--retry-failed").code for _ in range(6)]

    assert codes == [1] * 6
    assert server.ledger.submits_seen == 3 + 1

    work.rows(remote_rows("bad", "good"), limits={"max_attempts": 4})

    assert [work.run("--retry-failed").code for _ in range(2)] == [1, 1]
    assert server.ledger.submits_seen == 4 + 1


def test_a_failure_that_was_billed_is_never_tried_again_by_itself(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    server.faults.add("error_400", times=None)
    work.run()
    with closing(sqlite3.connect(work.folder / FILE_NAME)) as db, db:
        db.execute("UPDATE work SET billed = 1")

    assert [work.run("--retry-failed").code for _ in range(3)] == [1, 1, 1]
    assert server.ledger.submits_seen == 1


@pytest.mark.slow
def test_max_age_renews_what_the_engine_made_without_a_cap(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4")
    rows = [{"id": "a", "video_url": "a.mp4", "prompt": "as a pencil drawing"}]
    manifest = write_manifest(tmp_path / "m.yaml", rows, max_age="12h")
    environ = {"BATCHMOD_HOME": str(tmp_path / "home")}
    codes = [call("run", manifest, *PACE, environ=environ).code]
    _age(tmp_path / "outputs" / "m", days=1)
    codes.append(call("run", manifest, *PACE, environ=environ).code)

    assert codes == [0, 0]
    assert len(list((tmp_path / "outputs" / "m" / "videos").iterdir())) == 2
