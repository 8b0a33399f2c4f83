"""A line of results.csv → a Card: everything the page says of one row, as text still to be escaped."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final
from urllib.parse import quote

from batchmod.model import Status
from batchmod.report.advice import advice
from batchmod.report.tally import Line, is_flagged, needs_a_look, number, row_of, said, status_of
from batchmod.urls import without_query

_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+://\S+", re.IGNORECASE)
_SOUND: Final = {True: "yes", False: "none", None: ""}


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where the page will stand, and where the rows' clips and first frames are: id → absolute path or URL."""

    folder: Path
    sources: Mapping[str, str]
    first_frames: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A clip or picture: its name, and the reference under which the page loads it (None: named only)."""

    name: str
    href: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One row as the page shows it; texts are not yet escaped, but rid of what no page may tell."""

    number: int
    id: str
    row: int
    status: Status
    flagged: bool
    to_look_at: bool
    before: Shown
    after: Shown | None
    first_frame: Shown | None
    size: tuple[int, int] | None
    """The output's (width, height) in pixels."""
    prompt: str | None
    facts: tuple[tuple[str, str], ...]
    own: tuple[tuple[str, str], ...]
    flag_reason: str | None
    error_code: str | None
    error: str | None
    warnings: str | None
    advice: str | None


def card(line: Line, *, number: int, places: Places, ours: frozenset[str]) -> Card:
    """The card of one line, the `number`-th of the page; `ours`: batchmod's own columns, all others are the user's."""
    status, code, id_ = status_of(line), _text(line, "error_code"), str(line["id"])
    return Card(
        number=number,
        id=id_,
        row=row_of(line),
        status=status,
        flagged=is_flagged(line),
        to_look_at=needs_a_look(line),
        before=_shown(places.folder, places.sources.get(id_))
        or Shown(name=_text(line, "video_url") or "no clip named"),
        after=_after(line, places.folder),
        first_frame=_shown(places.folder, places.first_frames.get(id_, _url(line, "first_frame_url"))),
        size=_size(line),
        prompt=_text(line, "prompt"),
        facts=tuple(_facts(line)),
        own=tuple((name, without_queries(str(value))) for name, value in line.items() if name not in ours and value),
        flag_reason=_text(line, "flag_reason"),
        error_code=code,
        error=_text(line, "error"),
        warnings=_text(line, "warnings"),
        advice=advice(status, code, paid=bool(line.get("request_id")) and _text(line, "billed") != "false"),
    )


def without_queries(text: str) -> str:
    """The text with every URL in it cut before its query, where signatures and keys stand."""
    return _URL.sub(lambda found: without_query(found[0]), text)


def reference(folder: Path, path: Path) -> str:
    """What a page in `folder` writes to load a local file: a relative reference, percent-encoded."""
    try:
        relative = Path(os.path.relpath(path, folder))
    except ValueError:  # pragma: no cover - Windows only: another drive has no relative path
        return path.as_uri()
    return quote(os.fsencode(relative.as_posix()))


def _shown(folder: Path, location: str | None) -> Shown | None:
    if not location:
        return None
    if _URL.match(location):
        return Shown(name=without_query(location))
    path = Path(location)
    return Shown(name=path.name, href=reference(folder, path))


def _after(line: Line, folder: Path) -> Shown | None:
    output = _text(line, "output")
    return Shown(name=output, href=reference(folder, folder / output)) if output else None


def _url(line: Line, name: str) -> str | None:
    value = str(line.get(name) or "")
    return value if _URL.match(value) else None


def _text(line: Line, name: str) -> str | None:
    value = line.get(name)
    return None if value is None or value == "" else without_queries(str(value))


def _size(line: Line) -> tuple[int, int] | None:
    width, height = number(line.get("width")), number(line.get("height"))
    return (int(width), int(height)) if width and height else None


def _facts(line: Line) -> Iterator[tuple[str, str]]:
    """What is known of the row, as (label, text), in the order a reader asks."""
    for label, value in (
        ("mode", _text(line, "mode")),
        ("provider", " · ".join(filter(None, (_text(line, "provider"), _text(line, "model"))))),
        ("cost", cost_text(number(line.get("cost_usd")), estimated=line.get("cost_source") != "provider")),
        ("took", _seconds_text(line)),
        ("size", _size_text(line)),
        ("rate", _rate_text(_text(line, "fps"))),
        ("length", _length_text(line)),
        ("sound", _SOUND[said(line.get("has_audio"))]),
        ("file", _bytes_text(number(line.get("bytes")))),
        ("variant", _above_one(line, "variant")),
        ("attempts", _above_one(line, "attempts")),
        ("review", _text(line, "review")),
        ("request", _text(line, "request_id")),
    ):
        if value:
            yield label, value


def cost_text(usd: float | None, *, estimated: bool) -> str:
    """`$0.60`, `about $0.60` for an estimate, as many places as it needs; empty where no cost is known."""
    if usd is None:
        return ""
    places = 2 if usd == 0 or usd >= 0.1 else 4  # noqa: PLR2004 - cents of a cent below ten cents
    return f"{'about ' if estimated and usd else ''}${usd:,.{places}f}"


def duration_text(seconds: float) -> str:
    """`48 s`, `2 min 36 s` or `3 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{seconds:.0f} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"  # noqa: PLR2004 - an hour


def _seconds_text(line: Line) -> str:
    seconds = number(line.get("seconds"))
    return "" if seconds is None else duration_text(seconds)


def _size_text(line: Line) -> str:
    size = _size(line)
    return f"{size[0]} x {size[1]}" if size else ""


def _rate_text(fps: str | None) -> str:
    try:
        return f"{float(Fraction(fps or '')):.5g} fps"
    except (ValueError, ZeroDivisionError):
        return ""


def _length_text(line: Line) -> str:
    frames, seconds = number(line.get("frames")), number(line.get("duration_s"))
    parts = [f"{seconds:.2f} s" if seconds is not None else "", f"{frames:.0f} frames" if frames is not None else ""]
    return ", ".join(filter(None, parts))


def _bytes_text(count: float | None) -> str:
    if count is None:
        return ""
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"  # noqa: PLR2004 - a megabyte


def _above_one(line: Line, name: str) -> str:
    count = number(line.get(name)) or 0
    return f"{count:.0f}" if count > 1 else ""
