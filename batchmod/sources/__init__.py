"""Gathers what a manifest names: documents, clips and pictures; every problem with its place."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from batchmod import jobs, work
from batchmod.errors import Problem
from batchmod.files import Identities
from batchmod.filetypes import media_type
from batchmod.model import ClipFacts, NamedFile, Row, Source
from batchmod.rows import Stretch, files_of, parts_of
from batchmod.sources.documents import Document, answers, read_document
from batchmod.sources.pairing import Paired, edited_frames, extracted_name, pair, unedited, without
from batchmod.sources.remote import ask, fetch
from batchmod.sources.seen import SIDE_BY_SIDE, Seen
from batchmod.urls import identity_of_url, is_stored
from batchmod.work import Refusal

__all__ = [
    "SIDE_BY_SIDE",
    "Document",
    "Gathered",
    "Looked",
    "Paired",
    "Seen",
    "answers",
    "ask",
    "edited_frames",
    "extracted_name",
    "fetch",
    "gather",
    "is_remote",
    "look_at",
    "missing",
    "pair",
    "read_document",
    "tree_of",
    "unedited",
    "without",
]

_REMOTE: Final = ("http://", "https://")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """The sources of all rows, by row number, and what is wrong with them."""

    videos: Mapping[int, Source] = field(default_factory=dict)
    first_frames: Mapping[int, Source] = field(default_factory=dict)
    keyframes: Mapping[int, Source] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def tree_of(manifest: Path) -> Path:
    """The folder a manifest may take files from: its own, or the one above where its own is `manifests`."""
    folder = manifest.resolve().parent
    return folder.parent if folder.name == "manifests" else folder


def gather(rows: Sequence[Row], *, manifest: Path, identities: Identities, allow_outside: bool) -> Gathered:
    """Locate and identify every row's files; a URL is taken as it is, nothing is fetched.

    Plain rows, whose files are URLs, are passed over: there is nothing to be found out about them.
    """
    found: dict[str, dict[int, Source]] = {"video_url": {}, "first_frame_url": {}, "keyframes": {}}
    problems: list[Problem] = []
    for row in (row for part in parts_of(rows) if not isinstance(part, Stretch) for row in part):
        for named in files_of(row):
            if named.field == "keyframes":
                source = _folder(named.value, manifest=manifest, identities=identities, outside=allow_outside)
                if isinstance(source, Source):
                    found["keyframes"][row.number] = source
                else:
                    problems.append(_problem(named, source))
                continue
            given = row.source_id if named.field == "video_url" else None
            source = _source(named.value, manifest=manifest, identities=identities, given=given, outside=allow_outside)
            if isinstance(source, Source):
                found[named.field][row.number] = source
            else:
                problems.append(_problem(named, source))
    return Gathered(
        videos=found["video_url"],
        first_frames=found["first_frame_url"],
        keyframes=found["keyframes"],
        problems=tuple(problems),
    )


def missing(named: Iterable[NamedFile], *, manifest: Path, allow_outside: bool) -> list[Problem]:
    """What is wrong with files of rows that are wrong in other ways too: all problems are said at once."""
    found = (
        (each, _located(each.value, manifest=manifest, outside=allow_outside, folder=each.field == "keyframes"))
        for each in named
    )
    return [_problem(each, wrong) for each, wrong in found if isinstance(wrong, str)]


def _problem(named: NamedFile, message: str) -> Problem:
    return Problem(place=named.place, field=named.field, message=message, row=named.number, slug="bad_source")


def _source(value: str, *, manifest: Path, identities: Identities, given: str | None, outside: bool) -> Source | str:
    """The source a cell names, or what is wrong with it."""
    place = _located(value, manifest=manifest, outside=outside)
    if isinstance(place, str):
        return place
    if place is None:
        found = jobs.remote(value)
        return replace(found, identity=f"id:{given}") if given else found
    try:
        digest, kind = identities.sha256(place), media_type(place)
    except OSError as error:
        return f"'{value}' cannot be read: {(error.strerror or str(error)).lower()}"
    identity = f"id:{given}" if given else f"sha256:{digest}"
    return Source(location=str(place), local=True, identity=identity, sha256=digest, media_type=kind)


def _folder(value: str, *, manifest: Path, identities: Identities, outside: bool) -> Source | str:
    """A folder of edited frames: known by the names and the contents of its files."""
    place = _located(value, manifest=manifest, outside=outside, folder=True)
    if isinstance(place, str):
        return place
    if place is None:
        return f"'{value}' is a URL; a folder of edited frames lies on this machine"
    files = sorted(path for path in place.iterdir() if path.is_file() and not path.name.startswith("."))
    listed = "\n".join(f"{path.name} {identities.sha256(path)}" for path in files)
    digest = hashlib.sha256(listed.encode()).hexdigest()
    return Source(location=str(place), local=True, identity=f"folder:{digest}", sha256=digest)


def is_remote(value: str) -> bool:
    """Whether a cell names a URL or an object in a bucket, and no file of this machine."""
    return value.lower().startswith(_REMOTE) or is_stored(value)


def _located(value: str, *, manifest: Path, outside: bool, folder: bool = False) -> Path | str | None:
    """The file a cell names, None for a URL, or what is wrong with it."""
    if is_remote(value):
        try:
            identity_of_url(value)
        except ValueError as error:
            return str(error) if is_stored(value) else f"'{value}' is not a URL"
        return None
    if "://" in value and not value.lower().startswith("file://"):
        return f"'{value}' cannot be read: a clip is a path, a file://, http(s):// or s3:// URL (gs://, az://)"
    path = _path(value, manifest.resolve().parent)
    return _unusable(path, value, tree=tree_of(manifest), outside=outside, folder=folder) or path


def _path(value: str, base: Path) -> Path:
    if value.lower().startswith("file://"):
        value = unquote(urlsplit(value).path)
    return Path(os.path.abspath(base / value))  # noqa: PTH100 - resolve() would follow links, and names would change


def _unusable(path: Path, value: str, *, tree: Path, outside: bool, folder: bool) -> str | None:
    if not outside and not path.resolve().is_relative_to(tree):
        return f"'{value}' lies outside {tree}; say --allow-outside if that is meant"
    if not path.exists():
        return f"'{value}' is not there (looked for {path})"
    if path.is_dir() is not folder:
        return f"'{value}' is {'a file, not a folder' if folder else 'a folder, not a file'}"
    if not os.access(path, os.R_OK):
        return f"'{value}' may not be read"
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """What looking at the local files showed: clips by identity, refusals by field and location."""

    clips: Mapping[str, ClipFacts]
    refused: Mapping[tuple[str, str], Refusal]
    """A clip is no picture: one that a row names in its place is refused there only."""


def look_at(gathered: Gathered, seen: Seen) -> Looked:
    """Look at every local file once, several at a time; what is remembered is not opened again."""
    videos = {s.location: s for s in gathered.videos.values() if s.local}
    frames = {s.location: s for s in gathered.first_frames.values() if s.local}
    clips: dict[str, ClipFacts] = {}
    refused: dict[tuple[str, str], Refusal] = {}
    for location, facts in seen.clips(videos.values()).items():
        if isinstance(facts, Refusal):
            refused["video_url", location] = facts
        else:
            clips[videos[location].identity] = facts
    with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as pool:
        sizes = zip(frames, pool.map(work.probe_image, frames), strict=True)
        refused.update({("first_frame_url", location): size for location, size in sizes if isinstance(size, Refusal)})
    return Looked(clips=clips, refused=refused)
