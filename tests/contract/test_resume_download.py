"""A download that was cut goes on where it stopped, in the same run and in a later one, and is never paid for again."""

from pathlib import Path

import pytest

from tests.servers.segmind import SegmindStandIn
from tests.support import remote_rows, shoot


@pytest.mark.parametrize("fault", ["output_cut", "output_truncated", "output_wrong_length", "output_html"])
def test_a_cut_download_ends_whole_in_the_same_run(tmp_path: Path, fault: str) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        server.faults.add(fault)
        done = work.run()

        assert (done.code, work.statuses()) == (0, {"a": "succeeded"})
        job = server.ledger.jobs[0]
        assert (work.folder / "videos" / "a_v001.mp4").read_bytes() == server.output_of(job.request_id)
        assert (server.ledger.submits_seen, server.ledger.billed) == (1, 1)


def test_a_later_run_goes_on_with_what_is_half_there(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        server.faults.add("output_cut", times=None)
        first = work.run()
        half = list((work.folder / ".work").glob("*.part"))

        assert (first.code, work.statuses()) == (3, {"a": "submitted"})
        assert len(half) == 1
        assert half[0].stat().st_size > 0

        server.faults.clear()
        again = work.run()

        assert (again.code, work.statuses()) == (0, {"a": "succeeded"})
        asked = [request for request in server.ledger.requests if request.kind == "download"]
        assert "range" in {name.lower() for name in asked[-1].headers}
        job = server.ledger.jobs[0]
        assert (work.folder / "videos" / "a_v001.mp4").read_bytes() == server.output_of(job.request_id)
        assert not (work.folder / ".work").exists()
        assert (server.ledger.submits_seen, server.ledger.billed) == (1, 1)
