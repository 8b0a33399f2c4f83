"""How long the embedded engine takes a frame, beside the optical flow that it cannot do without.

    python -m benchmarks.engine [--sizes 640x360 1280x720] [--modes flex_3] [--threads 1 2] [--frames 24]

Seconds on a shared machine say little; the ratio to one flow pair (forward and backward, DIS, medium preset),
timed between the frames of the same run, says more. Times are medians over the frames; the first ones, in
which the kernels are compiled or loaded, are left out.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from time import perf_counter

from batchmod.engine import compiled
from batchmod.engine.flow import FlowEstimator
from batchmod.engine.modes import MODES
from batchmod.engine.raster import Rgb, luma
from batchmod.engine.synth import Synthesizer
from tests.engine.pictures import demo_frames, hatched

_SIZES = ["256x144", "480x270", "640x360", "1280x720"]
_LOOSEST = 3.5
"""Flow pairs that a frame may cost at 640x360."""


def _seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def _frames(size: str, count: int) -> tuple[Rgb, ...]:
    width, height = map(int, size.split("x"))
    return demo_frames(count, width, height)


def measure(size: str, mode: str, threads: int, count: int) -> float:
    """Print one row; the median ratio to a flow pair."""
    compiled.use_threads(threads)
    frames = _frames(size, count)
    style = hatched(frames[0])
    tones = [luma(frame) for frame in frames]
    flow = FlowEstimator().flow
    keyframe = _seconds(lambda: Synthesizer(frames[0], style, MODES[mode]))
    synthesizer = Synthesizer(frames[0], style, MODES[mode])
    synthesizer.step(frames[1])
    engine, pair, single = [], [], []
    for before, now, frame in zip(tones[1:], tones[2:], frames[2:], strict=False):
        pair.append(_seconds(partial(flow, now, before)) + _seconds(partial(flow, before, now)))
        engine.append(_seconds(partial(synthesizer.step, frame)))
        single.append(_seconds(partial(hatched, frame)))
    ratio = statistics.median(ours / theirs for ours, theirs in zip(engine, pair, strict=True))
    print(
        f"{size:>9}  {mode:<12} {threads:>7}  {statistics.median(engine):>9.3f} {min(engine):>9.3f}  "
        f"{statistics.median(pair):>9.3f}  {ratio:>6.2f}  {statistics.median(single):>9.3f}  {keyframe:>9.3f}",
        flush=True,
    )
    return ratio


def _work(size: str, count: int) -> None:
    """What one of several processes does: says when it is ready, waits for a line, styles, says how long it took."""
    compiled.use_threads(1)
    frames = _frames(size, count)
    style = hatched(frames[0])
    Synthesizer(frames[0], style, MODES["flex_3"]).step(frames[1])
    print("ready", flush=True)
    sys.stdin.readline()
    start = perf_counter()
    synthesizer = Synthesizer(frames[0], style, MODES["flex_3"])
    for frame in frames[1:]:
        synthesizer.step(frame)
    print(perf_counter() - start, flush=True)


def _rate(processes: int, size: str, count: int) -> float:
    """Frames a second of so many processes at once, one thread each."""
    command = [sys.executable, "-m", "benchmarks.engine", "--worker", size, "--frames", str(count)]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(processes)]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    slowest = max(float(worker.communicate()[0]) for worker in workers)
    return processes * count / slowest


def _compare_processes(size: str, count: int) -> None:
    cores = os.cpu_count() or 1
    alone, together = _rate(1, size, count), _rate(cores, size, count)
    print(
        f"\n{size}, flex_3, one thread a process: {alone:.1f} frames/s alone, "
        f"{together:.1f} in {cores} processes at once: speed-up {together / alone:.2f}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=_SIZES)
    parser.add_argument("--modes", nargs="+", default=["flex_3", "adhere_1", "reimagine_3"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    if arguments.worker:
        _work(arguments.worker, arguments.frames)
        return 0
    print(f"load average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; seconds")
    print("     size  mode         threads    s/frame   fastest  flow pair   ratio  hatching   keyframe")
    rows = [
        (size, mode, threads) for size in arguments.sizes for mode in arguments.modes for threads in arguments.threads
    ]
    ratios = {row: measure(*row, arguments.frames) for row in rows}
    _compare_processes("640x360", arguments.frames)
    judged = {row: ratio for row, ratio in ratios.items() if row[0] == "640x360"}
    for row, ratio in judged.items():
        print(
            f"{'PASS' if ratio <= _LOOSEST else 'FAIL'}  {' '.join(map(str, row))} threads: {ratio:.2f} (<= {_LOOSEST})"
        )
    return int(any(ratio > _LOOSEST for ratio in judged.values()))


if __name__ == "__main__":
    sys.exit(main())
