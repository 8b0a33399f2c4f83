"""The recipes of docs/recipes: started by a real run, with the trackers' own SDKs, until the bytes have arrived."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.segmind import SegmindStandIn
from tests.servers.tracking import LOGIN, PASSWORD, SCRIPT, SCRIPT_KEY, Tracker, kitsu, shotgrid
from tests.support import Shoot, remote_rows, shoot

_RECIPES = Path(__file__).parents[2] / "docs" / "recipes"


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


def _work(folder: Path, server: SegmindStandIn, recipe: str, *arguments: str, **columns: str) -> Shoot:
    command = [sys.executable, str(_RECIPES / recipe), *arguments]
    rows = [{**remote_rows("a")[0], **columns}]
    return shoot(folder, server, rows, on_succeeded=command, hooks={"tries": 1})


def _kitsu_work(folder: Path, server: SegmindStandIn) -> Shoot:
    names = ("{output}", "{project}", "{sequence}", "{shot}", "{task}")
    return _work(folder, server, "kitsu.py", *names, project="Autumn", sequence="SQ01", shot="SH010", task="Look")


def _kitsu_environ(tracker: Tracker) -> dict[str, str]:
    return {"KITSU_HOST": f"{tracker.url}/api", "KITSU_LOGIN": LOGIN, "KITSU_PASSWORD": PASSWORD}


def _video(work: Shoot) -> bytes:
    return (work.folder / "videos" / "a_v001.mp4").read_bytes()


def _forget(work: Shoot) -> None:
    """As if a kill had come between the program's end and the note of it."""
    book = work.folder / "hooks.jsonl"
    book.write_text("".join(line for line in book.read_text().splitlines(keepends=True) if '"done"' not in line))


def test_an_output_becomes_a_preview_in_kitsu_once(server: SegmindStandIn, tmp_path: Path) -> None:
    with kitsu() as tracker:
        work = _kitsu_work(tmp_path, server)
        environ = {**work.environ, **_kitsu_environ(tracker)}
        done = work.run("--allow-hooks", environ=environ)

        assert (done.code, tracker.refused) == (0, [])
        assert tracker.uploads == {"pv0": _video(work)}
        assert tracker.comments[0]["text"].startswith("batchmod a_v001 1-")

        _forget(work)
        work.run("--allow-hooks", environ=environ)

        assert (len(tracker.comments), len(tracker.uploads)) == (1, 1)
        assert "it is there already" in (work.folder / "hooks" / "a_v001_mp4.log").read_text()


def test_a_shot_that_kitsu_does_not_have_is_said_and_tried_again(server: SegmindStandIn, tmp_path: Path) -> None:
    with kitsu() as tracker:
        names = ("{output}", "Autumn", "SQ01", "{shot}", "Look")
        work = _work(tmp_path, server, "kitsu.py", *names, shot="SH999")
        done = work.run("--allow-hooks", environ={**work.environ, **_kitsu_environ(tracker)})

        assert (done.code, tracker.comments) == (0, [])
        assert "Kitsu has no shot SH999 in SQ01" in (work.folder / "hooks" / "a_v001_mp4.log").read_text()
        assert "failed for videos/a_v001.mp4" in done.err


@pytest.mark.parametrize("half", [False, True])
def test_an_output_becomes_a_version_in_shotgrid_once(server: SegmindStandIn, tmp_path: Path, *, half: bool) -> None:
    with shotgrid() as tracker:
        work = _work(tmp_path, server, "shotgrid.py", "{output}", "70", "{shot}", shot="SH010")
        given: dict[str, Any] = {"SHOTGRID_URL": tracker.url, "SHOTGRID_SCRIPT": SCRIPT, "SHOTGRID_KEY": SCRIPT_KEY}
        environ = {**work.environ, **given}
        done = work.run("--allow-hooks", environ=environ)
        (version,) = tracker.versions

        assert (done.code, tracker.refused) == (0, [])
        assert tracker.uploads == {version["sg_uploaded_movie"]: _video(work)}
        assert (version["code"], version["entity"]["id"], version["project"]["id"]) == ("a_v001", 10, 70)

        _forget(work)
        if half:  # the version was made, and its movie did not arrive
            del version["sg_uploaded_movie"]
        work.run("--allow-hooks", environ=environ)

        assert (len(tracker.versions), len(tracker.uploads)) == (1, 1 + half)
        assert version["sg_uploaded_movie"]
