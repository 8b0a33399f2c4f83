"""A refusal that names a file we sent up: the file goes up once more, and only once."""

from pathlib import Path

from tests.servers.segmind import SegmindStandIn
from tests.support import shoot, write_clip


def test_a_file_the_service_no_longer_finds_is_sent_up_once_more(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, [{"id": "a", "video_url": "clip.mp4", "prompt": "wool"}])
        server.faults.add("error_400_asset")
        done = work.run()

        assert (done.code, work.statuses()) == (0, {"a": "succeeded"})
        assert (server.ledger.uploads, server.ledger.submits_seen, server.ledger.billed) == (2, 2, 1)


def test_a_file_that_is_refused_twice_fails_its_row(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, [{"id": "a", "video_url": "clip.mp4", "prompt": "wool"}])
        server.faults.add("error_400_asset", times=None)
        done = work.run()

        assert (done.code, work.statuses()) == (1, {"a": "failed"})
        assert (server.ledger.uploads, server.ledger.submits_seen, server.ledger.billed) == (2, 2, 0)
