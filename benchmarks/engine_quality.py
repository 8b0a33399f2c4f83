"""Whether the embedded engine's pictures are good: numbers beside those of the cheap ways, and bars to clear.

    python -m benchmarks.engine_quality [--clips DIR] [--size 512x288] [--frames 25] [--sheets DIR] [--quick]

Clips: three made here, the demo's, and the videos in DIR (in their own shape, from frame --start). The same run styles
each of them with the engine (mode flex_3), with the look on each frame alone, by warping the first frame along
the flow, and by warping the last output. Read warp error with sharpness and texture distance: mush has the lowest.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np

from batchmod import media
from batchmod.engine import compiled, pipeline
from batchmod.engine.metrics import Quality
from batchmod.engine.metrics.source import working_size
from batchmod.engine.raster import Rgb, resized
from batchmod.engine.shots import CutDetector
from tests.engine import judging
from tests.engine.judging import HARSH, SMOOTH, Bar, Demands, Look
from tests.engine.pictures import DEMO, hatched, with_hat

_LOOKS: dict[str, tuple[Look, Demands]] = {"hatched": (hatched, HARSH), "flat": (judging.flat, SMOOTH)}
_HEADER = "warp  warp10  source  motion  agree  texture  colour  sharp  struct  first"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Clip:
    name: str
    frames: list[Rgb]
    hard: bool
    """Whether much of it is hidden and revealed, or moves fast."""


def _read(path: Path, largest: int, start: int, count: int) -> list[Rgb]:
    frames = [frame.rgb for frame in islice(media.read_frames(path), start, start + count)]
    height, width = frames[0].shape[:2]
    return [np.ascontiguousarray(resized(rgb, *working_size(width, height, largest))) for rgb in frames]


def _clips(arguments: argparse.Namespace) -> Iterator[_Clip]:
    width, height = map(int, arguments.size.split("x"))
    count = arguments.frames
    for name, made in judging.MADE.items():
        yield _Clip(name=name, frames=made(count, width, height), hard=name == "occluded")
    yield _Clip(name="demo", frames=_read(DEMO, width * height, 0, count), hard=False)
    for path in sorted(arguments.clips.iterdir()) if arguments.clips else []:
        frames = _read(path, width * height, arguments.start, count)
        yield _Clip(name=path.stem, frames=frames, hard=path.stem in arguments.hard)


def _row(name: str, found: Quality) -> str:
    numbers = (
        *astuple(found.warp), found.motion.error, found.motion.agreement, found.style.texture,
        found.style.colour, found.style.sharpness, found.structure, found.first_frame,
    )  # fmt: skip
    cells = ("-" if number is None else f"{number:.2f}" for number in numbers)
    return f"  {name:<15}" + "  ".join(f"{cell:>6}" for cell in cells)


def _show(title: str, bars: Iterable[Bar]) -> list[Bar]:
    shown = list(bars)
    for bar in shown:
        print(f"  {bar}" + (f"   [{title}]" if not bar.passed else ""), flush=True)
    return shown


def _sheet(path: Path, clip: _Clip, look: Look) -> None:
    """Source, look alone and engine, four frames of each, one above the other."""
    chosen = [len(clip.frames) * k // 4 + len(clip.frames) // 8 for k in range(4)]
    output = list(judging.engine(clip.frames, look(clip.frames[0])))
    rows = [[clip.frames[k] for k in chosen], [look(clip.frames[k]) for k in chosen], [output[k] for k in chosen]]
    media.write_png(path, np.ascontiguousarray(np.vstack([np.hstack(row) for row in rows])))


def _compared(clip: _Clip, name: str, sheets: Path | None) -> list[Bar]:
    look, demands = _LOOKS[name]
    found = judging.compared(clip.frames, look)
    print(f"\n{clip.name}, {name}\n  {'':<15}{_HEADER}")
    for way in ("engine", "filter", "flow_warp", "recursive_warp"):
        print(_row(way, getattr(found, way)))
    if sheets:
        sheets.mkdir(parents=True, exist_ok=True)
        _sheet(sheets / f"{clip.name}-{name}.png", clip, look)
    demands = judging.loosened(demands) if clip.hard else demands
    return _show(f"{clip.name}, {name}", judging.steadiness_bars(found, demands))


def _thread_bars(clip: _Clip) -> Iterator[Bar]:
    """One and two threads give the same pictures; OpenCV's threads and the kernels' own."""
    outputs = []
    for threads in (1, 2):
        compiled.use_threads(threads)
        outputs.append(list(judging.engine(clip.frames[:8], hatched(clip.frames[0]), "flex_2")))
    compiled.use_threads(compiled.cores())
    differ = sum(not np.array_equal(one, two) for one, two in zip(*outputs, strict=True))
    yield Bar(name="frames that differ between 1 and 2 threads", value=differ, high=0)


def _cut_bars(clips: list[_Clip]) -> Iterator[Bar]:
    """Cuts where clips are joined, and nowhere else."""
    joined, detector = [frame for clip in clips for frame in clip.frames], CutDetector()
    found = [number for number, frame in enumerate(joined) if detector.is_cut(frame)]
    starts = list(np.cumsum([len(clip.frames) for clip in clips])[:-1])
    yield Bar(name="cuts missed", value=len(set(starts) - set(found)), high=0)
    yield Bar(name="cuts seen where there are none", value=len(set(found) - set(starts)), high=0)


def _packets(path: Path) -> tuple[list[Fraction], list[bytes]]:
    """The times of the pictures, in seconds, and the packets of the sound."""
    with av.open(str(path)) as video:
        base = video.streams.video[0].time_base or Fraction(1)
        times = [frame.pts * base for frame in video.decode(video=0) if frame.pts is not None]
    with av.open(str(path)) as video:
        return times, [bytes(packet) for packet in video.demux(audio=0) if packet.size]


def _file_bars() -> Iterator[Bar]:
    """The demo's clip as a file: times and sound are the source's."""
    with tempfile.TemporaryDirectory() as folder:
        first, output = Path(folder) / "first.png", Path(folder) / "out.mp4"
        media.write_png(first, hatched(media.first_frame(DEMO)))
        pipeline.modify(DEMO, output, mode="flex_2", prompt=None, first_frame=first)
        (times, sound), (theirs, their_sound) = _packets(output), _packets(DEMO)
    apart = max((abs(float(a - b)) for a, b in zip(times, theirs, strict=False)), default=0.0)
    yield Bar(name="frames too many or too few", value=abs(len(times) - len(theirs)), high=0)
    yield Bar(name="largest difference of times, s", value=apart, high=1e-6)
    yield Bar(name="packets of sound that differ", value=float(sound != their_sound), high=0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=Path, help="a folder of further clips")
    parser.add_argument("--start", type=int, default=0, help="first frame taken from each of them")
    parser.add_argument("--hard", nargs="*", default=[], help="names of clips that are hard to follow")
    parser.add_argument("--size", default="512x288", help="of the made clips; others are given as many pixels")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--sheets", type=Path, help="a folder for contact sheets")
    parser.add_argument("--quick", action="store_true", help="without the modes, the long clip and the file")
    return parser.parse_args()


def _judge(clip: _Clip, arguments: argparse.Namespace) -> Iterator[Bar]:
    for name, (look, _) in _LOOKS.items():
        yield from _compared(clip, name, arguments.sheets)
        if not arguments.quick:
            print(f"  the modes, {name}")
            yield from _show(f"{clip.name}, {name}", judging.ladder_bars(clip.frames, look(clip.frames[0])))
    yield from _show(clip.name, judging.local_edit_bars(clip.frames[0], with_hat(clip.frames[0])))


def main() -> int:
    arguments = _arguments()
    clips = list(_clips(arguments))
    bars = [bar for clip in clips for bar in _judge(clip, arguments)]
    print("\nall clips")
    bars += _show("threads", _thread_bars(clips[-1]))
    bars += _show("cuts", _cut_bars(clips[: len(judging.MADE) + 1]))
    if not arguments.quick:
        bars += _show("files", _file_bars())
        demo = next(clip for clip in clips if clip.name == "demo")
        print("\n720 frames to and fro, hatched")
        bars += _show("720 frames", judging.endurance_bars(demo.frames, hatched(demo.frames[0]), 720))
    failed = [bar for bar in bars if not bar.passed]
    print(f"\n{'FAIL' if failed else 'PASS'}: {len(bars) - len(failed)} of {len(bars)} bars cleared")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
