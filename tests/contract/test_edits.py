"""What people do to a finished batch, and how many new paid requests each of it makes."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Shoot, call, remote_rows, shoot, write_clip

Edit = Callable[[Shoot, Path], None]

IDS = ("a", "b", "c", "d")


@pytest.fixture
def finished(tmp_path: Path) -> Iterator[Shoot]:
    """A finished batch of four rows, one of them with a local clip."""
    write_clip(tmp_path / "batch" / "clip.mp4")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path / "batch", server, rows(), name="shots")
        assert work.run().code == 0
        assert server.ledger.billed == 4
        yield work


def rows(*ids: str) -> list[dict[str, object]]:
    made = remote_rows(*(ids or IDS))
    for row in made:
        if row["id"] == "d":
            row["video_url"] = "clip.mp4"
    return made


def write(*ids: str) -> Edit:
    return lambda work, _: work.rows(rows(*ids), name="shots")


def edit_one(work: Shoot, _: Path) -> None:
    changed = rows()
    changed[1]["prompt"] = "as stone"
    work.rows(changed, name="shots")


def rename_an_id(work: Shoot, _: Path) -> None:
    changed = rows()
    changed[1]["id"] = "renamed"
    work.rows(changed, name="shots")


def sign_links_anew(work: Shoot, _: Path) -> None:
    changed = rows()
    for row in changed[:3]:
        row["video_url"] = f"{row['video_url']}?X-Amz-Signature=tonight&X-Amz-Expires=3600&X-Amz-Date=20261123"
    work.rows(changed, name="shots")


def set_smart_quotes(work: Shoot, _: Path) -> None:
    changed = rows()
    changed[0]["prompt"] = f"  {changed[0]['prompt']}  "
    work.rows(changed, name="shots")


def rename_the_manifest(work: Shoot, _: Path) -> None:
    text = work.manifest.read_text(encoding="utf-8").replace("name: shots\n", "")
    work.manifest.unlink()
    object.__setattr__(work, "manifest", work.manifest.with_name("shots_v02.yaml"))
    work.manifest.write_text(text, encoding="utf-8")


def rename_the_clip(work: Shoot, _: Path) -> None:
    clip = work.manifest.parent / "clip.mp4"
    clip.rename(clip.with_name("plate.mp4"))
    changed = rows()
    changed[3]["video_url"] = "plate.mp4"
    work.rows(changed, name="shots")


def nothing(_work: Shoot, _: Path) -> None:
    """The same again."""


@pytest.mark.parametrize(
    ("edit", "new"),
    [
        pytest.param(nothing, 0, id="the same again"),
        pytest.param(write(*IDS, "e"), 1, id="a row appended"),
        pytest.param(write("e", *IDS), 1, id="a row inserted at the top"),
        pytest.param(edit_one, 1, id="a row edited"),
        pytest.param(write("d", "b", "a", "c"), 0, id="rows shuffled"),
        pytest.param(write("a", "c", "d"), 0, id="a row deleted"),
        pytest.param(rename_an_id, 0, id="an id renamed"),
        pytest.param(sign_links_anew, 0, id="presigned links renewed"),
        pytest.param(set_smart_quotes, 0, id="white space in a prompt"),
        pytest.param(rename_the_manifest, 0, id="the manifest renamed"),
        pytest.param(rename_the_clip, 0, id="a clip renamed"),
    ],
)
def test_an_edit_pays_for_what_is_new_and_for_nothing_else(
    finished: Shoot, tmp_path: Path, edit: Edit, new: int
) -> None:
    edit(finished, tmp_path)
    before = finished.server.ledger.submits_seen

    planned = call("plan", finished.manifest, "--provider", "segmind", "--json", environ=finished.environ)
    done = finished.run()

    assert (done.code, finished.server.ledger.submits_seen - before) == (0, new)
    assert planned.out.count('"action": "send"') == new
    assert finished.server.ledger.paid_twice() == {}


def test_smart_quotes_are_the_same_prompt(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        row = {"id": "a", "video_url": "https://example.com/a.mp4", "prompt": "the 'doll' of \"wool\""}
        work = shoot(tmp_path, server, [row])
        work.run()
        work.rows([{**row, "prompt": "the ‘doll’ of “wool”"}])

        assert (work.run().code, server.ledger.submits_seen) == (0, 1)


def test_another_output_folder_reuses_what_is_paid(finished: Shoot, tmp_path: Path) -> None:
    done = finished.run("--output", str(tmp_path / "new"))

    assert (done.code, finished.server.ledger.submits_seen) == (0, 4)
    assert {path.name for path in (tmp_path / "new" / "videos").iterdir()} == set(finished.outputs())


def test_a_moved_output_folder_is_known_where_it_is(finished: Shoot, tmp_path: Path) -> None:
    shutil.move(finished.folder, tmp_path / "moved")
    done = finished.run("--output", str(tmp_path / "moved"))

    assert (done.code, finished.server.ledger.submits_seen) == (0, 4)


def test_a_lost_output_folder_is_held_and_paid_again_only_when_told(finished: Shoot) -> None:
    shutil.rmtree(finished.folder)
    held = finished.run()

    assert (held.code, finished.server.ledger.submits_seen) == (0, 4)
    assert set(finished.statuses().values()) == {"held"}
    assert "file not found" in finished.results()["a"]["error"]

    again = finished.run("--no-reuse")

    assert (again.code, finished.server.ledger.submits_seen) == (0, 8)


def test_another_folder_is_the_current_one(finished: Shoot, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()

    assert (finished.run(cwd=tmp_path / "else").code, finished.server.ledger.submits_seen) == (0, 4)


@pytest.mark.parametrize("apart_s", [0.0, 2.0])
def test_two_runs_at_once_pay_once(tmp_path: Path, apart_s: float) -> None:
    with SegmindStandIn(queued_s=0.1, processing_s=2.0) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b", "c"))
        argv = ["run", str(work.manifest), "--provider", "segmind", "--yes", *PACE, "--quiet"]
        environ = {**work.environ, "PATH": "/usr/bin:/bin"}
        both = []
        for _ in range(2):
            both.append(subprocess.Popen([sys.executable, "-m", "batchmod", *argv], env=environ))
            time.sleep(apart_s)
        codes = sorted(each.wait(timeout=60) for each in both)

        assert codes == [0, 4]
        assert (server.ledger.submits_seen, server.ledger.billed) == (3, 3)


def test_two_folders_at_once_pay_once(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0.1, processing_s=1.0) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b", "c"))
        argv = ["run", str(work.manifest), "--provider", "segmind", "--yes", *PACE, "--quiet"]
        environ = {**work.environ, "PATH": "/usr/bin:/bin"}
        both = [
            subprocess.Popen([sys.executable, "-m", "batchmod", *argv, "--output", str(tmp_path / name)], env=environ)
            for name in ("one", "two")
        ]
        for each in both:
            each.wait(timeout=60)
        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (3, {})

        for name in ("one", "two"):
            assert work.run("--output", str(tmp_path / name)).code == 0
        assert server.ledger.submits_seen == 3
