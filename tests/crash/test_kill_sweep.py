"""Killed at any moment and started again, a run pays each job once and leaves only whole files."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from batchmod.media import verify_video
from tests.servers.segmind import SegmindStandIn
from tests.storms import marked_without_a_file
from tests.support import Shoot, bare_environment, call, remote_rows, shoot, write_clip

DRIVER = Path(__file__).with_name("driver.py")
ROOT = Path(__file__).parents[2]
EVENTS = 11
"""run_started, planned and run_ended; intended, submitted, output_known and succeeded for each of two rows."""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a driver ended, and how many events it told where it lived to say so."""

    code: int
    events: int
    err: str


def drive(work: Shoot, k: int, *mutants: str) -> Ended:
    """A run in a process of its own that dies at its k-th event (0: never)."""
    path = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(work.manifest), str(k), *mutants],
        env=bare_environment() | work.environ | path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(code=done.returncode, events=int(done.stdout or 0), err=done.stderr)


def set_up(folder: Path, server: SegmindStandIn) -> Shoot:
    """Two rows, each with an upload of its own."""
    rows = []
    for row_id in ("a", "b"):
        write_clip(folder / f"{row_id}.mp4", mark=row_id)
        rows.append({"id": row_id, "video_url": f"{row_id}.mp4", "prompt": f"as wool, {row_id}"})
    return shoot(folder, server, rows)


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


def broken_promises(work: Shoot, *mutants: str, k: int) -> list[str]:
    """Kill at the k-th event, go on until the end, and say which promises did not hold."""
    first = drive(work, k, *mutants)
    broken = [*half_files(work), *marked_without_a_file(work)]
    if "RecordRefused" in first.err:
        return [*broken, "the record is refused"]
    assert first.code in (-signal.SIGKILL, 0) or is_left_to_the_next_run(work, first), first.err
    last = first
    for _ in range(5):
        time.sleep(0.05)
        last = drive(work, 0)
        broken += half_files(work)
        if last.code == 0:
            break
    ledger = work.server.ledger
    if last.code != 0:
        broken.append(f"ended with {last.code}: {work.statuses()} {last.err}")
    if ledger.paid_twice() or ledger.billed != 2:
        broken.append(f"billed {ledger.billed} for two jobs")
    if sorted(work.outputs()) != ["a_v001.mp4", "b_v001.mp4"]:
        broken.append(f"outputs: {work.outputs()}")
    for row_id, line in work.results().items() if last.code == 0 else ():
        if (work.folder / line["output"]).read_bytes() != work.server.output_of(line["request_id"]):
            broken.append(f"{row_id} has another file than the service made")
    return broken


def is_left_to_the_next_run(work: Shoot, ended: Ended) -> bool:
    """Whether a run has ended before its k-th event, with a row whose doubt its history has only just settled.

    What is proven never to have been accepted is planned again, and sent by the next run: there it may be held, edited
    or gone by then, and the cap has its say.
    """
    return ended.code == 3 and sorted(work.statuses().values()) == ["planned", "succeeded"]


def half_files(work: Shoot) -> list[str]:
    """Files under a final name that are no whole video."""
    found = []
    for path in (work.folder / "videos").glob("[!.]*"):
        try:
            verify_video(path, depth="decode")
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is not whole
            found.append(f"{path.name}: {error}")
    return found


def test_an_undisturbed_run_tells_as_many_events_as_the_sweep_covers(server: SegmindStandIn, tmp_path: Path) -> None:
    done = drive(set_up(tmp_path, server), 0)

    assert (done.code, done.events) == (0, EVENTS)


@pytest.mark.parametrize("k", range(1, EVENTS + 1))
def test_killed_at_an_event_and_run_again_everything_is_paid_once_and_whole(
    k: int, server: SegmindStandIn, tmp_path: Path
) -> None:
    assert broken_promises(set_up(tmp_path, server), k=k) == []


@pytest.mark.parametrize("k", range(1, EVENTS + 1))
def test_killed_while_it_pays_again_and_told_the_same_again_each_further_version_is_paid_once(
    k: int, server: SegmindStandIn, tmp_path: Path
) -> None:
    work = set_up(tmp_path, server)
    assert drive(work, 0).code == 0
    killed = drive(work, k, "--pay-again")
    ended = [drive(work, 0, "--pay-again")]
    while ended[-1].code == 3 and len(ended) < 5:
        ended.append(drive(work, 0, "--pay-again"))

    assert (killed.code, ended[-1].code, half_files(work)) == (-signal.SIGKILL, 0, [])
    names = [f"{row_id}_v00{version}.mp4" for row_id in "ab" for version in (1, 2)]
    assert (server.ledger.billed, work.outputs()) == (4, names)


FIRST_INTENT = 3
TWICE = [(one, two) for one in range(1, EVENTS, 2) for two in range(1, EVENTS + 1) if (one, two) != (FIRST_INTENT,) * 2]


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), TWICE)
def test_killed_twice_and_run_again_everything_is_paid_once_and_whole(
    first: int, second: int, server: SegmindStandIn, tmp_path: Path
) -> None:
    work = set_up(tmp_path, server)
    drive(work, first)

    assert broken_promises(work, k=second) == []


def test_killed_before_anything_was_ever_accepted_the_rows_wait_for_the_users_word(
    server: SegmindStandIn, tmp_path: Path
) -> None:
    work = set_up(tmp_path, server)
    for _ in range(2):
        assert drive(work, FIRST_INTENT).code == -signal.SIGKILL
    # A history that shows no request of ours proves nothing about those it does not show.
    parked = work.run("--history-grace", "0")

    assert (parked.code, work.statuses()) == (1, {"a": "uncertain", "b": "uncertain"})
    assert server.ledger.submits_seen == 0
    assert call("resolve", work.folder, "--resend", "a", "b", environ=work.environ).code == 0
    assert (work.run().code, server.ledger.billed) == (0, 2)


def test_what_a_killed_run_had_delivered_stands_in_the_table_after_the_next(
    server: SegmindStandIn, tmp_path: Path
) -> None:
    work = shoot(tmp_path, server, remote_rows("first"))
    assert work.run().code == 0
    work.rows(remote_rows("first", "second"))
    last_but_one = 6
    assert drive(work, last_but_one).code == -signal.SIGKILL
    assert (list(work.statuses()), server.ledger.accepted) == (["first"], 2)

    assert work.run().code == 0
    assert (work.statuses(), server.ledger.accepted) == ({"first": "succeeded", "second": "succeeded"}, 2)
    written = (work.folder / "results.csv").stat().st_mtime_ns
    assert work.run().code == 0
    assert (work.folder / "results.csv").stat().st_mtime_ns == written


def kill_in_the_air(work: Shoot, fault: str, *mutants: str) -> None:
    """Kill a run from outside while its first paid request has no answer yet."""
    server = work.server
    server.faults.add(fault, seconds=1.0)
    with going_on(work, *mutants) as running:
        server.ledger.wait_until(lambda ledger: ledger.submits_seen == 1, timeout_s=20)
        running.kill()
    # The service reads on and accepts what it was sent, whether anybody is still there or not.
    server.ledger.wait_until(lambda ledger: ledger.accepted == 1, timeout_s=20)


@contextmanager
def going_on(work: Shoot, *mutants: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A run in a process of its own, for the block to end."""
    words = [sys.executable, str(DRIVER), str(work.manifest), "0", *mutants]
    environ = bare_environment() | work.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("fault", ["accept_then_delay", "delay_then_accept"])
def test_killed_while_the_request_is_on_its_way_nothing_is_paid_twice(
    fault: str, server: SegmindStandIn, tmp_path: Path
) -> None:
    work = set_up(tmp_path, server)
    kill_in_the_air(work, fault)

    assert broken_promises(work, k=0) == []


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.05 * number for number in range(1, 25)])
def test_killed_from_outside_at_any_time_everything_is_paid_once_and_whole(
    delay_s: float, server: SegmindStandIn, tmp_path: Path
) -> None:
    work = set_up(tmp_path, server)
    with going_on(work) as running:
        time.sleep(delay_s)
        running.kill()

    assert broken_promises(work, k=0) == []


def test_a_request_that_leaves_before_its_intent_is_written_is_noticed(server: SegmindStandIn, tmp_path: Path) -> None:
    work = set_up(tmp_path, server)
    kill_in_the_air(work, "accept_then_delay", "forget_intents")

    # The event log tells of a request that the record does not know, or the row is paid again.
    noticed = ("billed 3", "the record is refused")
    assert any(promise.startswith(noticed) for promise in broken_promises(work, k=0))


def test_a_file_that_is_written_in_place_is_noticed(server: SegmindStandIn, tmp_path: Path) -> None:
    promises = broken_promises(set_up(tmp_path, server), "write_in_place", k=0)

    assert any("_v001.mp4: " in promise for promise in promises)


def test_an_output_that_is_marked_before_its_file_is_there_is_noticed(server: SegmindStandIn, tmp_path: Path) -> None:
    promises = broken_promises(set_up(tmp_path, server), "mark_early", k=0)

    assert any(promise.endswith("_v001.mp4 is marked as done and is not there") for promise in promises)
