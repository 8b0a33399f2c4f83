"""The check of outputs in worker processes: each file's own verdict, also where others beside it come to grief."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from batchmod import work
from batchmod.app.verifying import Checker
from batchmod.executors import Processes
from batchmod.executors.courier import Courier
from batchmod.model import VideoFacts

CLIP = Path(__file__).parents[2] / "manifests" / "demo" / "bunny.mp4"
MANY = 24


def test_every_file_gets_its_own_verdict(tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(CLIP.read_bytes()[:-1000])
    paths = [CLIP, cut, tmp_path / "gone.mp4", *(CLIP for _ in range(2 * MANY))]

    async def checked() -> list[object]:
        checker = Checker("container", outputs=MANY, engine=Processes(1), courier=Courier(), drop_environment=())
        try:
            return list(await asyncio.gather(*map(checker.verify, paths), return_exceptions=True))
        finally:
            checker.close()

    first, second, third, *others = asyncio.run(checked())
    assert isinstance(first, VideoFacts)
    assert isinstance(second, work.Refusal)
    assert second.slug == "broken_video"
    assert isinstance(third, FileNotFoundError)
    assert others == [first] * (2 * MANY)


def test_workers_that_are_killed_leave_nothing_unchecked() -> None:
    async def checked() -> list[object]:
        checker = Checker("decode", outputs=MANY, engine=Processes(1), courier=Courier(), drop_environment=())
        try:
            asked = [asyncio.ensure_future(checker.verify(CLIP)) for _ in range(12)]
            assert checker._workers is not None
            while not (workers := checker._workers.workers):  # noqa: ASYNC110 - they start when they start
                await asyncio.sleep(0.01)
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            return list(await asyncio.gather(*asked))
        finally:
            checker.close()

    assert all(isinstance(found, VideoFacts) for found in asyncio.run(checked()))


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="it is read where Linux shows it")
def test_who_opens_what_strangers_send_has_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", "sk-1")
    monkeypatch.setenv("HARMLESS", "yes")

    async def told() -> bytes:
        engine, courier = Processes(1), Courier()
        checker = Checker("decode", outputs=MANY, engine=engine, courier=courier, drop_environment=["SEGMIND_API_KEY"])
        try:
            await checker.verify(CLIP)
            assert checker._workers is not None
            return await asyncio.to_thread(Path(f"/proc/{checker._workers.workers[0]}/environ").read_bytes)
        finally:
            checker.close()

    environment = asyncio.run(told())
    assert b"HARMLESS=yes" in environment
    assert b"sk-1" not in environment


def test_a_check_that_nobody_waits_for_any_more_disturbs_no_other() -> None:
    async def checked() -> list[object]:
        checker = Checker("container", outputs=MANY, engine=Processes(1), courier=Courier(), drop_environment=())
        try:
            asked = [asyncio.ensure_future(checker.verify(CLIP)) for _ in range(10)]
            await asyncio.sleep(0)
            asked[0].cancel()
            return list(await asyncio.gather(*asked, return_exceptions=True))
        finally:
            checker.close()

    gone, *others = asyncio.run(checked())
    assert isinstance(gone, asyncio.CancelledError)
    assert all(isinstance(found, VideoFacts) for found in others)
