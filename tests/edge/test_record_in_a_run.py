"""The record as a run uses it: steps of one moment together, and what was read kept until it changes."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from batchmod import checkpoint
from batchmod.checkpoint import Checkpoint, NotTogether
from batchmod.model import Status, VideoFacts
from batchmod.runner.writing import Writer
from tests import given

FACTS = VideoFacts(width=64, height=48, fps=None, frames=8, duration_s=1.0, has_audio=False, bytes=9)
JOB, OTHER = given.job("one"), given.job("two", prompt="another")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / checkpoint.FILE_NAME


@pytest.fixture
def record(path: Path) -> Iterator[Checkpoint]:
    with Checkpoint.open(path) as opened:
        opened.own()
        yield opened


def steps(record: Checkpoint, work_id: int) -> Iterator[Callable[[], Any]]:
    """The life of a work, and what else may happen to it."""
    attempt = 0

    def intend() -> None:
        nonlocal attempt
        attempt = record.intend(work_id, body={}, at=1.0, reserved_usd=0.5, jobs=[JOB], state={})

    yield intend
    yield lambda: record.refuse(work_id, attempt, outcome="refused", note="429", counted=False)
    yield intend
    yield lambda: record.doubt(work_id, attempt, reason="cut", at=2.0)
    yield lambda: record.accept(work_id, attempt, request_id="r1", state={"link": "x"})
    yield lambda: record.output_known(work_id, location="https://files.test/a.mp4", cost_usd=0.4)
    yield lambda: record.add_delivery(OTHER, work_id)
    yield lambda: record.arrived(work_id, sha256="ab")
    yield lambda: record.step_aside(record.deliveries_of(work_id)[0])
    yield lambda: record.succeed(work_id, facts=FACTS, sha256="ab", at=3.0)
    yield lambda: record.delivered(record.deliveries_of(work_id)[0])
    yield lambda: record.fail(work_id, code="output_expired", message="gone", billed=True, at=4.0)
    yield lambda: record.open_work(JOB, run_id="next")
    yield lambda: record.put_back(work_id)
    yield lambda: record.reuse(work_id, facts=FACTS, sha256="cd", at=5.0)


@pytest.mark.parametrize("together", [False, True])
def test_what_is_remembered_is_what_stands_in_the_file(record: Checkpoint, path: Path, together: bool) -> None:  # noqa: FBT001
    work_id = record.open_work(JOB, run_id="run").work_id
    for step in steps(record, work_id):
        before = record.work(work_id), record.deliveries_of(work_id)
        if together:
            with record.together():
                step()
        else:
            step()

        with Checkpoint.look_at(path) as other:
            assert record.work(work_id) == other.work(work_id), before
            assert record.deliveries_of(work_id) == other.deliveries_of(work_id), before


def test_what_a_group_that_was_not_written_has_said_is_forgotten(record: Checkpoint) -> None:
    work_id = record.open_work(JOB, run_id="run").work_id

    def broken() -> None:
        with record.together():
            record.arrived(work_id, sha256="ab")
            assert record.work(work_id).sha256 == "ab"
            raise sqlite3.OperationalError

    with pytest.raises(NotTogether):
        broken()
    assert record.work(work_id).sha256 is None


def test_each_step_of_a_group_has_its_own_outcome(record: Checkpoint, path: Path) -> None:
    """One that raises when it has written something is taken back alone; an id that is taken is no trouble."""
    one, two = (record.open_work(job, run_id="run").work_id for job in (JOB, OTHER))
    first, second = (record.intend(work, body={}, at=1.0, reserved_usd=1.0, jobs=[], state={}) for work in (one, two))

    def half() -> None:
        record.output_known(two, location="https://files.test/b.mp4", cost_usd=None)
        with record._transaction(two) as db:
            db.execute("UPDATE work SET sha256 = 'half' WHERE work_id = ?", (two,))
            raise ValueError

    async def written() -> list[Any]:
        writer = Writer(record.together, broken=NotTogether)
        outcomes = await asyncio.gather(
            writer.write(lambda: record.accept(one, first, request_id="r1", state={})),
            writer.write(half),
            writer.write(lambda: record.accept(two, second, request_id="r1", state={})),
            writer.write(lambda: record.arrived(one, sha256="ab")),
            return_exceptions=True,
        )
        return list(outcomes)

    good, broken, taken, last = asyncio.run(written())

    assert good is True
    assert isinstance(broken, ValueError)
    assert taken is False
    assert last is None
    with Checkpoint.look_at(path) as other:
        assert (other.work(one).status, other.work(one).sha256) == (Status.SUBMITTED, "ab")
        assert (other.work(two).status, other.work(two).sha256) == (Status.SUBMITTING, None)


def test_a_step_that_is_caught_within_a_group_does_not_leave_a_half(record: Checkpoint, path: Path) -> None:
    work_id = record.open_work(JOB, run_id="run").work_id

    def half() -> None:
        with record._transaction(work_id) as db:
            db.execute("UPDATE work SET sha256 = 'half' WHERE work_id = ?", (work_id,))
            raise ValueError

    def careless() -> None:
        with record.together():
            record.output_known(work_id, location="https://files.test/a.mp4", cost_usd=None)
            with suppress(NotTogether):
                half()

    with pytest.raises(NotTogether):
        careless()
    with Checkpoint.look_at(path) as other:
        assert other.work(work_id).output_location is None


class Counted:
    """A database that counts its commits."""

    def __init__(self) -> None:
        self.commits = 0

    def __enter__(self) -> None:
        """A group begins."""

    def __exit__(self, *_: object) -> None:
        self.commits += 1


def test_whoever_waits_for_a_group_that_breaks_hears_of_it() -> None:
    """A damaged file is no trouble of the disk's: nobody tries again, and nobody waits for ever."""

    class Damaged(Counted):
        def __exit__(self, *_: object) -> None:
            raise sqlite3.DatabaseError("database disk image is malformed")

    async def written() -> list[object]:
        writer = Writer(Damaged, broken=NotTogether)
        steps = (writer.write(lambda: None) for _ in range(2))
        async with asyncio.timeout(5):
            return list(await asyncio.gather(*steps, return_exceptions=True))

    assert [type(error) for error in asyncio.run(written())] == [sqlite3.DatabaseError] * 2


def test_steps_of_one_moment_share_a_commit() -> None:
    counted = Counted()

    async def written() -> list[int]:
        writer = Writer(lambda: counted, broken=NotTogether)
        return list(await asyncio.gather(*(writer.write(lambda n=n: n) for n in range(100))))  # type: ignore[misc]

    assert asyncio.run(written()) == list(range(100))
    assert counted.commits == 1


def test_what_is_urgent_takes_along_what_waits() -> None:
    counted, order = Counted(), []

    async def written() -> None:
        writer = Writer(lambda: counted, broken=NotTogether)
        await writer.write(lambda: order.append("first"))
        patient = asyncio.ensure_future(writer.write(lambda: order.append("patient")))
        await asyncio.sleep(0)
        await writer.write(lambda: order.append("urgent"), urgent=True)
        await patient

    asyncio.run(written())
    assert order == ["first", "patient", "urgent"]
    assert counted.commits == 1


def test_many_steps_leave_time_for_other_things_than_commits() -> None:
    """However many there are, and urgent all of them: commits of 2 ms take a part of the time."""

    class Slow(Counted):
        def __exit__(self, *_: object) -> None:
            super().__exit__()
            time.sleep(0.002)

    slow = Slow()

    async def written() -> None:
        writer = Writer(lambda: slow, broken=NotTogether)
        end = asyncio.get_running_loop().time() + 0.5

        async def job() -> None:
            while asyncio.get_running_loop().time() < end:
                await writer.write(lambda: None, urgent=True)

        await asyncio.gather(*(job() for _ in range(100)))

    asyncio.run(written())
    assert slow.commits < 0.25 * 0.5 / 0.002
