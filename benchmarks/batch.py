"""batchmod itself, run as a user runs it, on a batch made for a benchmark."""

import compileall
import csv
import io
import json
import math
import os
import platform
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.provider import ROOT

FAST = ("--submits-per-minute", "10000000", "--polls-per-minute", "10000000")
"""Told so much that it is no limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """How a run went."""

    code: int
    wall_s: float
    """The whole command, from start to exit."""
    run_s: float
    """The run alone, by run.json."""
    cpu_s: float
    """Of the process and its workers."""
    main_cpu_s: float
    """Of its main thread alone, as it was read last before the end; NaN where the system does not say."""
    peak_mb: float
    statuses: Mapping[str, int]
    said: str


def clip(path: Path, *, kilobytes: int = 64, frames: int = 72) -> Path:
    """A real H.264 clip of about so many kilobytes."""
    rate, made = 24, b""
    for quality in range(20, 45):
        target = io.BytesIO()
        dice = np.random.default_rng(1)
        with av.open(target, "w", format="mp4") as container:
            video = container.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": str(quality)})
            video.width, video.height, video.pix_fmt = 480, 270, "yuv420p"
            base = dice.integers(0, 255, (9, 16, 3), dtype=np.uint8).repeat(30, axis=0).repeat(30, axis=1)
            for number in range(frames):
                picture = np.roll(base, 4 * number, axis=1)
                container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
            container.mux(video.encode(None))
        made = target.getvalue()
        if len(made) <= kilobytes * 1024:
            break
    path.write_bytes(
        made + (kilobytes * 1024 - len(made)).to_bytes(4) + b"free" + bytes(kilobytes * 1024 - len(made) - 8)
    )
    return path


def rows(folder: Path, count: int) -> Path:
    """A manifest of so many rows, each another request."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "shots.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "video_url", "prompt"))
        writer.writerows((f"s{n:05}", "https://example.com/clip.mp4", f"as wool, {n}") for n in range(count))
    return path


def run(manifest: Path, origin: str, *options: str) -> Ran:
    """`batchmod run` on a manifest, to its end."""
    compileall.compile_dir(ROOT / "batchmod", quiet=1)  # as whoever installs it does
    environ = os.environ | {
        "SEGMIND_API_KEY": "key",
        "SEGMIND_BASE_URL": origin,
        "BATCHMOD_HOME": str(manifest.parent / "home"),
    }
    words = ["run", str(manifest), "--provider", "segmind", "--yes", "--quiet", *options]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "batchmod", *words]
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        clock = _MainThread(process)
        clock.start()
        said, _ = process.communicate()
        clock.join()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = _told(manifest)
    return Ran(
        code=process.returncode,
        wall_s=wall,
        run_s=float(told.get("seconds", wall)),
        cpu_s=cpu,
        main_cpu_s=clock.cpu_s,
        peak_mb=after.ru_maxrss / 1024,
        statuses=told.get("counts", {}),
        said=said,
    )


class _MainThread(threading.Thread):
    """Reads ten times a second how much CPU time the main thread of a process has had (proc(5), `task/TID/stat`)."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        super().__init__(daemon=True)
        self.cpu_s = math.nan
        self._process = process
        self._path = Path(f"/proc/{process.pid}/task/{process.pid}/stat")

    def run(self) -> None:
        """Read until the process has ended."""
        while self._process.poll() is None and self._path.exists():
            with suppress(OSError, IndexError):
                fields = self._path.read_text().rpartition(")")[2].split()
                self.cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            time.sleep(0.1)


def _told(manifest: Path) -> dict[str, Any]:
    path = manifest.parent / "outputs" / manifest.stem / "run.json"
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return told


def machine() -> str:
    """What it runs on."""
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()}, load {load}"
    )


def verdict(name: str, *, passed: bool) -> int:
    """Say whether a bar was met; 1 where it was not."""
    print(f"{'PASS' if passed else 'FAIL'}  {name}")
    return int(not passed)
