"""Scores from the user's side: where they come from, where they stand, and what they never do to a run."""

import asyncio
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from batchmod import app, clock, judgement, work
from batchmod.app.scoring import thumbnails
from batchmod.app.scoring.beside_a_run import Scoring
from batchmod.app.scoring.workers import Workers
from batchmod.app.services import Services
from batchmod.checkpoint import FILE_NAME, Checkpoint
from batchmod.model import Event
from tests.servers.clips import Clip
from tests.servers.segmind import SegmindStandIn
from tests.support import Ran, Shoot, call, read_events, remote_rows, shoot, write_clip, write_picture

SCORES = ("motion_score", "flicker_score", "first_frame_score", "structure_score", "drift_score")
LOUD = Clip(frames=24, fps=24)


def with_clips(tmp_path: Path, server: SegmindStandIn, *ids: str) -> Shoot:
    """A row for each id, with a local clip and a first frame of its own."""
    rows = []
    for row_id in ids:
        write_clip(tmp_path / f"{row_id}.mp4", LOUD, mark=row_id)
        write_picture(tmp_path / f"{row_id}.png")
        rows.append({"id": row_id, "video_url": f"{row_id}.mp4", "first_frame_url": f"{row_id}.png"})
    return shoot(tmp_path, server, rows)


def report(made: Shoot, *argv: str) -> Ran:
    return call("report", str(made.folder), *argv, environ=made.environ)


def scores(made: Shoot, row_id: str) -> list[str]:
    line = made.results()[row_id]
    return [line[name] for name in SCORES]


def thumbs(made: Shoot) -> list[str]:
    return sorted(path.name for path in (made.folder / "thumbs").glob("*"))


def test_report_makes_what_a_run_has_left_and_a_run_alone_never_looks_at_old_outputs(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        made = with_clips(tmp_path, server, "one", "two")
        first = made.run("--no-scores")
        table = (made.folder / "results.csv").stat()
        again = made.run("--score-remote")

        assert (first.code, again.code, scores(made, "one"), thumbs(made)) == (0, 0, [""] * 5, [])
        assert (made.folder / "results.csv").stat().st_mtime_ns == table.st_mtime_ns
        assert "batchmod report" not in first.out + again.out

        shutil.copyfile(tmp_path / "one.mp4", tmp_path / "kept.mp4")
        write_clip(tmp_path / "one.mp4", LOUD, mark="changed")
        (tmp_path / "two.png").unlink()
        told = report(made)

        one, two = made.results()["one"], made.results()["two"]
        assert told.code == 0
        assert "1 output without scores: the source has changed since the output was made" in told.err
        assert (scores(made, "one"), one["flagged"]) == ([""] * 5, "true")  # the stand-in's clip is a shorter one
        assert "it has no scores: the source has changed" in one["warnings"]
        assert float(two["motion_score"]) <= 100
        assert (two["first_frame_score"], "the first frame is not there any more" in two["warnings"]) == ("", True)
        assert thumbs(made) == [f"{name}_v001{kind}.jpg" for name in ("one", "two") for kind in ("", ".source")]

        shutil.copyfile(tmp_path / "kept.mp4", tmp_path / "one.mp4")
        mended, nothing = report(made), report(made)

        assert ("1 output looked at" in mended.err, "looked at" in nothing.err) == (True, False)
        assert 0 <= float(made.results()["one"]["first_frame_score"]) <= 100
        assert server.ledger.submits_seen == 2


def test_wait_scores_ends_with_the_scores_in_the_table_and_a_doubt_in_words(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        made = with_clips(tmp_path, server, "one")
        done = made.run("--wait-scores")

        line = made.results()["one"]
        assert done.code == 0, done.err
        assert line["first_frame_score"] != ""
        assert line["flagged"] == "true"
        doubts = line["flag_reason"].split("; ")
        assert "instead of" in doubts[0]
        assert doubts[1].startswith("needs_review: first frame ")
        told = call("why", str(made.manifest), "one", environ=made.environ).out
        assert f"first frame {float(line['first_frame_score']):.0f}" in told
        assert doubts[1] in told
        assert thumbs(made) == ["one_v001.jpg", "one_v001.source.jpg"]
        assert not any(event["event"] == "scoring" for event in read_events(made.folder))


def test_a_wait_that_finds_nothing_new_writes_nothing_anew(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        made = with_clips(tmp_path, server, "one")
        made.run("--no-scores")
        write_clip(tmp_path / "one.mp4", LOUD, mark="changed")
        made.run("--no-scores")
        made.run("--wait-scores")
        before = [(made.folder / name).stat().st_mtime_ns for name in ("results.csv", "report.html")]

        again = made.run("--wait-scores")  # version 1 cannot be compared with anything any more

        assert (again.code, scores(made, "one")[0] != "", server.ledger.submits_seen) == (0, True, 2)
        assert [(made.folder / name).stat().st_mtime_ns for name in ("results.csv", "report.html")] == before


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder's files on loopback."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_a_source_on_the_web_is_fetched_only_where_somebody_says_so(tmp_path: Path) -> None:
    write_clip(tmp_path / "web/a.mp4", LOUD)
    with SegmindStandIn(queued_s=0, processing_s=0) as server, served(tmp_path / "web") as base:
        made = shoot(tmp_path, server, [{"id": "one", "video_url": f"{base}/a.mp4", "prompt": "as wool"}])
        made.run("--no-scores")
        left, fetched = report(made), report(made, "--score-remote")

        assert "1 output without scores: the source is on the web; --score-remote fetches it" in left.err
        assert "1 output looked at" in fetched.err
        line = made.results()["one"]
        assert line["structure_score"] != ""
        assert "instead of" in line["flag_reason"]  # now it is known how long its source is


def test_what_a_scoring_worker_does_harms_nothing_and_it_has_no_keys(tmp_path: Path) -> None:
    os.environ["SOME_SERVICE_TOKEN"] = "secret"  # not a name that anybody knows
    clip = write_clip(tmp_path / "a.mp4", LOUD)

    async def tried() -> list[object]:
        workers = Workers(1)
        try:
            return [
                await workers.run(os.getenv, "SOME_SERVICE_TOKEN"),
                await workers.run(os.nice, 0),
                await workers.run(os._exit, 3),
                await workers.run(int, "no number"),
                await workers.run(work.write_thumbnail, str(clip), str(tmp_path / "t/a.jpg"), 32),
            ]
        finally:
            workers.close()

    try:
        token, nice, died, broken, drawn = asyncio.run(tried())
    finally:
        del os.environ["SOME_SERVICE_TOKEN"]

    assert (token, nice, drawn) == (None, 19, None)
    assert (died, broken) == (
        work.Refusal(slug="engine_failed", message="the process that looked at it died"),
        work.Refusal(slug="engine_failed", message="ValueError: invalid literal for int() with base 10: 'no number'"),
    )
    assert work.probe_image(str(tmp_path / "t/a.jpg")) == (32, 24)


class Machines:
    """A cluster that sees every file; `broken`: each of its workers dies over its work."""

    def __init__(self, *, broken: bool) -> None:
        self.broken = broken
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.is_elsewhere = self.shares_files = True
        self.width = 16

    async def submit(self, function: Callable[..., Any], *values: object, reads: Sequence[str] = ()) -> Any:
        self.asked.append((function.__name__, tuple(Path(each).name for each in reads)))
        if self.broken:
            raise work.WorkerDied("it was killed")
        return await asyncio.to_thread(function, *values)

    async def begin(self, folder: Path) -> None:
        """It is there."""

    def close(self) -> None:
        """It stays."""


@pytest.mark.parametrize("broken", [False, True])
def test_a_cluster_that_sees_the_folder_looks_at_outputs_and_what_it_cannot_is_done_here(
    tmp_path: Path, *, broken: bool
) -> None:
    machines = Machines(broken=broken)

    async def scored(record: Checkpoint, folder: Path) -> int:
        beside = Scoring(record, folder, app.Options(), lambda *_: None, machines=machines)
        beside.begin()
        beside.heard(Event(kind="succeeded", at="", run_id="r", job_key=next(record.job_keys())))
        while not (beside._scorer._found or beside.kept):
            await clock.sleep(0.05)
        await beside.close()
        return len(beside._tasks)

    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        made = with_clips(tmp_path, server, "one")
        made.run("--no-scores")
    with Checkpoint.open(made.folder / FILE_NAME) as record:
        assert asyncio.run(scored(record, made.folder)) == 4
    report(made)

    assert scores(made, "one")[0] != ""
    assert thumbs(made) == ["one_v001.jpg", "one_v001.source.jpg"]
    assert machines.asked == [
        ("write_thumbnail", ("one_v001.mp4",)),
        ("write_thumbnail", ("one.mp4",)),
        ("score", ("one.mp4", "one_v001.mp4", "one.png")),
    ]


def test_ctrl_c_ends_the_wait_for_scores_at_once(tmp_path: Path) -> None:
    control, seen = app.Control(), list[str]()

    def stop(event: Event) -> None:
        seen.append(event.kind)
        if event.kind == "scoring":
            control.stop("sigint")

    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        made = shoot(tmp_path, server, remote_rows("one"))
        options = app.Options(provider="segmind", yes=True, wait_scores=True)
        loaded = app.load(made.manifest, options, Services(environ=made.environ))
        summary = asyncio.run(app.run(loaded, options, observe=stop, confirm=lambda *_: True, control=control))

    assert (summary.exit_code, summary.stop_reason, made.outputs()) == (130, "sigint", ["one_v001.mp4"])
    assert seen.count("scoring") == 1
    assert seen[-1] == "run_ended"


def test_beside_a_run_an_output_is_looked_at_as_soon_as_it_is_there(tmp_path: Path) -> None:
    async def scored(record: Checkpoint, folder: Path) -> tuple[int, int, int]:
        beside = Scoring(record, folder, app.Options(), lambda *_: None)
        beside.begin()
        [key] = record.job_keys()
        beside.heard(Event(kind="polled", at="", run_id="r", job_key=key))
        beside.heard(Event(kind="succeeded", at="", run_id="r", job_key=key))
        before = beside.left()
        while not (beside._scorer._found or beside.kept):
            await clock.sleep(0.05)
        await beside.close()
        return before, beside.kept, beside.left()

    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        made = with_clips(tmp_path, server, "one")
        made.run("--no-scores")
    with Checkpoint.open(made.folder / FILE_NAME) as record:
        assert asyncio.run(scored(record, made.folder)) == (1, 1, 0)
        assert record.unscored(judgement.FORM) == []
    assert thumbs(made) == ["one_v001.jpg", "one_v001.source.jpg"]


def test_thumbnails_are_named_by_their_outputs() -> None:
    outputs = ("videos/one_v001.mp4", "videos/day 1/one_v001.mp4")
    assert [*map(thumbnails.of_output, outputs)] == ["thumbs/one_v001.jpg", "thumbs/day 1/one_v001.jpg"]
    assert [*map(thumbnails.of_source, outputs)] == ["thumbs/one_v001.source.jpg", "thumbs/day 1/one_v001.source.jpg"]
