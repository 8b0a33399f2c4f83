"""The event log in parts, so that no file of it grows for ever.

`events.jsonl` is the part that is written. When it is full it is renamed to `events.000001.jsonl`, the next one to
`events.000002.jsonl`, and so on: the higher the number, the newer. All but the newest of these are packed, as
`events.000001.jsonl.gz`. Together, in the order of their numbers and then `events.jsonl`, they are the log: `opened`
gives each part that is there in that order, whatever a kill has left. Whoever removes old parts takes the lowest
numbers, and leaves the newest one: the next number is counted from it.
"""

import gzip
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread
from typing import IO, Final, NamedTuple, cast

from batchmod import files

FILE_NAME: Final = "events.jsonl"
PART_BYTES: Final = 64 << 20
"""A part is full when it is as large as this; packed, it is about a twelfth of it."""

_NAME: Final = re.compile(r"events\.(\d{6,})\.jsonl(\.gz)?")
_CHUNK: Final = 1 << 20
_LEVEL: Final = 3
"""Of gzip's: a third of the time of its usual level, and files a tenth larger."""
_SIZE_BYTES: Final = 4
"""At the end of a gzip file stands how long its content is."""


class Part(NamedTuple):
    """An old part of the log."""

    number: int
    path: Path

    @property
    def is_packed(self) -> bool:
        """Whether it is a gzip file."""
        return self.path.suffix == ".gz"

    def size(self) -> int:
        """How long its content is, in bytes; 0 where it is not there any more."""
        with suppress(OSError), self.path.open("rb") as file:
            if not self.is_packed:
                return file.seek(0, os.SEEK_END)
            file.seek(-_SIZE_BYTES, os.SEEK_END)
            return int.from_bytes(file.read(_SIZE_BYTES), "little")
        return 0


def parts(folder: Path) -> tuple[Part, ...]:
    """The old parts, the oldest first; of one that is there twice the one that is not packed."""
    found: dict[int, Part] = {}
    with suppress(FileNotFoundError):
        for path in sorted(folder.iterdir(), reverse=True):  # the packed one of a number comes first
            if is_part(path.name):
                number = int(path.name.split(".")[1])
                found[number] = Part(number, path)
    return tuple(found[number] for number in sorted(found))


def is_part(name: str) -> bool:
    """Whether a file of this name is an old part of the log."""
    return _NAME.fullmatch(name) is not None


def is_there(folder: Path) -> bool:
    """Whether there is an event log, or any part of one."""
    return (folder / FILE_NAME).exists() or bool(parts(folder))


def opened(folder: Path, *, first: int = 1) -> Iterator[tuple[int, IO[bytes]]]:
    """Each part from this number on with its content, the oldest first, `events.jsonl` as the last.

    A run may rotate the log meanwhile: what is renamed after it was looked for is neither missed nor given twice.
    """
    with ExitStack() as stack:
        current = _open_current(folder)
        if current is not None:
            stack.enter_context(current)
        number = 0
        for part in parts(folder):
            if current is not None and _is_same(part.path, current):
                break
            number = part.number
            file = _open(part) if number >= first else None
            if file is not None:
                with file:
                    yield number, file
        if current is not None:
            yield number + 1, current


def _open_current(folder: Path) -> IO[bytes] | None:
    with suppress(FileNotFoundError):
        return (folder / FILE_NAME).open("rb")
    return None


def _is_same(path: Path, file: IO[bytes]) -> bool:
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    return False


def _open(part: Part) -> IO[bytes] | None:
    """The content of a part; None where it is not there any more. It may have been packed since it was looked for."""
    if not part.is_packed:
        with suppress(FileNotFoundError):
            return part.path.open("rb")
    with suppress(FileNotFoundError):
        return cast("IO[bytes]", gzip.open(_packed(part.path), "rb"))
    return None


def _packed(path: Path) -> Path:
    return path if path.suffix == ".gz" else path.with_name(f"{path.name}.gz")


def put_away(folder: Path) -> None:
    """Put the part that was written so far among the old ones. Raises OSError where that cannot be."""
    number = max((part.number for part in parts(folder)), default=0) + 1
    (folder / FILE_NAME).rename(folder / f"events.{number:06}.jsonl")


def begin_part(folder: Path, written: IO[bytes]) -> IO[bytes]:
    """The same while it is open: the new part, empty.

    Raises OSError where that cannot be, as on Windows; then `written` is written on, under whichever name it has.
    """
    waiting = folder / f".{FILE_NAME}.next"
    following = waiting.open("wb")  # first, while nothing is changed: there may be no room for it
    try:
        put_away(folder)
        waiting.rename(folder / FILE_NAME)
    except OSError:
        following.close()
        waiting.unlink(missing_ok=True)
        raise
    written.close()
    return following


class Packer:
    """Packs the old parts but the newest, beside whatever else goes on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread: Thread | None = None

    def start(self) -> None:
        """Pack what is to be packed, unless that is going on."""
        is_going_on = self._thread is not None and self._thread.is_alive()
        if not is_going_on and not all(part.is_packed for part in parts(self._folder)[:-1]):
            self._thread = Thread(target=pack, args=(self._folder,), name="pack the event log", daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Until nothing is left to be packed."""
        if self._thread is not None:
            self._thread.join()
            pack(self._folder)


def pack(folder: Path) -> None:
    """Pack the old parts but the newest; what finds no room stays as it is."""
    for left in folder.glob(".events.*.gz.*.part"):  # by one that was killed, or that will pack it no more now
        left.unlink(missing_ok=True)
    for part in parts(folder)[:-1]:
        if not part.is_packed:
            with suppress(OSError):
                _pack(part.path)


def _pack(path: Path) -> None:
    """A whole gzip file is on disk under its name before the other one goes."""
    target = _packed(path)
    half = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")  # a run that was broken off may still pack it
    try:
        with path.open("rb") as source, half.open("wb") as file:
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=_LEVEL, mtime=0) as packing:
                shutil.copyfileobj(source, packing, _CHUNK)
            file.flush()
            os.fsync(file.fileno())
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)
    files.sync_folder(target.parent)
    path.unlink()
