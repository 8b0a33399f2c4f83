"""The queue's own promises: order, states, beginnings, what is forgotten, and which files are none of ours."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batchmod.errors import RecordRefused
from batchmod.executors import Processes
from batchmod.serve import KEY_ENV
from batchmod.serve.queue import FILE_NAME, File, Queue, State
from tests.serving import service

OUTPUT = File(name="o.mp4", kind="outputs", media_type="video/mp4", bytes=7, expires_at=200.0)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    with closing(Queue.open(tmp_path / FILE_NAME)) as opened:
        yield opened


def test_what_was_accepted_is_there_in_its_order_after_reopening(tmp_path: Path, queue: Queue) -> None:
    for number in range(12):
        queue.accept(f"r{number}", {"prompt": f"ü{number}"}, at=float(number))
    queue.begin("r3", at=20.0)
    with closing(Queue.open(tmp_path / FILE_NAME)) as again:
        left = again.unfinished()

    assert [job.request_id for job in left] == [f"r{number}" for number in range(12)]
    assert left[3].state is State.PROCESSING
    assert left[5].inputs == {"prompt": "ü5"}
    assert queue.ahead_of("r5") == 5
    assert queue.waiting() == 12


def test_a_stop_on_purpose_does_not_count_as_a_beginning(queue: Queue) -> None:
    queue.accept("r", {}, at=1.0)
    for on_purpose, beginnings in ((False, 1), (True, 1), (False, 2)):
        queue.begin("r", at=2.0)
        queue.put_back("r", on_purpose=on_purpose)
        job = queue.job("r")
        assert job is not None
        assert (job.state, job.beginnings, job.started_at) == (State.QUEUED, beginnings, None)


def test_a_job_that_has_ended_is_not_put_back(queue: Queue) -> None:
    queue.accept("r", {}, at=1.0)
    queue.fail("r", "no", of_input=True, at=2.0)
    queue.put_back("r", on_purpose=False)

    job = queue.job("r")
    assert job is not None
    assert (job.state, job.error, job.of_input, job.ended_at) == (State.FAILED, "no", True, 2.0)


def test_a_finished_job_and_its_file_come_together_or_not_at_all(queue: Queue) -> None:
    queue.accept("r", {}, at=1.0)
    queue.keep(OUTPUT)
    with pytest.raises(sqlite3.IntegrityError):
        queue.complete("r", OUTPUT, warnings=(), at=3.0)

    job = queue.job("r")
    assert job is not None
    assert job.state is State.QUEUED


def test_files_and_old_requests_are_forgotten_in_time(queue: Queue) -> None:
    queue.accept("old", {}, at=1.0)
    queue.accept("waiting", {}, at=1.0)
    queue.complete("old", OUTPUT, warnings=["w"], at=100.0)

    assert queue.file("outputs", "o.mp4", at=199.0) == OUTPUT
    assert queue.file("outputs", "o.mp4", at=200.0) is None
    assert queue.file("assets", "o.mp4", at=199.0) is None
    queue.forget(expired_by=199.0, ended_before=100.0)
    assert queue.names() == {"o.mp4"}
    assert queue.job("old") is not None
    queue.forget(expired_by=200.0, ended_before=101.0)
    assert queue.names() == set()
    assert [queue.job("old"), queue.job("waiting") is None] == [None, False]


def test_the_same_request_is_not_accepted_twice(queue: Queue) -> None:
    queue.accept("r", {}, at=1.0)
    with pytest.raises(sqlite3.IntegrityError):
        queue.accept("r", {}, at=2.0)
    queue.accept("s", {}, at=3.0)

    assert queue.waiting() == 2


@pytest.mark.parametrize("change", ["PRAGMA user_version = 2", "PRAGMA application_id = 7"])
def test_a_newer_or_foreign_queue_is_refused_and_left_alone(tmp_path: Path, queue: Queue, change: str) -> None:
    queue.accept("r", {}, at=1.0)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        other.execute(change)

    with pytest.raises(RecordRefused, match="choose another --data"):
        Queue.open(tmp_path / FILE_NAME)


def test_workers_do_not_know_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment they start with is the service's, without its key and the providers'."""
    import asyncio

    monkeypatch.setenv(KEY_ENV, "secret")
    monkeypatch.setenv("SEGMIND_API_KEY", "secret")
    with service(tmp_path / "data", workers=1, key="secret") as server:
        hand: Processes = server.service.workshop._hands[0]

    async def environment() -> dict[str, str]:
        try:
            return await hand.submit(_environment)
        finally:
            hand.close()

    seen = asyncio.run(environment())

    assert "PATH" in seen
    assert "secret" not in seen.values()


def _environment() -> dict[str, str]:
    return dict(os.environ)
