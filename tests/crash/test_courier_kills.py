"""The process that asks and downloads is killed in the middle of a run: the run does not care."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

from tests.servers.segmind import SegmindStandIn
from tests.storms import storm_rows
from tests.support import PACE, shoot


def _kill_once(server: SegmindStandIn, killed: list[int], ended: threading.Event) -> None:
    """As soon as it has started and is at work."""
    while not ended.is_set() and not killed:
        busy = [child for child in multiprocessing.active_children() if child.name == "courier"]
        asked = len(server.ledger.requests)
        if busy and busy[0].pid is not None:
            while len(server.ledger.requests) < asked + 100 and not ended.is_set():
                time.sleep(0.005)
            os.kill(busy[0].pid, signal.SIGKILL)
            killed.append(busy[0].pid)
        time.sleep(0.005)


def test_a_courier_that_is_killed_costs_nothing_and_loses_nothing(tmp_path: Path) -> None:
    killed: list[int] = []
    ended = threading.Event()
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, storm_rows(200))
        server.faults.add("output_cut", on="download", times=20)
        server.faults.add("delay_then_accept", on="download", times=None, seconds=0.3)  # so that many are under way
        killer = threading.Thread(target=_kill_once, args=(server, killed, ended))
        killer.start()
        try:
            done = work.run("--max-in-flight", "100", *PACE)
        finally:
            ended.set()
            killer.join()

        assert killed
        assert (done.code, set(work.statuses().values())) == (0, {"succeeded"}), done.err
        assert (server.ledger.submits_seen, server.ledger.billed) == (200, 200)
        for job in server.ledger.jobs:
            name = job.inputs["video_url"].rsplit("/", 1)[1].removesuffix(".mp4")
            assert (work.folder / "videos" / f"{name}_v001.mp4").read_bytes() == server.output_of(job.request_id)
