"""A line of results.csv → a Card: everything the page says of one row, as text still to be escaped."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import quote

from batchmod.model import Status
from batchmod.report.advice import advice
from batchmod.report.tally import SCORES, Line, is_flagged, needs_a_look, number, row_of, said, status_of
from batchmod.report.timeline import moment
from batchmod.urls import without_query

FACTS: Final = (
    "provider", "cost", "took", "size", "rate", "length", "sound", "file", "variant", "attempts", "request",
)  # fmt: skip
"""What is known of a row, by the names the page gives it, in the order a reader asks."""

_COPY: Final = "delivered"
"""The column of the delivered copies."""
NO_CLIP: Final = "no clip named"

_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+://\S+", re.IGNORECASE)
_SOUND: Final = {True: "yes", False: "none", None: ""}


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where the page will stand, where the rows' clips and first frames are, and which thumbnails there are."""

    folder: Path
    sources: Mapping[str, str]
    """Id → absolute path or URL."""
    first_frames: Mapping[str, str]
    thumbs: frozenset[str] = frozenset()
    """Relative to `folder`: `thumbs/<stem of the output>.jpg`, `thumbs/<stem>.source.jpg`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A clip or picture: its name, and the reference under which the page loads it (None: named only)."""

    name: str
    href: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """An output: its file, its first frame as a small picture, and what is known of it."""

    version: int
    shown: Shown
    thumb: str | None = None
    size: tuple[int, int] | None = None
    """(width, height) in pixels."""
    fps: float | None = None
    at: str | None = None
    """When it came, ISO 8601."""
    cost: str = ""
    about: str = ""
    """How its request differed from the row as it is now: mode, prompt."""
    scores: tuple[float | None, ...] = ()
    """Of an earlier version, as are `facts` and `flag_reason`: those of the newest are the row's."""
    facts: tuple[str, ...] = ()
    flag_reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One row as the page shows it; texts are not yet escaped, but rid of what no page may tell."""

    id: str
    row: int
    status: Status
    flagged: bool
    to_look_at: bool
    before: Shown
    before_thumb: str | None
    after: Clip | None
    older: tuple[Clip, ...]
    """Its earlier versions, the newest first."""
    first_frame: Shown | None
    mode: str | None
    prompt: str | None
    scores: tuple[float | None, ...]
    """In the order of SCORES."""
    facts: tuple[str, ...]
    """In the order of FACTS; empty where nothing is known."""
    copy: Shown | None
    """The delivered copy of the output."""
    cost_usd: float | None
    finished_at: str | None
    own: tuple[tuple[str, str], ...]
    flag_reason: str | None
    error_code: str | None
    error: str | None
    warnings: str | None
    advice: str | None
    review: str | None
    review_of: int | None
    review_note: str | None
    news: str | None
    """What became of it in the newest run: `new`, `version`, `failed` or `sent`."""
    job_key: str | None
    run_id: str | None
    manifest: str | None


def card(
    line: Line, *, places: Places, ours: frozenset[str], older: Sequence[Line] = (), since: float | None = None
) -> Card:
    """The card of one line; `ours`: batchmod's own columns, all others are the user's.

    `older`: lines that speak of its earlier versions; `since`: when the newest run began (Unix seconds).
    """
    status, code, id_ = status_of(line), _text(line, "error_code"), str(line["id"])
    after = clip(line, places)
    earlier = (clip(each, places, now=line) for each in older)
    stem = _stem(line) if after else None
    return Card(
        id=id_,
        row=row_of(line),
        status=status,
        flagged=is_flagged(line),
        to_look_at=needs_a_look(line),
        before=_shown(places.folder, places.sources.get(id_)) or Shown(name=_text(line, "video_url") or NO_CLIP),
        before_thumb=_thumb(f"{stem}.source", places) if stem else None,
        after=after,
        older=tuple(each for each in earlier if each is not None),
        first_frame=_shown(places.folder, places.first_frames.get(id_, _url(line, "first_frame_url"))),
        mode=_text(line, "mode"),
        prompt=_text(line, "prompt"),
        scores=_scores(line),
        facts=tuple(_facts(line)),
        copy=_copy(line, places),
        cost_usd=number(line.get("cost_usd")),
        finished_at=_text(line, "finished_at"),
        own=tuple(
            (name, without_queries(str(value)))
            for name, value in line.items()
            if name not in ours and value and name not in (_COPY, "review_note")
        ),
        flag_reason=_text(line, "flag_reason"),
        error_code=code,
        error=_text(line, "error"),
        warnings=_text(line, "warnings"),
        advice=advice(status, code, paid=bool(line.get("request_id")) and _text(line, "billed") != "false"),
        review=_text(line, "review"),
        review_of=_whole(line, "review_of"),
        review_note=_text(line, "review_note"),
        news=news_of(line, since=since),
        job_key=_text(line, "job_key"),
        run_id=_text(line, "run_id"),
        manifest=_text(line, "manifest"),
    )


def clip(line: Line, places: Places, *, now: Line | None = None) -> Clip | None:
    """The output that a line speaks of, None where there is none; `now`: the row, where this is an older version."""
    output = _text(line, "output")
    if not output:
        return None
    return Clip(
        version=_whole(line, "version") or 1,
        shown=Shown(name=output, href=reference(places.folder, places.folder / output)),
        thumb=_thumb(_stem(line), places),
        size=_size(line),
        fps=_rate(_text(line, "fps")),
        at=_text(line, "finished_at"),
        cost=cost_text(number(line.get("cost_usd")), estimated=line.get("cost_source") != "provider"),
        about=_about(line, now) if now else "",
        scores=_scores(line) if now else (),
        facts=tuple(_facts(line)) if now else (),
        flag_reason=_text(line, "flag_reason") if now else None,
    )


def _copy(line: Line, places: Places) -> Shown | None:
    copy = _text(line, _COPY)
    return None if copy is None else Shown(name=copy, href=reference(places.folder, places.folder / copy))


def _scores(line: Line) -> tuple[float | None, ...]:
    return tuple(number(line.get(name)) for name in SCORES)


def news_of(line: Line, *, since: float | None) -> str | None:
    """What became of a row since a moment: `new`, `version`, `failed`, `sent`; None for nothing."""
    if since is None:
        return None
    status, ended, began = status_of(line), moment(line.get("finished_at")), moment(line.get("submitted_at"))
    if ended is not None and ended >= since:
        if status is Status.SUCCEEDED:
            return "version" if (_whole(line, "version") or 1) > 1 else "new"
        return "failed" if status is Status.FAILED else None
    is_under_way = status in (Status.SUBMITTING, Status.SUBMITTED, Status.UNCERTAIN)
    return "sent" if is_under_way and began is not None and began >= since else None


def without_queries(text: str) -> str:
    """The text with every URL in it cut before its query, where signatures and keys stand."""
    return _URL.sub(lambda found: without_query(found[0]).partition("?")[0], text) if "://" in text else text


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


def _stem(line: Line) -> str:
    """An output's name below `videos/`, without its suffix."""
    return str(line.get("output") or "").removeprefix("videos/").rpartition(".")[0]


def _thumb(stem: str, places: Places) -> str | None:
    name = f"thumbs/{stem}.jpg"
    return quote(os.fsencode(name)) if name in places.thumbs else None


def _about(line: Line, now: Line) -> str:
    differs = (name for name in ("mode", "prompt") if line.get(name) != now.get(name))
    return " · ".join(filter(None, (_text(line, name) for name in differs)))


def _url(line: Line, name: str) -> str | None:
    value = str(line.get(name) or "")
    return value if _URL.match(value) else None


def _text(line: Line, name: str) -> str | None:
    value = line.get(name)
    return None if value is None or value == "" else without_queries(str(value))


def _whole(line: Line, name: str) -> int | None:
    value = number(line.get(name))
    return None if value is None else int(value)


def _size(line: Line) -> tuple[int, int] | None:
    width, height = number(line.get("width")), number(line.get("height"))
    return (int(width), int(height)) if width and height else None


def _facts(line: Line) -> Iterator[str]:
    """In the order of FACTS."""
    yield " · ".join(filter(None, (_text(line, "provider"), _text(line, "model"))))
    yield cost_text(number(line.get("cost_usd")), estimated=line.get("cost_source") != "provider")
    yield _seconds_text(line)
    yield _size_text(line)
    yield _rate_text(_text(line, "fps"))
    yield _length_text(line)
    yield _SOUND[said(line.get("has_audio"))]
    yield _bytes_text(number(line.get("bytes")))
    yield _above_one(line, "variant")
    yield _above_one(line, "attempts")
    yield _text(line, "request_id") or ""


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


@lru_cache(maxsize=64)
def _rate(fps: str | None) -> float | None:
    try:
        return float(Fraction(fps or ""))
    except (ValueError, ZeroDivisionError):
        return None


def _rate_text(fps: str | None) -> str:
    rate = _rate(fps)
    return "" if rate is None else f"{rate:.5g} fps"


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
