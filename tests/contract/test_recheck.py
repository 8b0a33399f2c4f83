"""`recheck_sources: etag`: a clip that is another one now is paid for once, and nothing else is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.clips import Clip, encoded, unique
from tests.servers.segmind import SegmindStandIn
from tests.servers.web import File, Web, web
from tests.support import Shoot, call, read_events, shoot

SMALL = Clip(width=64, height=48, frames=8, fps=24)


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


@pytest.fixture
def clips() -> Iterator[Web]:
    with web() as running:
        running.files["/a.mp4"] = File(content=_clip("one"))
        yield running


def _clip(mark: str) -> bytes:
    return unique(encoded(SMALL), mark)


def _rows(clips: Web, query: str = "") -> list[dict[str, Any]]:
    return [{"id": "a", "video_url": f"{clips.url}/a.mp4{query}", "prompt": "as wool"}]


def _work(folder: Path, server: SegmindStandIn, clips: Web, **top: Any) -> Shoot:
    return shoot(folder, server, _rows(clips), **{"recheck_sources": "etag", **top})


def _plan(work: Shoot) -> dict[str, Any]:
    done = call("plan", work.manifest, "--provider", "segmind", "--json", environ=work.environ)
    item: dict[str, Any] = json.loads(done.out)[0]["items"][0]
    return item


def test_a_changed_clip_is_another_request_and_is_paid_once(server: SegmindStandIn, clips: Web, tmp_path: Path) -> None:
    work = _work(tmp_path, server, clips)

    assert [work.run().code for _ in range(3)] == [0, 0, 0]
    assert server.ledger.submits_seen == 1

    clips.files["/a.mp4"] = File(content=_clip("another one"), etags=['"two"'])
    changed = work.run()

    assert (changed.code, server.ledger.submits_seen) == (0, 2)
    assert f"a: source_changed: the clip at {clips.url}/a.mp4 is another one since 20" in changed.err
    assert work.outputs() == ["a_v001.mp4", "a_v002.mp4"]
    assert work.results()["a"]["output"] == "videos/a_v002.mp4"
    assert [work.run().code for _ in range(2)] == [0, 0]
    assert server.ledger.submits_seen == 2


def test_a_plan_asks_nobody_and_says_what_the_last_run_has_seen(
    server: SegmindStandIn, clips: Web, tmp_path: Path
) -> None:
    work = _work(tmp_path, server, clips)
    work.run()
    clips.files["/a.mp4"] = File(content=_clip("another one"), etags=['"two"'])
    asked = len(clips.asked)

    assert _plan(work)["action"] == "keep"
    assert len(clips.asked) == asked

    work.run("--max-cost-usd", "0.61")  # seen, and not paid for
    asked = len(clips.asked)

    assert _plan(work)["action"] == "send"
    assert "is another one since" in _plan(work)["why"]
    assert len(clips.asked) == asked
    assert server.ledger.submits_seen == 1


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(File(content=b"", status=404), id="gone"),
        pytest.param(File(content=b"", status=503), id="unavailable"),
        pytest.param(File(content=_clip("other"), etags=[""]), id="no etag"),
        pytest.param(File(content=_clip("other"), etags=['W/"two"']), id="weak"),
        pytest.param(File(content=_clip("other"), etags=[f'"{n}"' for n in range(40)]), id="another with each answer"),
        pytest.param(File(content=_clip("one"), etags=['"two"']), id="the same bytes uploaded again"),
        pytest.param(File(content=b"<html>login</html>" * 9, etags=['"two"']), id="a page in its place"),
        pytest.param(File(content=_clip("other") * 40, etags=['"two"'], ranges=False), id="no ranges"),
        pytest.param(File(content=b"", etags=['"two"']), id="empty"),
    ],
)
def test_nothing_is_paid_for_a_doubt(server: SegmindStandIn, clips: Web, tmp_path: Path, file: File) -> None:
    work = _work(tmp_path, server, clips)
    work.run()
    clips.files["/a.mp4"] = file

    assert [work.run().code for _ in range(3)] == [0, 0, 0]
    assert server.ledger.submits_seen == 1
    assert _plan(work)["action"] == "keep"

    clips.files["/a.mp4"] = File(content=_clip("one"))

    assert (work.run().code, server.ledger.submits_seen) == (0, 1)


def test_what_could_not_be_asked_is_said(server: SegmindStandIn, clips: Web, tmp_path: Path) -> None:
    work = _work(tmp_path, server, clips)
    work.run()
    clips.files["/a.mp4"].status = 503
    done = work.run()

    assert "recheck_sources: 1 of 1 could not be reached; taken for what was last seen there" in done.err


def test_turning_it_on_or_off_pays_nothing(server: SegmindStandIn, clips: Web, tmp_path: Path) -> None:
    work = shoot(tmp_path, server, _rows(clips))
    work.run()
    for setting in ("etag", "no", "etag"):
        work.rows(_rows(clips), recheck_sources=setting)
        assert work.run().code == 0
    assert server.ledger.submits_seen == 1

    clips.files["/a.mp4"] = File(content=_clip("another one"), etags=['"two"'])
    work.run()
    work.rows(_rows(clips), recheck_sources="no")
    work.run()
    work.rows(_rows(clips), recheck_sources="etag")
    work.run()

    assert server.ledger.submits_seen == 2


def test_a_lost_memory_pays_nothing(server: SegmindStandIn, clips: Web, tmp_path: Path) -> None:
    work = _work(tmp_path, server, clips)
    work.run()
    clips.files["/a.mp4"] = File(content=_clip("another one"), etags=['"two"'])
    work.run()
    (work.folder / "sources.json").write_text("{damaged")

    assert [work.run().code for _ in range(2)] == [0, 0]
    assert server.ledger.submits_seen == 2


def test_a_new_signature_every_night_is_the_same_clip(server: SegmindStandIn, clips: Web, tmp_path: Path) -> None:
    work = _work(tmp_path, server, clips)
    clips.files["/a.mp4"].heads = False  # a link is signed for GET alone
    for night in range(3):
        query = f"?X-Amz-Signature=secret{night}&X-Amz-Expires=600"
        work.rows(_rows(clips, query), recheck_sources="etag")
        assert work.run().code == 0

    assert server.ledger.submits_seen == 1

    clips.files["/a.mp4"] = File(content=_clip("another one"), etags=['"two"'], heads=False)
    changed = work.run()

    assert (changed.code, server.ledger.submits_seen) == (0, 2)
    assert "secret" not in changed.err + (work.folder / "sources.json").read_text()


def test_a_clip_that_is_put_back_costs_nothing(server: SegmindStandIn, clips: Web, tmp_path: Path) -> None:
    work = _work(tmp_path, server, clips)
    work.run()
    clips.files["/a.mp4"] = File(content=_clip("another one"), etags=['"two"'])
    work.run()
    clips.files["/a.mp4"] = File(content=_clip("one"), etags=['"three"'])
    work.run()

    assert server.ledger.submits_seen == 2
    assert work.results()["a"]["output"] == "videos/a_v001.mp4"


def test_a_changed_first_frame_counts_and_an_identity_of_ones_own_does_not(
    server: SegmindStandIn, clips: Web, tmp_path: Path
) -> None:
    picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100)
    clips.files["/f.png"] = File(content=picture, content_type="image/png")
    rows = [{**_rows(clips)[0], "first_frame_url": f"{clips.url}/f.png", "source_id": "plate-12"}]
    work = shoot(tmp_path, server, rows, recheck_sources="etag")
    work.run()
    clips.files["/a.mp4"] = File(content=_clip("another one"), etags=['"two"'])
    work.run()

    assert server.ledger.submits_seen == 1

    clips.files["/f.png"] = File(content=picture + b"x", etags=['"two"'], content_type="image/png")
    done = work.run()

    assert (done.code, server.ledger.submits_seen) == (0, 2)
    assert f"the picture at {clips.url}/f.png is another one" in done.err
    assert ("HEAD", "/a.mp4") not in clips.asked


def test_a_killed_run_pays_once_and_the_record_can_be_made_anew(
    server: SegmindStandIn, clips: Web, tmp_path: Path
) -> None:
    work = _work(tmp_path, server, clips)
    work.run()
    clips.files["/a.mp4"] = File(content=_clip("another one"), etags=['"two"'])
    work.run()
    for path in work.folder.glob("checkpoint.sqlite3*"):
        path.unlink()

    assert call("resolve", work.manifest, "--rebuild", environ=work.environ).code == 0
    assert (work.run().code, server.ledger.submits_seen) == (0, 2)
    assert work.results()["a"]["output"] == "videos/a_v002.mp4"


def test_a_long_sheet_is_rechecked_too(server: SegmindStandIn, clips: Web, tmp_path: Path) -> None:
    names = ("c0", "c1")
    clips.files = {f"/{name}.mp4": File(content=_clip("one")) for name in names}
    lines = [f"{name},{clips.url}/{name}.mp4,as wool" for name in names]
    (tmp_path / "rows.csv").write_text("id,video_url,prompt\n" + "\n".join(lines) + "\n")
    (tmp_path / "shots.yaml").write_text("version: 1\nrecheck_sources: etag\ninclude: [rows.csv]\n")
    work = Shoot(server=server, home=tmp_path / "home", manifest=tmp_path / "shots.yaml")
    work.run()
    clips.files["/c1.mp4"] = File(content=_clip("another one"), etags=['"two"'])
    done = work.run()

    assert (done.code, server.ledger.submits_seen) == (0, 3)
    assert work.outputs() == ["c0_v001.mp4", "c1_v001.mp4", "c1_v002.mp4"]
    assert [e["id"] for e in read_events(work.folder) if e["event"] == "source_changed"] == ["c1"]
