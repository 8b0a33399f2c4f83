"""Each clip's first frame as a picture to edit, named by its row."""

import contextlib
import functools
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from batchmod import files, sources, work
from batchmod.app.loading import Loaded, pairing
from batchmod.app.options import Options
from batchmod.errors import UsageError
from batchmod.model import Row, Source
from batchmod.urls import without_query
from batchmod.work import Refusal

_OTHER: Final = "another picture has this name: save an edited one as {}, move one of another clip away"
Outcome = Literal["written", "there", "left", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Extracted:
    """What became of one row's frame; `why` in words where it was not simply written."""

    id: str
    path: Path
    outcome: Outcome
    why: str | None = None
    named: bool = False
    """Whether the row names this very file as its edited first frame."""


def extract(loaded: Loaded, options: Options) -> list[Extracted]:
    """Write the first frame of every chosen row, several clips at a time; nothing that is there is overwritten."""
    folder = pairing.folder_of(loaded.path, options.folder)
    of_clip: dict[str, tuple[Source, list[Row]]] = {}
    for row, job in zip(loaded.manifest.rows, loaded.jobs, strict=True):
        if row.number in loaded.chosen:
            of_clip.setdefault(job.video.location, (job.video, []))[1].append(row)
    _make(folder)
    write = functools.partial(_extracted, folder=folder, base=loaded.path.resolve().parent)
    with ThreadPoolExecutor(max_workers=sources.SIDE_BY_SIDE) as pool:
        done = {each.id: each for found in pool.map(lambda pair: write(*pair), of_clip.values()) for each in found}
    return [done[row.id] for row in loaded.manifest.rows if row.id in done]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {(error.strerror or str(error)).lower()}") from error


def _extracted(clip: Source, rows: Sequence[Row], *, folder: Path, base: Path) -> list[Extracted]:
    """The frames of all rows that have this clip."""
    with _at_hand(clip) as path:
        png = work.first_frame_png(str(path)) if isinstance(path, Path) else path
    return [_placed(row, png, folder / sources.extracted_name(row.id), base) for row in rows]


def _placed(row: Row, png: bytes | Refusal, target: Path, base: Path) -> Extracted:
    """Put a row's frame in its place, unless something else is there."""
    named = _names(row, base, target)
    made = functools.partial(Extracted, id=row.id, path=target, named=named)
    if isinstance(png, Refusal):
        return made(outcome="failed", why=png.message)
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(png)
    try:
        files.put_in_place(part, target)
    except FileExistsError:
        if named or work.are_same_pixels(str(part), str(target)) is True:
            return made(outcome="there")
        return made(outcome="left", why=_OTHER.format(f"{target.stem}.edited.png"))
    finally:
        part.unlink(missing_ok=True)
    return made(outcome="written")


def _names(row: Row, base: Path, target: Path) -> bool:
    return row.first_frame_url is not None and Path(files.normal(base / row.first_frame_url)) == target


@contextlib.contextmanager
def _at_hand(clip: Source) -> Iterator[Path | Refusal]:
    """The clip as a file of this machine, for as long as the block lasts."""
    if clip.local:
        yield Path(clip.location)
        return
    with tempfile.TemporaryDirectory(prefix="batchmod-") as folder:
        target = Path(folder) / "clip"
        problem = sources.fetch(clip.location, target)
        message = f"{without_query(clip.location)} could not be fetched: {problem}"
        yield target if problem is None else Refusal(slug="source_unreachable", message=message)
