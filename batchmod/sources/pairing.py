"""Edited first frames, paired with rows by their names: `frames/<id>.edited.png`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from batchmod import files, work
from batchmod.errors import Problem
from batchmod.model import FrameFacts, Row, Source
from batchmod.rows import ids
from batchmod.sources.seen import Seen

_EDITED: Final = re.compile(r"(?P<id>.+)\.edited\.(png|jpe?g)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """Rows with the edited frames that were found for them, and what is wrong or worth saying about those."""

    rows: Sequence[Row]
    taken: Mapping[int, Path]
    """Row number → its edited frame."""
    problems: tuple[Problem, ...] = ()


def extracted_name(row_id: str) -> str:
    """The name of the frame that is there to be edited."""
    return f"{row_id}.png"


def edited_frames(folders: Iterable[Path], rows: Iterable[Row]) -> dict[str, list[Path]]:
    """Id, folded → the edited frames of that name. A frame that waits to be edited is none, whatever its id is."""
    named = [
        (ids.folded(match["id"]), path)
        for folder in dict.fromkeys(folders)
        for path in (sorted(folder.iterdir()) if folder.is_dir() else ())
        if (match := _EDITED.fullmatch(path.name)) is not None and path.is_file()
    ]
    extracted = {ids.folded(extracted_name(row.id)) for row in rows} if named else set()
    found: dict[str, list[Path]] = {}
    for row_id, path in named:
        if ids.folded(path.name) not in extracted:
            found.setdefault(row_id, []).append(path)
    return found


def pair(rows: Sequence[Row], *, manifest: Path, folders: Sequence[Path]) -> Paired:
    """Give each row that names no first frame the edited one of its name; two of one name are a problem."""
    edited = edited_frames(folders, rows)
    taken: dict[int, Path] = {}
    problems: list[Problem] = []
    for row in rows if edited else ():
        paths = edited.get(ids.folded(row.id), []) if row.first_frame_url is None else []
        if len(paths) > 1:
            problems.append(_two(row, paths))
        elif paths:
            taken[row.number] = paths[0]
    base = manifest.resolve().parent
    named = (
        replace(row, first_frame_url=files.relative(taken[row.number], base)) if row.number in taken else row
        for row in rows
    )
    return Paired(rows=tuple(named) if taken else rows, taken=taken, problems=tuple(problems))


def _two(row: Row, paths: Sequence[Path]) -> Problem:
    names = " and ".join(f"'{files.shortest(path)}'" for path in paths)
    return Problem(
        place=row.place,
        field="first_frame_url",
        message=f"there are two edited first frames for '{row.id}': {names}",
        hint="keep one, or name it in the row",
        row=row.number,
        slug="bad_source",
    )


def unedited(
    paired: Paired, videos: Mapping[int, Source], first_frames: Mapping[int, Source], seen: Seen
) -> frozenset[int]:
    """The rows whose paired picture is, to the pixel, the frame that was there to be edited."""
    pairs = {number: (videos[number], first_frames[number]) for number in {*paired.taken} & {*videos} & {*first_frames}}
    facts_of = seen.frames(pair for pair in pairs.values() if pair[0].local)
    rows = {row.number: row for row in paired.rows}

    def is_equal(number: int) -> bool:
        clip, picture = pairs[number]
        if clip.local:
            facts = facts_of[clip.location, picture.location]
            return isinstance(facts, FrameFacts) and facts.equal
        beside = _extracted(paired.taken[number], rows[number])
        return beside is not None and work.are_same_pixels(picture.location, str(beside)) is True

    return frozenset(number for number in pairs if is_equal(number))


def _extracted(edited: Path, row: Row) -> Path | None:
    """The frame that `batchmod frames` wrote beside an edited one, where it is still there."""
    path = edited.with_name(extracted_name(row.id))
    return path if path.is_file() else None


def without(paired: Paired, numbers: frozenset[int]) -> tuple[Sequence[Row], list[Problem]]:
    """The rows without those pictures again, and a warning for each."""
    if not numbers:
        return paired.rows, []
    rows = tuple(replace(row, first_frame_url=None) if row.number in numbers else row for row in paired.rows)
    said = [
        Problem(
            place=row.place,
            field="first_frame_url",
            message=f"'{files.shortest(paired.taken[row.number])}' is the clip's own first frame, unedited: ignored",
            row=row.number,
            slug="frame_unedited",
            warning=True,
        )
        for row in rows
        if row.number in numbers
    ]
    return rows, said
