"""`check` looks at clips and first frames, asks for those on the web, and says what it could not look at."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from batchmod import media, work
from batchmod.model import Source
from batchmod.sources import Seen, remote
from tests.colours import write_card
from tests.servers.clips import Clip, encoded
from tests.servers.sockets import Peer, RawServer
from tests.support import Ran, bare_environment, call, write_clip, write_manifest

BUNNY = Path(__file__).parents[2] / "manifests" / "demo" / "bunny.mp4"


def check(folder: Path, *words: str, rows: list[dict[str, Any]] | None = None, **top: Any) -> Ran:
    if rows is not None:
        write_manifest(folder / "m.yaml", rows, **{"provider": "segmind", **top})
    return call("check", "m.yaml", *words, environ={"BATCHMOD_HOME": str(folder / "home")}, cwd=folder)


def warnings(done: Ran) -> list[str]:
    """What was warned of, without places."""
    lines = (line for line in done.err.splitlines() if line.startswith("warning: "))
    return [line.partition("): ")[2] for line in lines]


def pictures(folder: Path) -> dict[str, str]:
    """First frames of all kinds for the bunny's clip."""
    (folder / "bunny.mp4").write_bytes(BUNNY.read_bytes())
    own = media.first_frame(BUNNY)
    edited = np.ascontiguousarray(255 - own // 2)
    drawn = cv2.Canny(own, 60, 160)
    ways = {
        "saved_anew.jpg": own,
        "scaled.png": cv2.resize(own, (960, 540), interpolation=cv2.INTER_AREA),
        "edited.png": edited,
        "drawn.png": np.repeat(drawn[..., None], 3, axis=2),
        "square.png": cv2.resize(edited, (270, 270)),
        "tiny.png": cv2.resize(edited, (160, 90), interpolation=cv2.INTER_AREA),
        "mirrored.png": np.ascontiguousarray(edited[:, ::-1]),
        "black.png": np.zeros_like(own),
    }
    for name, picture in ways.items():
        cv2.imwrite(str(folder / name), np.asarray(picture)[..., ::-1])
    return {name: name for name in ways}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("saved_anew.jpg", "the first frame is the clip's own, unedited: it asks for no change"),
        ("scaled.png", "the first frame is the clip's own, unedited: it asks for no change"),
        ("square.png", "the first frame has another shape (270x270) than the clip (480x270)"),
        ("tiny.png", "the first frame (160x90) is much smaller than the clip (480x270)"),
        ("mirrored.png", "the first frame shows other shapes than the clip's own: is it another clip's?"),
        ("edited.png", None),
        ("drawn.png", None),
        ("black.png", None),
    ],
)
def test_a_first_frame_is_compared_with_the_clips_own(tmp_path: Path, name: str, said: str | None) -> None:
    pictures(tmp_path)
    done = check(tmp_path, rows=[{"id": "a", "video_url": "bunny.mp4", "first_frame_url": name}])

    assert done.code == 0
    assert [line[: len(said or "")] for line in warnings(done)] == ([said] if said else [])


def test_every_look_of_the_engine_passes_for_an_edited_first_frame_and_another_picture_does_not() -> None:
    from batchmod.engine.looks import LOOKS

    own = media.first_frame(BUNNY)
    other = media.first_frame(BUNNY)[::-1]
    likeness = {look.name: media.likeness(own, look.apply(own, 1.0)) for look in LOOKS}

    assert min(value or 0 for value in likeness.values()) > 0.35
    assert (media.likeness(own, np.ascontiguousarray(other)) or 0) < 0.2


def test_media_are_looked_at_without_the_engine(tmp_path: Path) -> None:
    pictures(tmp_path)
    write_manifest(
        tmp_path / "m.yaml",
        [{"id": "a", "video_url": "bunny.mp4", "first_frame_url": "saved_anew.jpg"}],
        provider="segmind",
    )
    program = (
        "import sys; sys.modules |= {'cv2': None, 'numba': None}; from batchmod.cli import main; "
        "sys.exit(main(['check', 'm.yaml']) or main(['frames', 'm.yaml']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=bare_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, "unedited" in done.stderr) == (0, True)
    assert (tmp_path / "frames" / "a.png").exists()


def test_how_a_clip_is_stored_is_said_where_a_service_may_mind_it(tmp_path: Path) -> None:
    write_card(tmp_path / "turned.mp4", rotation=90)
    write_card(tmp_path / "ten.mp4", bits=10)
    write_card(tmp_path / "plain.mov")
    rows = [{"video_url": name} for name in ("turned.mp4", "ten.mp4", "plain.mov")]

    cure = "--fix writes it anew as upright H.264 in MP4"
    assert warnings(check(tmp_path, rows=rows)) == [
        f"it is stored turned by 90 degrees: a service that overlooks the mark turns the result; {cure}",
        f"it is coded as H.264 of 10 bits; H.264 of 8 bits is what every service reads; {cure}",
        f"it is QuickTime (MOV) (H.264); segmind names MP4 only; {cure}",
    ]
    assert warnings(check(tmp_path, "--provider", "local")) == []


def test_a_cure_is_named_only_where_it_works(tmp_path: Path) -> None:
    write_clip(tmp_path / "in.mp4", Clip(frames=200, fps=5))
    media.prepare(tmp_path / "in.mp4", tmp_path / "long.mp4", until_s=None, max_bytes=None)
    (tmp_path / "long.mov").write_bytes((tmp_path / "long.mp4").read_bytes().replace(b"ftypisom", b"ftypqt  "))
    done = check(tmp_path, rows=[{"video_url": "long.mov"}])

    assert done.code == 2
    assert "lasts 40.0 s" in done.err
    assert warnings(done) == ["it is QuickTime (MOV) (H.264); segmind names MP4 only"]
    assert "--fix" not in done.err


def test_mistakes_in_words_and_in_files_are_said_in_one_go_each_at_its_cell(tmp_path: Path) -> None:
    write_clip(tmp_path / "good.mp4", Clip(frames=40))
    (tmp_path / "bad.mp4").write_text("no clip", encoding="utf-8")
    (tmp_path / "bad.png").write_text("no picture", encoding="utf-8")
    (tmp_path / "s.csv").write_text(
        "id,video_url,mode,first_frame_url\n"
        "a,good.mp4,flex_1,bad.png\n"
        "b,good.mp4,flex_9,\n"
        "c,bad.mp4,flex_1,\n"
        "d,gone.mp4,flex_1,\n",
        encoding="utf-8",
    )
    done = call("check", "s.csv", environ={"BATCHMOD_HOME": str(tmp_path / "home")}, cwd=tmp_path)

    said = [line.partition("): ")[0] for line in done.err.splitlines() if line.startswith("s.csv:")]
    assert done.code == 2
    assert said[-4:] == [
        "s.csv:2:D (first_frame_url",
        "s.csv:3:C (mode",
        "s.csv:4:B (video_url",
        "s.csv:5:B (video_url",
    ]


def test_a_clip_in_the_place_of_a_picture_is_the_mistake_of_that_row_alone_and_said_once(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", Clip(frames=40))
    done = check(
        tmp_path,
        rows=[{"id": "a", "video_url": "a.mp4"}, {"id": "b", "video_url": "a.mp4", "first_frame_url": "a.mp4"}],
        provider="local",
        matrix={"mode": ["flex_1", "flex_2"]},
    )

    assert [line.partition(": ")[0] for line in done.err.splitlines() if ".yaml:" in line] == [
        "m.yaml:12:20 (first_frame_url)"
    ], done.err


def test_to_mend_without_looking_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4")

    assert check(tmp_path, "--fix", "--no-media", rows=[{"video_url": "a.mp4"}]).code == 2


def test_a_frame_rate_and_a_size_beyond_the_services_are_said(tmp_path: Path) -> None:
    write_clip(tmp_path / "fast.mp4", Clip(frames=240, fps=60, width=2048, height=64))

    said = warnings(check(tmp_path, "--provider", "runway", rows=[{"video_url": "fast.mp4", "prompt": "x"}]))

    assert said[1:3] == [
        "it has 60 frames a second; runway takes at most 30; export it with fewer",
        "its frames have 2048x64 pixels; runway takes at most 1920x1080; scale it down",
    ]


def test_what_two_hundred_rows_have_in_common_is_counted(tmp_path: Path) -> None:
    for number in range(30):
        write_card(tmp_path / f"c{number}.mp4", rotation=90, size=(32 + 2 * number, 32))
    done = check(tmp_path, rows=[{"video_url": f"c{number}.mp4"} for number in range(30)])

    assert len(done.err.splitlines()) == 4
    assert "27 more like these" in done.err
    assert "m.yaml: 30 rows, no problems, 30 warnings." in done.out


@pytest.mark.parametrize("form", ["json", "sarif", "github"])
def test_warnings_are_told_to_machines_and_the_exit_code_stays_0(tmp_path: Path, form: str) -> None:
    write_card(tmp_path / "turned.mp4", rotation=90)
    done = check(tmp_path, "--format", form, rows=[{"video_url": "turned.mp4"}])

    assert done.code == 0
    assert "warning" in done.out
    assert form != "json" or json.loads(done.out)["problems"][0]["slug"] == "clip_rotated"


def test_what_was_seen_is_remembered_by_content(tmp_path: Path) -> None:
    pictures(tmp_path)
    rows = [{"id": "a", "video_url": "bunny.mp4", "first_frame_url": "saved_anew.jpg"}]
    first = check(tmp_path, rows=rows)
    (tmp_path / "bunny.mp4").rename(tmp_path / "moved.mp4")
    memory = json.loads((tmp_path / "home" / "cache" / "seen.json").read_text())
    for said in memory["known"].values():
        said.update({"unedited": False} if "unedited" in said else {"rotation": 90})
    (tmp_path / "home" / "cache" / "seen.json").write_text(json.dumps(memory))
    second = check(tmp_path, rows=[{**rows[0], "video_url": "moved.mp4"}])

    assert ("unedited" in first.err, "unedited" in second.err) == (True, False)
    assert "turned by 90 degrees" in second.err


@pytest.mark.parametrize("text", ["", "[]", '{"form": 0, "known": {}}', '{"form": 1, "known": {"x": {"video": 3}}}'])
def test_a_memory_that_is_damaged_is_done_without(tmp_path: Path, text: str) -> None:
    (tmp_path / "seen.json").write_text(text)
    clip = Source(location=str(BUNNY), local=True, identity="x", sha256="x")

    seen = Seen(tmp_path / "seen.json")
    facts = seen.clips([clip])[str(BUNNY)]
    seen.save()

    assert facts == work.clip_facts(str(BUNNY))
    assert Seen(tmp_path / "seen.json").clips([clip]) == {str(BUNNY): facts}


def test_no_media_means_that_nothing_is_opened_and_nobody_asked(tmp_path: Path) -> None:
    (tmp_path / "page.mp4").write_bytes(b"<html>")
    with RawServer(lambda peer: peer.hang()) as server:
        rows = [{"id": "a", "video_url": "page.mp4"}, {"id": "b", "video_url": f"{server.url}/b.mp4"}]
        refused = check(tmp_path, "--only", "a", rows=rows)
        done = check(tmp_path, "--no-media")

        assert (refused.code, done.code, server.connections) == (2, 0, 0)


def answering(answer: Callable[[Peer, str, dict[str, str]], None]) -> RawServer:
    def script(peer: Peer) -> None:
        while (head := peer.read_head()) is not None:
            answer(peer, *head)

    return RawServer(script)


def only_headers(peer: Peer, *, size: int, kind: str, status: int = 200) -> None:
    peer.send(f"HTTP/1.1 {status} X\r\nContent-Length: {size}\r\nContent-Type: {kind}\r\n\r\n".encode())


def holding(
    content: bytes, *, lines: list[str] | None = None, kind: str = "video/mp4", head_status: int = 200
) -> RawServer:
    """A server of one file, which can give parts of it; `lines` is what it was asked."""

    def answer(peer: Peer, line: str, headers: dict[str, str]) -> None:
        asked = headers.get("range", "")
        if lines is not None:
            lines.append(f"{line.split(maxsplit=1)[0]} {asked}".strip())
        if line.startswith("HEAD"):
            only_headers(peer, size=len(content), kind=kind, status=head_status)
            return
        first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
        part = content[first : last + 1]
        peer.answer(206, part, Content_Range=f"bytes {first}-{first + len(part) - 1}/{len(content)}", Content_Type=kind)

    return answering(answer)


def index_last(folder: Path, seconds: int) -> bytes:
    """A clip of 5 frames a second with its index at the end, as cameras write it, and more than 128 KB before."""
    path = write_clip(folder / "index_last.mp4", Clip(frames=5 * seconds, fps=5, width=640, height=480))
    return path.read_bytes()


def test_a_clip_on_the_web_is_asked_for_by_its_head_its_beginning_and_its_end(tmp_path: Path) -> None:
    lines: list[str] = []
    video = index_last(tmp_path, 31)
    with holding(video, lines=lines) as server:
        rows = [{"id": n, "video_url": f"{server.url}/a.mp4?X-Amz-Signature=secret"} for n in "ab"]
        done = check(tmp_path, rows=rows)

    assert len(video) > 200_000
    assert lines == ["HEAD", "GET bytes=0-65535", f"GET bytes={len(video) - 65536}-{len(video) - 1}"]
    assert [line.rpartition("/a.mp4: ")[2] for line in warnings(done)] == [
        "the clip lasts 31.0 s; segmind takes less than 30 s"
    ] * 2
    assert "m.yaml: 1 file on the web: asked for, not fetched" in done.err
    assert "secret" not in done.err
    assert done.code == 0


def test_a_clip_on_the_web_within_the_limits_is_fine(tmp_path: Path) -> None:
    with holding(index_last(tmp_path, 29)) as server:
        assert warnings(check(tmp_path, rows=[{"video_url": f"{server.url}/a.mp4"}])) == []


def test_a_picture_on_the_web_is_asked_for_by_its_head_alone(tmp_path: Path) -> None:
    lines: list[str] = []
    write_clip(tmp_path / "clip.mp4")
    with holding(b"\x89PNG", lines=lines, kind="image/png") as server:
        done = check(tmp_path, rows=[{"video_url": "clip.mp4", "first_frame_url": f"{server.url}/a.png"}])

    assert lines == ["HEAD"]
    assert warnings(done) == []


@pytest.mark.parametrize("status", [403, 405, 501, 200])
def test_where_a_head_says_too_little_the_first_bytes_tell(tmp_path: Path, status: int) -> None:
    """A signed link is for GET alone, and a plain server calls everything a stream of bytes."""
    write_clip(tmp_path / "clip.mp4")
    with holding(b"\x89PNG\r\n\x1a\n", kind="application/octet-stream", head_status=status) as server:
        done = check(tmp_path, rows=[{"video_url": "clip.mp4", "first_frame_url": f"{server.url}/a"}])
        wrong = check(tmp_path, rows=[{"video_url": f"{server.url}/a"}])

    assert warnings(done) == []
    assert "/a: it is a PNG picture, not a clip; give the address of the file itself" in wrong.err


def test_a_server_that_sends_everything_is_not_listened_to_for_long(tmp_path: Path) -> None:
    def answer(peer: Peer, line: str, _: dict[str, str]) -> None:
        if line.startswith("HEAD"):
            only_headers(peer, size=0, kind="text/plain", status=405)
            return
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n" + encoded(Clip()) + bytes(100_000))
        peer.hang()

    with answering(answer) as server:
        began = time.monotonic()
        done = check(tmp_path, rows=[{"video_url": f"{server.url}/a.mp4"}])

        assert time.monotonic() - began < 8
    assert "the clip has 900 MB; segmind takes at most 100 MB" in done.err


def test_a_page_in_the_place_of_a_clip_is_told_by_its_bytes(tmp_path: Path) -> None:
    def answer(peer: Peer, line: str, _: dict[str, str]) -> None:
        page = b"<!DOCTYPE html><title>Sign in</title>"
        if line.startswith("HEAD"):
            only_headers(peer, size=len(page), kind="text/html")
        else:
            peer.answer(200, page, Content_Type="text/html")

    with answering(answer) as server:
        done = check(tmp_path, rows=[{"video_url": f"{server.url}/a.mp4", "first_frame_url": f"{server.url}/a.png"}])

    assert [line.partition("/a.")[2] for line in warnings(done)] == [
        "mp4: it is an HTML page, not a clip; give the address of the file itself",
        "png: it is an HTML page, not a picture; give the address of the file itself",
    ]


def test_what_cannot_be_reached_is_a_warning_since_the_provider_fetches_it(tmp_path: Path) -> None:
    def answer(peer: Peer, line: str, _: dict[str, str]) -> None:
        only_headers(peer, size=0, kind="text/plain", status=404)

    with answering(answer) as server:
        gone = check(tmp_path, rows=[{"video_url": f"{server.url}/a.mp4"}])
    refused = check(tmp_path)

    assert (gone.code, refused.code) == (0, 0)
    assert "/a.mp4: 127.0.0.1 answers 404; segmind fetches it, not this machine: see that it can" in gone.err
    assert "/a.mp4: no connection to 127.0.0.1" in refused.err


def test_a_server_that_says_nothing_costs_its_own_time_only_and_side_by_side() -> None:
    with RawServer(lambda peer: peer.hang()) as server:
        began = time.monotonic()
        asked = remote.ask({f"{server.url}/{number}.mp4": True for number in range(12)}, each_s=0.6)

        assert time.monotonic() - began < 4
    assert {said.problem for said in asked.values() if said} == {"127.0.0.1 did not answer within 0.6 s"}
    assert len(asked) == 12


def test_the_asking_ends_in_time_and_what_was_not_asked_for_is_counted() -> None:
    with RawServer(lambda peer: peer.hang()) as server:
        asked = remote.ask({f"{server.url}/{number}.mp4": True for number in range(40)}, each_s=5, all_s=0.5)

    assert list(asked.values()) == [None] * 40


def test_private_addresses_are_not_asked() -> None:
    asked = remote.ask({"http://10.0.0.1/a.mp4": False}, each_s=2)["http://10.0.0.1/a.mp4"]

    assert asked is not None
    assert "not a public address: 10.0.0.1" in asked.problem
