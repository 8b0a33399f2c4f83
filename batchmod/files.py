"""Files: read, hashed, written whole or not at all, and the one lock on an output folder."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from batchmod.errors import FolderInUse, UsageError

_CHUNK: Final = 1 << 20
_JSON: Final = json.JSONEncoder(ensure_ascii=False)
_CACHED_FIELDS: Final = 4  # size, mtime, inode, hash
LOCK_NAME: Final = ".batchmod.lock"

_Of = TypeVar("_Of")


def packaged(folder: str, name: str) -> Path:
    """A file shipped with batchmod: in the wheel under `_<folder>`, in a checkout under the top level."""
    wheel = Path(str(resources.files("batchmod"))) / f"_{folder}" / name
    return wheel if wheel.exists() else Path(__file__).parent.parent / folder / name


def schema(name: str) -> dict[str, Any]:
    """The JSON schema `manifest`, `row`, `results`, `event`, `run` or `status`."""
    loaded = json.loads(packaged("schemas", f"{name}.schema.json").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable (a power cut may otherwise undo it)."""
    if sys.platform == "win32":  # a folder cannot be opened there; NTFS journals the rename
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """A finished file on its way to its final name; `durable`: what is in it is on disk already."""

    part: Path
    target: Path
    durable: bool = False


def put_in_place(part: Path, target: Path) -> None:
    """Give a finished file its final name, durably. Raises FileExistsError rather than touch a file there."""
    _give_name(Move(part=part, target=target))
    sync_folder(target.parent)


def put_all_in_place(moves: Sequence[Move]) -> list[OSError | None]:
    """`put_in_place` for several files, each folder synced once; what it raised for each of them."""
    errors = [_caught(_give_name, move) for move in moves]
    folders = {move.target.parent for move, error in zip(moves, errors, strict=True) if error is None}
    unsynced = {folder: _caught(sync_folder, folder) for folder in folders}
    return [error or unsynced[move.target.parent] for move, error in zip(moves, errors, strict=True)]


def _caught(act: Callable[[_Of], None], of: _Of) -> OSError | None:
    try:
        act(of)
    except OSError as error:
        return error
    return None


def _give_name(move: Move) -> None:
    part, target = move.part, move.target
    if not move.durable:
        with part.open("rb") as file:
            os.fsync(file.fileno())
    if not target.parent.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(part, target)
        part.unlink()
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if target.exists():
            raise FileExistsError(target) from None
        part.rename(target)


def copy_into_place(source: Path, target: Path) -> None:
    """A second, independent file with the same content, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.copyfile(source, part)
        put_in_place(part, target)
    finally:
        part.unlink(missing_ok=True)


def write_whole(target: Path, write: Callable[[IO[bytes]], object]) -> Path:
    """Write beside and rename, so that a reader sees the old file or the new one.

    Returns where it stands: `results (2).csv` where a spreadsheet holds the first name open.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        place = _replace_first_free(part, target)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(target.parent)
    return place


def replace_shown(target: Path, content: bytes) -> None:
    """Write beside and rename, readable for everybody; not made durable, for what is soon written again.

    The name beside begins with a dot and ends with `.part`: whoever collects files by their suffix passes it over.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.chmod(0o644)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def held_open(target: Path) -> bool:
    """Whether a spreadsheet has the file open and says so beside it: it would write its own state over a new one.

    LibreOffice leaves `.~lock.<name>#`, Excel `~$<name>`; where Excel holds a file so that nobody can write it, trying
    to is what shows it.
    """
    return any(target.with_name(name).exists() for name in (f".~lock.{target.name}#", f"~${target.name}"))


def _replace_first_free(part: Path, target: Path) -> Path:
    for place in _free_names(target):
        if held_open(place):
            continue
        with contextlib.suppress(PermissionError):
            part.replace(place)
            return place
    raise PermissionError(f"{target} cannot be written: it and its siblings are held open")


def _free_names(target: Path) -> Iterator[Path]:
    yield target
    for number in range(2, 10):
        yield target.with_name(f"{target.stem} ({number}){target.suffix}")


def safe_name(text: str) -> str:
    """A text from outside as part of a file's name: letters, digits, `-` and `_`, at most 80."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:80]


def clear(folder: Path, *, keep: str | None = None) -> None:
    """Empty a folder of everything but files with the suffix `keep`, and remove it where nothing is left."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.suffix != keep:
                path.unlink(missing_ok=True)
        folder.rmdir()


def append_lines(file: IO[bytes], objects: Iterable[Mapping[str, Any]]) -> int:
    """Append JSON objects, one a line; half a character, as a careless service may send one, becomes `?`.

    How many bytes that were.
    """
    lines = b"".join(_JSON.encode(item).encode("utf-8", "replace") + b"\n" for item in objects)
    file.write(lines)
    file.flush()
    return len(lines)


def append_durably(path: Path, item: Mapping[str, Any]) -> None:
    """Append a JSON object to a file of such lines, on disk when this returns; a line cut by a kill is ended first."""
    with path.open("ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(_JSON.encode(item).encode("utf-8", "replace") + b"\n")
        file.flush()
        os.fsync(file.fileno())


def listing(folder: Path, under: str) -> frozenset[str]:
    """Every finished file below `folder/under`, relative to `folder`, with `/`; listed once."""
    return frozenset(name for name, _ in finished(folder, under))


def finished(folder: Path, under: str) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """The files below `folder/under`, named as in `listing`, one by one, since there may be a million.

    Hidden files and links to folders are passed over; a link that leads nowhere is not.
    """
    try:
        entries = os.scandir(folder / under)
    except OSError:
        return
    with entries:
        for entry in entries:
            name = f"{under}/{entry.name}"
            if not entry.is_dir():
                if not entry.name.startswith("."):
                    yield name, entry
            elif not entry.is_symlink():
                yield from finished(folder, name)


def make_folder(folder: Path) -> None:
    """Make an output folder, or see that it can be written. Raises UsageError where it cannot."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LOCK_NAME).touch()
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the output folder for this process; the lock dies with it, also when it is killed.

    Raises FolderInUse, with what the holder wrote about itself, if another run holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_NAME).open("a+", encoding="utf-8") as file:
        if not _lock(file):
            file.seek(0)
            raise FolderInUse(f"{folder} is in use by another run ({file.read().strip() or 'unknown'}).")
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def lock_holder(folder: Path) -> str | None:
    """Who holds the folder's lock, looked up without touching it: `process 4711`; None where nobody seems to.

    Linux says of each lock who holds it, but not those of other containers; elsewhere the note in the lock's file
    counts while its process is there.
    """
    try:
        with (folder / LOCK_NAME).open(encoding="utf-8") as file:
            note, inode = file.read().strip(), os.fstat(file.fileno()).st_ino
    except OSError:
        return None
    found = re.fullmatch(r"process (\d+)", note)
    if found is None:
        return None
    try:
        locks = Path("/proc/locks").read_text(encoding="ascii")
    except (OSError, ValueError):
        return note if _is_there(int(found[1])) else None
    held = (line.split() for line in locks.splitlines())
    mine = any("FLOCK" in words and found[1] in words and words[-3].endswith(f":{inode}") for words in held)
    return note if mine else None


def _is_there(pid: int) -> bool:
    if sys.platform == "win32":  # to ask for it there would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _lock(file: IO[str]) -> bool:
    if sys.platform == "win32":
        import msvcrt

        with contextlib.suppress(OSError):
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            return True
        return False
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class Identities:
    """Content hashes of local files, remembered by size, mtime and inode, so that nothing is read twice."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._known = _remembered(cache) if cache is not None else {}
        self._changed = False

    def sha256(self, path: Path) -> str:
        """The SHA-256 of the file at `path`, in hex."""
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        known = self._known.get(str(path))
        if known is not None and known[:3] == stamp:
            return str(known[3])
        digest = sha256_of(path)
        self._known[str(path)] = [*stamp, digest]
        self._changed = True
        return digest

    def save(self) -> None:
        """Keep what was learnt; a cache that cannot be written is done without."""
        if self._cache is None or not self._changed:
            return
        with contextlib.suppress(OSError):
            text = json.dumps(self._known).encode()
            write_whole(self._cache, lambda file: file.write(text))


def _remembered(cache: Path) -> dict[str, list[Any]]:
    """What a cache file holds: nothing where it is damaged, since everything in it can be learnt again."""
    try:
        found = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    entries = found.items() if isinstance(found, dict) else ()
    return {path: entry for path, entry in entries if isinstance(entry, list) and len(entry) == _CACHED_FIELDS}


def normal(path: Path) -> str:
    """The path without `..`, links left as they are."""
    return os.path.normpath(path)


def relative(path: Path, folder: Path) -> str:
    """`path` as seen from `folder`, with `/`; absolute where they are on different drives."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.as_posix()


def shortest(path: Path) -> str:
    """A path as a person at the current folder would type it."""
    near = relative(path, Path.cwd())
    return str(path) if near.startswith("../..") else near
