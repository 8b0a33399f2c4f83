"""The files a row names, and which paths and URLs are refused unseen."""

from collections.abc import Iterator, Mapping
from typing import Any

from batchmod.errors import Place
from batchmod.model import NamedFile, Row
from batchmod.urls import check_request_url, check_stored_url, is_stored


def files_of(row: Row) -> Iterator[NamedFile]:
    """The files a good row names."""
    values = {"video_url": row.video_url, "first_frame_url": row.first_frame_url, "keyframes": row.keyframes}
    for name, value in values.items():
        if value is not None:
            yield NamedFile(number=row.number, field=name, value=value, place=row.places.get(name, row.place))


def named_files(
    number: int, values: Mapping[str, Any], places: Mapping[str, Place], place: Place
) -> Iterator[NamedFile]:
    """The files among a row's values, but for those that `source_fault` refuses."""
    for name in ("video_url", "first_frame_url", "keyframes"):
        value = values.get(name)
        if isinstance(value, str) and source_fault(value) is None:
            yield NamedFile(number=number, field=name, value=value, place=places.get(name, place))


def source_fault(text: str) -> str | None:
    """Why a path or URL is refused unseen; never shows a password."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        return None
    if scheme.casefold() in {"http", "https"}:
        return check_request_url(text)
    if is_stored(text):
        return check_stored_url(text)
    return "a URL must not hold a user or password" if "@" in rest.partition("/")[0] else None
