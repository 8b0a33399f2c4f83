"""What a store says of an object, in the same words for every store."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """An object as it was when the store was asked."""

    url: str
    size: int
    etag: str = ""
    """Another one where the content is another one, in quotes as HTTP has it; empty where the store gives none."""
    modified: float | None = None
    """Unix seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """An object with its beginning and its end, all of one version."""

    stored: Stored
    head: bytes
    tail: bytes


def stored_of(url: str, info: Mapping[str, Any]) -> Stored | None:
    """What a file system's `info` says; None where it is no object but a folder of objects."""
    if info.get("type") == "directory":
        return None
    size = info.get("size")
    return Stored(url=url, size=int(size or 0), etag=_etag(info), modified=_modified(info))


def _etag(info: Mapping[str, Any]) -> str:
    found = info.get("ETag") or info.get("etag") or info.get("generation") or info.get("md5Hash") or ""
    text = str(found)
    return text if not text or text.startswith(('"', "W/")) else f'"{text}"'


def _modified(info: Mapping[str, Any]) -> float | None:
    for name in ("LastModified", "last_modified", "mtime", "updated"):
        said = info.get(name)
        if isinstance(said, str) and said:
            try:
                said = datetime.fromisoformat(said)
            except ValueError:
                continue
        if isinstance(said, datetime):
            return (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()
    return None
