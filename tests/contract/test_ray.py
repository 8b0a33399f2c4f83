"""The embedded engine on a real Ray cluster: a head and two workers that the test has begun, one of which is killed."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from batchmod import executors, work
from batchmod.app import hands
from batchmod.app.options import Options
from batchmod.app.services import Services
from batchmod.errors import MediaError, MissingExtra, StoppedEarly
from batchmod.executors.messages import Capacity, Terms, Unfit, Value
from batchmod.executors.on_worker import carry, versions
from batchmod.executors.ray import Ray
from batchmod.model import Done, Status
from batchmod.providers.base import Executor
from batchmod.providers.local import Local
from tests import given
from tests.clusters import Cluster, caught_working, writers
from tests.servers.buckets import Buckets, buckets
from tests.servers.clips import Clip
from tests.support import (
    bare_environment,
    command,
    read_events,
    read_results,
    write_clip,
    write_manifest,
    write_picture,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
LOOK = "a watercolour painting"
SHORT, LONG = Clip(frames=4), Clip(width=160, height=120, frames=60)
PASSING = ("submitted_at", "finished_at", "run_id", "seconds")
"""What two runs of the same work may tell differently."""


def manifest(folder: Path, *, long: int, short: int) -> Path:
    """Rows on the embedded engine; the long ones take a second or more."""
    rows = []
    for number in range(long + short):
        clip = write_clip(folder / "clips" / f"{number}.mp4", LONG if number < long else SHORT, mark=f"{number}")
        rows.append({"id": f"row-{number}", "video_url": f"clips/{clip.name}", "prompt": LOOK})
    write_picture(folder / "clips" / "frame.png", width=160, height=120)
    rows[0]["first_frame_url"] = "clips/frame.png"
    return write_manifest(folder / "shots.yaml", rows)


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "videos").iterdir())}


def table(folder: Path) -> list[dict[str, str]]:
    return [{name: cell for name, cell in line.items() if name not in PASSING} for line in read_results(folder)]


@linux
@pytest.mark.timeout(600)
def test_on_a_cluster_of_two_workers(
    subtests: pytest.Subtests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cluster for all of it: to begin one takes longer than what is to be seen on it."""
    monkeypatch.setenv("SEGMIND_API_KEY", "sk-driver")
    with ExitStack() as stack:
        shop = stack.enter_context(buckets())
        shop.make("shop")
        node = {"SEGMIND_API_KEY": "sk-node", **shop.environ}
        cluster = Cluster.begin({**node, "NODE": "a"}, {**node, "NODE": "b"}, gpus=(0, 1))
        stack.callback(cluster.end)
        with executor(cluster) as ray:
            asyncio.run(the_executor_keeps_its_word(ray, subtests, tmp_path, shop))
        with subtests.test("what is killed is run again, and no output differs from one made by processes"):
            a_node_is_killed_in_the_middle(cluster, tmp_path)
    with subtests.test("nothing is left"):
        assert not cluster.processes()
        assert not cluster.folder.exists()


class executor:  # noqa: N801 - reads as what it opens
    """Ray's executor at a cluster, and closed in the end."""

    def __init__(self, cluster: Cluster) -> None:
        self._ray = Ray(cluster.address, drop_environment=("SEGMIND_API_KEY",))

    def __enter__(self) -> Ray:
        return self._ray

    def __exit__(self, *_: object) -> None:
        self._ray.close()


async def the_executor_keeps_its_word(ray: Ray, subtests: pytest.Subtests, folder: Path, shop: Buckets) -> None:
    await ray.begin(folder)
    with subtests.test("it is as wide as the cluster allows"):
        assert ray.cpus == 2
        assert ray.width == 4
        assert ray.shares_files
    with subtests.test("no key reaches a worker, neither the driver's nor the node's"):
        here, started_with, deaf = await asyncio.gather(
            ray.submit(os.getenv, "SEGMIND_API_KEY"),
            ray.submit(Path.read_bytes, Path("/proc/self/environ")),
            ray.submit(is_deaf),
        )
        assert here is None
        assert b"NODE=" in started_with
        assert b"sk-" not in started_with
        assert b"NUMBA_NUM_THREADS=1" in started_with
        assert deaf
    with subtests.test("an error comes back as it was raised"), pytest.raises(ZeroDivisionError):
        await ray.submit(divmod, 1, 0)
    with subtests.test("what needs a GPU runs where one is"):
        assert [await ray.submit(node_with_gpu) for _ in range(3)] == ["b"] * 3
    with subtests.test("a file that a worker does not see stops the run"):
        refused = await asyncio.gather(ray.submit(os.getpid, reads=("/nowhere/a.mp4",)), return_exceptions=True)
        assert "does not see /nowhere/a.mp4" in str(refused[0])
        assert isinstance(refused[0], StoppedEarly)
    with subtests.test("a worker that dies is told from one that fails"):
        died = (await asyncio.gather(ray.submit(os._exit, 1), return_exceptions=True))[0]
        assert isinstance(died, work.WorkerDied)
        assert not died.with_its_machine
    with subtests.test("without shared storage a small clip goes there and back as bytes, with the same result"):
        await ray.begin(Path("/proc/self/cwd"))  # another folder for each process
        assert not ray.shares_files
        there = await made(ray, folder / "there")
        pool = executors.Processes(1)
        here_too = await made(pool, folder / "here")
        pool.close()
        assert there == here_too
        assert there.startswith(b"\0\0\0")
    with subtests.test("a worker fetches an object itself, with its machine's own credentials"):
        shop.put("shop", "clip.mp4", (folder / "here" / "clip.mp4").read_bytes())
        (folder / "stored").mkdir()
        assert await made_of(ray, folder / "stored", "s3://shop/clip.mp4") == there
        assert shop.requests("GET", "/shop/clip.mp4")


def is_deaf() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def node_with_gpu() -> str | None:
    return os.environ.get("NODE")


node_with_gpu.needs = work.Needs(cpus=0, gpus=1)  # type: ignore[attr-defined]


async def made(executor: Executor, folder: Path) -> bytes:
    """What the engine makes of a clip through this executor."""
    return await made_of(executor, folder, str(write_clip(folder / "clip.mp4", SHORT)))


async def made_of(executor: Executor, folder: Path, clip: str) -> bytes:
    inputs = {
        "video": {"location": clip, "local": "://" not in clip, "identity": "x"},
        "first_frame": None, "mode": "adhere_1", "prompt": LOOK,
    }  # fmt: skip
    local = Local(executor=executor, scratch=folder)
    of = given.job(facts=given.LOCAL)
    call = local.begin(given.work(of, Status.PLANNED, inputs=inputs))
    step = local.next(call.state, await local.send(call))  # type: ignore[arg-type]
    assert isinstance(step, Done), step
    assert (await local.collect(step, folder / "out.mp4")).ok
    return (folder / "out.mp4").read_bytes()


def a_node_is_killed_in_the_middle(cluster: Cluster, folder: Path) -> None:
    path = manifest(folder, long=2, short=2)
    environ = {"SEGMIND_API_KEY": "sk-driver", "BATCHMOD_HOME": str(folder / "home")}
    plain = command("run", path, "--output", folder / "plain", "--wait-scores", environ=environ)
    assert plain.code == 0, plain.err
    words = (
        "run",
        str(path),
        "--wait-scores",
        "--output",
        str(folder / "spread"),
        "--executor",
        "ray",
        "--ray-address",
        cluster.address,
    )
    with subprocess.Popen(
        [sys.executable, "-m", "batchmod", *words],
        env=bare_environment() | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        doomed = cluster.nodes[2]
        killed = caught_working(doomed, folder / "spread" / ".work")
        doomed.kill()
        os.kill(killed, signal.SIGKILL) if killed in writers(folder) else None
        out, err = run.communicate(timeout=240)
    assert run.returncode == 0, err
    assert "4 videos made" in out
    assert not err.strip() or "warning" not in err.lower()
    assert [line["status"] for line in read_results(folder / "spread")] == ["succeeded"] * 4
    assert table(folder / "spread") == table(folder / "plain")
    assert all(line["structure_score"] for line in read_results(folder / "spread"))
    assert outputs(folder / "spread") == outputs(folder / "plain")
    ends = [event["job_key"] for event in read_events(folder / "spread") if event["event"] == "succeeded"]
    assert len(ends) == len(set(ends)) == 4
    assert not list((folder / "spread").glob(".work/*"))


def terms(**changed: Any) -> Terms:
    return Terms(**{"versions": versions(), "token": None, "reads": (), "drop_environment": (), **changed})


def test_a_worker_with_another_version_refuses() -> None:
    found = carry(terms(versions={**versions(), "numpy": "0.1"}), divmod, (7, 2))

    assert isinstance(found, Unfit)
    assert found.slug == "versions_differ"
    assert "instead of 0.1" in found.message
    assert carry(terms(), divmod, (7, 2)) == Value(value=(3, 1))


def test_a_worker_that_does_not_see_the_folder_refuses(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("abc")

    assert carry(terms(token=(str(token), "abc")), divmod, (7, 2)) == Value(value=(3, 1))
    found = carry(terms(token=(str(token), "xyz")), divmod, (7, 2))
    assert isinstance(found, Unfit)
    assert found.slug == "not_shared"


def test_without_ray_the_command_that_installs_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(MissingExtra, match=r"pip install 'batchmod\[ray\]'"):
        asyncio.run(Ray("auto").begin(tmp_path))


@pytest.mark.parametrize(
    ("given_", "environ", "address"),
    [
        ("here:1", {"RAY_ADDRESS": "there:2"}, "here:1"),
        (None, {"RAY_ADDRESS": "there:2"}, "there:2"),
        (None, {}, "auto"),
    ],
)
def test_where_the_cluster_is(given_: str | None, environ: dict[str, str], address: str) -> None:
    options = Options(executor="ray", ray_address=given_, max_in_flight=3)
    engine = hands.engine(Services(environ=environ), options, rows=1_000_000)

    assert isinstance(engine, Ray)
    assert engine.address == address
    assert engine.width == 3


def test_what_is_handed_over_follows_the_cluster_and_not_the_manifest() -> None:
    ray = Ray("auto")
    widths = []
    for cpus in (0.0, 1.0, 3200.0, 8.0):
        ray._hear(Capacity(cpus=cpus))
        widths.append(ray.width)

    assert widths == [4, 4, 6400, 16]


def test_no_cluster_is_said_before_anything_begins(tmp_path: Path) -> None:
    path = manifest(tmp_path, long=1, short=0)
    ran = command("run", path, "--executor", "ray", "--ray-address", "127.0.0.1:1", environ={})

    assert ran.code == 2
    assert "no Ray cluster" in ran.err
    assert "ray start --head" in ran.err


def test_work_that_kills_three_workers_is_given_up(tmp_path: Path) -> None:
    pool = executors.Processes(1)
    local = Local(executor=pool, scratch=tmp_path)

    with pytest.raises(MediaError, match="3 workers died over it") as caught:
        asyncio.run(local._by_a_worker(os._exit, 1))
    assert caught.value.slug == "worker_died"
    pool.close()


class Rented:
    """Machines that go, so many times, before they stay."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.width = 1
        self.is_elsewhere = self.shares_files = True

    async def begin(self, folder: Path) -> None: ...

    async def submit(self, function: Callable[..., Any], *values: object, reads: Sequence[str] = ()) -> Any:
        assert not reads
        self.left -= 1
        if self.left >= 0:
            raise work.WorkerDied("the machine went", with_its_machine=True)
        return function(*values)

    def close(self) -> None: ...


def test_machines_that_go_are_not_held_against_the_work(tmp_path: Path) -> None:
    there, never = Local(executor=Rented(9), scratch=tmp_path), Local(executor=Rented(10), scratch=tmp_path)

    assert asyncio.run(there._by_a_worker(divmod, 7, 2)) == (3, 1)
    with pytest.raises(MediaError, match="10 workers died over it"):
        asyncio.run(never._by_a_worker(divmod, 7, 2))


def test_a_worker_that_dies_takes_no_other_along() -> None:
    pool = executors.Processes(2)

    async def both() -> tuple[Any, Any]:
        await asyncio.gather(pool.submit(os.getpid), pool.submit(os.getpid))
        beside = asyncio.create_task(pool.submit(time.sleep, 1.0))
        await asyncio.sleep(0.1)
        return await asyncio.gather(beside, pool.submit(os._exit, 1), return_exceptions=True)

    slept, died = asyncio.run(both())
    pool.close()

    assert slept is None
    assert isinstance(died, work.WorkerDied)
