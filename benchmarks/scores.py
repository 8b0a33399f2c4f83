"""What the scores of docs/scores.md rest on: good outputs, outputs that were broken on purpose, and harmless changes.

    python -m benchmarks.scores [--keep DIR] [--quick]

The engine makes outputs of all nine modes from the demo's clip, which hardly moves, and from two clips made here, in
soft and in harsh looks. Some of them are then broken in one way each, and some only coded at another rate, size or
quality. A line for each: its scores, and what the thresholds of its mode say. The last lines say what was missed, and
what was doubted without need. `--keep`: a folder for the clips; what is there already is not made again.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from batchmod import judgement, media, work
from batchmod.engine import pipeline
from batchmod.engine.raster import Rgb
from batchmod.model import MODES, Scores
from tests.engine import judging
from tests.engine.pictures import DEMO, hatched, write_clip

_AUTUMN = DEMO.with_name("bunny-autumn.png")
_HARSH = ("pencil", "ink", "mosaic", "comic")
_SOFT = ("oil painting", "film noir", "night", "watercolour", "clay", "knitted")
_RATES = {"bunny": 25, "turning": 24, "occluded": 24}
_NOISE = np.random.default_rng(1)

Frames = list[Rgb]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """An output, what it was made from, and whether something is wrong with it."""

    output: Path
    source: Path
    mode: str
    first_frame: Path | None = None
    fault: str | None = None
    change: str | None = None
    """A harmless one."""


# faults and harmless changes: (output, source, another clip) → frames


def _fading_back(output: Frames, source: Frames, _: Frames) -> Frames:
    weights = np.clip((np.arange(len(output)) / len(output) - 0.4) / 0.5, 0, 1)
    return [
        np.asarray(cv2.addWeighted(made, 1 - w, _as_large(own, made), w, 0), np.uint8)
        for made, own, w in zip(output, source, weights, strict=False)
    ]


def _flickering(output: Frames, source: Frames, _: Frames) -> Frames:  # noqa: ARG001
    return [_pen(frame) for frame in source]


def _pen(frame: Rgb) -> Rgb:
    """A flat look with pen strokes that are others in each frame."""
    strokes = cv2.filter2D(_NOISE.normal(size=frame.shape[:2]), -1, np.eye(9)) * 10
    return np.asarray(np.clip(judging.flat(frame) + strokes[..., None], 0, 255), np.uint8)


def _pumping(output: Frames, *_: Frames) -> Frames:
    return [np.asarray(np.clip(frame * (1 + 0.12 * _NOISE.normal()), 0, 255), np.uint8) for frame in output]


def _black(output: Frames, *_: Frames) -> Frames:
    start = len(output) // 3
    return [np.zeros_like(frame) if start <= k < start + 15 else frame for k, frame in enumerate(output)]


def _as_large(frame: Rgb, other: Rgb) -> Rgb:
    return np.asarray(cv2.resize(frame, other.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8)


_FAULTS: dict[str, Callable[[Frames, Frames, Frames], Frames]] = {
    "shuffled": lambda output, *_: [output[k] for k in _NOISE.permutation(len(output))],
    "reversed": lambda output, *_: output[::-1],
    "another clip": lambda output, _, other: [judging.flat(_as_large(frame, output[0])) for frame in other],
    "slowed down": lambda output, *_: [output[k // 2] for k in range(len(output))],
    "frozen": lambda output, *_: [output[0]] * len(output),
    "frozen second half": lambda output, *_: (
        output[: len(output) // 2] + [output[len(output) // 2]] * (len(output) - len(output) // 2)
    ),
    "black stretch": _black,
    "drawn anew each frame": _flickering,
    "brightness pumps": _pumping,
    "look fades back": _fading_back,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Coding:
    rate: int | None = None
    size: tuple[int, int] | None = None
    crf: int = 18


_CHANGES = {
    "as 16 fps": _Coding(rate=16),
    "as 24 or 30 fps": _Coding(rate=-1),
    "as 1280x720": _Coding(size=(1280, 720)),
    "as 256x144, crf 28": _Coding(size=(256, 144), crf=28),
    "crf 38": _Coding(crf=38),
}


def _frames(path: Path) -> Frames:
    return [frame.rgb for frame in media.read_frames(path)]


def _coded(path: Path, frames: Sequence[Rgb], rate: int, coding: _Coding) -> Path:
    """Write frames as a service would, at another rate by leaving out or repeating some."""
    if path.exists():
        return path
    to = (30 if rate == 24 else 24) if coding.rate == -1 else coding.rate or rate
    last = len(frames) - 1
    frames = [frames[min(last, round(k * rate / to))] for k in range(int(len(frames) * to / rate))]
    width, height = coding.size or (frames[0].shape[1] // 2 * 2, frames[0].shape[0] // 2 * 2)
    part = path.with_suffix(".part")
    with av.open(str(part), "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=to, options={"crf": str(coding.crf), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            larger = width > frame.shape[1]
            small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_AREA)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(small), format="rgb24")))
        output.mux(stream.encode(None))
    return part.rename(path)


def _sources(folder: Path) -> dict[str, Path]:
    made = {name: folder / f"{name}.mp4" for name in ("turning", "occluded")}
    for name, path in made.items():
        if not path.exists():
            write_clip(path, judging.MADE[name](60, 384, 216))
    return {"bunny": DEMO, **made}


def _outputs(folder: Path, sources: dict[str, Path], *, quick: bool) -> Iterator[_Case]:
    """What the engine makes, good as it is."""
    hatching = {name: folder / f"{name}-hatched.png" for name in ("turning", "occluded")}
    for name, path in hatching.items():
        if not path.exists():
            media.write_png(path, hatched(media.first_frame(sources[name])))
    wanted: list[tuple[str, str, str, Path | None]] = [("bunny", mode, "autumn", _AUTUMN) for mode in MODES]
    for mode in ("flex_2",) if quick else ("adhere_1", "flex_2", "reimagine_3"):
        wanted += [("turning", mode, look, None) for look in _HARSH[:3] + _SOFT[:2] + _SOFT[5:]]
        wanted += [("occluded", mode, look, None) for look in ("comic", "clay", "watercolour", "night")]
        wanted += [(name, mode, "hatched", picture) for name, picture in hatching.items()]
    for name, mode, look, picture in wanted:
        target = folder / f"{name}.{mode}.{look.split()[0]}.mp4"
        if not target.exists():
            part = target.with_suffix(".part.mp4")
            prompt = None if picture else look
            pipeline.modify(sources[name], part, mode=mode, prompt=prompt, first_frame=picture)
            part.rename(target)
        yield _Case(output=target, source=sources[name], mode=mode, first_frame=picture)


def _spoilt(folder: Path, sources: dict[str, Path], good: _Case) -> Iterator[_Case]:
    """An output in each broken and each harmless form."""
    name = good.output.name.split(".")[0]
    output, source, rate = _frames(good.output), _frames(good.source), _RATES[name]
    other = _frames(sources["occluded" if name == "turning" else "turning"])
    for fault, spoil in _FAULTS.items():
        path = folder / f"{good.output.stem}.{fault.replace(' ', '-')}.mp4"
        frames = [] if path.exists() else spoil(output, source, other)
        made = _coded(path, frames, rate, _Coding())
        first_frame = good.first_frame if fault not in ("shuffled", "drawn anew each frame") else None
        yield _Case(output=made, source=good.source, mode=good.mode, first_frame=first_frame, fault=fault)
    for change, coding in _CHANGES.items():
        path = folder / f"{good.output.stem}.{change.replace(' ', '-').replace(',', '')}.mp4"
        made = _coded(path, output, rate, coding)
        yield _Case(output=made, source=good.source, mode=good.mode, first_frame=good.first_frame, change=change)
    if good.first_frame is not None:
        other_look = folder / f"{name}-first.png"
        media.write_png(other_look, source[0])
        fault = "first frame of another look"
        yield _Case(output=good.output, source=good.source, mode=good.mode, first_frame=other_look, fault=fault)


def _line(case: _Case, scores: Scores, doubts: tuple[str, ...]) -> str:
    values = (scores.motion, scores.flicker, scores.first_frame, scores.structure, scores.drift)
    numbers = " | ".join("-" if value is None else f"{value:.0f}" for value in values)
    about = " ".join(case.output.name.split(".")[:3])
    what = case.fault or case.change or "as it is"
    return f"| {about} | {what} | {numbers} | {', '.join(doubts) or '-'} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keep", type=Path, help="a folder for the clips")
    parser.add_argument("--quick", action="store_true", help="fewer looks")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        sources = _sources(folder)
        good = list(_outputs(folder, sources, quick=arguments.quick))
        spoil = [case for case in good if case.output.stem in _TO_SPOIL]
        cases = [*good, *(each for case in spoil for each in _spoilt(folder, sources, case))]
        _show(cases)


_TO_SPOIL = ("bunny.adhere_1.autumn", "bunny.reimagine_3.autumn", "turning.flex_2.hatched")
"""Those that are broken, and coded anew."""


def _show(cases: Sequence[_Case]) -> None:
    print("| output | | motion | flicker | first frame | structure | drift | doubts |")
    print("|---|---|---|---|---|---|---|---|")
    missed, needless = [], []
    for case in cases:
        frame = None if case.first_frame is None else str(case.first_frame)
        scores = work.score(str(case.source), str(case.output), frame, (None, None))
        assert isinstance(scores, Scores), scores
        doubts = judgement.reasons(scores, case.mode)
        line = _line(case, scores, doubts)
        print(line, flush=True)
        if case.fault and not doubts:
            missed.append(line)
        if not case.fault and doubts:
            needless.append(line)
    faults = sum(case.fault is not None for case in cases)
    print(f"\n{faults - len(missed)} of {faults} broken outputs doubted; missed:", *missed, sep="\n")
    print(f"\n{len(needless)} of {len(cases) - faults} good ones doubted:", *needless, sep="\n")


if __name__ == "__main__":
    main()
