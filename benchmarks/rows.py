"""A manifest of many CSV rows: checked and planned beside `pandas.read_csv`, and run when all of them are finished.

`python -m benchmarks.rows` prints a table each; every figure is that of a process of its own.
"""

import argparse
import itertools
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from batchmod import app, jobs
from batchmod.app.options import Options
from batchmod.app.services import Services
from batchmod.checkpoint import FILE_NAME, Checkpoint

MODES = [f"{family}_{strength}" for family in ("adhere", "flex", "reimagine") for strength in (1, 2, 3)]
LOOKS = ("woven from thick wool", "film noir, rain on asphalt", "watercolour on rough paper", "a paper cut-out")
PROVIDER = "segmind"
ENVIRON = {"SEGMIND_API_KEY": "a-key-that-is-never-used"}
FACTS = '{"width": 1920, "height": 1080, "fps": "24", "frames": 72, "duration_s": 3.0, "has_audio": true, "bytes": 1}'
WORK = (
    "INSERT INTO work (work_id, job_key, provider, origin, options, inputs, status, attempts, request_id, billed, "
    "cost_usd, cost_source, facts, sha256, submitted_at, finished_at, run_id) "
    "VALUES (?, ?, ?, ?, '{}', ?, 'succeeded', 1, ?, 1, 0.6, 'provider', ?, ?, 1700000000.0, 1700000060.0, 'first')"
)
ATTEMPT = (
    "INSERT INTO attempt (work_id, provider, origin, body, sent_at, outcome, request_id) "
    "VALUES (?, ?, ?, ?, 1700000000.0, 'accepted', ?)"
)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="how many are checked and planned")
    parser.add_argument("--finished", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batchmod-rows-") as folder:
        if chosen.rows:
            checked_and_planned(Path(folder), chosen.rows)
        for rows in chosen.finished:
            finished(Path(folder) / str(rows), rows)
    return 0


def checked_and_planned(folder: Path, rows: int) -> None:
    """check, plan, and what pandas needs to read the same file."""
    sheet = write_sheet(folder / "shots.csv", rows)
    print(f"{rows:,} rows, {sheet.stat().st_size / 1e6:.0f} MB")
    code = "import sys, pandas; pandas.read_csv(sys.argv[1], dtype=str)"
    base = timed("pandas.read_csv(dtype=str)", [sys.executable, "-c", code, str(sheet)], folder)
    for verb, *further in (("check", "--no-media"), ("plan",)):
        timed(" ".join(("batchmod", verb, *further)), [*batchmod(verb, sheet), *further], folder, against=base)


def finished(folder: Path, rows: int) -> None:
    """`run` where there is nothing left to do."""
    folder.mkdir()
    sheet = write_sheet(folder / "shots.csv", rows)
    began = time.monotonic()
    book(sheet, folder)
    print(f"{rows:,} finished jobs, booked in {time.monotonic() - began:.0f} s")
    timed("the first run, which writes results.csv", batchmod("run", sheet), folder)
    before = {name: (folder / "outputs" / "shots" / name).stat().st_mtime_ns for name in ("results.csv", "report.html")}
    timed("a run with nothing to do", batchmod("run", sheet), folder)
    after = {name: (folder / "outputs" / "shots" / name).stat().st_mtime_ns for name in before}
    print(f"  results.csv and report.html {'left as they were' if before == after else 'WRITTEN ANEW'}")


def batchmod(verb: str, sheet: Path) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "batchmod", verb, str(sheet), "--provider", PROVIDER]


def timed(what: str, command: Sequence[str], home: Path, *, against: float | None = None) -> float:
    """Run a command, print what it took, return its seconds of CPU."""
    environ = {**os.environ, **ENVIRON, "BATCHMOD_HOME": str(home / "home"), "PYTHONPATH": str(Path.cwd())}
    began = time.monotonic()
    child = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = child.stderr.read() if child.stderr else b""
    _, status, used = os.wait4(child.pid, 0)
    wall = time.monotonic() - began
    if status:
        sys.exit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}: {said.decode()}")
    return _said(what, wall, used, against)


def _said(what: str, wall: float, used: resource.struct_rusage, against: float | None) -> float:
    cpu = used.ru_utime + used.ru_stime
    ratio = "" if against is None else f", {cpu / against:.2f} times pandas"
    print(f"  {what}: {wall:.2f} s, {cpu:.2f} s of CPU{ratio}, {used.ru_maxrss / 1024:.0f} MB", flush=True)
    return cpu


def write_sheet(path: Path, rows: int) -> Path:
    """A sheet as a nightly export writes it."""
    with path.open("w", encoding="utf-8") as file:
        file.write("id,video_url,first_frame_url,mode,prompt,scene\n")
        for number in range(rows):
            clip = f"https://clips.example.com/autumn/shot-{number:07d}.mp4"
            frame = f"https://clips.example.com/frames/shot-{number:07d}.png"
            prompt = f'"shot {number}, {LOOKS[number % len(LOOKS)]}"'
            file.write(f"shot-{number:07d},{clip},{frame},{MODES[number % 9]},{prompt},scene {number // 40}\n")
    return path


def book(sheet: Path, home: Path) -> None:
    """A record in which every row of the sheet is finished, and the files that it tells of."""
    environ = {**ENVIRON, "BATCHMOD_HOME": str(home / "home")}
    loaded = app.load(sheet, Options(provider=PROVIDER), Services(environ=environ))
    videos = loaded.folder / "videos"
    videos.mkdir(parents=True)
    Checkpoint.open(loaded.folder / FILE_NAME, create=True).close()
    db = sqlite3.connect(loaded.folder / FILE_NAME)
    numbers = itertools.count(1)
    for part in jobs.parts_of(loaded.jobs):
        each = list(_works(part, numbers))
        db.executemany(WORK, (work for work, _, _ in each))
        db.executemany(ATTEMPT, (attempt for _, attempt, _ in each))
        db.executemany("INSERT INTO delivery VALUES (?, ?, 1, ?, ?, 1, ?)", (delivery for _, _, delivery in each))
        for _, _, delivery in each:
            (loaded.folder / delivery[3]).touch()
    db.execute("INSERT INTO run VALUES ('first', 1700000000.0, 1700000060.0, 0, NULL)")
    db.commit()
    db.close()


def _works(part: jobs.PlainJobs, numbers: Iterator[int]) -> Iterator[tuple[tuple, tuple, tuple]]:
    first, keyed, columns = part.head, part.keyed(), part.rows.columns()
    where = (first.provider, first.origin)
    for row_id, key, clip, prompt in zip(keyed.ids, keyed.keys, columns["video_url"], columns["prompt"], strict=True):
        number = next(numbers)
        inputs = f'{{"mode": "flex_1", "prompt": "{prompt}", "video": {{"location": "{clip}", "local": false, '
        inputs += f'"identity": "url:{clip}"}}, "first_frame": null, "keyframes": null}}'
        request, stem = f"request-{number:08d}", f"{row_id}_v{{version:03d}}"
        yield (
            (number, key, *where, inputs, request, FACTS, f"{number:064x}"),
            (number, *where, inputs, request),
            (row_id, row_id.casefold(), number, jobs.output_path(stem, 1), stem),
        )


if __name__ == "__main__":
    sys.exit(main())
