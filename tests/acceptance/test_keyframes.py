"""`keyframes:` of a row: edited frames for several moments of one clip, on the embedded engine."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from batchmod import media
from tests.servers.segmind import SegmindStandIn
from tests.support import bare_environment, call, read_results, write_clip, write_manifest


def picture(path: Path, colour: tuple[int, int, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    made: NDArray[np.uint8] = np.full((48, 64, 3), colour, np.uint8)
    made[::6] = 255 - made[::6]
    media.write_png(path, made)
    return path


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    write_clip(tmp_path / "clip.mp4")
    picture(tmp_path / "first.png", (200, 60, 30))
    picture(tmp_path / "frames" / "frame-000004.png", (20, 60, 220))
    return tmp_path


def rows(**more: str) -> list[dict[str, str]]:
    return [{"id": "a", "video_url": "clip.mp4", "first_frame_url": "first.png", "mode": "flex_3", **more}]


def test_a_later_edited_frame_takes_over_from_its_moment_on(batch: Path) -> None:
    manifest = write_manifest(batch / "shots.yaml", rows(keyframes="frames"))
    done = call("run", manifest, environ=bare_environment())
    frames = [frame.rgb.mean((0, 1)) for frame in media.read_frames(batch / "outputs/shots/videos/a_v001.mp4")]

    assert done.code == 0, done.err
    assert frames[0][0] > frames[0][2] + 40
    assert frames[4][2] > frames[4][0] + 40


def test_another_edited_frame_is_another_job(batch: Path) -> None:
    manifest = write_manifest(batch / "shots.yaml", rows(keyframes="frames"))
    call("run", manifest, environ=bare_environment())
    picture(batch / "frames" / "frame-000004.png", (20, 220, 60))
    call("run", manifest, environ=bare_environment())

    assert read_results(batch / "outputs/shots")[0]["version"] == "2"


@pytest.mark.parametrize(
    ("given", "words"),
    [("nowhere", "'nowhere' is not there"), ("first.png", "is a file, not a folder")],
)
def test_a_folder_that_is_none_is_said_before_anything_is_made(batch: Path, given: str, words: str) -> None:
    manifest = write_manifest(batch / "shots.yaml", rows(keyframes=given))
    done = call("run", manifest, environ=bare_environment())

    assert done.code == 2
    assert f"(keyframes): '{given}'" in done.err
    assert words in done.err


def test_names_that_say_nothing_fail_their_row(batch: Path) -> None:
    picture(batch / "frames" / "best one.png", (1, 2, 3))
    manifest = write_manifest(batch / "shots.yaml", rows(keyframes="frames"))
    done = call("run", manifest, environ=bare_environment())

    assert done.code == 1
    assert read_results(batch / "outputs/shots")[0]["error_code"] == "bad_keyframes"


def test_a_provider_without_keyframes_says_so_and_nothing_is_sent(batch: Path) -> None:
    manifest = write_manifest(batch / "shots.yaml", rows(keyframes="frames"))
    with SegmindStandIn() as server:
        done = call("run", manifest, "--provider", "segmind", "--yes", environ=server.environment())

        assert (done.code, server.ledger.submits_seen) == (2, 0)
    assert "segmind takes no keyframes" in done.err
