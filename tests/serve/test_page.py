"""The page at `/` in a real browser: dropped, watched, compared; and what a page of another site can do: nothing."""

import asyncio
import http.server
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from batchmod import media
from tests import browser
from tests.servers.clips import Clip
from tests.serving import KEY, Running, service
from tests.support import write_clip

pytestmark = pytest.mark.skipif(
    browser.CHROMIUM is None,
    reason="no Chromium on this machine: how the service's page works in a browser is untested",
)

CLIP = Clip(width=320, height=240, frames=30)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with service(tmp_path / "data", workers=1) as running:
        yield running


def pixels(png: bytes) -> NDArray[np.uint8]:
    """A PNG as HxWx3."""
    with av.open(io.BytesIO(png), "r", format="png_pipe") as image:
        return next(image.decode(video=0)).to_ndarray(format="rgb24").astype(np.uint8)


async def compared(page: browser.Page, url: str, clip: Path, *, frame: Path | None, prompt: str) -> None:
    """Drop, choose, ask, and wait until before and after stand there."""
    await page.go(url)
    await page.drop("#clip-drop", clip)
    if frame is not None:
        await page.drop("#frame-drop", frame)
    await page.run("document.querySelector('#mode').value = 'flex_2'")
    await page.type("#prompt", prompt)
    await page.click("#go")
    await page.until("!document.querySelector('#compare').hidden && document.querySelector('#after').readyState >= 2")


def test_a_person_drops_a_clip_and_a_frame_watches_and_compares(server: Running, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a clip.mp4", CLIP)
    frame = tmp_path / "frame.png"
    media.write_png(frame, np.full((240, 320, 3), (200, 30, 30), np.uint8))
    picture = tmp_path / "screenshot.png"

    async def person() -> tuple[list[str], list[str], NDArray[np.uint8], list[float], list[str], str]:
        async with browser.page(tmp_path / "profile") as page:
            await page.go(server.url)
            await page.run(
                "window.said = []; new MutationObserver(() => said.push(document.querySelector('#said').textContent))"
                ".observe(document.querySelector('#said'), {childList: true, subtree: true})"
            )
            await page.drop("#clip-drop", clip)
            await page.drop("#frame-drop", frame)
            await page.run("document.querySelector('#mode').value = 'flex_2'")
            await page.click("#go")
            await page.until(
                "!document.querySelector('#compare').hidden && document.querySelector('#after').readyState > 1"
            )
            said = await page.run("said")
            await page.until("document.querySelector('#before').currentTime > 0.1")
            await page.click("#play")
            await page.until("document.querySelector('#before').paused && !document.querySelector('#after').seeking")
            times = await page.run(
                "[document.querySelector('#before').currentTime, document.querySelector('#after').currentTime]"
            )
            await page.drag("#stage", to=0.25)
            box = await page.run(
                "(b => [b.left, b.top, b.width, b.height])(document.querySelector('#stage').getBoundingClientRect())"
            )
            shown = pixels(await page.picture(picture))
            left, top, width, height = (round(value) for value in box)
            name = await page.run("document.querySelector('#save').download")
            return said, page.console, shown[top : top + height, left : left + width], times, page.asked, name

    said, console, stage, times, asked, name = asyncio.run(person())
    source = pixels_of(clip)[0]
    width = stage.shape[1]
    before, after = stage[:, round(width * 0.3) :], stage[:, : round(width * 0.2)]

    assert console == []
    assert not [url for url in asked if not url.startswith((server.url, "blob:", "data:"))]
    assert any("frames" in text for text in said), said
    assert abs(times[0] - times[1]) < 1 / CLIP.fps
    assert name == "a clip_flex_2.mp4"
    # the frame that was dropped is red, and so is what was made after it; the source is grey
    assert redness(after) > 80
    assert abs(redness(before)) < 5
    assert abs(float(before[:, :, 1].mean()) - float(source[:, round(320 * 0.3) :, 1].mean())) < 12


def redness(picture: NDArray[np.uint8]) -> float:
    """How much more red than green there is on the whole."""
    return float(picture[:, :, 0].mean() - picture[:, :, 1].mean())


def pixels_of(clip: Path) -> NDArray[np.uint8]:
    with av.open(str(clip), "r") as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(np.uint8)


def test_the_clips_own_first_frame_can_be_saved_for_editing(server: Running, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a clip.mp4", CLIP)
    target = tmp_path / "downloads"

    async def person() -> None:
        async with browser.page(tmp_path / "profile") as page:
            await page.go(server.url)
            await page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(target))
            await page.drop("#clip-drop", clip)
            await page.click("#save-frame")
            async with asyncio.timeout(30):
                while not list(target.glob("*.png")):  # noqa: ASYNC110 - the browser writes it
                    await asyncio.sleep(0.1)

    asyncio.run(person())
    saved, first = pixels((target / "a clip.png").read_bytes()), pixels_of(clip)[0]

    assert saved.shape == first.shape
    assert np.abs(saved.astype(int) - first).mean() < 6


def test_the_wipe_moves_by_its_slider_too_and_a_failure_is_shown_in_words(server: Running, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4")

    async def person() -> tuple[str, str, bool]:
        async with browser.page(tmp_path / "profile") as page:
            await compared(page, server.url, clip, frame=None, prompt="black and white")
            await page.run("w = document.querySelector('#wipe'); w.value = 80; w.dispatchEvent(new Event('input'))")
            cut = await page.run("getComputedStyle(document.querySelector('#after')).clipPath")
            await page.run("document.querySelector('#prompt').value = ''")
            await page.type("#prompt", "<b>nothing</b> the engine knows")
            await page.click("#go")
            await page.until("document.querySelector('#said').classList.contains('bad')")
            said = await page.run("document.querySelector('#said').textContent")
            again = await page.run("document.querySelector('#go').disabled")
            return cut, said, again

    cut, said, disabled = asyncio.run(person())

    assert cut == "inset(0px 20% 0px 0px)"
    assert "<b>nothing</b>" in said
    assert "names no look" in said
    assert not disabled


def test_a_page_of_a_service_with_a_key_asks_for_it(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4")

    async def person(url: str) -> list[str]:
        said = []
        async with browser.page(tmp_path / "profile") as page:
            await page.go(url)
            await page.drop("#clip-drop", clip)
            await page.type("#prompt", "black and white")
            for key in ("wrong", KEY):
                await page.run("document.querySelector('#key').value = ''")
                await page.type("#key", key)
                await page.run("document.querySelector('#said').textContent = ''")
                await page.click("#go")
                await page.until(
                    "!document.querySelector('#go').disabled && ['done', 'Invalid or expired API key']"
                    ".includes(document.querySelector('#said').textContent)"
                )
                said.append(await page.run("document.querySelector('#said').textContent"))
        return said

    with service(tmp_path / "data", workers=1, key=KEY) as server:
        assert asyncio.run(person(server.url)) == ["Invalid or expired API key", "done"]


def test_the_interface_is_described_without_any_other_host(server: Running, tmp_path: Path) -> None:
    async def person() -> tuple[list[str], list[str], str]:
        async with browser.page(tmp_path / "profile") as page:
            await page.go(f"{server.url}/docs")
            await page.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
            await page.picture(tmp_path / "docs.png")
            return page.console, page.asked, await page.run("document.body.innerText")

    console, asked, text = asyncio.run(person())

    assert console == []
    assert not [url for url in asked if not url.startswith(server.url)]
    assert "/v2/modify-video" in text
    assert "at most 100 MB, 30 seconds" in text


@contextmanager
def evil_site(script: str) -> Iterator[str]:
    """A page of another origin, with a script that wants something of the service."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"<!doctype html><title>evil</title><script>{script}</script>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        thread = threading.Thread(target=site.serve_forever, daemon=True)
        thread.start()
        yield f"http://localhost:{site.server_address[1]}/"
        site.shutdown()
        thread.join()


def test_a_page_of_another_site_can_neither_ask_nor_read_nor_show(server: Running, tmp_path: Path) -> None:
    """The evil page may send what browsers send without asking: a form, a simple POST, a picture, a frame."""
    token = server.service.door.token
    script = f"""
      window.results = Promise.all([
        fetch("{server.url}/v1/get-user-credits").then(r => r.status, () => "blocked"),
        fetch("{server.url}/v2/modify-video", {{method: "POST", mode: "no-cors", body: new FormData()}})
          .then(() => "sent", () => "blocked"),
        fetch("{server.url}/v2/modify-video", {{method: "POST", headers: {{"x-page-token": "{token}"}}}})
          .then(r => r.status, () => "blocked"),
        fetch("{server.url}/").then(r => r.text(), () => "blocked"),
        new Promise(done => {{ const f = document.createElement("script"); f.src = "{server.url}/page/page.js";
          f.onload = () => done("ran"); f.onerror = () => done("blocked"); document.head.append(f); }}),
      ]);
      const frame = document.createElement("iframe");
      frame.src = "{server.url}/";
      document.documentElement.append(frame);
    """

    async def victim(url: str) -> list[object]:
        async with browser.page(tmp_path / "profile") as page:
            await page.go(url)
            found: list[object] = await page.run("results")
            return found

    with evil_site(script) as url:
        seen = asyncio.run(victim(url))

    assert [seen[0], *seen[2:]] == ["blocked"] * 4
    assert server.service.queue.waiting() == 0


def test_a_name_that_was_pointed_here_gets_nothing(server: Running, tmp_path: Path) -> None:
    """DNS rebinding: the browser believes that the service is evil.example."""
    port = server.url.rsplit(":", 1)[1]

    async def victim() -> str:
        flags = ["--host-resolver-rules=MAP evil.example 127.0.0.1"]
        async with browser.page(tmp_path / "profile", flags=flags) as page:
            await page.go(f"http://evil.example:{port}/")
            found: str = await page.run("document.body.innerText")
            return found

    said = asyncio.run(victim())

    assert "does not answer to that Host" in said
    assert server.service.door.token not in said
