"""Render a request's body (JSON with files in it, a form, a file) as a stream of bytes whose length is known before."""

import asyncio
import hashlib
import json
import mimetypes
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batchmod.model import FileAsBytes, FileAsDataUrl, FileSize, Request

CHUNK_BYTES: Final = 96 * 1024
"""Taken at once; a multiple of 3, so that the pieces of base64 join without padding."""

_JSON: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

_Leaf = FileAsDataUrl | FileAsBytes


class BodyBrokenError(Exception):
    """A file is no longer what the request names; the body ended before its last bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _FilePart:
    leaf: _Leaf
    size: int

    @property
    def length(self) -> int:
        return 4 * ((self.size + 2) // 3) if isinstance(self.leaf, FileAsDataUrl) else self.size

    def rendered(self, raw: bytes) -> bytes:
        return b64encode(raw) if isinstance(self.leaf, FileAsDataUrl) else raw


class Body:
    """The bytes of one body, iterated once; then it is `finished`, or `problem` says why it was broken off."""

    def __init__(self, pieces: Iterable[bytes | _Leaf], *, content_type: str) -> None:
        """Measure the body: OSError for a file that cannot be read, ValueError or TypeError for no JSON."""
        self.content_type = content_type
        self._parts = tuple(_measured(_merged(pieces)))
        self.length = sum(part.length if isinstance(part, _FilePart) else len(part) for part in self._parts)
        self.problem = ""
        self.finished = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield pieces of at most 128 KiB; BodyBrokenError before a wrong body is complete."""
        for part in self._parts:
            if isinstance(part, _FilePart):
                async for chunk in self._file_chunks(part):
                    yield chunk
            else:
                for start in range(0, len(part), CHUNK_BYTES):
                    yield part[start : start + CHUNK_BYTES]
        self.finished = True

    async def _file_chunks(self, part: _FilePart) -> AsyncIterator[bytes]:
        digest = hashlib.sha256()
        # an empty file has one empty piece, so that its hash is looked at too
        for offset in range(0, max(part.size, 1), CHUNK_BYTES):
            wanted = min(CHUNK_BYTES, part.size - offset)
            try:
                raw = await asyncio.to_thread(_read_at, part.leaf.path, offset, wanted)
            except OSError as exc:
                raise self._broken(f"cannot be read any more ({exc.strerror})", part) from exc
            if len(raw) != wanted:
                raise self._broken("became shorter while it was sent", part)
            digest.update(raw)
            last = offset + wanted == part.size
            if last and digest.hexdigest() != part.leaf.sha256.removeprefix("sha256:"):
                raise self._broken("is not the file it was when the job was made", part)
            yield part.rendered(raw)

    def _broken(self, what: str, part: _FilePart) -> BodyBrokenError:
        self.problem = f"{part.leaf.path} {what}; the request was broken off, run again to use the new file"
        return BodyBrokenError(self.problem)


def body_of(request: Request) -> Body | None:
    """The body of a request, None where it has none; raises as `Body` does."""
    if request.json is not None:
        return Body(_json(request.json), content_type="application/json")
    if request.form is not None:
        boundary = _boundary(request.form)
        return Body(_form_pieces(request.form, boundary), content_type=f"multipart/form-data; boundary={boundary}")
    if request.file is not None:
        return Body([request.file], content_type=request.file.media_type)
    return None


def _json(tree: Any) -> Iterable[bytes | _Leaf]:
    """A tree in one piece, where there is no file in it."""
    try:
        return [_dumped(tree)]
    except TypeError:
        return _pieces(tree)


def _pieces(tree: Any) -> Iterator[bytes | _Leaf]:
    match tree:
        case FileAsDataUrl():
            yield b'"data:' + _dumped(tree.media_type)[1:-1] + b";base64,"
            yield tree
            yield b'"'
        case FileSize():
            yield _dumped(Path(tree.path).stat().st_size)
        case Mapping():
            yield from _joined(b"{", ((_dumped(str(key)) + b":", value) for key, value in tree.items()), b"}")
        case list() | tuple():
            yield from _joined(b"[", ((b"", value) for value in tree), b"]")
        case _:
            yield _dumped(tree)


def _joined(start: bytes, items: Iterator[tuple[bytes, Any]], end: bytes) -> Iterator[bytes | _Leaf]:
    for number, (label, value) in enumerate(items):
        yield (b"," if number else start) + label
        yield from _pieces(value)
        start = b""
    yield start + end


def _dumped(leaf: Any) -> bytes:
    return _JSON.encode(leaf).encode()


def _boundary(form: Mapping[str, str | FileAsBytes]) -> str:
    """A line that stands in none of the parts: a hash of what they are (RFC 2046, 5.1.1)."""
    told = repr([(name, value if isinstance(value, str) else value.sha256) for name, value in form.items()])
    return f"batchmod-{hashlib.sha256(told.encode()).hexdigest()[:32]}"


def _form_pieces(form: Mapping[str, str | FileAsBytes], boundary: str) -> Iterator[bytes | _Leaf]:
    for name, value in form.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        if isinstance(value, str):
            yield f"{head}\r\n\r\n{value}\r\n".encode()
            continue
        suffix = mimetypes.guess_extension(value.media_type) or ""
        yield f'{head}; filename="file{suffix}"\r\nContent-Type: {value.media_type}\r\n\r\n'.encode()
        yield value
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _merged(pieces: Iterable[bytes | _Leaf]) -> Iterator[bytes | _Leaf]:
    text = bytearray()
    for piece in pieces:
        if isinstance(piece, bytes):
            text += piece
            continue
        yield bytes(text)
        text.clear()
        yield piece
    yield bytes(text)


def _measured(pieces: Iterator[bytes | _Leaf]) -> Iterator[bytes | _FilePart]:
    for piece in pieces:
        yield piece if isinstance(piece, bytes) else _FilePart(leaf=piece, size=Path(piece.path).stat().st_size)


def _read_at(path: str, offset: int, length: int) -> bytes:
    # opened anew for each piece: a request that is broken off anywhere leaves no open file behind
    with Path(path).open("rb") as file:
        file.seek(offset)
        return file.read(length)
