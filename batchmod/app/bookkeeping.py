"""The book of what is up: which files of an output folder lie in its store, as they were when they were sent there.

`uploads.jsonl` in the output folder, a line a file, appended after the store has the whole of it. A kill may cut its
last line, and a line that never came is a file that is sent once more: nothing is lost with it. A line that names the
store stands before the files that went there; those of another store count no more.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batchmod import files

FILE_NAME: Final = "uploads.jsonl"
_PATH: Final = b'{"path": "'
_NO_FILE: Final = (ValueError, TypeError, KeyError, AttributeError)
"""What reading a line raises that was cut, or is about no file."""
_SPARE_LINES: Final = 1_000
"""So many lines that say nothing any more may stand in the book before it is written anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Up:
    """A file that is in the store."""

    bytes: int
    sha256: str | None = None
    etag: str | None = None
    """By which the store tells its object from any other of that name; None where it has none."""
    mtime_ns: int | None = None
    """Of the file here when it was sent; None for one that was seen in the store and was not sent from here."""
    at: str = ""


class Book:
    """The book of one output folder and one store, held by the run that owns both."""

    def __init__(self, folder: Path, store: str) -> None:
        self._path = folder / FILE_NAME
        self._store = store
        lines, self._files, last = _read(self._path, store)
        if lines > 2 * len(self._files) + _SPARE_LINES:
            self._write_anew()
        elif last != store:
            files.append_durably(self._path, {"store": store})

    def get(self, name: str) -> Up | None:
        """What is known of a file that is up; None for one that is not."""
        return self._files.get(name)

    def __contains__(self, name: object) -> bool:
        """Whether the file of this name, below the folder, is up; maybe as an older one than that here."""
        return name in self._files

    @property
    def names(self) -> frozenset[str]:
        """Every file that is up."""
        return frozenset(self._files)

    def note(self, name: str, up: Up) -> None:
        """Write down that a file is up."""
        self._files[name] = up
        files.append_durably(self._path, {"path": name, **_said(up)})

    def keep_only(self, there: Mapping[str, Up]) -> None:
        """Let the book say just this: what a look into the store has found."""
        self._files = dict(there)
        self._write_anew()

    def _write_anew(self) -> None:
        lines: Iterable[Mapping[str, Any]] = (
            {"store": self._store},
            *({"path": name, **_said(up)} for name, up in self._files.items()),
        )
        text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines).encode("utf-8", "replace")
        files.write_whole(self._path, lambda file: file.write(text))


def names(folder: Path) -> frozenset[str]:
    """The files of a folder that are up in the store it was last sent to; nothing where it has none."""
    found: dict[str, set[str]] = {}
    store = ""
    for store, line in _lines(folder / FILE_NAME):
        if (name := _name_in(line)) is not None:
            found.setdefault(store, set()).add(name)
    return frozenset(found.get(store, ()))


def _read(path: Path, store: str) -> tuple[int, dict[str, Up], str]:
    """How many lines there are, the files in this store, and the store that is named last."""
    found: dict[str, Up] = {}
    count, last = 0, ""
    for last, line in _lines(path):
        count += 1
        if last == store:
            with contextlib.suppress(*_NO_FILE):
                said = json.loads(line)
                name = str(said.pop("path"))
                found[name] = Up(**said)
    return count, found, last


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every line, and before it the store that it is about; none where there is no book."""
    store = ""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            if not line.startswith(_PATH):
                with contextlib.suppress(*_NO_FILE):
                    store = str(json.loads(line)["store"])
            yield store, line


def _name_in(line: bytes) -> str | None:
    """The file that a line is about, if it is about one; most lines say it where they need not be parsed for it."""
    try:
        if line.startswith(_PATH) and line.endswith(b"}\n") and b"\\" not in line:
            return line[len(_PATH) : line.index(b'"', len(_PATH))].decode()
        return str(json.loads(line)["path"])
    except _NO_FILE:
        return None


def _said(up: Up) -> dict[str, Any]:
    said = {"bytes": up.bytes, "sha256": up.sha256, "etag": up.etag, "mtime_ns": up.mtime_ns, "at": up.at}
    return {name: value for name, value in said.items() if value is not None}
