"""Request bodies as streams: files in them go to disk as they come, and only the rest stands in memory.

A clip of 100 MB arrives as 133 MB of base64 inside a JSON text; here that never is in memory at once.
"""

import base64
import binascii
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from batchmod.serve.contract import Refused

MOST_TEXT: Final = 1024**2
"""Bytes of a body that are no file."""
MOST_FILES: Final = 8
_DATA_URL: Final = re.compile(rb'"data:([\w.+-]+\\?/[\w.+-]+)(?:;[\w.+-]+=[\w.+-]+)*;base64,')
_LOOK_AHEAD: Final = 200
"""Bytes in which a string must show that it is a data URL."""
_END_OF_DATA: Final = re.compile(rb'["\\]')
_SPECIAL: Final = re.compile(rb'["\\]')
_NO_BASE64: Final = "data_urls must hold base64 data URLs; one of them is no base64"
_MALFORMED: Final = "Malformed request: the body is not valid JSON"


class Arriving:
    """A file that is being written, of at most `most` bytes."""

    def __init__(self, path: Path, most: int) -> None:
        self.path = path
        self.size = 0
        self._most = most
        self._file: IO[bytes] = path.open("wb")

    def write(self, data: bytes) -> None:
        """Add bytes; Refused (413) where they become too many."""
        self.size += len(data)
        if self.size > self._most:
            raise Refused(413, f"A file may have at most {self._most} bytes")
        self._file.write(data)

    def settle(self) -> None:
        """It is whole: have it survive a power cut."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def close(self) -> None:
        """It is given up, or settled already."""
        self._file.close()


Open = Callable[[], Arriving]


class Parts:
    """The files of one body; all are closed, and those that nobody took are removed, by `discard`."""

    def __init__(self, new: Open) -> None:
        self._new = new
        self.files: list[Arriving] = []

    def open(self) -> Arriving:
        """One more; Refused (413) where there are too many."""
        if len(self.files) >= MOST_FILES:
            raise Refused(413, f"A request may hold at most {MOST_FILES} files")
        self.files.append(self._new())
        return self.files[-1]

    def discard(self) -> None:
        """Close all, remove what is still where it was written."""
        for file in self.files:
            file.close()
            file.path.unlink(missing_ok=True)


class Base64:
    """Writes what pieces of base64 stand for."""

    def __init__(self, target: Arriving) -> None:
        self._target = target
        self._rest = b""
        self._padded = False

    def write(self, text: bytes) -> None:
        """Decode the next piece."""
        whole = self._rest + text
        cut = len(whole) - len(whole) % 4
        self._rest = whole[cut:]
        self._decode(whole[:cut])

    def finish(self) -> None:
        """The text is over; Refused (400) where it is cut."""
        if self._rest:
            raise Refused(400, "data_urls must hold base64 data URLs; one of them is cut")

    def _decode(self, text: bytes) -> None:
        if not text:
            return
        try:
            plain = b"" if self._padded else base64.b64decode(text, validate=True)
        except binascii.Error:
            plain = b""
        if not plain:
            raise Refused(400, _NO_BASE64)
        self._target.write(plain)
        self._padded = text.endswith(b"=")


class Lifted:
    """A JSON text out of which the content of its data URLs is lifted into files, piece by piece.

    In what remains a name stands for each of them, which no client can know before; `file_of` reads it.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._mark = secrets.token_hex(8)
        self._held = bytearray()
        self._text = bytearray()
        self._base64: Base64 | None = None
        self._in_string = False

    def feed(self, piece: bytes) -> None:
        """The next piece of the body."""
        self._held += piece
        while self._step(last=False):
            pass
        if len(self._text) > MOST_TEXT:
            raise Refused(413, f"A request may hold at most {MOST_TEXT} bytes beside its files")

    def finish(self) -> bytes:
        """The body is over: the JSON text that remains."""
        while self._step(last=True):
            pass
        if self._base64 is not None or self._in_string:
            raise Refused(400, _MALFORMED)
        self._text += self._held
        return bytes(self._text)

    def file_of(self, value: object) -> Arriving | None:
        """The file whose place in the text this value has; None where it is anything else."""
        mark, _, number = value.partition(":") if isinstance(value, str) else ("", "", "")
        return self._parts.files[int(number)] if mark == self._mark else None

    def _step(self, *, last: bool) -> bool:
        """Take what can be told now off `_held`; False where more is needed."""
        if self._base64 is not None:
            return self._data(self._base64)
        return self._inside() if self._in_string else self._outside(last=last)

    def _outside(self, *, last: bool) -> bool:
        start = self._held.find(b'"')
        if start < 0:
            self._keep(len(self._held))
            return False
        self._keep(start)
        found = _DATA_URL.match(self._held)
        if found:
            number = len(self._parts.files)
            self._base64 = Base64(self._parts.open())
            self._text += f'"{self._mark}:{number}"'.encode()
            del self._held[: found.end()]
            return True
        if not last and len(self._held) < _LOOK_AHEAD and b'"' not in self._held[1:]:
            return False
        self._in_string = True
        self._keep(1)
        return True

    def _inside(self) -> bool:
        found = _SPECIAL.search(self._held)
        if found is None:
            self._keep(len(self._held))
            return False
        if found[0] == b'"':
            self._in_string = False
            self._keep(found.end())
            return True
        if found.end() >= len(self._held):
            return False
        self._keep(found.end() + 1)
        return True

    def _data(self, sink: Base64) -> bool:
        found = _END_OF_DATA.search(self._held)
        end = found.start() if found else len(self._held)
        sink.write(bytes(self._held[:end]))
        del self._held[:end]
        if found is None:
            return False
        if self._held[:1] == b'"':
            sink.finish()
            self._base64 = None
            del self._held[:1]
            return True
        if len(self._held) < 2:  # noqa: PLR2004 - the backslash and what follows it
            return False
        if self._held[1:2] != b"/":
            raise Refused(400, _NO_BASE64)
        sink.write(b"/")
        del self._held[:2]
        return True

    def _keep(self, length: int) -> None:
        self._text += self._held[:length]
        del self._held[:length]
