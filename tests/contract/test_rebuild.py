"""A record that is lost, cut or older: refused, made anew from what is there, and nothing is paid again."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchmod.checkpoint import FILE_NAME
from tests.servers.segmind import SegmindStandIn
from tests.support import (
    Ran,
    Shoot,
    bare_environment,
    call,
    read_events,
    read_results,
    remote_rows,
    shoot,
    write_clip,
)

REPOSITORY = Path(__file__).parents[2]
IDS = ("a", "b", "c", "d")


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


def rows(folder: Path) -> list[dict[str, object]]:
    """Four requests, one of them with a clip of this machine's."""
    write_clip(folder / "clip.mp4")
    return [*remote_rows(*IDS[:3]), {"id": "d", "video_url": "clip.mp4", "prompt": "as wool, d", "shot": "12A"}]


def record_of(work: Shoot) -> Path:
    return work.folder / FILE_NAME


def lose_record(work: Shoot) -> None:
    record_of(work).unlink()


def rebuild(work: Shoot, *more: str) -> Ran:
    return call("resolve", work.manifest, "--rebuild", *more, environ=work.environ)


def without_history(work: Shoot) -> dict[str, str]:
    return {name: value for name, value in work.environ.items() if "HISTORY" not in name}


def ids_in_record(work: Shoot) -> set[str]:
    return {row[0] for row in query(work, "SELECT request_id FROM attempt WHERE request_id IS NOT NULL")}


def query(work: Shoot, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(record_of(work))) as db:
        return db.execute(sql).fetchall()


def forget_last_work(work: Shoot) -> None:
    """As a copy from a moment before it was written down."""
    with closing(sqlite3.connect(record_of(work), isolation_level=None)) as db:
        last = db.execute("SELECT max(work_id) FROM work").fetchone()[0]
        for table in ("attempt", "delivery", "work"):
            db.execute(f"DELETE FROM {table} WHERE work_id = ?", (last,))


def owed(server: SegmindStandIn) -> tuple[int, dict[str, int]]:
    """(requests accepted, inputs that are owed for more than once)."""
    return server.ledger.accepted, server.ledger.paid_twice()


def cut_record(work: Shoot) -> None:
    path = record_of(work)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty_record(work: Shoot) -> None:
    record_of(work).write_bytes(b"")


def scribble(work: Shoot) -> None:
    content = bytearray(record_of(work).read_bytes())
    content[3 * 4096 : 5 * 4096] = b"\xa5" * (2 * 4096)
    record_of(work).write_bytes(content)


LOSSES = [
    pytest.param(lose_record, id="deleted"),
    pytest.param(cut_record, id="cut in half"),
    pytest.param(empty_record, id="emptied"),
    pytest.param(scribble, id="damaged in the middle"),
]


@pytest.mark.parametrize("lose", LOSSES)
def test_after_a_finished_run_a_lost_record_is_refused_made_anew_and_nothing_is_sent(
    tmp_path: Path, server: SegmindStandIn, lose: Any
) -> None:
    work = shoot(tmp_path, server, rows(tmp_path), name="shots")
    assert work.run().code == 0
    before, videos = read_results(work.folder), {p.name: p.read_bytes() for p in (work.folder / "videos").iterdir()}
    lose(work)

    refused = work.run()
    assert (refused.code, server.ledger.submits_seen) == (2, 4)
    assert "--rebuild" in refused.err

    anew = rebuild(work)
    assert (anew.code, "4 succeeded" in anew.out) == (0, True), anew

    assert work.run().code == 0
    assert owed(server) == (4, {})
    assert server.ledger.submits_seen == 4
    assert read_results(work.folder) == before
    assert {p.name: p.read_bytes() for p in (work.folder / "videos").iterdir()} == videos


def test_a_results_file_that_a_spreadsheet_has_mangled_is_read_as_far_as_it_goes(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    work = shoot(tmp_path, server, rows(tmp_path), name="shots")
    assert work.run().code == 0
    table = work.folder / "results.csv"
    table.write_text(table.read_text("utf-8").replace("0.6,", '"0,60 €",').replace(",64,48,", ",abc,48,"), "utf-8")
    for name in (FILE_NAME, "events.jsonl"):
        (work.folder / name).unlink()

    assert rebuild(work).code == 0
    assert (work.run().code, server.ledger.submits_seen) == (0, 4)


@pytest.mark.parametrize("lose", LOSSES)
def test_after_half_a_run_what_was_sent_is_collected_and_only_the_rest_is_sent(
    tmp_path: Path, server: SegmindStandIn, lose: Any
) -> None:
    work = shoot(tmp_path, server, rows(tmp_path), name="shots")
    server.faults.add("error_401_invalid", on="status")
    assert work.run("--max-in-flight", "2").code == 3
    sent = server.ledger.accepted
    assert 1 <= sent < 4
    lose(work)

    anew = rebuild(work)
    assert anew.code == 0, anew
    assert ids_in_record(work) == {job.request_id for job in server.ledger.jobs}

    assert work.run().code == 0
    assert owed(server) == (4, {})
    assert server.ledger.submits_seen == 4
    assert set(work.statuses().values()) == {"succeeded"}


def test_an_older_copy_is_refused_and_brought_up_to_date(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, rows(tmp_path)[:2], name="shots")
    assert work.run().code == 0
    shutil.copyfile(record_of(work), tmp_path / "copy")
    work.rows(rows(tmp_path), name="shots")
    assert work.run().code == 0
    shutil.copyfile(tmp_path / "copy", record_of(work))

    for words in (("plan", work.manifest, "--provider", "segmind"), ("status", work.manifest)):
        assert call(*words, environ=work.environ).code == 2
    refused = work.run()
    assert (refused.code, "older than the folder" in refused.err) == (2, True), refused

    assert rebuild(work).code == 0
    assert (work.run().code, server.ledger.submits_seen) == (0, 4)
    assert owed(server) == (4, {})


def test_a_copy_from_the_middle_of_the_last_run_is_refused_too(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, rows(tmp_path), name="shots")
    assert work.run().code == 0
    forget_last_work(work)

    assert work.run().code == 2
    assert rebuild(work).code == 0
    assert (work.run().code, server.ledger.submits_seen) == (0, 4)


def test_a_copy_from_before_a_run_that_had_nothing_to_do_is_refused_too(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, rows(tmp_path), name="shots")
    assert work.run().code == 0
    shutil.copyfile(record_of(work), tmp_path / "copy")
    assert work.run().code == 0
    shutil.copyfile(tmp_path / "copy", record_of(work))

    assert work.run().code == 2


def test_a_record_that_is_whole_is_left_as_it_is(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, rows(tmp_path), name="shots")
    assert work.run().code == 0
    before = query(work, "SELECT * FROM attempt")
    done = rebuild(work)

    assert (done.code, "left as it is" in done.out) == (0, True)
    assert query(work, "SELECT * FROM attempt") == before
    assert list(work.folder.glob(f"{FILE_NAME}.before-*")) == []


def test_a_record_of_a_newer_form_or_of_another_program_is_not_replaced(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, rows(tmp_path), name="shots")
    assert work.run().code == 0
    for pragma in ("user_version=99", "application_id=7"):
        with closing(sqlite3.connect(record_of(work))) as db:
            db.execute(f"PRAGMA {pragma}")
        before = record_of(work).read_bytes()

        assert rebuild(work).code == 2
        assert record_of(work).read_bytes() == before


def test_a_folder_that_nothing_was_ever_done_in_has_nothing_to_rebuild(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("a"), name="shots")

    assert rebuild(work).code == 2


def test_without_the_event_log_the_results_and_the_files_say_what_is_done(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    work = shoot(tmp_path, server, rows(tmp_path), name="shots")
    assert work.run().code == 0
    before = read_results(work.folder)
    lose_record(work)
    (work.folder / "events.jsonl").unlink()

    anew = rebuild(work)
    assert "rescue" in anew.out
    assert (work.run().code, server.ledger.submits_seen) == (0, 4)
    same = ("id", "status", "output", "request_id", "sha256", "cost_usd", "cost_source", "width", "fps", "shot")
    assert [{name: line[name] for name in same} for line in read_results(work.folder)] == [
        {name: line[name] for name in same} for line in before
    ]


def test_with_nothing_left_but_the_videos_the_index_still_knows_what_is_paid(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    work = shoot(tmp_path, server, rows(tmp_path), name="shots")
    assert work.run().code == 0
    for name in (FILE_NAME, "events.jsonl", "results.csv", "report.html", "run.json"):
        (work.folder / name).unlink()

    assert rebuild(work).code == 0
    assert (work.run().code, server.ledger.submits_seen) == (0, 4)
    assert set(work.statuses().values()) == {"succeeded"}


def test_a_video_that_is_gone_too_is_fetched_again_by_its_request_id(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, rows(tmp_path), name="shots")
    assert work.run().code == 0
    gone = work.folder / "videos" / "b_v001.mp4"
    content = gone.read_bytes()
    gone.unlink()
    lose_record(work)

    anew = rebuild(work)
    assert "3 succeeded, 1 submitted" in anew.out
    assert (work.run().code, server.ledger.submits_seen) == (0, 4)
    assert gone.read_bytes() == content


def test_a_video_that_is_another_one_now_is_not_taken_for_the_paid_one(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, rows(tmp_path), name="shots")
    assert work.run().code == 0
    changed = work.folder / "videos" / "b_v001.mp4"
    paid = changed.read_bytes()
    write_clip(changed, mark="an editor's")
    edited = changed.read_bytes()
    lose_record(work)

    assert rebuild(work).code == 0
    assert (work.run().code, server.ledger.submits_seen) == (0, 4)
    assert changed.read_bytes() == edited
    assert (work.folder / work.results()["b"]["output"]).read_bytes() == paid


def test_a_name_in_videos_is_never_given_again(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("a"), name="shots")
    assert work.run().code == 0
    theirs = write_clip(work.folder / "videos" / "a_v002.mp4", mark="theirs").read_bytes()
    lose_record(work)

    assert "1 file in videos/" in rebuild(work).out
    work.rows([{"id": "a", "video_url": "https://example.com/a.mp4", "prompt": "another"}], name="shots")
    assert work.run().code == 0
    assert (work.folder / "videos" / "a_v002.mp4").read_bytes() == theirs
    assert work.results()["a"]["output"] == "videos/a_v003.mp4"


def test_own_columns_and_the_manifests_name_come_back(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, rows(tmp_path), name="shots")
    assert work.run().code == 0
    lose_record(work)
    assert rebuild(work).code == 0
    assert call("report", work.manifest, environ=work.environ).code == 0

    assert work.results()["d"]["shot"] == "12A"
    work.rows(rows(tmp_path), name="others")
    assert work.run("--output", str(work.folder)).code == 2


def test_it_can_be_lost_and_made_anew_again_and_again(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, rows(tmp_path)[:1], name="shots")
    for count in range(1, 5):
        work.rows(rows(tmp_path)[:count], name="shots")
        assert work.run().code == 0
        lose_record(work)
        assert rebuild(work).code == 0

    assert (work.run().code, server.ledger.submits_seen) == (0, 4)
    assert len(query(work, "SELECT * FROM work")) == 4


def uncertain(work: Shoot, fault: str) -> None:
    """A run that ends without knowing what became of row `lost`."""
    work.server.faults.add(fault, match="as wool, lost")
    assert work.run(environ=without_history(work)).code == 1
    assert work.statuses() == {"sure": "succeeded", "lost": "uncertain"}


def test_a_request_without_a_receipt_is_uncertain_and_found_in_the_history(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    work = shoot(tmp_path, server, remote_rows("sure", "lost"), name="shots")
    uncertain(work, "accept_then_reset")
    lose_record(work)

    anew = rebuild(work)
    assert (anew.code, "1 uncertain" in anew.out) == (1, True), anew
    assert work.run().code == 0
    assert owed(server) == (2, {})


def test_a_request_that_never_arrived_is_sent_again_where_the_history_is_proven(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    work = shoot(tmp_path, server, remote_rows("sure", "lost"), name="shots")
    uncertain(work, "reset_before_accept")
    lose_record(work)

    assert rebuild(work, "--ask", "--history-grace", "0").code == 0
    assert work.run().code == 0
    assert owed(server) == (2, {})


def test_a_record_that_does_not_know_an_intent_is_refused(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("sure", "lost"), name="shots")
    uncertain(work, "accept_then_reset")
    forget_last_work(work)

    assert work.run().code == 2
    assert rebuild(work).code == 1
    assert work.run().code == 0
    assert owed(server) == (2, {})


def test_without_the_index_the_event_log_knows_which_folder_and_account_it_was(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    work = shoot(tmp_path, server, remote_rows("sure", "lost"), name="shots")
    uncertain(work, "reset_before_accept")
    shutil.rmtree(work.home)
    lose_record(work)

    assert rebuild(work, "--ask", "--history-grace", "0").code == 0
    assert work.run().code == 0
    assert owed(server) == (2, {})


SIGNED = "https://example.com/{}.mp4?X-Amz-Signature=secret&X-Amz-Expires=1"


def signed_rows() -> list[dict[str, Any]]:
    return [{**row, "video_url": SIGNED.format(row["id"])} for row in remote_rows("sure", "lost")]


def test_a_request_with_a_signed_link_is_found_by_what_is_known_of_it(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, signed_rows(), name="shots")
    uncertain(work, "accept_then_reset")
    lose_record(work)

    assert rebuild(work).code == 1
    assert work.run().code == 0
    assert owed(server) == (2, {})


def test_a_request_with_a_signed_link_is_never_said_not_to_have_been_accepted(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    work = shoot(tmp_path, server, signed_rows(), name="shots")
    uncertain(work, "reset_before_accept")
    lose_record(work)

    assert rebuild(work, "--ask", "--history-grace", "0").code == 1
    assert (work.run().code, server.ledger.accepted) == (1, 1)
    assert work.statuses()["lost"] == "uncertain"


def test_an_older_copy_still_knows_word_for_word_what_was_sent(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, signed_rows(), name="shots")
    uncertain(work, "reset_before_accept")
    shutil.copyfile(record_of(work), tmp_path / "copy")
    assert work.run(environ=without_history(work)).code == 1
    shutil.copyfile(tmp_path / "copy", record_of(work))

    assert rebuild(work, "--ask", "--history-grace", "0").code == 0
    assert work.run().code == 0
    assert owed(server) == (2, {})


def test_what_was_given_up_by_hand_stays_given_up(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("sure", "lost"), name="shots")
    uncertain(work, "accept_then_reset")
    assert call("resolve", work.manifest, "--give-up", "lost", environ=work.environ).code == 0
    lose_record(work)

    assert rebuild(work).code == 0
    assert (work.run().code, work.statuses()["lost"]) == (1, "failed")
    assert server.ledger.submits_seen == 2


def test_the_event_log_holds_no_query_of_a_url(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, signed_rows(), name="shots")
    assert work.run().code == 0

    assert "secret" not in json.dumps(read_events(work.folder))


def test_a_half_written_last_line_of_the_event_log_is_passed_over(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, rows(tmp_path), name="shots")
    assert work.run().code == 0
    with (work.folder / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"event": "submitted", "job_key": "1-')

    assert work.run().code == 0
    lose_record(work)
    assert rebuild(work).code == 0
    assert (work.run().code, server.ledger.submits_seen) == (0, 4)


def killed_at(work: Shoot, k: int) -> int:
    """The exit code of a run that kills itself at its k-th event."""
    argv = [sys.executable, "-m", "tests.crash.driver", str(work.manifest), str(k)]
    environ = {**bare_environment(), **work.environ}
    return subprocess.run(argv, env=environ, cwd=REPOSITORY, capture_output=True, timeout=60, check=False).returncode


def survive(folder: Path, k: int) -> bool:
    """Kill a run at its k-th event, lose the record, make it anew, finish; whether the run got that far."""
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(folder, server, remote_rows("a"), name="shots")
        assert work.run().code == 0  # a history that has shown a request of ours can be believed
        work.rows([rows(folder)[0], rows(folder)[3]], name="shots")
        code = killed_at(work, k)
        lose_record(work)
        assert rebuild(work, "--ask", "--history-grace", "0").code == 0
        assert work.run().code == 0
        assert owed(server) == (2, {})
        assert set(work.statuses().values()) == {"succeeded"}
    return code == -signal.SIGKILL


def test_a_run_killed_between_intent_and_receipt_whose_record_is_lost_pays_nothing_twice(tmp_path: Path) -> None:
    assert survive(tmp_path / "intended", 3)
    assert survive(tmp_path / "submitted", 4)


@pytest.mark.slow
def test_a_run_killed_at_any_event_whose_record_is_lost_pays_nothing_twice(tmp_path: Path) -> None:
    events = 1
    while survive(tmp_path / str(events), events):
        events += 1

    assert events > 6
