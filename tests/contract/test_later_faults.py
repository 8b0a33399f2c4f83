"""What goes wrong before and after the paid request: uploads, polls, results and downloads never cost a second one."""

import asyncio
import os
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from batchmod import app
from batchmod.app.services import Services
from batchmod.model import Event
from tests.servers.clips import Clip
from tests.servers.segmind import Kind, SegmindStandIn
from tests.support import Shoot, remote_rows, shoot, video_facts, write_clip, write_picture

CATALOGUE = SegmindStandIn().faults.catalogue

# Refusals that concern every job: the run stops, and the next one goes on.
STOPPING = (
    "error_401_missing",
    "error_401_invalid",
    "error_403",
    "error_406_credits",
    "error_406_spend_cap",
    "error_410",
)

# A definite no to this one request.
REFUSING = (
    "error_400",
    "error_400_asset",
    "error_404",
    "error_405",
    "error_406_content_type",
    "error_406_value",
    "error_422_body",
    *(name for name in CATALOGUE if name.startswith(("redirect_", "error_409"))),
)


def faults_of(kind: Kind, *, but: Iterable[str] = ()) -> list[str]:
    """Every fault there is for a kind of request."""
    return sorted(name for name, recipe in CATALOGUE.items() if kind in recipe.on and name not in but)


def one_each(server: SegmindStandIn, names: Iterable[str], kind: Kind) -> None:
    """The first requests of a kind meet one fault each."""
    for name in names:
        server.faults.add(name, on=kind, times=1, seconds=0.05, per_job=False)


def alternating(names: Iterable[str]) -> list[str]:
    """Those that look as if the service were down, with another one between them.

    Three in a row open the circuit, which then tries ever more seldom: on a busy machine each try would meet the next.
    """
    down = ("accept_then_c", "accept_then_no_http", "accept_then_reset", "close_", "reset_", "error_50")
    lists = ([name for name in names if name.startswith(down) is is_down] for is_down in (False, True))
    return [name for pair in zip_longest(*lists) for name in pair if name is not None]


@pytest.mark.parametrize("kind", [Kind.STATUS, Kind.RESULT])
def test_a_poll_that_fails_is_asked_again_and_nothing_else_happens(kind: Kind, tmp_path: Path) -> None:
    names = alternating(faults_of(kind, but=STOPPING))
    ids = [f"r{number}" for number in range(len(names))]
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows(*ids))
        one_each(server, names, kind)
        done = work.run("--max-in-flight", "64")

        assert (done.code, set(work.statuses().values())) == (0, {"succeeded"})
        assert {seen.fault for seen in server.ledger.requests} >= set(names)
        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (len(ids), {})
        assert server.ledger.key_leaks == 0


@pytest.mark.parametrize("kind", [Kind.STATUS, Kind.RESULT])
@pytest.mark.parametrize("name", STOPPING)
def test_a_poll_that_is_refused_stops_the_run_and_the_next_one_collects(name: str, kind: Kind, tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        server.faults.add(name, on=kind)

        assert (work.run().code, work.statuses()) == (3, {"one": "submitted"})
        assert (work.run().code, work.statuses()) == (0, {"one": "succeeded"})
        assert server.ledger.submits_seen == 1


def test_a_status_that_is_not_there_at_first_is_waited_for(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one", "two"))
        server.faults.add("status_404_at_first", on="status", times=2)

        assert (work.run().code, server.ledger.submits_seen) == (0, 2)


def test_a_status_no_one_has_heard_of_is_waited_for(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        server.faults.add("status_unknown_word", on="status", times=3)

        assert (work.run().code, server.ledger.polls, server.ledger.submits_seen) == (0, 5, 1)


def submitted(folder: Path, server: SegmindStandIn, *ids: str) -> Shoot:
    """Rows whose requests are accepted, and whose run ended before it collected them."""
    work = shoot(folder, server, remote_rows(*ids))
    server.faults.add("error_401_invalid", on="status", times=None)
    assert work.run().code == 3
    server.faults.clear()
    return work


def test_a_job_whose_poll_record_has_expired_is_collected_from_the_history(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = submitted(tmp_path, server, "one")
        server.advance(2 * 3600)
        done, line = work.run(), work.results()["one"]

        assert (done.code, line["status"], line["cost_usd"], line["cost_source"]) == (0, "succeeded", "0.6", "provider")
        assert server.ledger.submits_seen == 1


def test_a_job_that_neither_poll_nor_history_knows_is_uncertain_and_never_planned(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = submitted(tmp_path, server, "one")
        server.advance(2 * 3600)
        server.faults.add("history_no_rows", on="history", times=None)
        code = work.run("--retry-failed").code

        assert (code, work.statuses(), server.ledger.submits_seen) == (1, {"one": "uncertain"}, 1)

        server.faults.clear()
        server.configure(record_life_s=1e9)

        assert (work.run().code, work.statuses(), server.ledger.submits_seen) == (0, {"one": "succeeded"}, 1)


@pytest.mark.parametrize("prompt", ["as wool", "as clay"])
def test_a_refusal_by_a_content_filter_has_a_code_of_its_own(prompt: str, tmp_path: Path) -> None:
    reasons = {"wool": "The prompt was flagged by moderation", "clay": "The output failed the safety check"}
    rows = [{"id": "one", "video_url": "https://example.com/a.mp4", "prompt": prompt}]
    with SegmindStandIn(queued_s=0, processing_s=0, fail_prompts=reasons) as server:
        work = shoot(tmp_path, server, rows)
        done, line = work.run(), work.results()["one"]

    assert (done.code, line["status"], line["billed"]) == (1, "failed", "false")
    assert line["error_code"] == {"as wool": "refused_prompt", "as clay": "refused_output"}[prompt]
    assert line["error"] in reasons.values()


# A definite no to a file that is paid for; whatever else happens to a download passes.
NOT_NOW = (
    "accept_then_bad_gzip",
    *(name for name in STOPPING if name not in ("error_403", "error_410")),
    *(name for name in REFUSING if name != "error_404" and not name.startswith("redirect_")),
)


def test_a_download_that_goes_wrong_is_fetched_again_and_never_submitted_again(tmp_path: Path) -> None:
    names = faults_of(Kind.DOWNLOAD, but=NOT_NOW)
    ids = [f"r{number}" for number in range(len(names))]
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows(*ids))
        one_each(server, names, Kind.DOWNLOAD)
        done = work.run("--max-in-flight", "80")

        assert (done.code, set(work.statuses().values())) == (0, {"succeeded"})
        assert {seen.fault for seen in server.ledger.requests} >= set(names)
        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (len(ids), {})
        assert server.ledger.key_leaks == 0
        for row_id, line in work.results().items():
            assert (work.folder / line["output"]).read_bytes() == server.output_of(line["request_id"]), row_id


@pytest.mark.parametrize("name", NOT_NOW)
def test_a_download_that_is_refused_stays_paid_for_the_next_run_to_fetch(name: str, tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        server.faults.add(name, on="download")
        first = work.run()

        assert (first.code, work.statuses(), work.outputs()) == (3, {"one": "submitted"}, [])
        assert "run again to fetch it" in first.err
        assert (work.run().code, server.ledger.submits_seen) == (0, 1)


@pytest.mark.parametrize(
    "name",
    [
        "output_cut",
        "output_truncated",
        "output_wrong_length",
        "output_html",
        "output_html_as_mp4",
        "output_json",
        "output_zero_bytes",
        "output_redirect",
        "output_no_range",
        "error_404",
        "error_503",
    ],
)
def test_a_bad_download_is_mended_in_the_same_run(name: str, tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        server.faults.add(name, on="download")
        done, line = work.run(), work.results()["one"]

        assert (done.code, line["status"], server.ledger.submits_seen) == (0, "succeeded", 1)
        assert (work.folder / "videos/one_v001.mp4").read_bytes() == server.output_of(line["request_id"])
        assert work.outputs() == ["one_v001.mp4"]


@pytest.mark.slow
def test_an_output_that_never_comes_whole_stays_paid_and_is_fetched_by_a_later_run(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        server.faults.add("output_html_as_mp4", on="download", times=5)
        first = work.run()

        assert (first.code, work.statuses(), work.outputs()) == (3, {"one": "submitted"}, [])
        assert "paid" in first.err
        assert (work.run().code, server.ledger.submits_seen) == (0, 1)


@pytest.mark.slow
def test_an_output_that_is_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    write_clip(tmp_path / "secret.mp4")
    playlist = tmp_path / "trap.mp4"
    playlist.write_text(f"ffconcat version 1.0\nfile {tmp_path}/secret.mp4\n", encoding="utf-8")
    with SegmindStandIn(queued_s=0, processing_s=0, output=playlist) as server:
        work = shoot(tmp_path, server, remote_rows("one"))

        assert (work.run().code, work.outputs()) == (3, [])


def test_a_finished_file_that_was_deleted_is_fetched_again_for_nothing(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one", "two"))
        work.run()
        before = (work.folder / "videos/one_v001.mp4").read_bytes()
        (work.folder / "videos/one_v001.mp4").unlink()

        assert (work.run().code, server.ledger.submits_seen) == (0, 2)
        assert (work.folder / "videos/one_v001.mp4").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "word"),
    [("output_other_length", " s instead of"), ("output_24fps", "fps instead of"), ("output_other_size", "x")],
)
def test_a_whole_video_of_another_shape_is_kept_and_flagged(name: str, word: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, [{"id": "one", "video_url": "a.mp4"}])
        server.faults.add(name, on="submit")
        done, line = work.run(), work.results()["one"]

        assert (done.code, line["status"], line["flagged"]) == (0, "succeeded", "true")
        assert word in line["flag_reason"]
        assert (server.ledger.submits_seen, server.ledger.downloads) == (1, 1)


def local_rows(folder: Path, *ids: str) -> list[dict[str, Any]]:
    """Rows with clips on this machine, each of other content."""
    for row_id in ids:
        write_clip(folder / "clips" / f"{row_id}.mp4", mark=row_id)
    return [{"id": row_id, "video_url": f"clips/{row_id}.mp4", "prompt": "as wool"} for row_id in ids]


def test_an_upload_that_fails_is_tried_again_and_asks_for_nothing_twice(tmp_path: Path) -> None:
    names = faults_of(Kind.UPLOAD, but=(*STOPPING, *REFUSING))
    ids = [f"r{number}" for number in range(len(names))]
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, local_rows(tmp_path, *ids))
        one_each(server, names, Kind.UPLOAD)
        done = work.run("--max-in-flight", "64")

        assert (done.code, set(work.statuses().values())) == (0, {"succeeded"})
        assert {seen.fault for seen in server.ledger.requests} >= set(names)
        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (len(ids), {})
        assert server.ledger.key_leaks == 0


def test_an_upload_that_is_refused_fails_its_row_before_anything_is_asked_for(tmp_path: Path) -> None:
    ids = [f"r{number}" for number in range(len(REFUSING))]
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, local_rows(tmp_path, *ids), limits={"stop_after_failures": 100})
        one_each(server, REFUSING, Kind.UPLOAD)
        done = work.run("--max-in-flight", "64")

        assert (done.code, set(work.statuses().values())) == (1, {"failed"})
        assert {line["billed"] for line in work.results().values()} == {"false"}
        assert (server.ledger.uploads, server.ledger.submits_seen) == (len(ids), 0)


@pytest.mark.parametrize("name", STOPPING)
def test_an_upload_without_leave_stops_the_run_before_anything_is_asked_for(name: str, tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, local_rows(tmp_path, "one"))
        server.faults.add(name, on="upload")

        assert (work.run().code, work.statuses(), server.ledger.submits_seen) == (3, {"one": "planned"}, 0)
        assert (work.run().code, server.ledger.submits_seen) == (0, 1)


@pytest.mark.parametrize("shape", ["urls", "file_urls"])
def test_both_answers_to_an_upload_are_understood(shape: str, tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0, upload_answer=shape, output="echo") as server:
        work = shoot(tmp_path, server, local_rows(tmp_path, "one"))

        assert work.run().code == 0
        # The stand-in echoes what was uploaded, so the clip arrived byte for byte.
        sent = (tmp_path / "clips/one.mp4").read_bytes()
        assert (work.folder / "videos/one_v001.mp4").read_bytes().startswith(sent)


def test_one_file_of_many_rows_is_uploaded_once_and_never_again(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4")
    rows = [{"id": f"r{n}", "video_url": "a.mp4", "prompt": f"look {n}"} for n in range(5)]
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, rows[:4])
        codes = [work.run().code, work.run().code]
        work.rows(rows)
        codes.append(work.run().code)

        assert codes == [0, 0, 0]
        assert (server.ledger.uploads, server.ledger.submits_seen) == (1, 5)


@pytest.mark.parametrize("same_size", [True, False])
def test_a_file_that_changes_between_check_and_upload_fails_its_row_before_the_request(
    same_size: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, local_rows(tmp_path, "changed", "other"))
        options = app.Options(provider="segmind", yes=True)
        loaded = app.load(work.manifest, options, Services(environ=work.environ))
        write_clip(tmp_path / "clips/changed.mp4", mark="CHANGED" if same_size else "something else")
        done = asyncio.run(run_loaded(loaded, options))
        line = work.results()["changed"]

        assert (done.exit_code, line["status"], line["error_code"]) == (1, "failed", "source_changed")
        assert (work.statuses()["other"], server.ledger.submits_seen) == ("succeeded", 1)

        # What the file is now is another request.
        assert (work.run().code, server.ledger.submits_seen) == (0, 2)


async def run_loaded(loaded: app.Loaded, options: app.Options) -> app.Summary:
    """Carry out what was loaded before."""

    def observe(event: Event) -> None:
        """Nobody looks."""

    return await app.run(loaded, options, observe=observe, confirm=lambda *_: True, control=app.Control())


def test_a_file_changed_behind_the_back_of_its_time_stamp_is_still_found_out(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, local_rows(tmp_path, "one"))
        clip = tmp_path / "clips/one.mp4"
        # A planned run remembers the content by size, time and inode.
        server.faults.add("error_401_invalid", on="upload")
        assert work.run().code == 3
        stat = clip.stat()
        write_clip(clip, mark="two")
        os.utime(clip, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        done = work.run()

        assert (done.code, work.results()["one"]["error_code"]) == (1, "source_changed")
        assert server.ledger.submits_seen == 0


def test_a_clip_and_its_first_frame_both_go_up_and_the_output_is_a_video(tmp_path: Path) -> None:
    rows = local_rows(tmp_path, "one")
    rows[0]["first_frame_url"] = "frame.png"
    write_picture(tmp_path / "frame.png")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, rows)

        assert (work.run().code, server.ledger.uploads) == (0, 2)
        assert set(server.ledger.jobs[0].inputs) == {"video_url", "first_frame_url", "mode", "prompt"}
        assert video_facts(work.folder / "videos/one_v001.mp4") == Clip()
