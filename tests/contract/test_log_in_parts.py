"""A folder whose event log is in parts: told, refused and made anew as one with a single file."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchmod.app import rotating, trail
from batchmod.checkpoint import FILE_NAME
from tests.servers.segmind import SegmindStandIn
from tests.support import Ran, Shoot, call, remote_rows, shoot


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shoot]:
    """Two runs: after the first the record was copied to `copy`; the second one's events fill parts of their own."""
    monkeypatch.setattr(rotating, "PART_BYTES", 1200)
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        made = shoot(tmp_path, server, remote_rows("a"), name="shots")
        assert made.run().code == 0
        shutil.copyfile(made.folder / FILE_NAME, tmp_path / "copy")
        made.rows(remote_rows("a", "b", "c"), name="shots")
        assert made.run().code == 0
        assert len(rotating.parts(made.folder)) > 3
        yield made
        assert server.ledger.submits_seen == 3


def record_of(work: Shoot) -> Path:
    return work.folder / FILE_NAME


def rebuild(work: Shoot) -> Ran:
    return call("resolve", work.manifest, "--rebuild", environ=work.environ)


def test_a_row_s_story_is_told_from_all_parts(work: Shoot) -> None:
    told = call("why", work.manifest, "a", "--provider", "segmind", "--json", environ=work.environ)
    events = [event["event"] for event in json.loads(told.out)["events"]]

    assert events[:4] == ["intended", "submitted", "output_known", "succeeded"]


def test_a_record_that_is_older_than_a_part_is_refused_and_made_anew(work: Shoot, tmp_path: Path) -> None:
    shutil.copyfile(tmp_path / "copy", record_of(work))
    rotating.put_away(work.folder)  # as a kill leaves it: what is not known stands in old parts alone
    refused = work.run()

    assert (refused.code, "is older than the folder" in refused.err) == (2, True)
    assert rebuild(work).code == 0
    assert work.run().code == 0
    assert set(work.statuses().values()) == {"succeeded"}


def test_without_its_record_a_folder_with_old_parts_alone_is_no_first_run(work: Shoot) -> None:
    rotating.put_away(work.folder)
    for name in (FILE_NAME, "results.csv", "report.html", "run.json"):
        (work.folder / name).unlink()
    shutil.rmtree(work.folder / "videos")
    refused = work.run()

    assert (refused.code, "events.00000" in refused.err) == (2, True)
    assert rebuild(work).code == 0
    assert work.run().code == 0
    assert set(work.statuses().values()) == {"succeeded"}


def test_what_stood_in_the_log_before_a_record_was_made_anew_is_settled(work: Shoot) -> None:
    record_of(work).unlink()
    with (work.folder / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"event": "run_started", "at": "2026-11-26T10:00:00Z", "run_id": "another"}\n')
    settled = trail.end(work.folder)
    assert rebuild(work).code == 0
    assert settled.part > 3

    rotating.put_away(work.folder)
    assert work.run().code == 0
    assert trail.end(work.folder).part > settled.part
