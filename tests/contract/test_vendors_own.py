"""What is one vendor's alone: costs of what failed, uploads that are looked at or expire, links, options, cents."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from batchmod.providers import segmind
from tests.servers.clips import Clip
from tests.servers.ledger import Kind
from tests.servers.luma import LumaStandIn
from tests.servers.luma_agents import LumaAgentsStandIn
from tests.servers.runway import RunwayStandIn
from tests.servers.segmind import SegmindStandIn
from tests.support import call, remote_rows, shoot, write_clip, write_picture


def test_what_a_failed_task_cost_is_what_is_booked(tmp_path: Path) -> None:
    with RunwayStandIn(price_if_failed=0.84) as server:
        work = shoot(tmp_path, server, remote_rows("a"), at="runway")
        server.faults.add("refused_output", on="submit")
        first = work.run()
        line = work.results()["a"]

        assert (first.code, line["error_code"], line["billed"]) == (1, "refused_output", "true")
        assert (line["cost_usd"], line["cost_source"]) == ("0.84", "provider")
        assert (work.run("--retry-failed").code, server.ledger.submits_seen) == (1, 1)


def test_a_task_that_was_refunded_may_be_tried_again(tmp_path: Path) -> None:
    with RunwayStandIn() as server:
        work = shoot(tmp_path, server, remote_rows("a"), at="runway")
        server.faults.add("job_failed", on="submit")
        first = work.run()
        line = work.results()["a"]

        assert (first.code, line["billed"], line["cost_usd"]) == (1, "false", "")
        assert "INTERNAL.BAD_OUTPUT" in line["error"]
        assert (work.run("--retry-failed").code, server.ledger.submits_seen, server.ledger.billed) == (0, 2, 1)


def test_a_cap_counts_what_failed_tasks_cost(tmp_path: Path) -> None:
    rows = [{"id": name, "video_url": "clip.mp4", "prompt": f"look {name}"} for name in "abc"]
    write_clip(tmp_path / "clip.mp4", Clip(frames=60, fps=30))
    with RunwayStandIn(price=0.56, price_if_failed=0.56) as server:
        work = shoot(tmp_path, server, rows, at="runway")
        server.faults.add("refused_clip", on="submit", times=None)
        done = work.run("--max-cost-usd", "1.20", "--max-in-flight", "1")

        assert (done.code, server.ledger.submits_seen) == (3, 2)
        assert "$1.12 of $1.20" in done.err


def test_an_upload_that_has_expired_goes_up_again(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", Clip(frames=60, fps=30))
    rows = [{"id": name, "video_url": "clip.mp4", "prompt": f"look {name}"} for name in "ab"]
    with RunwayStandIn() as server:
        work = shoot(tmp_path, server, rows[:1], at="runway")
        work.run()
        with sqlite3.connect(work.folder / "checkpoint.sqlite3") as record:
            record.execute("UPDATE upload SET at = at - 24 * 3600")
        record.close()
        work.rows(rows)

        assert (work.run().code, len(server.storage), server.ledger.billed) == (0, 2, 2)


def test_a_guiding_frame_stands_at_its_moment_and_a_seed_is_sent(tmp_path: Path) -> None:
    rows = [{**remote_rows("a")[0], "first_frame_url": "https://example.com/a.png"}]
    with RunwayStandIn() as server:
        work = shoot(tmp_path, server, rows, at="runway", provider="runway", provider_options={"seed": 7})
        done = work.run()
        (job,) = server.ledger.jobs

        assert done.code == 0
        assert (job.inputs["seed"], job.inputs["keyframes"]) == (
            7,
            [{"seconds": 0, "uri": "https://example.com/a.png"}],
        )

        work.rows(rows, provider="runway", provider_options={"seed": 8})

        assert (work.run().code, server.ledger.submits_seen) == (0, 2)


def test_an_upload_is_waited_for_until_it_has_been_looked_at(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    write_picture(tmp_path / "frame.png")
    rows = [{"id": "a", "video_url": "clip.mp4", "first_frame_url": "frame.png", "prompt": "wool"}]
    with LumaAgentsStandIn(ingest_s=0.6) as server:
        work = shoot(tmp_path, server, rows, at="luma-agents")
        done = work.run()
        (job,) = server.ledger.jobs

        assert done.code == 0, done.err
        assert [*job.inputs["source"], *job.inputs["video"]["start_frame"]] == ["file_id", "file_id"]
        assert server.ledger.key_leaks == 0


def test_a_file_that_the_filter_refuses_fails_its_rows_and_pays_nothing(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    rows = [{"id": name, "video_url": "clip.mp4", "prompt": f"look {name}"} for name in "ab"]
    with LumaAgentsStandIn() as server:
        work = shoot(tmp_path, server, rows, at="luma-agents")
        server.faults.add("file_refused", on="upload", times=None)
        done = work.run()

        assert (done.code, server.ledger.submits_seen) == (1, 0)
        assert {line["error_code"] for line in work.results().values()} == {"refused_clip"}
        assert {line["billed"] for line in work.results().values()} == {"false"}


def test_a_link_that_has_expired_between_two_runs_is_minted_anew(tmp_path: Path) -> None:
    with LumaAgentsStandIn(link_life_s=3600) as server:
        work = shoot(tmp_path, server, remote_rows("a"), at="luma-agents")
        server.faults.add("error_503", on="download", times=None)
        first = work.run()
        server.faults.clear()
        server.advance(4000)

        assert (first.code, work.statuses()) == (3, {"a": "submitted"})
        assert (work.run().code, server.ledger.submits_seen, server.ledger.billed) == (0, 1, 1)


def test_the_resolution_is_sent_and_makes_another_request(tmp_path: Path) -> None:
    with LumaAgentsStandIn() as server:
        work = shoot(tmp_path, server, remote_rows("a"), at="luma-agents", provider="luma-agents")
        work.run()
        work.rows(remote_rows("a"), provider="luma-agents", provider_options={"resolution": "1080p"})
        work.run()

        assert [job.inputs["video"]["resolution"] for job in server.ledger.jobs] == ["720p", "1080p"]


@pytest.mark.parametrize(("no", "slug"), [("job_corrupt_input", "unreadable_source"), ("job_too_many", "rate_limited")])
def test_a_failure_code_says_more_than_its_words(no: str, slug: str, tmp_path: Path) -> None:
    with LumaAgentsStandIn() as server:
        work = shoot(tmp_path, server, remote_rows("a"), at="luma-agents")
        server.faults.add(no, on="submit")

        assert (work.run().code, work.results()["a"]["error_code"]) == (1, slug)


def test_a_request_that_ended_for_its_rate_may_be_tried_again(tmp_path: Path) -> None:
    with LumaAgentsStandIn() as server:
        work = shoot(tmp_path, server, remote_rows("a"), at="luma-agents")
        server.faults.add("job_too_many", on="submit")
        work.run()

        assert work.results()["a"]["billed"] == "false"
        assert (work.run("--retry-failed").code, server.ledger.submits_seen, server.ledger.billed) == (0, 2, 1)


def test_a_budget_that_ends_in_the_midst_stops_the_batch_until_it_is_filled(tmp_path: Path) -> None:
    with LumaAgentsStandIn() as server:
        work = shoot(tmp_path, server, remote_rows("a", "b", "c"), at="luma-agents")
        server.faults.add("job_no_budget", on="submit")
        stopped = work.run("--max-in-flight", "1")
        lines = work.results()

        assert (stopped.code, server.ledger.submits_seen) == (3, 1)
        assert json.loads((work.folder / "run.json").read_text())["stop_reason"] == "no_credits"
        assert (lines["a"]["error_code"], lines["a"]["billed"]) == ("no_credits", "false")
        assert {lines[name]["status"] for name in "bc"} == {"planned"}
        assert "top it up" in stopped.err
        assert (work.run("--retry-failed").code, server.ledger.submits_seen, server.ledger.billed) == (0, 4, 3)


def test_a_failure_that_may_have_been_billed_counts_as_billed_and_is_not_tried_again(tmp_path: Path) -> None:
    with LumaStandIn() as server:
        work = shoot(tmp_path, server, remote_rows("a"), at="luma")
        server.faults.add("job_failed", on="submit")
        first = work.run()
        line = work.results()["a"]

        assert (first.code, line["billed"], line["cost_source"]) == (1, "", "estimate")
        assert float(line["cost_usd"]) > 0
        assert (work.run("--retry-failed").code, server.ledger.submits_seen) == (1, 1)
        assert (work.run("--pay-again", "a").code, server.ledger.submits_seen) == (0, 2)


def test_an_input_that_luma_could_not_read_is_called_so(tmp_path: Path) -> None:
    with LumaStandIn(fail_prompts={"wool": "Could not read user input frames"}) as server:
        work = shoot(tmp_path, server, remote_rows("a"), at="luma")

        assert (work.run().code, work.results()["a"]["error_code"]) == (1, "unreadable_source")


def test_rescue_finds_a_clip_with_a_first_frame_among_other_generations(tmp_path: Path) -> None:
    rows = [{**remote_rows("a")[0], "first_frame_url": "https://example.com/a.png", "mode": "flex_2"}]
    with LumaStandIn() as server:
        work = shoot(tmp_path, server, rows, at="luma")
        same = {"video_url": rows[0]["video_url"], "mode": "flex_2", "prompt": rows[0]["prompt"]}
        server.seed_fields(**same)
        wanted = server.seed_fields(**same, first_frame_url="https://example.com/a.png")
        done = call("rescue", work.manifest, "--provider", "luma", environ=work.environ)

        assert done.code == 0, done.out + done.err
        assert work.results()["a"]["request_id"] == wanted.request_id
        assert server.ledger.count(Kind.SUBMIT) == 0


def test_a_cap_needs_a_price_where_none_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmind, "FACTS", replace(segmind.FACTS, price=None))
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b", "c"))
        refused = work.run("--max-cost-usd", "1.25")

        assert (refused.code, server.ledger.submits_seen) == (2, 0)
        assert "segmind publishes no price" in refused.err
        assert "--price-usd" in refused.err

        capped = work.run("--max-cost-usd", "1.25", "--price-usd", "0.60", "--max-in-flight", "1")

        assert (capped.code, server.ledger.submits_seen) == (3, 2)

        work.rows(remote_rows("a", "b", "c"), limits={"max_cost_usd": 5, "price_usd": 0.6})

        assert (work.run().code, server.ledger.submits_seen) == (0, 3)
