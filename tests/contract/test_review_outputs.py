"""Outputs that are paid for: what keeps them from coming home for a moment never makes them failed or paid again."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchmod.model import Done, Endpoints, Reply, Sent, Step, Uncertain, Wait
from batchmod.providers import segmind
from batchmod.providers.steps import State
from tests.servers.clips import Clip
from tests.servers.segmind import SegmindStandIn
from tests.support import Shoot, read_results, remote_rows, shoot, write_clip


def without_history(work: Shoot) -> dict[str, str]:
    """The environment of a service that has no history."""
    return {name: value for name, value in work.environ.items() if "HISTORY" not in name}


def test_a_missing_file_that_cannot_be_fetched_now_stays_paid_and_is_fetched_later(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        work.run()
        (work.folder / "videos/one_v001.mp4").unlink()
        server.faults.add("error_503", on="download", times=None)
        away = work.run()

        assert (away.code, work.statuses(), work.outputs()) == (3, {"one": "succeeded"}, [])
        assert "run again to fetch it" in away.err

        server.faults.clear()

        assert (work.run().code, work.outputs(), server.ledger.submits_seen) == (0, ["one_v001.mp4"], 1)


def test_a_known_output_is_delivered_although_nobody_knows_the_request_any_more(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        server.faults.add("error_403", on="download", times=None)
        first = work.run(environ=without_history(work))
        server.faults.clear()
        server.advance(4000)  # the poll record has expired, the file has not
        polls = server.ledger.polls

        assert (first.code, work.statuses()) == (3, {"one": "submitted"})
        assert (work.run(environ=without_history(work)).code, work.outputs()) == (0, ["one_v001.mp4"])
        assert (server.ledger.polls, server.ledger.submits_seen) == (polls, 1)


def test_a_file_of_somebody_elses_under_an_outputs_name_is_neither_taken_nor_touched(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        work.run()
        videos = work.folder / "videos"
        foreign = write_clip(videos / "two_v001.mp4", Clip(frames=3)).read_bytes()
        (videos / "three_v001.mp4").write_text("my notes")
        work.rows(remote_rows("one", "two", "three"))

        assert work.run().code == 0
        assert ((videos / "two_v001.mp4").read_bytes(), (videos / "three_v001.mp4").read_text()) == (
            foreign,
            "my notes",
        )
        for row_id in ("two", "three"):
            line = work.results()[row_id]
            assert line["output"] == f"videos/{row_id}_v002.mp4"
            assert (work.folder / line["output"]).read_bytes() == server.output_of(line["request_id"])

        before = (work.outputs(), server.ledger.downloads)
        assert (work.run().code, (work.outputs(), server.ledger.downloads)) == (0, before)


def second_folder(work: Shoot, rows: list[dict[str, Any]]) -> Shoot:
    """Another manifest of the same user, with a folder of its own."""
    made = Shoot(server=work.server, home=work.home, manifest=work.manifest.with_name("second.yaml"))
    made.rows(rows)
    return made


def test_a_reused_output_is_a_file_for_each_id_and_costs_nothing(tmp_path: Path) -> None:
    (row,) = rows = remote_rows("one")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, rows)
        work.run()
        other = second_folder(work, [row, {**row, "id": "same"}])
        done = other.run()

        assert (done.code, other.outputs()) == (0, ["one_v001.mp4", "same_v001.mp4"])
        assert {line["output"] for line in read_results(other.folder)} == {
            "videos/one_v001.mp4",
            "videos/same_v001.mp4",
        }
        assert other.run().code == 0
        assert (server.ledger.submits_seen, other.outputs()) == (1, ["one_v001.mp4", "same_v001.mp4"])


def test_a_reused_output_that_was_deleted_is_reused_again_or_held_and_never_asked_for(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        work.run()
        other = second_folder(work, remote_rows("one"))
        other.run()
        polls = server.ledger.polls
        (other.folder / "videos/one_v001.mp4").unlink()

        assert (other.run().code, other.outputs()) == (0, ["one_v001.mp4"])

        for folder in (work.folder, other.folder):
            (folder / "videos/one_v001.mp4").unlink()
        held = other.run()

        assert (held.code, other.outputs()) in ((0, []), (3, []))
        assert (server.ledger.polls, server.ledger.submits_seen) == (polls, 1)


def said(body: str) -> Reply:
    """A whole answer."""
    return Reply(sent=Sent.ANSWERED, status=200, body=body.encode())


def state(phase: str) -> State:
    """A job whose request id is known."""
    return State(endpoints=Endpoints(api="https://api.example.com"), inputs={}, request_id="r", phase=phase)


def test_completed_without_an_output_becomes_uncertain() -> None:
    step: Step = Wait(state=state("status"))
    for _ in range(40):
        if isinstance(step, Uncertain):
            break
        reply = None if isinstance(step, Wait) else said('{"status": "COMPLETED"}')
        step = segmind.next_step(step.state, reply)

    assert isinstance(step, Uncertain)
    assert "names no output" in step.reason


@pytest.mark.parametrize("cost", ["NaN", "Infinity", "-Infinity", "-5", '"dear"', "true", "null", "1e999"])
def test_a_cost_that_is_none_is_not_booked(cost: str) -> None:
    body = '{"output": "https://example.com/x.mp4", "metrics": {"cost": COST}}'
    step = segmind.next_step(state("result"), said(body.replace("COST", cost)))

    assert isinstance(step, Done)
    assert step.cost_usd is None


def test_a_cost_below_zero_is_not_taken_off_what_was_spent(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0, price=-5.0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))

        assert work.run().code == 0
        assert float(work.results()["one"]["cost_usd"]) > 0
        assert work.results()["one"]["cost_source"] == "estimate"


def test_one_output_that_no_decoder_takes_leaves_the_others_alone(tmp_path: Path) -> None:
    ids = [f"r{number:02}" for number in range(8)]
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows(*ids[:1]))
        server.faults.add("error_401_invalid", on="status")
        assert work.run().code == 3
        bad = server.ledger.jobs[0].request_id
        server.faults.clear()
        server.faults.add("output_html_as_mp4", on="download", times=None, match=bad)
        work.rows(remote_rows(*ids))
        done = work.run("--max-in-flight", "1")

        assert (done.code, work.statuses()) == (3, {"r00": "submitted"} | dict.fromkeys(ids[1:], "succeeded"))
        assert json.loads((work.folder / "run.json").read_text())["stop_reason"] == "download_failed"

        server.faults.clear()

        assert (work.run().code, server.ledger.submits_seen, len(work.outputs())) == (0, 8, 8)
