"""kie.ai, over the wire: no mode, no first frame, errors under 200, links that die, a gateway that is picky."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.servers.clips import Clip
from tests.servers.kie import KieStandIn
from tests.servers.ledger import Kind
from tests.support import Shoot, call, remote_rows, shoot, write_clip, write_picture


def at(folder: Path, server: KieStandIn, *ids: str, **top: Any) -> Shoot:
    return shoot(folder, server, remote_rows(*ids), at="kie", provider="kie", **top)


def stop_reason(work: Shoot) -> str:
    return str(json.loads((work.folder / "run.json").read_text())["stop_reason"])


def test_a_row_that_sets_a_mode_or_a_first_frame_is_told_so_with_its_place(tmp_path: Path) -> None:
    write_picture(tmp_path / "frame.png")
    with KieStandIn() as server:
        rows = remote_rows("plain", "mode", "frame")
        rows[1]["mode"], rows[2]["first_frame_url"] = "flex_2", "frame.png"
        work = shoot(tmp_path, server, rows, at="kie", provider="kie")
        for verb in ("check", "plan", "run"):
            told = call(verb, work.manifest, environ=work.environ)

            assert told.code == 2
            assert "(mode): kie has no mode" in told.out + told.err
            assert "(first_frame_url): kie has no first frame" in told.out + told.err
            assert "ignore: [mode]" in told.out + told.err
        assert server.ledger.requests == ()


def test_a_mode_that_comes_from_a_default_is_a_warning(tmp_path: Path) -> None:
    with KieStandIn() as server:
        work = at(tmp_path, server, "a", defaults={"mode": "flex_2"})
        checked = call("check", "--no-media", work.manifest, environ=work.environ)

        assert checked.code == 0
        assert "kie has no mode" in checked.out + checked.err
        assert (work.run().code, server.ledger.billed) == (0, 1)


def test_what_is_to_be_ignored_is_left_out_without_a_word(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    write_picture(tmp_path / "frame.png")
    with KieStandIn() as server:
        row = {"id": "a", "video_url": "clip.mp4", "first_frame_url": "frame.png", "mode": "flex_2", "prompt": "wool"}
        options = {"ignore": ["mode", "first_frame_url"]}
        work = shoot(tmp_path, server, [row], at="kie", provider="kie", provider_options=options)
        checked = call("check", "--no-media", work.manifest, environ=work.environ)
        done = work.run()

        assert (checked.code, "kie has no" in checked.out + checked.err) == (0, False)
        assert (done.code, len(server.storage)) == (0, 1)
        assert set(server.ledger.jobs[0].inputs) == {"prompt", "videoUrl"}

        # another mode would be the very same request
        work.rows([row | {"mode": "adhere_3"}], provider="kie", provider_options=options)
        assert (work.run().code, server.ledger.submits_seen) == (0, 1)


def test_a_row_without_a_prompt_is_a_mistake(tmp_path: Path) -> None:
    with KieStandIn() as server:
        work = shoot(tmp_path, server, [{"id": "a", "video_url": "https://example.com/a.mp4"}], at="kie")
        told = call("check", "--no-media", work.manifest, "--provider", "kie", environ=work.environ)

        assert (told.code, "kie needs a prompt" in told.out + told.err) == (2, True)


def test_a_clip_beyond_kie_s_ten_seconds_is_found_before_anything_is_sent(tmp_path: Path) -> None:
    write_clip(tmp_path / "long.mp4", Clip(frames=330, fps=30))
    with KieStandIn() as server:
        row = {"id": "a", "video_url": "long.mp4", "prompt": "wool"}
        work = shoot(tmp_path, server, [row], at="kie", provider="kie")
        ended = work.run()

        assert (ended.code, work.results()["a"]["error_code"]) == (1, "clip_too_long")
        assert server.ledger.requests == ()


@pytest.mark.parametrize(
    ("fault", "slug"),
    [
        ("error_401", "key_refused"),
        ("error_402", "no_credits"),
        ("error_455", "service_closed"),
        ("error_505", "service_closed"),
        ("banned_1010", "gateway_refused"),
    ],
)
def test_a_no_to_every_row_stops_the_batch(fault: str, slug: str, tmp_path: Path) -> None:
    with KieStandIn() as server:
        work = at(tmp_path, server, "a", "b")
        server.faults.add(fault, on="submit")
        stopped = work.run()

        assert (stopped.code, stop_reason(work), set(work.statuses().values())) == (3, slug, {"planned"})
        assert (work.run().code, server.ledger.billed) == (0, 2)


def test_codes_under_200_that_say_nothing_of_money_leave_doubt(tmp_path: Path) -> None:
    doubts = ("error_500_created", "error_501_created", "error_408_created", "error_409_created")
    with KieStandIn() as server:
        work = at(tmp_path, server, *doubts, "fine", limits={"stop_after_failures": 100})
        for fault in doubts:
            server.faults.add(fault, on="submit", match=f"/{fault}.mp4")
        ended = work.run()

        assert (ended.code, work.statuses()) == (1, {**dict.fromkeys(doubts, "uncertain"), "fine": "succeeded"})
        assert {seen.status for seen in server.ledger.requests if seen.fault} == {200}
        work.run("--retry-failed")
        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (5, {})


def test_every_request_and_every_download_looks_like_a_browser_s(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    with KieStandIn() as server:
        row = {"id": "a", "video_url": "clip.mp4", "prompt": "wool"}
        done = shoot(tmp_path, server, [row], at="kie").run()

        assert done.code == 0
        kinds = {seen.kind for seen in server.ledger.requests}
        assert kinds == {Kind.UPLOAD, Kind.SUBMIT, Kind.STATUS, Kind.DOWNLOAD}
        assert 403 not in {seen.status for seen in server.ledger.requests}


def test_a_task_whose_callback_failed_is_brought_home(tmp_path: Path) -> None:
    with KieStandIn() as server:
        work = at(tmp_path, server, "a")
        server.faults.add("callback_failed", on="submit")

        assert (work.run().code, work.statuses(), server.ledger.billed) == (0, {"a": "succeeded"}, 1)


def test_a_link_that_died_before_anybody_came_is_given_anew(tmp_path: Path) -> None:
    with KieStandIn(processing_s=60, link_life_s=1200) as server:
        work = at(tmp_path, server, "a")
        left = work.run("--no-wait")
        server.advance(86400)
        home = work.run()

        assert (left.code, home.code, work.statuses()) == (3, 0, {"a": "succeeded"})
        assert (server.ledger.count(Kind.RESULT), server.ledger.billed) == (1, 1)


def test_a_file_that_was_lost_here_is_fetched_by_a_fresh_link(tmp_path: Path) -> None:
    with KieStandIn(link_life_s=1200) as server:
        work = at(tmp_path, server, "a")
        work.run()
        (work.folder / "videos/a_v001.mp4").unlink()
        server.advance(86400)

        assert (work.run().code, work.outputs()) == (0, ["a_v001.mp4"])
        assert (server.ledger.submits_seen, server.ledger.billed) == (1, 1)


def test_a_watermark_makes_another_request(tmp_path: Path) -> None:
    with KieStandIn() as server:
        work = at(tmp_path, server, "a")
        work.run()
        work.rows(remote_rows("a"), provider="kie", provider_options={"watermark": "draft"})

        assert (work.run().code, work.outputs()) == (0, ["a_v001.mp4", "a_v002.mp4"])
        assert [job.inputs.get("waterMark") for job in server.ledger.jobs] == [None, "draft"]
