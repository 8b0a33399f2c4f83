"""The bytes of a manifest and of what it names: files, standard input, published sheets, listings, texts."""

import asyncio
import functools
import glob
import itertools
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from batchmod.errors import ManifestError, Place, Problem
from batchmod.manifest import Answer, Missing, Need, kind_of, sniffed
from batchmod.rows import ids
from batchmod.urls import is_loopback_host, without_query

if TYPE_CHECKING:
    from batchmod.transport import Fetched

STANDARD_INPUT: Final = "-"
_MOST_BYTES: Final = 512 * 1024**2
_LONGEST_TEXT: Final = 1024**2
_MOST_FILES: Final = 100_000
_PUBLISHED: Final = "of a Google sheet that is File, Share, Publish to web, as comma-separated values"
_BESIDE: Final = re.compile(r"~\$.*|.+\.annotated\.[^.]+", re.IGNORECASE)
"""What a spreadsheet puts beside a sheet that it holds open, and the copies of `check --annotate`."""
_EDITED: Final = re.compile(r"(https://docs\.google\.com/spreadsheets/d/[A-Za-z0-9_-]{20,})/edit\b")
_TYPES: Final = {
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/yaml": "yaml",
    "application/x-yaml": "yaml",
    "text/yaml": "yaml",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A manifest's bytes, what kind it is, how problems name it, and the path that its own paths are relative to."""

    data: bytes
    kind: str | None
    file: str
    anchor: Path
    """The file itself; of one without a file, a name in the current folder."""
    is_file: bool = True


def read_document(name: str | Path, *, kind: str | None = None) -> Document:
    """A manifest by its path, `-` for standard input, or an https:// address. Raises ManifestError."""
    text = str(name)
    if text == STANDARD_INPUT:
        data = sys.stdin.buffer.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise _refused("standard input", f"is larger than {_MOST_BYTES // 1024**2} MB")
        return _without_file(data, kind or sniffed(data), "stdin", "stdin")
    if is_address(text):
        return _published(text, kind)
    path = Path(text)
    try:
        return Document(data=path.read_bytes(), kind=kind or kind_of(text), file=str(path), anchor=path)
    except OSError as error:
        raise _refused(text, f"cannot be read: {(error.strerror or str(error)).lower()}") from error


def is_address(name: str) -> bool:
    """Whether a manifest's name is the address of a published one."""
    return name.lower().startswith(("https://", "http://"))


def _without_file(data: bytes, kind: str, file: str, stem: str) -> Document:
    return Document(data=data, kind=kind, file=file, anchor=Path.cwd() / f"{stem}.{kind}", is_file=False)


def _refused(file: str, message: str, hint: str | None = None) -> ManifestError:
    return ManifestError([Problem(place=Place(file=file), message=message, hint=hint)])


def _published(url: str, kind: str | None) -> Document:
    file = without_query(url)
    fetched = _fetch(exported(url), loopback=True)
    if isinstance(fetched, Missing):
        raise _refused(file, fetched.reason)
    data, content_type = fetched
    if content_type == "text/html" or data[:256].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        message = "this is a web page, not a sheet"
        raise _refused(file, message, f"give the address under which the sheet itself is published: {_PUBLISHED}")
    kind = kind or _TYPES.get(content_type) or kind_of(urlsplit(url).path) or sniffed(data)
    return _without_file(data, kind, file, ids.clean(ids.stem(file)))


def exported(url: str) -> str:
    """The address under which a Google sheet comes as CSV, where this is the one that one edits it at."""
    match = _EDITED.match(url)
    if match is None:
        return url
    sheet = re.search(r"[?#&]gid=(\d+)", url)
    return f"{match[1]}/export?format=csv" + (f"&gid={sheet[1]}" if sheet else "")


def _fetch(url: str, *, loopback: bool) -> tuple[bytes, str] | Missing:
    """The bytes and their media type; only over https, or with `loopback` from this machine itself."""
    parts = urlsplit(url)
    loopback = loopback and is_loopback_host(parts.hostname or "")
    if parts.scheme.lower() != "https" and not loopback:
        return Missing("is fetched over https only")
    with tempfile.TemporaryDirectory(prefix="batchmod-") as folder, ThreadPoolExecutor(max_workers=1) as pool:
        target = Path(folder) / "document"
        # a thread of its own, since whoever calls may have an event loop running
        fetched = pool.submit(lambda: asyncio.run(_download(url, target, loopback=loopback))).result()
        if not fetched.ok:
            return Missing(f"could not be fetched: {fetched.problem}")
        return target.read_bytes(), fetched.content_type.partition(";")[0].strip().lower()


async def _download(url: str, target: Path, *, loopback: bool) -> "Fetched":
    from batchmod.transport import Transport

    transport = Transport()
    try:
        return await transport.download(url, target, loopback_allowed=loopback, max_bytes=_MOST_BYTES)
    finally:
        await transport.aclose()


def answers(
    needs: Iterable[Need], *, manifest: Path, tree: Path | None, is_output: Callable[[Path], bool]
) -> dict[Need, Answer]:
    """What is there of the needs; nothing below `tree` is left, unless that is None.

    A pattern does not reach into folders that are outputs of batchmod's: what was made would be made again of itself.
    """
    return {need: _answer(need, manifest.resolve().parent, tree, is_output) for need in needs}


def _answer(need: Need, base: Path, tree: Path | None, is_output: Callable[[Path], bool]) -> Answer:
    if need.kind == "listing":
        start = "".join(need.name.partition("*")[0].rpartition("/")[:2])
        return _outside(base / start, tree) or _listed(need.name, base, base / start, is_output)
    if is_address(need.name):
        fetched = _fetch(need.name, loopback=False)  # a manifest may come from anybody: it reaches no service here
        return fetched if isinstance(fetched, Missing) else fetched[0]
    path = Path(os.path.abspath(base / need.name))  # noqa: PTH100 - resolve() would follow links, and names would change
    if (outside := _outside(path, tree)) is not None:
        return outside
    try:
        if need.kind == "text" and path.stat().st_size > _LONGEST_TEXT:
            return Missing("is larger than a prompt can be")
        return path.read_bytes()
    except FileNotFoundError:
        return Missing(f"is not there (looked for {path})")
    except OSError as error:
        return Missing(f"cannot be read: {(error.strerror or str(error)).lower()}")


def _outside(path: Path, tree: Path | None) -> Missing | None:
    if tree is None or path.resolve().is_relative_to(tree):
        return None
    return Missing(f"lies outside {tree}; say --allow-outside if that is meant")


def _listed(pattern: str, base: Path, start: Path, is_output: Callable[[Path], bool]) -> tuple[str, ...] | Missing:
    """The files that a pattern matches, 2 before 10; only `*` and `**` mean anything in it."""
    plain = glob.escape(pattern).replace("[*]", "*")
    found = (name for name in glob.iglob(plain, root_dir=base, recursive=True) if (base / name).is_file())  # noqa: PTH207 - names as the manifest writes them
    is_known_output = functools.cache(is_output)

    def is_meant(name: str) -> bool:
        path = base / name
        if _BESIDE.fullmatch(path.name) and not _BESIDE.fullmatch(pattern):
            return False
        between = itertools.takewhile(lambda folder: folder != start, path.parents)
        return not any(map(is_known_output, between))

    names = sorted((Path(name).as_posix() for name in found if is_meant(name)), key=_natural)
    if len(names) > _MOST_FILES:
        return Missing(f"matches {len(names):,} files; {_MOST_FILES:,} are the most")
    return tuple(names)


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    return tuple((1, int(each), "") if each.isdecimal() else (0, 0, each) for each in re.split(r"(\d+)", name))
