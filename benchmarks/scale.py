"""What a Ray cluster adds: one worker and two beside the process executor, and what the driver pays for a job.

    python -m benchmarks.scale [--clips N] [--frames N] [--tasks N] [--rows N]

A head and workers are begun on this machine, each worker with one CPU, and ended again.
"""

import argparse
import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from batchmod.executors.ray import Ray
from benchmarks.batch import clip, machine
from tests.clusters import Cluster, every_process

_LOOK = "a watercolour painting"
_WRITTEN = ("checkpoint.sqlite3", "results.csv", "events.jsonl", "report.html")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """One `batchmod run`."""

    wall_s: float
    cpu_s: float
    """Of the process that holds the record, and of its children: on Ray the bridge, else the workers too."""
    succeeded: int


def main() -> None:
    asked = _arguments()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        folder = Path(name)
        cluster = Cluster.begin({})
        try:
            _scaling(cluster, folder, clips=asked.clips, frames=asked.frames)  # leaves two workers
            _driver_for_each_task(cluster, folder, tasks=asked.tasks)
            _driver_for_each_row(cluster, folder, rows=asked.rows)
        finally:
            cluster.end()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=8, help="clips of 480x270, for the scaling")
    parser.add_argument("--frames", type=int, default=72, help="frames of each of them")
    parser.add_argument("--tasks", type=int, default=3000, help="tasks that do nothing, for the executor alone")
    parser.add_argument("--rows", type=int, default=200, help="rows of a clip of 2 frames, for the whole driver")
    return parser.parse_args()


def _scaling(cluster: Cluster, folder: Path, *, clips: int, frames: int) -> None:
    """The same clips by processes and by Ray; ratios are within this run."""
    sheet = _sheet(folder / "large", rows=clips, frames=frames)
    walls: dict[str, float] = {}
    for label, words in (
        ("process, 1", ("--max-in-flight", "1")),
        ("process, 2", ("--max-in-flight", "2")),
        ("ray, 1", _on(cluster)),
        ("ray, 2", _on(cluster)),
    ):
        if label == "ray, 2":
            cluster.wait(cluster.add())
        ran = _run(sheet, folder / "large" / label.replace(", ", "-"), *words)
        assert ran.succeeded == clips, (label, ran)
        walls[label] = ran.wall_s
        print(f"{label:12} {ran.wall_s:7.1f} s for {clips} clips, {ran.cpu_s:6.1f} s CPU of the driver and below it")
    print(
        f"1 -> 2: process {walls['process, 1'] / walls['process, 2']:.2f} times, "
        f"ray {walls['ray, 1'] / walls['ray, 2']:.2f} times; "
        f"ray against process: {walls['ray, 1'] / walls['process, 1']:.2f} with 1, "
        f"{walls['ray, 2'] / walls['process, 2']:.2f} with 2 (start and first machine code of workers included)"
    )


def _driver_for_each_task(cluster: Cluster, folder: Path, *, tasks: int) -> None:
    """The executor alone, with work that does nothing."""

    async def work() -> None:
        ray = Ray(cluster.address)
        try:
            await ray.begin(folder)
            assert ray._process is not None  # noqa: SLF001 - its CPU is what is asked for
            bridge = ray._process.pid or 0  # noqa: SLF001
            for count in (tasks // 10, tasks):
                began, own, other = time.monotonic(), time.process_time(), _cpu_of(bridge)
                await _at_most(ray, count)
                wall_s = time.monotonic() - began
                own, other = time.process_time() - own, _cpu_of(bridge) - other
            print(
                f"{tasks} empty tasks: {tasks / wall_s:.0f} a second; CPU of a task: "
                f"{own / tasks * 1e3:.2f} ms here, {other / tasks * 1e3:.2f} ms in the process that speaks to Ray"
            )
        finally:
            ray.close()

    asyncio.run(work())


async def _at_most(ray: Ray, count: int) -> None:
    """So many tasks, as many at a time as a run has."""
    left = iter(range(count))

    async def one() -> None:
        for _ in left:
            await ray.submit(os.getpid)

    await asyncio.gather(*(one() for _ in range(ray.width)))


def _driver_for_each_row(cluster: Cluster, folder: Path, *, rows: int) -> None:
    """A whole run of clips of two frames: what the driver pays beside the engine, and what a row weighs."""
    few, more = rows // 10, rows - rows // 10
    cost: dict[int, float] = {}
    size: dict[int, dict[str, int]] = {}
    for count in (few, rows):
        sheet = _sheet(folder / f"small-{count}", rows=count, frames=2)
        output = folder / f"small-{count}" / "out"
        cost[count] = _run(sheet, output, *_on(cluster)).cpu_s
        with closing(sqlite3.connect(output / "checkpoint.sqlite3")) as record:
            record.execute("VACUUM")
        size[count] = {name: (output / name).stat().st_size for name in _WRITTEN}
    print(f"a row costs the driver {(cost[rows] - cost[few]) / more * 1e3:.1f} ms CPU")
    for name in _WRITTEN:
        print(f"{name:20} {(size[rows][name] - size[few][name]) / more:6.0f} bytes a row")
    print(f"(differences between runs of {few} and {rows} rows)")


def _on(cluster: Cluster) -> tuple[str, ...]:
    return "--executor", "ray", "--ray-address", cluster.address


def _sheet(folder: Path, *, rows: int, frames: int) -> Path:
    """Rows of one clip, each another prompt, so that none is another one's copy."""
    folder.mkdir(parents=True)
    clip(folder / "clip.mp4", frames=frames)
    lines = ["id,video_url,prompt", *(f"s{number:05},clip.mp4,{_LOOK} {number}" for number in range(rows))]
    sheet = folder / "shots.csv"
    sheet.write_text("\n".join(lines), encoding="utf-8")
    return sheet


def _run(sheet: Path, output: Path, *words: str) -> Ran:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    argv = [sys.executable, "-m", "batchmod", "run", str(sheet), "--output", str(output), *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    wall_s, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Ran(wall_s=wall_s, cpu_s=cpu_s, succeeded=len(list((output / "videos").iterdir())))


def _cpu_of(pid: int) -> float:
    """Seconds, by Linux's own account."""
    assert pid in every_process()
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
