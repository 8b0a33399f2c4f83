"""A stop that comes between two steps of one request: what had not begun to leave does not leave any more."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from batchmod import app
from batchmod.app import hands
from batchmod.app.services import Services
from batchmod.checkpoint import FILE_NAME, Checkpoint
from batchmod.index import Index, claims_of
from batchmod.model import Event
from batchmod.runner import Runner
from tests.servers.segmind import SegmindStandIn
from tests.support import Shoot, remote_rows, shoot

IDS = [f"r{number}" for number in range(12)]


def nobody(event: Event) -> None:
    """Nobody looks."""


def fact_of(work: Shoot, name: str) -> str:
    with Checkpoint.look_at(work.folder / FILE_NAME) as record:
        return record.fact(name) or ""


def test_a_stop_while_requests_are_claimed_sends_none_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their tasks are cancelled while the index writes, which brings its step to an end all the same."""
    control, claimed, claim = app.Control(), list[str](), Index.claim

    def stop_at_the_third(index: Index, job_key: str, *, at: float, force: bool = False) -> bool:
        claimed.append(job_key)
        if len(claimed) == 3:
            control.stop("sigint")
        return claim(index, job_key, at=at, force=force)

    monkeypatch.setattr(Index, "claim", stop_at_the_third)
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows(*IDS))
        options = app.Options(provider="segmind", yes=True, max_in_flight=8)
        loaded = app.load(work.manifest, options, Services(environ=work.environ))
        summary = asyncio.run(app.run(loaded, options, observe=nobody, confirm=lambda *_: True, control=control))
        sent = server.ledger.submits_seen

        found = Counter(work.statuses().values())
        assert (summary.exit_code, len(claimed), sent) == (130, 3, 1)
        assert (found["planned"], found["submitting"]) == (len(IDS) - 1, 0), found
        assert len(claims_of(work.home / "paid.sqlite3", fact_of(work, "folder_id"))) == 1  # others may send them

        monkeypatch.undo()
        assert (work.run().code, server.ledger.billed) == (0, len(IDS))


def test_a_run_that_is_broken_off_while_it_ends_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second Ctrl-C may come when connections are being closed; the processes are ended all the same."""
    closing = asyncio.Event()

    async def close(runner: Runner) -> None:
        await close_runner(runner)
        closing.set()
        await asyncio.sleep(60)

    async def broken_off(loaded: app.Loaded, options: app.Options) -> bool:
        workers = hands.of(loaded, options)
        monkeypatch.setattr(hands, "of", lambda *_: workers)
        run = app.run(loaded, options, observe=nobody, confirm=lambda *_: True, control=app.Control())
        running = asyncio.ensure_future(run)
        await closing.wait()
        courier = workers.courier
        await courier._start()
        pid = courier.pid
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return pid is not None and courier.pid is None

    close_runner = Runner.close
    monkeypatch.setattr(Runner, "close", close)
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("one"))
        options = app.Options(provider="segmind", yes=True)
        loaded = app.load(work.manifest, options, Services(environ=work.environ))

        assert asyncio.run(broken_off(loaded, options))
