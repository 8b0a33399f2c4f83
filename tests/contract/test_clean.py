"""`clean`: what nobody needs any more goes; what was paid for never does, whatever is done to make it."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from batchmod import files
from batchmod.checkpoint import FILE_NAME
from tests.servers.clips import Clip
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Ran, call, remote_rows, shoot, write_clip, write_manifest

TINY = Clip(width=48, height=32, frames=2, fps=24)


@dataclass(frozen=True, kw_only=True, slots=True)
class Set:
    """An output folder of two rows of the engine's in two versions, two that were paid for, and a rehearsal."""

    home: Path
    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        return {"BATCHMOD_HOME": str(self.home)}

    def clean(self, *argv: str) -> Ran:
        return call("clean", self.folder, "--older-than", "0", *argv, environ=self.environ)

    def videos(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "videos").iterdir())

    def sql(self, query: str) -> None:
        with closing(sqlite3.connect(self.folder / FILE_NAME)) as db, db:
            db.execute(query)

    def rewrite_events(self, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
        path = self.folder / "events.jsonl"
        events = [change(json.loads(line)) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(event) + "\n" for event in events if event is not None))


PAID = ["paid_v001.mp4", "paid_v002.mp4"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; each test works on a copy, which is a moved folder."""
    top = tmp_path_factory.mktemp("made")
    write_clip(top / "a.mp4", TINY)
    mine = {"id": "mine", "video_url": "a.mp4", "provider": "local"}
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(top, server, [])
        for prompt in ("as a pencil drawing", "as an ink drawing"):
            paid = {**remote_rows("paid")[0], "prompt": prompt, "provider": "segmind"}
            write_manifest(work.manifest, [{**mine, "prompt": prompt}, paid])
            assert call("run", work.manifest, "--yes", *PACE, environ=work.environ).code == 0
        rehearsed = call("run", work.manifest, "--rehearse", "--only", "mine", *PACE, environ=work.environ)
        assert rehearsed.code == 0, rehearsed.err
    return top


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Iterator[Set]:
    shutil.copytree(made / "outputs", tmp_path / "outputs")
    shutil.copytree(made / "home", tmp_path / "home")
    found = Set(home=tmp_path / "home", folder=tmp_path / "outputs" / "shots")
    yield found
    there = {path.name for path in (found.folder / "videos").resolve().rglob("paid_v00*.mp4")}
    assert set(PAID) <= there


def test_it_shows_first_and_deletes_when_told(here: Set) -> None:
    shown = here.clean("--superseded")

    assert shown.code == 0
    assert "videos/mine_v001.mp4  (old version by the embedded engine" in shown.out
    assert "say --yes to do it" in shown.out
    assert here.videos() == ["mine_v001.mp4", "mine_v002.mp4", *PAID]
    assert "videos/paid_v001.mp4 stays: segmind made it" in shown.err

    done = here.clean("--superseded", "--yes")

    assert (done.code, here.videos()) == (0, ["mine_v002.mp4", *PAID])
    assert not (here.folder / "rehearsal").exists()
    assert "nothing" in here.clean("--superseded", "--yes").out


def test_old_versions_stay_unless_they_are_asked_for_and_so_does_what_is_young(here: Set) -> None:
    here.clean("--yes")

    assert "mine_v001.mp4" in here.videos()

    call("clean", here.folder, "--superseded", "--yes", environ=here.environ)

    assert "mine_v001.mp4" in here.videos()


def test_old_logs_go_but_the_newest_part(here: Set) -> None:
    for name in ("events.000001.jsonl.gz", "events.000002.jsonl.gz", "events.000003.jsonl"):
        (here.folder / name).write_bytes(b"")
    (here.folder / "hooks").mkdir()
    (here.folder / "hooks" / "a_v001_mp4.log").write_text("x")
    here.clean("--yes")

    assert sorted(path.name for path in here.folder.glob("events*")) == ["events.000003.jsonl", "events.jsonl"]
    assert not (here.folder / "hooks").exists()


def test_thumbnails_and_prepared_clips_that_nothing_has_any_more_go(here: Set) -> None:
    (here.folder / ".thumbnails").mkdir()
    (here.folder / ".thumbnails" / f"{'0' * 64}.jpg").write_bytes(b"x")
    (here.folder / ".thumbnails" / "mine.jpg").write_bytes(b"x")
    prepared = write_clip(here.folder / "prepared" / "a-0123456789.mp4", TINY, mark="prepared")
    mine = write_clip(here.folder / "prepared" / "mine.mp4", TINY, mark="mine")
    (here.folder / "prepared" / "prepared.json").write_text(json.dumps({"prepared:x": files.sha256_of(prepared)}))
    here.clean("--yes")

    assert [path.name for path in (here.folder / ".thumbnails").iterdir()] == ["mine.jpg"]
    assert (prepared.exists(), mine.exists()) == (False, True)


def test_a_run_afterwards_pays_nothing_and_finds_a_whole_folder(here: Set, made: Path) -> None:
    here.clean("--superseded", "--yes")
    words = ("--output", here.folder, "--only", "mine", "--json")
    plan = call("plan", made / "shots.yaml", *words, environ=here.environ)

    assert plan.code == 0
    assert [item["action"] for item in json.loads(plan.out)[0]["items"]] == ["keep"]


def test_a_folder_in_use_is_left_alone(here: Set) -> None:
    with files.locked(here.folder):
        assert here.clean("--superseded", "--yes").code == 4
    assert "mine_v001.mp4" in here.videos()


def test_a_lost_record_lets_nothing_go(here: Set) -> None:
    (here.folder / FILE_NAME).unlink()

    assert here.clean("--superseded", "--yes").code == 2
    assert here.videos() == ["mine_v001.mp4", "mine_v002.mp4", *PAID]


_AS_THE_ENGINES = (
    "UPDATE work SET provider = 'local', origin = '', request_id = NULL, cost_usd = NULL, cost_source = NULL, "
    "billed = 0, job_key = 'x' || work_id"
)


def _as_the_engines(event: dict[str, Any]) -> dict[str, Any]:
    told = {"provider": "local", "origin": "", "request_id": None}
    return event | {name: value for name, value in told.items() if name in event}


def _without_request_ids(event: dict[str, Any]) -> dict[str, Any]:
    return event | ({"request_id": None} if "request_id" in event else {})


def _with_other_keys(event: dict[str, Any]) -> dict[str, Any]:
    return event | ({"job_key": f"x{event['work']}"} if "work" in event else {})


_ATTEMPTS = "UPDATE attempt SET provider = 'local', origin = '', request_id = NULL, account = NULL"


def test_an_edited_record_is_refused_for_the_event_log_knows_the_requests(here: Set) -> None:
    here.sql(_AS_THE_ENGINES)

    assert here.clean("--superseded", "--yes").code == 2
    assert "mine_v001.mp4" in here.videos()


def test_an_edited_record_and_an_edited_log_let_nothing_paid_go(here: Set) -> None:
    here.rewrite_events(lambda event: _with_other_keys(_without_request_ids(event)))
    here.sql(_AS_THE_ENGINES)
    here.sql("UPDATE attempt SET request_id = NULL")

    assert "videos/paid_v001.mp4 stays: local made it" in here.clean("--superseded", "--yes").err

    here.sql(_ATTEMPTS)

    assert "paid_v001.mp4 stays: the event log says that a service" in here.clean("--superseded", "--yes").err

    here.rewrite_events(_as_the_engines)

    assert "paid_v001.mp4 stays: it has the content of a paid output" in here.clean("--superseded", "--yes").err


def test_a_job_key_that_the_index_knows_is_enough(here: Set) -> None:
    here.rewrite_events(lambda event: _as_the_engines(_without_request_ids(event)))
    here.sql(_AS_THE_ENGINES.replace(", job_key = 'x' || work_id", ""))
    here.sql(_ATTEMPTS)

    assert "paid_v001.mp4 stays: the index of paid work knows" in here.clean("--superseded", "--yes").err


def test_a_log_that_says_nothing_lets_nothing_go(here: Set) -> None:
    here.rewrite_events(lambda event: None if event["event"] == "intended" else event)

    assert "mine_v001.mp4 stays: the event log does not say who made it" in here.clean("--superseded", "--yes").err
    assert "mine_v001.mp4" in here.videos()


@pytest.mark.parametrize("how", ["copied", "renamed", "hard link", "symbolic link"])
def test_a_paid_file_under_an_old_versions_name_stays(here: Set, how: str) -> None:
    paid, mine = here.folder / "videos" / PAID[0], here.folder / "videos" / "mine_v001.mp4"
    mine.unlink()
    if how == "copied":
        shutil.copyfile(paid, mine)
    elif how == "hard link":
        os.link(paid, mine)
    elif how == "symbolic link":
        mine.symlink_to(paid)
    else:
        shutil.copyfile(paid, paid.with_name("spare.mp4"))
        paid.with_name("spare.mp4").rename(mine)
    here.clean("--superseded", "--yes")

    assert mine.exists()
    assert paid.exists()


@pytest.mark.parametrize("path", ["videos/../videos/paid_v001.mp4", "../paid_v001.mp4", "videos//paid_v001.mp4"])
def test_a_name_that_leads_elsewhere_is_not_followed(here: Set, path: str) -> None:
    shutil.copyfile(here.folder / "videos" / PAID[0], here.folder.parent / PAID[0])
    here.sql("UPDATE delivery SET path = 'videos/none.mp4' WHERE path = 'videos/paid_v001.mp4'")
    here.sql(f"UPDATE delivery SET path = '{path}' WHERE path = 'videos/mine_v001.mp4'")
    done = here.clean("--superseded", "--yes")

    assert done.code == 0
    assert (here.folder.parent / PAID[0]).exists()
    assert PAID[0] in here.videos()


def test_nothing_behind_a_link_goes(here: Set, tmp_path: Path) -> None:
    (here.folder / "videos").rename(tmp_path / "elsewhere")
    (here.folder / "videos").symlink_to(tmp_path / "elsewhere")
    shutil.rmtree(here.folder / "rehearsal")
    (here.folder / "rehearsal").symlink_to(tmp_path / "elsewhere")
    (here.folder / "hooks").symlink_to(tmp_path / "elsewhere")
    done = here.clean("--superseded", "--yes")

    assert "a folder on its way is a link" in done.err
    assert "rehearsal stays: it is a link" in done.err
    assert len(here.videos()) == 4


def test_a_rehearsal_that_holds_anything_else_stays_whole(here: Set) -> None:
    shutil.copyfile(here.folder / "videos" / PAID[0], here.folder / "rehearsal" / "videos" / PAID[0])
    done = here.clean("--yes")

    assert f"rehearsal stays: videos/{PAID[0]}: a rehearsal has no such file" in done.err
    assert (here.folder / "rehearsal" / FILE_NAME).exists()


def test_a_rehearsal_goes_with_its_copies_and_thumbnails_unless_somebody_changed_a_copy(here: Set, made: Path) -> None:
    inner = here.folder / "rehearsal"
    words = ("--rehearse", "--only", "mine", "--output", here.folder, "--deliver", "h264", *PACE)
    done = call("run", made / "shots.yaml", *words, environ=here.environ)
    assert done.code == 0, done.err
    copy = inner / "delivered" / "mine_v001.mp4"
    assert copy.exists()
    (inner / "thumbs").mkdir(exist_ok=True)
    (inner / "thumbs" / "mine_v001.source.jpg").write_bytes(b"x")
    whole = copy.read_bytes()
    copy.write_bytes(whole + b"graded")

    assert "rehearsal stays: delivered/mine_v001.mp4: it is not the file that was made" in here.clean("--yes").err

    copy.write_bytes(whole)

    assert "files of a rehearsal" in here.clean("--yes").out
    assert not inner.exists()


def test_a_paid_folder_called_rehearsal_stays(here: Set) -> None:
    inner = here.folder / "rehearsal"
    shutil.rmtree(inner)
    shutil.copytree(here.folder, inner)
    done = here.clean("--yes", "--superseded")

    assert "rehearsal stays" in done.err
    assert (inner / "videos" / PAID[0]).exists()
    assert (inner / FILE_NAME).exists()
