"""`batchmod frames` gives people the frame to edit, and the edited one finds its way back to its row."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from batchmod import media
from tests.colours import card, inside, write_card
from tests.servers.clips import Clip, encoded
from tests.servers.sockets import RawServer, keep_answering
from tests.support import Ran, call, write_clip, write_manifest


def frames(folder: Path, *words: str) -> Ran:
    return call("frames", *words, environ={}, cwd=folder)


def plan(folder: Path, *words: str) -> Ran:
    return call("plan", *words, environ={}, cwd=folder)


def keys(ran: Ran) -> dict[str, str]:
    """Id → job_key, of a plan in JSON."""
    return {item["id"]: item["job_key"] for item in json.loads(ran.out)[0]["items"]}


def picture(path: Path) -> Any:
    """A picture as another reader than ours sees it."""
    read = cv2.imread(str(path))
    assert read is not None
    return read[..., ::-1]


def edit(extracted: Path, edited: Path) -> Path:
    """Save a picture under another name, with a red square in it."""
    changed = media.read_image(extracted)
    changed[10:20, 10:20] = (255, 0, 0)
    edited.write_bytes(cv2.imencode(edited.suffix.lower(), changed[..., ::-1])[1].tobytes())
    return edited


@pytest.mark.parametrize(
    ("turns", "how"),
    [
        (0, {"matrix": "bt709"}),
        (0, {"matrix": "bt709", "full": True}),
        (0, {"matrix": "bt601"}),
        (0, {"matrix": "bt601", "full": True}),
        (0, {"matrix": "bt709", "bits": 10}),
        (0, {"matrix": "bt601", "size": (480, 270), "tagged": False}),
        (0, {"matrix": "bt709", "size": (1280, 720), "tagged": False}),
        (1, {"rotation": 90}),
        (2, {"rotation": 180}),
        (3, {"rotation": 270}),
    ],
    ids=str,
)
def test_a_frame_is_a_png_of_the_clips_size_upright_in_its_colours(
    tmp_path: Path, turns: int, how: dict[str, Any]
) -> None:
    write_card(tmp_path / "clip.mp4", **how)
    write_manifest(tmp_path / "m.yaml", [{"id": "12_A", "video_url": "clip.mp4"}])
    width, height = how.get("size", (192, 108))

    done = frames(tmp_path, "m.yaml")
    written = picture(tmp_path / "frames" / "12_A.png")
    difference = np.abs(inside(written, turns=turns).astype(int) - inside(card(width, height)))

    assert done.code == 0
    assert written.shape[:2] == ((width, height) if turns % 2 else (height, width))
    assert difference.max() <= 2
    assert (tmp_path / "frames" / "12_A.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_frames_are_named_by_id_and_each_clip_is_said_once(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    rows = [{"id": name, "video_url": "clip.mp4"} for name in ("Ten Bit", "b.2", "ünï")]
    write_manifest(tmp_path / "m.yaml", rows)

    done = frames(tmp_path, "m.yaml")

    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == ["Ten Bit.png", "b.2.png", "ünï.png"]
    assert done.out.startswith("m.yaml: 3 frames written to frames.\n")
    assert "Ten Bit.edited.png" in done.out


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    write_manifest(tmp_path / "m.yaml", [{"id": "a", "video_url": "clip.mp4"}, {"id": "b", "video_url": "clip.mp4"}])
    frames(tmp_path, "m.yaml")
    mine = edit(tmp_path / "frames" / "a.png", tmp_path / "frames" / "a.png").read_bytes()

    done = frames(tmp_path, "m.yaml", "--json")
    said = {one["id"]: one["outcome"] for one in json.loads(done.out)}

    assert (done.code, said) == (1, {"a": "left", "b": "there"})
    assert (tmp_path / "frames" / "a.png").read_bytes() == mine


def test_a_broken_clip_keeps_no_other_from_being_written(tmp_path: Path) -> None:
    write_clip(tmp_path / "good.mp4")
    (tmp_path / "bad.mp4").write_bytes(b"<html>")
    write_manifest(tmp_path / "m.yaml", [{"video_url": "bad.mp4"}, {"video_url": "good.mp4"}])

    done = frames(tmp_path, "m.yaml")

    assert done.code == 1
    assert "bad.png: failed: " in done.err
    assert "is an HTML page, not a video" in done.err
    assert [path.name for path in (tmp_path / "frames").iterdir()] == ["good.png"]


def test_a_clip_that_is_late_keeps_no_other_from_being_written_where_that_is_said(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4")
    write_manifest(tmp_path / "m.yaml", [{"video_url": "a.mp4"}, {"video_url": "late.mp4"}])

    assert frames(tmp_path, "m.yaml").code == 2
    done = frames(tmp_path, "m.yaml", "--skip-invalid")

    assert (done.code, [path.name for path in (tmp_path / "frames").iterdir()]) == (1, ["a.png"]), done.err


def test_a_clip_on_the_web_is_fetched_for_its_frame(tmp_path: Path) -> None:
    video = encoded(Clip(width=80, height=60))
    with RawServer(lambda peer: keep_answering(peer, 200, video, Content_Type="video/mp4")) as server:
        write_manifest(tmp_path / "m.yaml", [{"id": "a", "video_url": f"{server.url}/clip.mp4?X-Amz-Signature=secret"}])
        done = frames(tmp_path, "m.yaml")

    assert done.code == 0
    assert media.probe_image(tmp_path / "frames" / "a.png") == (80, 60)


def test_a_clip_on_the_web_that_is_not_to_be_had_is_said(tmp_path: Path) -> None:
    with RawServer(lambda peer: keep_answering(peer, 404)) as server:
        write_manifest(tmp_path / "m.yaml", [{"id": "a", "video_url": f"{server.url}/clip.mp4?X-Amz-Signature=secret"}])
        done = frames(tmp_path, "m.yaml")

    assert done.code == 1
    assert "/clip.mp4 could not be fetched: 127.0.0.1 answered 404" in done.err
    assert "secret" not in done.err


def test_a_first_frame_that_is_still_to_be_made_is_no_mistake_here(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    write_manifest(tmp_path / "m.yaml", [{"id": "a", "video_url": "clip.mp4", "first_frame_url": "frames/a.png"}])

    done = frames(tmp_path, "m.yaml")

    assert done.code == 0
    assert "a: the row names a.png itself as its first frame: edit it before you run" in done.out


def test_frames_of_a_command_with_an_output_folder_are_written_there_and_found_there(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    (tmp_path / "s.csv").write_text("id,video_url\na,clip.mp4\n", encoding="utf-8")

    frames(tmp_path, "s.csv", "--output", "out", "--only", "a")
    edit(tmp_path / "out" / "frames" / "a.png", tmp_path / "out" / "frames" / "a.edited.png")

    assert (
        "s.csv: 1 row takes its first frame from out/frames"
        in plan(tmp_path, "s.csv", "--output", "out", "--pair-frames").err
    )


def extracted(folder: Path, *rows: dict[str, Any], **top: Any) -> Path:
    """A manifest of one clip whose frames are written; their folder."""
    write_clip(folder / "clip.mp4")
    write_manifest(folder / "m.yaml", [{"video_url": "clip.mp4", **row} for row in rows], **top)
    frames(folder, "m.yaml")
    return folder / "frames"


@pytest.mark.parametrize("name", ["a.edited.png", "A.Edited.PNG", "a.edited.jpg", "a.EDITED.JPEG"])
def test_an_edited_frame_is_the_first_frame_of_its_row_and_of_no_other(tmp_path: Path, name: str) -> None:
    folder = extracted(tmp_path, {"id": "a"}, {"id": "aa"}, pair_frames=True)
    edit(folder / "a.png", folder / name)
    paired = keys(plan(tmp_path, "m.yaml", "--json"))
    write_manifest(
        tmp_path / "named.yaml",
        [
            {"id": "a", "video_url": "clip.mp4", "first_frame_url": f"frames/{name}"},
            {"id": "aa", "video_url": "clip.mp4"},
        ],
    )

    assert paired == keys(plan(tmp_path, "named.yaml", "--json"))
    assert paired["a"] != paired["aa"]


@pytest.mark.parametrize(
    "name", ["a.png", "a-edited.png", "a.edit.png", "a_edited.png", "b.edited.png", "a.edited.webp"]
)
def test_nothing_else_is_paired(tmp_path: Path, name: str) -> None:
    folder = extracted(tmp_path, {"id": "a"}, pair_frames=True)
    before = keys(plan(tmp_path, "m.yaml", "--json"))
    edit(folder / "a.png", folder / "x.png").rename(folder / name)

    assert keys(plan(tmp_path, "m.yaml", "--json")) == before


def test_a_picture_whose_pixels_nobody_changed_is_ignored_and_said(tmp_path: Path) -> None:
    folder = extracted(tmp_path, {"id": "a"}, pair_frames=True)
    before = keys(plan(tmp_path, "m.yaml", "--json"))
    pixels = media.read_image(folder / "a.png")[..., ::-1]
    (folder / "a.edited.png").write_bytes(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())

    done = plan(tmp_path, "m.yaml")

    assert (folder / "a.edited.png").read_bytes() != (folder / "a.png").read_bytes()
    assert (
        "m.yaml:4:3 (first_frame_url): 'frames/a.edited.png' is the clip's own first frame, unedited: ignored"
        in done.err
    )
    assert "takes its first frame" not in done.err
    assert keys(plan(tmp_path, "m.yaml", "--json")) == before


def test_the_unedited_frame_of_a_clip_on_the_web_is_told_by_the_one_beside_it(tmp_path: Path) -> None:
    folder = extracted(tmp_path, {"id": "a"})
    write_manifest(tmp_path / "web.yaml", [{"id": "a", "video_url": "https://example.com/a.mp4"}], pair_frames=True)
    (folder / "a.edited.png").write_bytes((folder / "a.png").read_bytes())

    assert "unedited: ignored" in plan(tmp_path, "web.yaml").err


def test_a_row_that_names_a_first_frame_keeps_it(tmp_path: Path) -> None:
    folder = extracted(tmp_path, {"id": "a"})
    edit(folder / "a.png", folder / "a.edited.png")
    media.write_png(tmp_path / "mine.png", np.full((48, 64, 3), 90, np.uint8))
    row = {"id": "a", "video_url": "clip.mp4", "first_frame_url": "mine.png"}
    write_manifest(tmp_path / "off.yaml", [row])
    write_manifest(tmp_path / "on.yaml", [row], pair_frames=True)

    assert keys(plan(tmp_path, "on.yaml", "--json")) == keys(plan(tmp_path, "off.yaml", "--json"))


def test_two_edited_frames_of_one_name_are_refused_since_nobody_can_say_which(tmp_path: Path) -> None:
    folder = extracted(tmp_path, {"id": "a"}, pair_frames=True)
    edit(folder / "a.png", folder / "a.edited.png")
    edit(folder / "a.png", folder / "a.edited.jpg")

    done = plan(tmp_path, "m.yaml")

    assert done.code == 2
    assert "two edited first frames for 'a': 'frames/a.edited.jpg' and 'frames/a.edited.png'; keep one" in done.err


def test_the_frame_to_edit_of_a_row_with_such_a_name_is_nobodys_edited_frame(tmp_path: Path) -> None:
    extracted(tmp_path, {"id": "a"}, {"id": "a.edited"}, pair_frames=True)

    assert "first frame" not in plan(tmp_path, "m.yaml").err


def test_an_edited_frame_that_nobody_asked_for_is_spoken_of(tmp_path: Path) -> None:
    folder = extracted(tmp_path, {"id": "a"}, {"id": "b"})
    for name in "ab":
        edit(folder / f"{name}.png", folder / f"{name}.edited.png")

    assert (
        "warning: m.yaml: 'a' and 1 other row have an edited first frame (frames/a.edited.png) that is not used; "
        "say `pair_frames: true` in the manifest or --pair-frames, or name it in the row\n"
    ) in plan(tmp_path, "m.yaml").err


def test_a_frame_that_was_edited_in_its_place_is_not_lost_silently(tmp_path: Path) -> None:
    folder = extracted(tmp_path, {"id": "a"}, {"id": "b"})
    edit(folder / "a.png", folder / "a.png")

    said = call("check", "m.yaml", environ={}, cwd=tmp_path).err

    assert "'frames/a.png' is not the clip's own first frame any more, and is not used; " in said
    assert "if it is the edited one, call it a.edited.png" in said
    assert "b.png" not in said


def test_an_edited_frame_that_leads_outside_is_refused(tmp_path: Path) -> None:
    shots = tmp_path / "shots"
    folder = extracted(shots, {"id": "a"}, pair_frames=True)
    (folder / "a.edited.png").symlink_to(edit(folder / "a.png", tmp_path / "outside.png"))

    assert "lies outside" in plan(shots, "m.yaml").err
