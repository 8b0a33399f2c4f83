"""Edited first frames and the rows they belong to: `pair_frames`, and what is said where it is not asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from batchmod import files, sources
from batchmod.app.options import Options
from batchmod.errors import Place, Problem
from batchmod.manifest import Note
from batchmod.model import Manifest, Row
from batchmod.rows import ids

FOLDER: Final = "frames"


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """A manifest whose rows have the edited frames that were found for them."""

    manifest: Manifest
    frames: sources.Paired
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def folder_of(manifest: Path, output: str | None) -> Path:
    """Where frames to edit are written: beside the manifest, or below the output folder that the command names."""
    base = manifest.resolve().parent if output is None else Path(output).absolute()
    return base / FOLDER


def paired(parsed: Manifest, path: Path, options: Options) -> Paired:
    """Rows with their edited frames where that is asked for; where it is not, a word about those that lie there."""
    folders = list(dict.fromkeys((folder_of(path, None), folder_of(path, options.folder))))
    if not (parsed.pair_frames or options.pair_frames):
        found = sources.Paired(rows=parsed.rows, taken={})
        return Paired(manifest=parsed, frames=found, warnings=tuple(_left_lying(parsed, folders)))
    found = sources.pair(parsed.rows, manifest=path, folders=folders)
    manifest = replace(parsed, rows=found.rows)
    return Paired(manifest=manifest, frames=found, problems=found.problems)


@dataclass(frozen=True, kw_only=True, slots=True)
class Edited:
    """The same without pictures that nobody edited: what is said of those, and of the others."""

    manifest: Manifest
    gathered: sources.Gathered
    warnings: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = ()


def edited(paired: Paired, gathered: sources.Gathered, seen: sources.Seen) -> Edited:
    """Leave paired pictures out that are, to the pixel, what was there to be edited."""
    if not paired.frames.taken:
        return Edited(manifest=paired.manifest, gathered=gathered)
    equal = sources.unedited(paired.frames, gathered.videos, gathered.first_frames, seen)
    rows, said = sources.without(paired.frames, equal)
    frames = {number: source for number, source in gathered.first_frames.items() if number not in equal}
    left = [path for number, path in paired.frames.taken.items() if number not in equal]
    return Edited(
        manifest=replace(paired.manifest, rows=rows) if equal else paired.manifest,
        gathered=replace(gathered, first_frames=frames) if equal else gathered,
        warnings=tuple(said),
        notes=(_note(paired.manifest.file, left),) if left else (),
    )


def _note(file: str, taken: Sequence[Path]) -> Note:
    rows = "1 row takes its" if len(taken) == 1 else f"{len(taken):,} rows take their"
    places = sorted({files.shortest(path.parent) for path in taken})
    return Note(text=f"{file}: {rows} first frame from {' and '.join(places)}", usual=True)


def _left_lying(parsed: Manifest, folders: Sequence[Path]) -> list[Problem]:
    """Edited frames of rows that name none: whoever edited them probably means them."""
    edited = sources.edited_frames(folders, parsed.rows)
    rows = (
        [row for row in parsed.rows if row.first_frame_url is None and ids.folded(row.id) in edited] if edited else []
    )
    if not rows:
        return []
    first = edited[ids.folded(rows[0].id)][0]
    message = f"{_some(rows)} an edited first frame ({files.shortest(first)}) that is not used"
    hint = "say `pair_frames: true` in the manifest or --pair-frames, or name it in the row"
    return [Problem(place=Place(file=parsed.file), message=message, hint=hint, slug="frame_unused", warning=True)]


def _some(rows: Sequence[Row]) -> str:
    others = len(rows) - 1
    if not others:
        return f"the row '{rows[0].id}' has"
    return f"'{rows[0].id}' and {others:,} other {'row' if others == 1 else 'rows'} have"
