"""Works that end otherwise than most: asked for once more, gone, found no more, or of rows that are not there."""

from pathlib import Path

from tests.servers.segmind import SegmindStandIn
from tests.support import call, remote_rows, shoot

# --- one more version, as somebody asked --------------------------------------------------------------------


def test_the_same_command_after_a_stop_pays_again_only_for_what_it_had_not(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        work.run()
        work.rows(remote_rows("a", "b"))
        server.faults.add("error_406_credits", match="/b.mp4")
        stopped = work.run("--pay-again", "a", "--max-in-flight", "1")

        assert (stopped.code, work.outputs()) == (3, ["a_v001.mp4", "a_v002.mp4"])
        assert work.run("--pay-again", "a").code == 0
        assert (server.ledger.accepted, work.outputs()) == (3, ["a_v001.mp4", "a_v002.mp4", "b_v001.mp4"])
        assert work.run("--pay-again", "a").code == 0  # that run has ended: said once more, it is meant once more
        assert (server.ledger.accepted, work.outputs()) == (4, [*(f"a_v00{n}.mp4" for n in (1, 2, 3)), "b_v001.mp4"])


def test_pay_again_that_was_stopped_hides_no_output_and_waits_to_be_said_again(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b"))
        work.run()
        server.faults.add("error_406_credits", times=None)
        stopped = work.run("--pay-again", "*")
        shown = {row_id: (line["status"], line["output"]) for row_id, line in work.results().items()}

        assert (stopped.code, shown) == (3, {i: ("succeeded", f"videos/{i}_v001.mp4") for i in ("a", "b")})

        server.faults.clear()

        assert (work.run().code, server.ledger.accepted) == (0, 2)  # nobody said it
        planned = call("plan", work.manifest, "--provider", "segmind", environ=work.environ)
        assert "2 keep; costs nothing" in planned.out
        assert work.run("--pay-again", "a").code == 0
        assert (server.ledger.accepted, work.outputs()) == (3, ["a_v001.mp4", "a_v002.mp4", "b_v001.mp4"])


def test_a_further_version_that_another_folder_keeps_from_being_sent_has_not_ended(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        work.run()
        assert work.run("--no-reuse", "--output", str(tmp_path / "other")).code == 0
        kept = work.run("--pay-again", "a")

        assert (kept.code, server.ledger.accepted, work.statuses()) == (3, 2, {"a": "succeeded"})
        assert "another output folder is paying for this very request" in kept.err


def test_a_review_takes_over_a_version_that_was_wished_for(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        work.run()
        server.faults.add("error_406_credits")
        assert work.run("--pay-again", "a").code == 3
        work.rows([{**remote_rows("a")[0], "review": "redo", "review_of": 1}])

        assert work.run().code == 0
        assert (server.ledger.accepted, work.outputs()) == (2, ["a_v001.mp4", "a_v002.mp4"])
        assert (work.run().code, work.run("--pay-again", "a").code, server.ledger.accepted) == (0, 0, 3)
