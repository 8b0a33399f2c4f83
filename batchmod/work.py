"""Functions for workers: plain values in, plain values out, so that any process can run them."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

from batchmod import files, judgement
from batchmod.errors import MediaError
from batchmod.model import ClipFacts, FrameFacts, Scores, VideoFacts

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A clip or picture that cannot be used, as a value: exceptions with fields do not travel between processes."""

    slug: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What the engine made."""

    frames: int
    look: str | None
    warnings: tuple[str, ...]


def probe_video(path: str) -> VideoFacts | Refusal:
    """The facts of a clip."""
    from batchmod import media

    return _caught(lambda: media.probe_video(Path(path)))


def clip_facts(path: str) -> ClipFacts | Refusal:
    """How a clip is stored."""
    from batchmod import media

    return _caught(lambda: media.clip_facts(Path(path)))


def declared_facts(head: bytes, tail: bytes, size: int) -> VideoFacts | Refusal:
    """What a clip's index says, from its first and last bytes."""
    from batchmod import media

    return _caught(lambda: media.declared_facts(head, tail, size))


def frame_facts(clip: str, picture: str) -> FrameFacts | Refusal:
    """A picture beside a clip's own first frame."""
    from batchmod import media

    return _caught(lambda: media.frame_facts(Path(clip), Path(picture)))


def are_same_pixels(picture: str, other: str) -> bool | Refusal:
    """Whether two pictures show the same, to the pixel."""
    from batchmod import media

    return _caught(lambda: media.are_same_pixels(Path(picture), Path(other)))


def first_frame_png(clip: str) -> bytes | Refusal:
    """A clip's first frame, upright, as a PNG file without loss."""
    from batchmod import media

    return _caught(lambda: media.png_of(media.first_frame(Path(clip))))


def prepare(source: str, target: str, until_s: float | None, max_bytes: int | None) -> Refusal | None:
    """Write a clip anew as a service takes it."""
    from batchmod import media

    return _caught(lambda: media.prepare(Path(source), Path(target), until_s=until_s, max_bytes=max_bytes))


def probe_image(path: str) -> tuple[int, int] | Refusal:
    """Width and height of a picture."""
    from batchmod import media

    return _caught(lambda: media.probe_image(Path(path)))


def verify_video(path: str, depth: Literal["decode", "container"]) -> VideoFacts | Refusal:
    """Whether a file is a whole video, and its facts."""
    from batchmod import media

    return _caught(lambda: media.verify_video(Path(path), depth=depth))


def thumbnail(path: str, width: int) -> bytes | Refusal:
    """A clip's first frame as a small JPEG."""
    from batchmod import media

    return _caught(lambda: media.thumbnail_jpeg(media.first_frame(Path(path)), width))


def write_thumbnail(path: str, target: str, width: int) -> Refusal | None:
    """Write a clip's first frame as a small JPEG, at most `width` pixels wide."""
    from batchmod import media

    def write() -> None:
        frame = media.first_frame(Path(path))
        small = media.thumbnail_jpeg(frame, min(width, frame.shape[1]))
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(Path(target), lambda file: file.write(small))

    try:
        return _caught(write)
    except OSError as error:
        return Refusal(slug="bad_source", message=f"{error.filename}: {(error.strerror or str(error)).lower()}")


def score(source: str, output: str, first_frame: str | None, hashes: tuple[str | None, str | None]) -> Scores | Refusal:
    """Scores of an output against its source, on one core; `hashes`: those that source and first frame must have."""
    try:
        if not _is(source, hashes[0]):
            return Refusal(slug="source_changed", message="the source has changed since the output was made")
        frame, note = _usable(first_frame, hashes[1])
        scores = _caught(lambda: _score(Path(source), Path(output), frame))
        return replace(scores, notes=(note,)) if note and isinstance(scores, Scores) else scores
    except OSError as error:
        return Refusal(slug="bad_source", message=f"{error.filename}: {(error.strerror or str(error)).lower()}")


def _usable(first_frame: str | None, sha256: str | None) -> tuple[Path | None, str | None]:
    """The first frame as far as it is the one that was given, else why it is not."""
    if first_frame is None:
        return None, None
    try:
        same = _is(first_frame, sha256)
    except OSError:
        return None, "the first frame is not there any more, so nothing was compared with it"
    changed = "the first frame has changed since, so nothing was compared with it"
    return (Path(first_frame), None) if same else (None, changed)


def _score(source: Path, output: Path, first_frame: Path | None) -> Scores:
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    from batchmod import media
    from batchmod.engine import scoring

    seen = scoring.measure(source, output, first_frame)
    looks = seen.looks
    return Scores(
        motion=judgement.motion(seen.agreement),
        flicker=judgement.flicker(seen.restlessness),
        first_frame=judgement.first_frame(seen.first_frame),
        structure=judgement.structure(seen.structure),
        drift=None if looks is None else judgement.drift(looks.output, looks.source, looks.apart),
        black=tuple((round(each.start_s, 2), round(each.end_s, 2)) for each in seen.black),
        frozen=tuple((round(each.start_s, 2), round(each.end_s, 2)) for each in seen.frozen),
        source=media.probe_video(source),
    )


def _is(path: str, sha256: str | None) -> bool:
    """Whether a file still has this content; nothing is known of one without a hash but that it is there."""
    about = Path(path).stat()
    return sha256 is None or _hash(path, about.st_size, about.st_mtime_ns) == sha256


@lru_cache(maxsize=256)  # of one that several outputs share it is computed once
def _hash(path: str, size: int, mtime_ns: int) -> str:  # noqa: ARG001 - another file has others
    return files.sha256_of(Path(path))


class _Told:
    """Says through a small file how far a clip is: any worker, wherever it runs, can be asked so."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = 0

    def __call__(self, done: int, total: int | None) -> None:
        if done < self._next:
            return
        self._next = done + max(1, (total or 0) // 50)
        beside = self._path.with_suffix(".new")
        beside.write_text(f"{done} {total or 0}", encoding="ascii")
        beside.replace(self._path)


def told(path: str) -> tuple[int, int] | None:
    """(frames done, frames in all or 0), as a worker has said it last."""
    try:
        done, total = Path(path).read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return int(done), int(total)


def modify(
    source: str, target: str, mode: str, prompt: str | None, first_frame: str | None, keyframes: str | None
) -> Made | Refusal:
    """Modify a clip on the embedded engine, one core, into `target`."""
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    from batchmod.engine import pipeline
    from batchmod.engine.edits import keyframe_folder

    tell = _Told(Path(f"{target}.progress"))

    def run() -> Made:
        frame = Path(first_frame) if first_frame else None
        edits = keyframe_folder(Path(keyframes)) if keyframes else ()
        done = pipeline.modify(
            Path(source), Path(target), mode=mode, prompt=prompt, first_frame=frame, keyframes=edits, progress=tell
        )
        return Made(frames=done.frames, look=done.look, warnings=done.warnings)

    return _caught(run)


def _caught(call: Callable[[], Value]) -> Value | Refusal:
    try:
        return call()
    except MediaError as error:
        return Refusal(slug=error.slug, message=str(error))
