"""The end of the event log, read while it grows: also where it is cut, replaced or moved away meanwhile."""

import json
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from batchmod.app.rotating import FILE_NAME, parts

_FIRST_BYTES: Final = 1 << 20
_MOST_KEPT: Final = 20_000

Line = dict[str, Any]


class Tail:
    """The latest events of a folder; each `read` takes in what was written since."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._file: IO[bytes] | None = None
        self._rest = b""
        self.events: deque[Line] = deque(maxlen=_MOST_KEPT)

    def read(self) -> None:
        """Take in what is new; a file that took the log's place is read from its beginning."""
        if self._file is None:
            self._open(tail=True)
        while self._file is not None:
            self._take()
            if not self._is_another():
                return
            self.close()
            self._open(tail=False)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._rest = None, b""

    def _open(self, *, tail: bool) -> None:
        try:
            self._file = self._path.open("rb")
        except OSError:
            return
        size = os.fstat(self._file.fileno()).st_size
        if tail and size > _FIRST_BYTES:
            self._file.seek(size - _FIRST_BYTES)
            self._file.readline()
        elif tail and not self.events:
            self.events.extend(_events(self._end_of_the_part_before()))

    def _end_of_the_part_before(self) -> list[bytes]:
        """The last lines of what was put away last: a log that was rotated just now says little by itself."""
        assert self._file is not None
        old = parts(self._path.parent)[-1:]
        if not old or old[0].is_packed:
            return []
        try:
            with old[0].path.open("rb") as file:
                if os.path.samestat(os.fstat(file.fileno()), os.fstat(self._file.fileno())):
                    return []  # it was put away while it was opened
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _FIRST_BYTES))
                lines = file.read(_FIRST_BYTES).split(b"\n")
        except OSError:
            return []
        return lines[size > _FIRST_BYTES :]

    def _take(self) -> None:
        assert self._file is not None
        if os.fstat(self._file.fileno()).st_size < self._file.tell():  # cut: what is there now is all new
            self._file.seek(0)
            self._rest = b""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        self.events.extend(_events(lines))

    def _is_another(self) -> bool:
        """Whether the log's name is another file's by now."""
        assert self._file is not None
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except OSError:
            return False


def _events(lines: list[bytes]) -> Iterator[Line]:
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            yield event
