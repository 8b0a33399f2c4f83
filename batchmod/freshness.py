"""What servers say of clips on the web, night after night → whether one is another clip now. Never by a guess."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

_STRONG: Final = re.compile(r'"[\x21\x23-\x7e\x80-\xff]+"')
_MOST_TAGS: Final = 20


class Verdict(StrEnum):
    """What one look at a clip has shown."""

    FIRST = "first"  # never looked at before
    SAME = "same"
    CHANGED = "changed"  # other bytes than at the last look
    UNREACHABLE = "unreachable"
    NO_ETAG = "no_etag"  # none, or a weak one, which promises nothing of the bytes
    UNSURE = "unsure"  # answers that do not agree, or of which the bytes cannot be looked at
    NO_MEDIA = "no_media"  # a page, an error: no video and no picture


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What is known of one URL: its content when it was first seen and now, and the ETags that stand for contents."""

    first: str
    now: str
    etags: Mapping[str, str] = field(default_factory=dict)
    """ETag → the content that was seen under it."""
    changed_at: str | None = None

    @property
    def changed(self) -> str | None:
        """The content, where it is another one than when it was first seen."""
        return self.now if self.now != self.first else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a server said: once by asking, and once more with the beginning and the end of the file."""

    etag: str = ""
    reached: bool = True
    again_etag: str = ""
    """The ETag that came with the bytes."""
    content: str | None = None
    """What `content_of` makes of them."""
    is_media: bool = True


def strong(etag: str) -> str | None:
    """An ETag that stands for exactly these bytes (RFC 9110, 8.8.1); None for a weak or broken one, or none."""
    return etag if _STRONG.fullmatch(etag.strip()) and etag == etag.strip() else None


def content_of(size: int | None, head: bytes, tail: bytes, *, piece: int) -> str | None:
    """What a file's size, beginning and end come to; None where they are not whole.

    Two encodings of a clip differ there, since the index of all frames stands at its beginning or its end.
    """
    if not size or len(head) != min(size, piece) or (size > piece and len(tail) != min(size - piece, piece)):
        return None
    return f"{size}-{hashlib.sha256(head + tail).hexdigest()[:16]}"


def must_be_read(known: Seen | None, etag: str) -> bool:
    """Whether an ETag alone does not tell which content it is."""
    return strong(etag) is not None and (known is None or etag not in known.etags)


def judged(known: Seen | None, look: Look, *, at: str) -> tuple[Seen | None, Verdict]:
    """What is known after a look, and what it has shown; whatever is doubtful leaves things as they were.

    An ETag that was seen stands for what was seen under it. Under a new one the bytes decide: the same ones on
    another server, or uploaded once more, are the same clip.
    """
    if not look.reached:
        return known, Verdict.UNREACHABLE
    if strong(look.etag) is None:
        return known, Verdict.NO_ETAG
    if known is not None and look.etag in known.etags:
        return _after(known, known.etags[look.etag], at)
    if look.again_etag != look.etag or look.content is None:
        return known, Verdict.UNSURE
    if not look.is_media:
        return known, Verdict.NO_MEDIA
    if known is None:
        return Seen(first=look.content, now=look.content, etags={look.etag: look.content}), Verdict.FIRST
    tags = dict(list({**known.etags, look.etag: look.content}.items())[-_MOST_TAGS:])
    return _after(replace(known, etags=tags), look.content, at)


def _after(known: Seen, content: str, at: str) -> tuple[Seen, Verdict]:
    if content == known.now:
        return known, Verdict.SAME
    return replace(known, now=content, changed_at=at), Verdict.CHANGED


def as_json(seen: Seen) -> dict[str, Any]:
    """As it is kept."""
    return {"first": seen.first, "now": seen.now, "etags": dict(seen.etags), "changed_at": seen.changed_at}


def from_json(said: object) -> Seen | None:
    """The same read back; None where it is damaged."""
    if not isinstance(said, dict) or not isinstance(said.get("etags"), dict):
        return None
    first, now, changed_at = said.get("first"), said.get("now"), said.get("changed_at")
    if not isinstance(first, str) or not isinstance(now, str) or not isinstance(changed_at, str | None):
        return None
    return Seen(
        first=first,
        now=now,
        etags={str(tag): str(content) for tag, content in said["etags"].items()},
        changed_at=changed_at,
    )
