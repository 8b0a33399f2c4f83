"""The service's files: what came in, what a job works with, what came out; and how much room they take."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchmod import files, filetypes
from batchmod.serve.contract import Refused
from batchmod.serve.queue import File, Queue
from batchmod.serve.settings import Limits

ASSETS: Final = "assets"
OUTPUTS: Final = "outputs"
VIDEO_TYPE: Final = "video/mp4"
_NAME_BYTES: Final = 32
_PICTURES: Final = {
    "png_pipe": ("image/png", "png"),
    "jpeg_pipe": ("image/jpeg", "jpg"),
    "webp_pipe": ("image/webp", "webp"),
    "bmp_pipe": ("image/bmp", "bmp"),
    "tiff_pipe": ("image/tiff", "tif"),
}
_QUICKTIME: Final = b"qt  "


class NoRoomError(Exception):
    """The service's files take all the room they may."""

    def __init__(self, cap: int) -> None:
        super().__init__(
            f"The service has no room left: its files may take {cap / 1024**3:.3g} GB; they go 24 hours after they came"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What a file is by its bytes: its media type and a name's ending, or, in words, what it is instead."""

    media_type: str = ""
    ending: str = ""
    words: str = ""


def kind_of(path: Path) -> Kind:
    """An MP4 video or a picture by its first bytes, whatever it is called; else only `words`."""
    with path.open("rb") as file:
        head = file.read(filetypes.HEAD_BYTES)
    found = filetypes.sniff(head)
    if found.video == "mov" and head[4:8] == b"ftyp" and head[8:12] != _QUICKTIME:
        return Kind(media_type=VIDEO_TYPE, ending="mp4", words=found.words)
    if found.image in _PICTURES:
        media_type, ending = _PICTURES[found.image]
        return Kind(media_type=media_type, ending=ending, words=found.words)
    words = "a QuickTime file" if found.video == "mov" else found.words
    return Kind(words=words if head else "an empty file")


class Store:
    """The folder of one service: `files/` to be fetched, `jobs/` to be worked with, `incoming/` not whole yet."""

    def __init__(self, folder: Path, queue: Queue, limits: Limits) -> None:
        self._files, self._jobs, self._incoming = (folder / name for name in ("files", "jobs", "incoming"))
        self._queue = queue
        self._limits = limits
        self._reserved = 0
        for each in (self._files, self._jobs, self._incoming):
            each.mkdir(parents=True, exist_ok=True)

    def used(self) -> int:
        """The bytes of all files; one that stands at two places counts once."""
        seen: dict[tuple[int, int], int] = {}
        for place in (self._files, self._jobs, self._incoming):
            for root, _, names in os.walk(place):
                for name in names:
                    with contextlib.suppress(OSError):
                        stat = os.stat(os.path.join(root, name))  # noqa: PTH116, PTH118 - many, and often
                        seen[stat.st_dev, stat.st_ino] = stat.st_size
        return sum(seen.values())

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Keep room for so many bytes while the block runs. Raises NoRoomError where there is none."""
        if self.used() + self._reserved + size > self._limits.data_bytes:
            raise NoRoomError(self._limits.data_bytes)
        self._reserved += size
        try:
            yield
        finally:
            self._reserved -= size

    def new_incoming(self) -> Path:
        """A place for a file that is on its way; whoever asks removes it."""
        return self._incoming / secrets.token_hex(16)

    def adopt(self, incoming: Path, *, at: float) -> File:
        """Make an asset of a file that has arrived. Refused (400, 413) where it is no MP4 video and no picture."""
        kind, size = kind_of(incoming), incoming.stat().st_size
        if not kind.ending:
            raise Refused(400, f"Only MP4 videos and PNG, JPEG or WebP pictures are taken; this is {kind.words}")
        if kind.media_type != VIDEO_TYPE and size > self._limits.picture_bytes:
            raise Refused(413, f"A picture may have at most {self._limits.picture_bytes} bytes")
        asset = self._named(ASSETS, kind, size, at=at)
        incoming.replace(self._files / asset.name)
        files.sync_folder(self._files)
        self._queue.keep(asset)
        return asset

    def find(self, kind: str, name: str, *, at: float) -> tuple[File, Path] | None:
        """A file that may be fetched, and where it is; a name that was never given is never looked for on disk."""
        file = self._queue.file(kind, name, at=at)
        path = self._files / file.name if file else None
        return (file, path) if file and path and path.exists() else None

    def bench(self, request_id: str) -> Path:
        """A job's own folder."""
        return self._jobs / request_id

    def lay_out(self, request_id: str, role: str, asset: File) -> None:
        """Put an asset on a job's bench, where it outlives its time among the files."""
        bench = self.bench(request_id)
        bench.mkdir(exist_ok=True)
        source, target = self._files / asset.name, bench / role
        try:
            os.link(source, target)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links
            shutil.copyfile(source, target)
        files.sync_folder(bench)

    def hand_out(self, made: Path, *, at: float) -> File:
        """Give a finished video the name under which it can be fetched; the queue is told by the caller."""
        kind = Kind(media_type=VIDEO_TYPE, ending="mp4")
        output = self._named(OUTPUTS, kind, made.stat().st_size, at=at)
        files.put_in_place(made, self._files / output.name)
        return output

    def clear(self, request_id: str) -> None:
        """A job's folder is of no more use."""
        shutil.rmtree(self.bench(request_id), ignore_errors=True)

    def sweep(self, *, at: float) -> None:
        """Remove what has had its time."""
        self._queue.forget(expired_by=at, ended_before=at - self._limits.record_s)
        known = self._queue.names()
        for path in self._files.iterdir():
            with contextlib.suppress(OSError):  # the next sweep takes what this one could not
                if path.name not in known and path.stat().st_mtime < at - self._limits.stall_s:
                    path.unlink()

    def tidy(self) -> None:
        """Once, before anybody comes in: remove what a killed service has left half done."""
        known, wanted = self._queue.names(), {job.request_id for job in self._queue.unfinished()}
        for path in self._incoming.iterdir():
            path.unlink()
        for path in self._files.iterdir():
            if path.name not in known:
                path.unlink()
        for path in self._jobs.iterdir():
            if path.name not in wanted:
                shutil.rmtree(path, ignore_errors=True)

    def _named(self, kind: str, what: Kind, size: int, *, at: float) -> File:
        name = f"{secrets.token_urlsafe(_NAME_BYTES)}.{what.ending}"
        expires_at = at + self._limits.file_s
        return File(name=name, kind=kind, media_type=what.media_type, bytes=size, expires_at=expires_at)
