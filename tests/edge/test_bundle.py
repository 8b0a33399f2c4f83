"""`report --bundle`: a page to send, with light videos, that tells nothing of money, requests and our disks."""

import asyncio
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from tests import browser
from tests.servers.clips import Clip
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Ran, Shoot, call, shoot, write_clip, write_picture

LARGE = Clip(width=1280, height=720, frames=12, fps=24)


@pytest.fixture(scope="module")
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0, output=LARGE) as running:
        yield running


@pytest.fixture(scope="module")
def work(server: SegmindStandIn, tmp_path_factory: pytest.TempPathFactory) -> Shoot:
    """A batch with all that a client need not know of; each test leaves it with more than it found."""
    folder = tmp_path_factory.mktemp("studio") / "secret client/job 4711"
    write_clip(folder / "clips/CON #1 50%.mp4", LARGE)
    write_picture(folder / "frames/a.png", width=1280, height=720)
    rows: list[dict[str, Any]] = [
        {"id": "one", "video_url": "clips/CON #1 50%.mp4", "prompt": "as wool", "artist": "M. Okoye", "rate": "$900"},
        {"id": "two", "video_url": "clips/CON #1 50%.mp4", "first_frame_url": "frames/a.png", "mode": "flex_2"},
        {"id": "far", "video_url": "https://cdn.example.com/a/b.mp4?sig=SECRET", "prompt": "as clay"},
        {"id": "never", "video_url": "https://example.com/c.mp4", "hold": True},
    ]
    work = shoot(folder, server, rows, name="autumn")
    assert work.run("--output", str(work.folder)).code == 0
    return work


@pytest.fixture(scope="module")
def sent(work: Shoot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The batch as it was sent first."""
    target = tmp_path_factory.mktemp("sent") / "client.zip"
    done = bundle(work, target)
    assert done.code == 0, done.err
    assert "client.zip: 4 videos" in done.out
    return target


def bundle(work: Shoot, target: Path) -> Ran:
    return call("report", work.folder, "--bundle", target, environ=work.environ, cwd=target.parent)


def page_of(archive: zipfile.ZipFile) -> tuple[str, dict[str, Any]]:
    text = archive.read("report.html").decode()
    data = text.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    return text, json.loads(data)


def test_it_holds_the_page_and_light_videos_under_names_that_no_system_minds(sent: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(sent) as archive:
        assert archive.testzip() is None
        videos = ("CON__1_50_-before", "far_v001", "one_v001", "two_v001")
        assert sorted(archive.namelist()) == [*(f"media/{name}.mp4" for name in videos), "report.html"]
        archive.extractall(tmp_path / "unpacked")
    for path in (tmp_path / "unpacked/media").iterdir():
        with av.open(str(path)) as video:
            stream = video.streams.video[0]
            assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 640, 360)
            assert (stream.pix_fmt, sum(1 for _ in video.decode(stream))) == ("yuv420p", 12)
        content = path.read_bytes()
        assert content.index(b"moov") < content.index(b"mdat")  # it plays while it loads


def test_it_tells_nothing_that_a_client_need_not_know(work: Shoot, sent: Path) -> None:
    with zipfile.ZipFile(sent) as archive:
        text, data = page_of(archive)
        videos = b"".join(archive.read(name) for name in archive.namelist() if name.endswith(".mp4"))
    said = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", text, flags=re.DOTALL)
    results = work.results()
    secrets = [
        "secret client", "job 4711", str(work.folder), "SECRET", "cdn.example.com", "Okoye", "$", "segmind", "never",
        results["one"]["request_id"], results["one"]["run_id"], "shots.yaml", "results.csv",
    ]  # fmt: skip

    assert [secret for secret in secrets if secret in said or (secret.encode() in videos and len(secret) > 1)] == []
    assert [card["id"] for card in data["cards"]] == ["one", "two", "far"]
    assert set(data["cards"][0]) == {"id", "row", "status", "source", "clip", "mode", "prompt", "facts", "key"}
    assert [fact for fact in data["cards"][0]["facts"] if fact] == ["1280 x 720", "24 fps", "0.50 s, 12 frames"]


def test_unpacked_elsewhere_it_plays_and_what_the_client_marks_comes_home(
    work: Shoot, sent: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(sent) as archive:
        archive.extractall(tmp_path / "client's disk #2")
    url = (tmp_path / "client's disk #2/report.html").as_uri()

    async def client() -> str:
        async with browser.page(tmp_path / "profile") as page:
            await page.go(url)
            await page.until(
                "[...document.querySelectorAll('.tiles video')].filter((v) => v.readyState >= 1).length === 4"
            )
            await page.run("list.there.get(0).pick(1); list.there.get(0).mark('redo')")
            assert page.console == []
            assert not await page.run("document.body.innerText.includes('generation')")
            marks: str = await page.run("marks.file()")
            return marks

    if browser.CHROMIUM is None:
        pytest.skip("no Chromium on this machine: a bundle's page is untested in a browser")
    (tmp_path / "marks.csv").write_text(asyncio.run(client()), encoding="utf-8")
    before = work.outputs()
    done = call("run", tmp_path / "marks.csv", "--yes", *PACE, environ=work.environ)

    assert done.code == 0, done.err
    assert [name for name in work.outputs() if name not in before] == ["two_v002.mp4"]


def test_the_version_that_was_kept_is_the_one_that_is_sent(work: Shoot, tmp_path: Path) -> None:
    work.run("--output", str(work.folder), "--pay-again", "one")
    lines = work.results()
    marks = "id,review,review_of,review_note,job_key\r\n" + f"one,keep,1,secret thought,{lines['one']['job_key']}\r\n"
    (tmp_path / "marks.csv").write_text(marks, encoding="utf-8")
    call("run", tmp_path / "marks.csv", "--yes", *PACE, environ=work.environ)

    bundle(work, tmp_path / "client.zip")

    with zipfile.ZipFile(tmp_path / "client.zip") as archive:
        text, data = page_of(archive)
    assert data["cards"][0]["clip"]["href"] == "media/one_v001.mp4"
    assert "secret thought" not in text


def test_a_video_that_is_gone_is_left_out_and_said(work: Shoot, tmp_path: Path) -> None:
    shown = Path(work.results()["two"]["output"]).name
    (work.folder / f"videos/{shown}").write_bytes(b"no video")
    (work.folder / "videos/far_v001.mp4").unlink()

    done = bundle(work, tmp_path / "client.zip")

    assert done.code == 0
    assert "left out: far_v001.mp4" in done.err
    assert f"left out: {shown}" in done.err
    with zipfile.ZipFile(tmp_path / "client.zip") as archive:
        names = archive.namelist()
        assert len(names) == 3
        assert {"media/CON__1_50_-before.mp4", "report.html"} < set(names)


def test_where_there_is_nothing_to_send_it_says_so(server: SegmindStandIn, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, [{"id": "a", "video_url": "https://example.com/a.mp4", "hold": True}])
    work.run()

    done = bundle(work, tmp_path / "client.zip")

    assert (done.code, (tmp_path / "client.zip").exists()) == (2, False)
    assert "has no output yet that could be sent" in done.err
