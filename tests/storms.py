"""A batch in a storm: faults by chance, kills from outside at random moments, and what must hold afterwards."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from batchmod.checkpoint import FILE_NAME, Checkpoint
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Ran, Shoot, bare_environment, read_results

ROOT = Path(__file__).parents[1]
GRACE_S: Final = 1.0
FAST: Mapping[str, Any] = {"queued_s": 0.01, "processing_s": 0.02, "credits": 1e6}
"""Settings of a stand-in that does not keep a run waiting."""

FAULTS: tuple[tuple[str, str, float], ...] = (
    ("error_429_retry_after", "submit", 0.05),
    ("error_500_json_not_created", "submit", 0.02),
    ("error_502_created", "submit", 0.02),
    ("error_502_not_created", "submit", 0.02),
    ("error_504_created", "submit", 0.02),
    ("error_504_not_created", "submit", 0.02),
    ("reset_before_accept", "submit", 0.02),
    ("accept_then_reset", "submit", 0.02),
    ("accept_then_close", "submit", 0.01),
    ("accept_then_cut_head", "submit", 0.01),
    ("accept_then_cut_body", "submit", 0.01),
    ("accept_then_html", "submit", 0.01),
    ("accept_then_delay", "submit", 0.10),
    ("delay_then_accept", "submit", 0.10),
    ("error_502", "status", 0.02),
    ("error_504", "status", 0.02),
    ("error_404", "status", 0.01),
    ("accept_then_reset", "status", 0.02),
    ("error_500_json", "result", 0.02),
    ("accept_then_cut_body", "result", 0.02),
    ("output_cut", "download", 0.10),
    ("output_truncated", "download", 0.05),
    ("output_html_as_mp4", "download", 0.03),
    ("output_zero_bytes", "download", 0.03),
    ("error_404", "download", 0.03),
    ("accept_then_reset", "download", 0.03),
    ("error_502", "history", 0.10),
    ("accept_then_cut_body", "history", 0.05),
    ("error_502", "upload", 0.05),
    ("accept_then_reset", "upload", 0.05),
)
"""(name, kind of request, how likely): 500 only as documented, for a request that created nothing."""


def brew(server: SegmindStandIn, *, seed: int) -> None:
    """Switch every fault of the storm on."""
    server.faults.dice.seed(seed)
    for name, kind, chance in FAULTS:
        server.faults.add(name, on=kind, times=None, chance=chance, seconds=0.05)


def storm_rows(count: int) -> list[dict[str, Any]]:
    """Rows with clips on the web, each another request."""
    ids = (f"r{number:05}" for number in range(count))
    return [{"id": i, "video_url": f"https://example.com/{i}.mp4", "prompt": f"as wool, {i}"} for i in ids]


def words(work: Shoot, *more: str) -> list[str]:
    """A paid run, as a user starts it."""
    start = [sys.executable, "-m", "batchmod", "run", str(work.manifest), "--provider", "segmind", "--yes", "--quiet"]
    return [*start, "--history-grace", str(GRACE_S), *PACE, "--max-in-flight", "64", *more]


def environ(work: Shoot) -> dict[str, str]:
    """What a process of its own needs to know."""
    return bare_environment() | work.environ | {"PYTHONPATH": str(ROOT)}


@contextmanager
def going_on(work: Shoot) -> Iterator["subprocess.Popen[bytes]"]:
    """A run that goes on while the block does."""
    with subprocess.Popen(
        words(work), env=environ(work), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_out(work: Shoot, *more: str) -> Ran:
    """A run to its end."""
    done = subprocess.run(
        words(work, *more), env=environ(work), capture_output=True, text=True, timeout=600, check=False
    )
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


_REQUESTS_A_JOB: Final = 8


@dataclass(kw_only=True)
class Storm:
    """What happened to a batch."""

    kills: int = 0
    starts: int = 0
    endings: Counter[int] = field(default_factory=Counter)
    """Exit codes of the runs that ended by themselves."""
    broken: list[str] = field(default_factory=list)


def kill_again_and_again(work: Shoot, *, jobs: int, kills: int, dice: random.Random) -> Storm:
    """Start runs and kill each at a random moment, until so many died, or one has finished everything.

    A moment is a number of requests that reach the service, such that the work lasts for all the kills, and then up
    to 50 ms; one in four is a time up to 1.5 s from the start.
    """
    storm, whole = Storm(), set[str]()
    while storm.kills < kills:
        most = 2 + _REQUESTS_A_JOB * (jobs - len(whole)) // (kills - storm.kills)
        after = dice.randint(1, most) if dice.random() < 0.75 else 0
        storm.starts += 1
        with going_on(work) as process:
            _wait(work, process, requests=len(work.server.ledger.requests) + after)
            time.sleep(dice.uniform(0.0, 0.05) if after else dice.uniform(0.0, 1.5))
            process.kill()
        if process.returncode == -signal.SIGKILL:
            storm.kills += 1
        else:
            storm.endings[process.returncode] += 1
        storm.broken += half_files(work, whole)
        if storm.endings[0] > 0:
            break
    return storm


def _wait(work: Shoot, process: "subprocess.Popen[bytes]", *, requests: int) -> None:
    """Until so many requests have reached the service since it began, or the run has ended."""
    while process.poll() is None and len(work.server.ledger.requests) < requests:
        time.sleep(0.005)


def half_files(work: Shoot, whole: set[str]) -> list[str]:
    """Files under a final name that are not, byte for byte, what the service made; `whole` were looked at before."""
    found = []
    for path in (work.folder / "videos").glob("[!.]*"):
        if path.name in whole:
            continue
        content = path.read_bytes()
        made = work.server.ledger.job(content[-36:].decode(errors="replace"))
        if made is None or work.server.output_of(made.request_id) != content:
            found.append(f"{path.name} is not whole")
        whole.add(path.name)
    return found


def marked_without_a_file(work: Shoot) -> list[str]:
    """Outputs that the record or results.csv take for done, and that are not there."""
    if not (work.folder / FILE_NAME).exists():
        return []
    with Checkpoint.look_at(work.folder / FILE_NAME) as record:
        done = {d.path for of_work in record.deliveries().values() for d in of_work if d.delivered}
    if (work.folder / "results.csv").exists():
        done |= {line["output"] for line in read_results(work.folder) if line["status"] == "succeeded"}
    return [f"{path} is marked as done and is not there" for path in sorted(done) if not (work.folder / path).is_file()]


def neither_delivered_nor_shown(work: Shoot) -> list[str]:
    """Accepted jobs that a reader of results.csv would not find, neither as done nor as open or uncertain."""
    lines = work.results()
    prompts = {line["prompt"]: line for line in lines.values()}
    lost = []
    for job in work.server.ledger.jobs:
        line = prompts.get(job.inputs["prompt"])
        known = line is not None and line["request_id"] == job.request_id
        if line is None or not (known or line["status"] == "uncertain"):
            lost.append(f"{job.request_id} is paid, and results.csv says {line}")
    return lost


def disagreements(work: Shoot, ids: Iterable[str]) -> list[str]:
    """Where results.csv, the files and the ledger do not agree, line by line, once everything has ended."""
    server, lines = work.server, work.results()
    broken = [f"paid twice: {server.ledger.paid_twice()}"] if server.ledger.paid_twice() else []
    if sorted(lines) != sorted(ids):
        broken.append("results.csv has other ids than the manifest")
    booked = sorted((line["request_id"], float(line["cost_usd"] or 0)) for line in lines.values())
    if booked != sorted((job.request_id, job.price) for job in server.ledger.jobs):
        broken.append(f"{len(booked)} lines, {server.ledger.accepted} jobs, and they do not agree")
    for row_id, line in lines.items():
        job, file = server.ledger.job(line["request_id"]), work.folder / line["output"]
        if job is None or line["status"] != "succeeded" or job.inputs["prompt"] != line["prompt"]:
            broken.append(f"{row_id}: {line['status']}, {line['error']}")
        elif not file.is_file() or file.read_bytes() != server.output_of(job.request_id):
            broken.append(f"{row_id} has another file than the service made")
    if len(work.outputs()) != len(lines):
        broken.append(f"{len(work.outputs())} files for {len(lines)} lines")
    return broken


def settle(work: Shoot, *, tries: int = 6) -> Ran:
    """With the faults off: run until all has ended; the last run."""
    work.server.faults.clear()
    last = run_out(work, "--retry-failed")
    for _ in range(tries):
        if last.code == 0:
            break
        time.sleep(GRACE_S)
        last = run_out(work, "--retry-failed")
    return last


def end_by_itself(work: Shoot, *, tries: int = 20) -> Ran:
    """With the faults on, but no more kills: run until a run has ended what it could."""
    last = run_out(work)
    for _ in range(tries):
        if last.code in (0, 1):
            break
        last = run_out(work)
    return last


def told(work: Shoot) -> Counter[str]:
    """How often each event stands in events.jsonl; a line that a kill has cut is no event."""
    kinds: Counter[str] = Counter()
    for line in (work.folder / "events.jsonl").read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            kinds[json.loads(line)["event"]] += 1
        except (ValueError, KeyError):
            kinds["cut"] += 1
    return kinds
