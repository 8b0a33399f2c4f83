"""report.html in a real browser, from disk: played in step, wiped, filtered, marked by keys, scrolled by thousands."""

import asyncio
import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchmod import report
from batchmod.report import Background
from tests import browser
from tests.edge.test_report import done, line
from tests.edge.test_report_over_time import TEN
from tests.servers.clips import Clip
from tests.support import write_clip, write_picture

pytestmark = pytest.mark.skipif(
    browser.CHROMIUM is None, reason="no Chromium on this machine: how report.html works in a browser is untested"
)

FRAME_S = 1 / 24
SOURCE = Clip(width=96, height=54, frames=150, fps=30)  # 5 s
HOSTED = replace(SOURCE, frames=120, fps=24)  # as long
SHORT = replace(SOURCE, frames=48, fps=24)  # 2 s

GROUP = "[...list.there.values()][0]"
CLOCKS = f"{GROUP}.together.usable().filter((v) => !v.ended).map((v) => v.currentTime)"


def made(folder: Path, lines: list[dict[str, Any]], sources: Mapping[str, Path], **more: Any) -> str:
    named = {row_id: str(path) for row_id, path in sources.items()}
    return report.write(folder, lines, title="autumn", sources=named, **more).as_uri()


APART = f"""new Promise((done) => {{
  const looks = [];
  const look = () => {{
    const group = {GROUP}.together;
    const times = {CLOCKS};
    if (group.running && times.length > 1) looks.push(Math.max(...times) - Math.min(...times));
    if (looks.length < 9) requestAnimationFrame(look);
    else done([looks.sort((a, b) => a - b)[4], group.videos.map((video) => video.ended)]);
  }};
  look();
}})"""
"""How far the clocks of those that play stand apart, the middle of nine looks; and which have ended."""


async def played(page: browser.Page, seconds: float) -> None:
    await page.until(f"{GROUP}.together.running && {GROUP}.together.now() >= {seconds}", seconds=60)


async def apart(page: browser.Page) -> tuple[float, list[bool]]:
    """`APART` at the best of a few moments: a busy machine may hold one video up for one, and it catches up."""
    found: list[tuple[float, list[bool]]] = []
    for _ in range(5):
        found.append(await page.run(APART))
        if found[-1][0] < FRAME_S:
            break
        await asyncio.sleep(0.2)
    return min(found, key=lambda each: each[0])


def test_before_and_after_play_in_step_through_a_seek_and_a_loop(tmp_path: Path) -> None:
    folder = tmp_path / "out puts"
    clip = write_clip(tmp_path / "clips/bunny #1 50%.mp4", SOURCE)
    write_clip(folder / "videos/shot-1_v001.mp4", HOSTED, mark="a")
    write_clip(folder / "videos/shot-2_v001.mp4", HOSTED, mark="b")
    write_clip(folder / "videos/shot-3_v001.mp4", SHORT, mark="c")
    sources = {f"shot-{n}": clip for n in (1, 2, 3)} | {"shot-4": tmp_path / "gone.mp4"}
    url = made(folder, [done(1), done(2), done(3), line(4, "planned")], sources)

    async def person() -> None:
        async with browser.page(tmp_path / "profile") as page:
            await page.go(url)
            await page.until("document.querySelectorAll('.group').length === 2")
            await page.click(".play")
            await played(page, 3.0)
            early, ended = await apart(page)
            await page.until(f"{GROUP}.together.running && {GROUP}.together.now() < 1", seconds=60)
            looped, _ = await apart(page)
            await page.run(f"{GROUP}.together.seek(0.2)")
            await played(page, 0.3)
            sought, _ = await apart(page)
            await page.run(f"(v => {{ v.pause(); setTimeout(() => v.play(), 250); }})({GROUP}.together.videos[1])")
            await played(page, 2.6)
            caught_up, _ = await page.run(APART)
            await page.run(f"{GROUP}.together.pause()")
            await page.run(f"{GROUP}.together.seek(1.0)")
            stepped = await page.run(f"{GROUP}.together.step(1, 24).then(() => {CLOCKS})")

            assert ended == [False, False, False, True]  # the short one waits on its last frame
            assert early < FRAME_S
            assert looped < FRAME_S
            assert sought < FRAME_S
            assert caught_up < 1.5 * FRAME_S  # it was six frames behind, and has gone faster only for a while
            assert stepped == pytest.approx([25.5 / 24] * 4, abs=0.005)  # the middle of the next frame
            assert [said for said in page.console if "ERR_FILE_NOT_FOUND" not in said] == []
            assert await page.run("document.querySelectorAll('.gone').length") == 1
            assert all(asked.startswith(("file:", "data:")) for asked in page.asked)

    asyncio.run(person())


def test_a_wipe_follows_the_pointer_and_the_keys(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", SOURCE)
    write_clip(tmp_path / "videos/shot-1_v001.mp4", HOSTED, mark="a")
    url = made(tmp_path, [done(1)], {"shot-1": clip})
    cut = "getComputedStyle(document.querySelector('.chosen .media')).clipPath"

    async def person() -> None:
        async with browser.page(tmp_path / "profile") as page:
            await page.go(url)
            await page.until("document.querySelector('.after video')?.readyState >= 1", seconds=60)
            await page.click("[data-view=wipe]")
            middle = await page.run(cut)
            boxes = await page.run(
                "['.before .media', '.chosen .media'].map((s) => JSON.stringify(document.querySelector(s)"
                ".getBoundingClientRect()))"
            )
            await page.drag(".edge", to=0.8)
            dragged = await page.run(cut)
            await page.run("document.querySelector('.edge').focus()")
            for _ in range(4):
                await page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowLeft", windowsVirtualKeyCode=37)
            keyed = await page.run("Number(document.querySelector('.edge').value)")
            value = float(str(dragged).removeprefix("inset(0px 0px 0px ").removesuffix("%)"))
            await page.click("[data-view=difference]")
            blend = await page.run("getComputedStyle(document.querySelector('.chosen .media')).mixBlendMode")

            assert middle == "inset(0px 0px 0px 50%)"
            assert boxes[0] == boxes[1]
            assert 76 < value < 84
            assert keyed == value - 2
            assert (blend, await page.run(cut)) == ("difference", "none")
            assert page.console == []

    asyncio.run(person())


IN_SIGHT = "(g) => (b => b.bottom > 0 && b.top < innerHeight)(g.element.getBoundingClientRect())"


async def press(page: browser.Page, *keys: str) -> None:
    for key in keys:
        await page.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key if len(key) == 1 else "")
        await page.call("Input.dispatchKeyEvent", type="keyUp", key=key)


async def ids(page: browser.Page) -> list[str]:
    """The ids of the rows that are listed, group by group."""
    found: list[str] = await page.run("list.items.flatMap((item) => item.cards.map((card) => card.id))")
    return found


def marks_in(text: str) -> dict[str, tuple[str, str, str]]:
    lines = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    return {row["id"]: (row["review"], row["review_of"], row["review_note"]) for row in lines}


async def filtered_and_sorted(page: browser.Page) -> None:
    first = await ids(page)
    trouble = await page.run("document.querySelector('.trouble').textContent")
    await page.type("#filter", "clay okoye")
    await page.until("list.items.length === 1")
    found = await ids(page)
    await page.run("document.querySelector('#filter').value = ''")
    await page.type("#filter", " ")
    await page.until("list.items.length === 3")
    await page.click("[data-show=failed]")
    failed = await ids(page)
    await page.click("[data-show=all]")
    await page.click("[data-news]")
    new = await ids(page)
    await page.click("[data-news]")
    await page.run("(e => { e.value = 'motion_score:up'; e.dispatchEvent(new Event('change')); })"
                   "(document.querySelector('#sort'))")  # fmt: skip
    by_score = await ids(page)

    assert first == ["shot-4", "shot-1", "shot-2", "shot-3"]
    assert trouble.startswith("refused_prompt no <i>such</i> thing")
    assert (found, failed, new) == (["shot-2"], ["shot-4"], ["shot-1"])
    assert by_score == ["shot-2", "shot-1", "shot-3", "shot-4"]


SAID_OF_IT = """((detail) => [
  [...detail.querySelectorAll(".scores span")].map((e) => e.textContent),
  detail.querySelector(".trouble")?.textContent ?? "",
  [...detail.querySelectorAll(".files a")].map((e) => e.getAttribute("href")),
])(list.there.get(current).detail)"""
"""Of the output that is selected: its scores, what is said against it, and its files."""


def test_a_person_filters_sorts_marks_by_keys_and_exports(tmp_path: Path) -> None:
    clip, other = write_clip(tmp_path / "clip.mp4", SOURCE), write_clip(tmp_path / "other.mp4", SHORT)
    for name in ("shot-1_v001", "shot-1_v002", "shot-2_v001", "shot-3_v001"):
        write_clip(tmp_path / f"videos/{name}.mp4", SHORT, mark=name)
    write_picture(tmp_path / "thumbs/shot-2_v001.jpg")
    lines = [
        done(1, version=2, output="videos/shot-1_v002.mp4", motion_score=80, prompt="as wool"),
        done(2, version=1, motion_score=20, prompt="as CLAY", finished_at="2026-05-01T10:00:00Z", artist="Okoye"),
        done(3, version=1, review="keep", review_of=1, finished_at="2026-05-01T10:00:00Z"),
        line(4, "failed", error_code="refused_prompt", error="no <i>such</i> thing", video_url="clip.mp4"),
    ]
    lines[0]["delivered"] = "delivered/shot-1_v002 #1.mov"
    older = {"shot-1": [done(1, version=1, prompt="as wool", motion_score=33, flag_reason="needs_review: it shakes")]}
    background = Background(older=older, since=TEN, generations=4, spent_usd=2.4, folder_id="f1")
    url = made(tmp_path, lines, {"shot-1": clip, "shot-2": clip, "shot-3": other}, background=background)
    downloads = tmp_path / "downloads"

    async def person() -> None:
        async with browser.page(tmp_path / "profile") as page:
            await page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
            await page.go(url)
            await filtered_and_sorted(page)

            # the clip of two outputs: the second is picked, its note written; then the first one's earlier version kept
            await press(page, "j", "2")
            newest = await page.run(SAID_OF_IT)
            await press(page, "2")
            earlier = await page.run(SAID_OF_IT)
            await press(page, "k", "1", "r", "n")
            await page.call("Input.insertText", text='=hands, "melt"')
            await press(page, "Escape", "j", "u", "?")
            asked_for_help = await page.run("document.querySelector('#keys').open")
            await page.run("document.querySelector('#keys').close()")
            kept = await page.run("document.querySelector('#kept').textContent")
            await press(page, "e")
            shown = await page.run("document.querySelector('#markstext').value")
            await page.click("#save")
            await page.until("true")
            async with asyncio.timeout(60):
                while not (downloads / "marks.csv").exists():  # noqa: ASYNC110 - the browser is another process
                    await asyncio.sleep(0.1)
            saved = (downloads / "marks.csv").read_text(encoding="utf-8")
            await page.go(url)
            again = await page.run("marks.file()")

            assert newest == [["80"], "", ["clip.mp4", "videos/shot-1_v002.mp4", "delivered/shot-1_v002%20%231.mov"]]
            assert earlier == [["33"], "Flagged: needs_review: it shakes", ["clip.mp4", "videos/shot-1_v001.mp4"]]
            assert asked_for_help
            assert marks_in(shown) == {
                "shot-1": ("keep", "1", ""), "shot-2": ("redo", "1", '\'=hands, "melt"'), "shot-3": ("", "1", ""),
            }  # fmt: skip
            assert marks_in(saved) == marks_in(shown) == marks_in(again)
            assert kept == "4 generations, $2.40; 1 kept: 4.0 generations and $2.40 per kept shot."
            assert page.console == []

    asyncio.run(person())


def test_five_thousand_rows_scroll_and_only_what_is_near_stands_in_the_page(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", SHORT)
    write_clip(tmp_path / "videos/same.mp4", SHORT, mark="a")
    lines = [done(n, output="videos/same.mp4", prompt=f"number {n} of many") for n in range(1, 5001)]
    # as many sources as rows: the name differs, not the file
    for n in range(1, 40):
        (tmp_path / f"clip-{n}.mp4").symlink_to(clip)
    sources = {f"shot-{n}": tmp_path / f"clip-{n}.mp4" for n in range(1, 5001)}
    url = made(tmp_path, lines, sources)

    async def person() -> None:
        async with browser.page(tmp_path / "profile") as page:
            await page.go(url)
            await page.until("document.querySelector('.group') !== null", seconds=60)
            seen, most = set(), 0
            for share in (0.1, 0.5, 0.9, 1.0):
                await page.run(f"scrollTo(0, document.documentElement.scrollHeight * {share})")
                await page.until(f"[...list.there.values()].some({IN_SIGHT})")
                seen.update(await page.run("[...list.there.values()].map((g) => g.cards[0].id)"))
                most = max(most, await page.run("document.querySelectorAll('*').length"))
            await page.until("scrollTo(0, document.documentElement.scrollHeight), "
                             "[...list.there.values()].some((g) => g.cards[0].id === 'shot-5000')")  # fmt: skip
            await page.run("scrollTo(0, 0)")
            await page.until("list.there.has(0)")
            await page.type("#filter", "number 4321 ")
            await page.until("list.items.length === 1")

            assert len(seen) > 12
            assert most < 2500
            assert await ids(page) == ["shot-4321"]
            assert [said for said in page.console if "ERR_FILE_NOT_FOUND" not in said] == []

    asyncio.run(person())


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_readable_on_a_phone_and_in_the_dark(tmp_path: Path, *, dark: bool) -> None:
    clip = write_clip(tmp_path / "clip.mp4", SHORT)
    write_clip(tmp_path / "videos/shot-1_v001.mp4", SHORT, mark="a")
    long = {"prompt": "w" * 300, "artist": "x" * 200, "error": "https://example.com/" + "y" * 300}
    url = made(tmp_path, [done(1, **long), done(2, **long, motion_score=50)], {"shot-1": clip, "shot-2": clip})
    contrast = """(() => {
      const linear = (v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
      const luminance = (text) => { const [r, g, b] = text.match(/[\\d.]+/g).map((v) => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
        if (!/, 0\\)|transparent/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
      return [...document.querySelectorAll('p, dt, dd, b, h1, h3, h4, button, .badge, figcaption, .quiet')]
        .filter((e) => e.textContent.trim() && e.checkVisibility() && !e.closest('.media')).map((e) => {
          const [a, b] = [getComputedStyle(e).color, behind(e)].map(luminance).sort((x, y) => y - x);
          return [(a + 0.05) / (b + 0.05), e.className + ' ' + e.textContent.slice(0, 20)]; })
        .sort((x, y) => x[0] - y[0])[0];
    })()"""

    async def person() -> None:
        async with browser.page(tmp_path / "profile") as page:
            await page.call(
                "Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True
            )
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            await page.call("Emulation.setEmulatedMedia", features=[scheme])
            await page.go(url)
            await page.until("document.querySelector('.detail .prompt') !== null", seconds=60)

            assert await page.run("document.documentElement.scrollWidth") <= 360
            assert (await page.run(contrast))[0] >= 4.5
            assert await page.run("parseFloat(getComputedStyle(document.body).fontSize)") >= 16

    asyncio.run(person())
