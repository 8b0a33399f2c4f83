"""The delivered copies of an output folder: where each lies, what it was made of, and whether a person changed it."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from batchmod import files
from batchmod.app import bookkeeping

FOLDER: Final = "delivered"
LEDGER: Final = "delivered.json"
_NAMES: Final = 100
"""How many names are tried where people have put files of their own, or changed ours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """What the ledger says of a copy; paths relative to the output folder."""

    output: str
    of: str
    """The hash of the output it was made of."""
    source: str
    """The identity of the clip it was made after."""
    recipe: str
    sha256: str
    replaces: str | None = None
    """The hash of an older copy that had its place, until this one is surely there."""
    size: int = -1
    mtime_ns: int = -1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a copy goes, and what is to be done there."""

    name: str
    state: Literal["there", "changed", "free", "stale"]
    """`there`: nothing is to be done; `changed`: the same, since a person has changed it; `free`: it is to be made;
    `stale`: it is to be made in place of an older one of ours."""
    older: str | None = None
    """That one's hash."""
    notes: tuple[str, ...] = ()
    """What was to be said of the one that is there."""


class Ledger:
    """The copies of one output folder. Whoever writes into it holds `locked`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copies = _read(folder / FOLDER / LEDGER)
        self._up = bookkeeping.names(folder)

    def place(self, output: str, *, suffix: str, of: str, source: str, recipe: str) -> Place:
        """Where the copy of an output lies, or is to lie. No file is touched that a person has made or changed."""
        for name in _names(output, suffix):
            copy, found = self._copies.get(name), self._found(name)
            is_same = copy is not None and (copy.of, copy.source, copy.recipe) == (of, source, recipe)
            if found is None:
                return Place(name=name, state="free")
            if copy is not None and found in (copy.sha256, copy.replaces):
                is_there = is_same and found == copy.sha256
                return Place(name=name, state="there" if is_there else "stale", older=found, notes=copy.notes)
            if copy is not None and is_same:
                return Place(name=name, state="changed", notes=copy.notes)
        raise FileExistsError(f"{self._folder / FOLDER}: every name for a copy of {output} is taken")

    def is_up(self, name: str) -> bool:
        """Whether the store has this file of the folder."""
        return name in self._up

    def _found(self, name: str) -> str | None:
        """The hash of the file of that name; None where there is none."""
        path, copy = self._folder / name, self._copies.get(name)
        if not os.path.lexists(path):  # it may be up in a store, and need not be here
            return copy.sha256 if copy is not None and name in self._up else None
        if copy is None or not path.is_file():
            return "not ours"
        stat = path.stat()
        is_untouched = (stat.st_size, stat.st_mtime_ns) == (copy.size, copy.mtime_ns)
        return copy.sha256 if is_untouched else files.sha256_of(path)

    def put(self, part: Path, place: Place, copy: Copy) -> None:
        """Give a finished copy its name, durably; the ledger knows its hash before it is there."""
        target = self._folder / place.name
        self._copies.pop(place.name, None)
        self._copies[place.name] = replace(copy, replaces=place.older)
        self.save()
        if place.state == "stale":
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(target)
            files.sync_folder(target.parent)
        else:
            files.put_in_place(part, target)
        stat = target.stat()
        self._copies[place.name] = replace(copy, size=stat.st_size, mtime_ns=stat.st_mtime_ns)

    def save(self) -> None:
        """Keep what was learnt."""
        text = json.dumps({name: asdict(copy) for name, copy in self._copies.items()}, indent=1, ensure_ascii=False)
        files.write_whole(self._folder / FOLDER / LEDGER, lambda file: file.write(text.encode()))


def shown(folder: Path) -> dict[str, str]:
    """Output → its copy, the one that was made last of those that are there; paths relative to the folder."""
    copies, up = _read(folder / FOLDER / LEDGER), bookkeeping.names(folder)
    return {copy.output: name for name, copy in copies.items() if name in up or (folder / name).is_file()}


def contents(folder: Path) -> dict[str, str]:
    """Copy → the hash it was made with; paths relative to the folder."""
    return {name: copy.sha256 for name, copy in _read(folder / FOLDER / LEDGER).items()}


def _names(output: str, suffix: str) -> Iterator[str]:
    """`delivered/a_v001.mp4` for `videos/a_v001.mp4`; `a_v001-2.mp4` and so on where that is somebody else's."""
    path = PurePosixPath(output)
    below = PurePosixPath(*path.parts[1:]) if len(path.parts) > 1 else path
    for number in range(1, _NAMES):
        mark = "" if number == 1 else f"-{number}"
        yield str(PurePosixPath(FOLDER) / below.with_name(f"{path.stem}{mark}{suffix}"))


def _read(ledger: Path) -> dict[str, Copy]:
    """What a ledger says; nothing where it is damaged: its copies are somebody else's files then, and stay."""
    try:
        found = json.loads(ledger.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: copy for name, entry in found.items() if (copy := _copy(entry))} if isinstance(found, dict) else {}


def _copy(entry: object) -> Copy | None:
    if not isinstance(entry, Mapping):
        return None
    try:
        return Copy(**{**entry, "notes": tuple(entry.get("notes", ()))})
    except TypeError:
        return None
