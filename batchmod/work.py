"""Functions for workers: plain values in, plain values out, so that any process can run them."""

import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from batchmod import files, judgement
from batchmod.errors import MediaError, MissingExtra, StorageError
from batchmod.model import ClipFacts, Conform, FrameFacts, Scores, VideoFacts
from batchmod.urls import is_stored

Value = TypeVar("Value")

MOST_CARRIED: Final = 64 * 2**20
"""Bytes of files that go along with a work, or come back from it, where no storage is shared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What of a machine a function takes while it runs, where somebody schedules by that."""

    cpus: float = 1.0
    gpus: float = 0.0


def needs_of(function: Callable[..., Any]) -> Needs:
    """What a function needs: one CPU, or what it says itself in an attribute `needs`."""
    found = getattr(function, "needs", None)
    return found if isinstance(found, Needs) else Needs()


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A clip or picture that cannot be used, as a value: exceptions with fields do not travel between processes."""

    slug: str
    message: str


class WorkerDied(Exception):
    """The process that ran a function ended before its result was there: killed, out of memory, or with its machine.

    `with_its_machine`: the whole machine went, which says nothing of what was worked on.
    """

    def __init__(self, message: str, *, with_its_machine: bool = False) -> None:
        super().__init__(message)
        self.with_its_machine = with_its_machine


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What the engine made."""

    frames: int
    look: str | None
    warnings: tuple[str, ...]
    sha256: str
    """Of the output."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """A file as a value: its name, of which the suffix counts, and its bytes."""

    name: str
    content: bytes


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


def verify_videos(paths: Sequence[str], depth: Literal["decode", "container"]) -> list[VideoFacts | Refusal]:
    """The same of several, in their order."""
    return [verify_video(path, depth) for path in paths]


def thumbnail(path: str, width: int) -> bytes | Refusal:
    """A clip's first frame as a small JPEG."""
    from batchmod import media

    return _caught(lambda: media.thumbnail_jpeg(media.first_frame(Path(path)), width))


@dataclass(frozen=True, kw_only=True, slots=True)
class Copied:
    """A copy that is fit for use, as it was written: its hash, and what must be said about it."""

    sha256: str
    frames: int
    notes: tuple[str, ...]


def conform(source: str | None, output: str, target: str, wish: Conform, until_s: float | None) -> Copied | Refusal:
    """Write the copy of an output, and see that it is whole."""
    from batchmod import media

    def run() -> Copied:
        own, path = None if source is None else Path(source), Path(target)
        made = media.conform(own, Path(output), path, wish=wish, until_s=until_s)
        found = media.verify_video(path, depth="container")
        if found.frames != made.frames:
            message = f"the copy of {output} has {found.frames} frames, not the {made.frames} that it should have"
            raise MediaError(message, slug="copy_failed")
        return Copied(sha256=files.sha256_of(path), frames=made.frames, notes=made.notes)

    return _caught(run)


def proxy(source: str, target: str, longest: int, bit_rate: int) -> Refusal | None:
    """Write a small copy of a clip to send, no side longer than so many pixels."""
    from batchmod import media

    return _caught(lambda: media.proxy(Path(source), Path(target), longest=longest, bit_rate=bit_rate))


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
        beside = self._path.with_suffix(f".{secrets.token_hex(4)}.new")
        beside.write_text(f"{done} {total or 0}", encoding="ascii")
        beside.replace(self._path)


def told(path: str) -> tuple[int, int] | None:
    """(frames done, frames in all or 0), as a worker has said it last."""
    try:
        done, total = Path(path).read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return int(done), int(total)


UNREAD: Final = "source_unreachable"
"""Why a worker refuses a work whose objects it cannot read: whoever asked may fetch them and ask again."""


@contextmanager
def _at_hand(*locations: str | None) -> Iterator[tuple[str | None, ...]]:
    """Files of this machine, objects fetched for as long as the block lasts. Raises MediaError for one it cannot."""
    if not any(each is not None and is_stored(each) for each in locations):
        yield locations
        return
    from batchmod.storage import Stores

    stores = Stores()
    with tempfile.TemporaryDirectory(prefix="batchmod-") as name:
        found: list[str | None] = []
        try:
            for number, each in enumerate(locations):
                place = Path(name) / str(number)
                if each is not None and is_stored(each):
                    stores.fetch(each, place)
                found.append(str(place) if each is not None and is_stored(each) else each)
        except (MissingExtra, StorageError) as error:
            raise MediaError(str(error), slug=UNREAD) from error
        finally:
            stores.close()
        yield tuple(found)


def modify(
    source: str, target: str, mode: str, prompt: str | None, first_frame: str | None, keyframes: str | None
) -> Made | Refusal:
    """Modify a clip on the embedded engine, one core, into `target`: whole, or not at all.

    Clip and picture are files that are seen here, or objects in buckets that this machine may read.
    Whoever is taken for lost may still be at work while another one does it again: each writes a file of its own.
    """
    from batchmod.engine import pipeline
    from batchmod.engine.edits import keyframe_folder

    tell = _Told(Path(f"{target}.progress"))
    beside = Path(f"{target}.{secrets.token_hex(4)}.new")

    def run() -> Made:
        edits = keyframe_folder(Path(keyframes)) if keyframes else ()
        with _at_hand(source, first_frame) as (clip, picture):
            assert clip is not None
            frame = Path(picture) if picture else None
            done = pipeline.modify(
                Path(clip), beside, mode=mode, prompt=prompt, first_frame=frame, keyframes=edits, progress=tell
            )
        sha256 = files.sha256_of(beside)
        beside.replace(target)
        return Made(frames=done.frames, look=done.look, warnings=done.warnings, sha256=sha256)

    try:
        return _caught(run)
    finally:
        beside.unlink(missing_ok=True)


def modify_carried(
    source: Carried | str,
    mode: str,
    prompt: str | None,
    first_frame: Carried | str | None,
    keyframes: Mapping[str, bytes] | None,
    through: str | None = None,
) -> tuple[Made, bytes | str] | Refusal:
    """The same where no storage is shared: the files come along and the output goes back, `MOST_CARRIED` at most.

    A larger output is put into a store as the object `through`, and its URL goes back.
    """
    with tempfile.TemporaryDirectory(prefix="batchmod-") as name:
        folder = Path(name)
        frame = _put(folder / "frame", first_frame) if first_frame else None
        for shot, content in (keyframes or {}).items():
            _put(folder / "keyframes", Carried(name=shot, content=content))
        edits = str(folder / "keyframes") if keyframes else None
        target = folder / "made.mp4"
        made = modify(str(_put(folder, source)), str(target), mode, prompt, str(frame) if frame else None, edits)
        if isinstance(made, Refusal):
            return made
        if (size := target.stat().st_size) <= MOST_CARRIED:
            return made, target.read_bytes()
        problem = "" if through is None else _left_at(target, through)
        return too_large_to_carry("the output", size, problem) if through is None or problem else (made, through)


def _left_at(target: Path, url: str) -> str:
    """Put an output into a store; what went wrong, empty where nothing did."""
    from batchmod.storage import Stores

    stores = Stores()
    try:
        stores.put(target, url)
    except (MissingExtra, StorageError) as error:
        return str(error)
    finally:
        stores.close()
    return ""


def too_large_to_carry(what: str, size: int, problem: str = "") -> Refusal:
    """The refusal of what is too large to go through a cluster's memory."""
    most = MOST_CARRIED // 2**20
    message = f"{what} has {size / 2**20:,.0f} MB: more than {most} MB need a folder that the workers share with us"
    message += f", or a store that they can write to ({problem})" if problem else ""
    return Refusal(slug="too_large_to_carry", message=message)


def _put(folder: Path, carried: Carried | str) -> Path | str:
    if isinstance(carried, str):
        return carried
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / Path(carried.name).name
    place.write_bytes(carried.content)
    return place


def _caught(call: Callable[[], Value]) -> Value | Refusal:
    try:
        return call()
    except MediaError as error:
        return Refusal(slug=error.slug, message=str(error))
