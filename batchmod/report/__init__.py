"""Outcomes → one page: report.html, for people; it opens from disk and asks no network."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from batchmod import clock, files
from batchmod.report import page
from batchmod.report.cards import FACTS, Card, Clip, Places, Shown, card, reference
from batchmod.report.page import Since
from batchmod.report.tally import MOST_CARDS, Gathering, in_reading_order

__all__ = [
    "FACTS", "FILE_NAME", "MOST_CARDS", "THUMBS", "Background", "Card", "Clip", "Gathering", "Places", "Shown", "Since",
    "card", "cards_of", "page", "pieces", "reference", "write",
]  # fmt: skip

FILE_NAME: Final = "report.html"
THUMBS: Final = "thumbs"
_NONE: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Background:
    """What the record knows besides its lines."""

    older: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Id → lines that speak of its earlier versions, the newest first."""
    since: Since | None = None
    """What the newest run changed; None where there was none, or nothing is known of it."""
    generations: int = 0
    """How many requests came to an output, every version counted."""
    spent_usd: float = 0.0
    """What all of them cost."""
    is_estimated: bool = False
    """Whether a part of that was not confirmed by its provider."""
    folder_id: str = ""
    """By which the page's marks are told from those of other folders."""
    up: frozenset[str] = frozenset()
    """Files below the folder that may be gone from it, since they lie where the page is put up."""


NOTHING: Final = Background()


def write(
    folder: Path,
    lines: Iterable[Mapping[str, Any]] | Gathering,
    *,
    title: str,
    sources: Mapping[str, str],
    first_frames: Mapping[str, str] = _NONE,
    orphans: Sequence[str] = (),
    background: Background = NOTHING,
    most: int = MOST_CARDS,
) -> Path:
    """Write report.html whole from the lines of results.csv, or from what was noted of them; returns where it stands.

    `sources` and `first_frames`: id → absolute path or URL, where it is not the URL that its line names; empty for a
    first frame that is not sent. Files are shown where they lie, relative to `folder`; URLs are named without their
    query and not loaded. The page shows at most `most` rows: those that need a look,
    then the newest; the totals count all. `orphans`: a line for each unfinished request that no row names any more.
    """
    noted = lines if isinstance(lines, Gathering) else Gathering(most=most)
    if not isinstance(lines, Gathering):
        deque(noted.watch(lines), maxlen=0)
    thumbs = files.listing(folder, THUMBS) | background.up
    places = Places(folder=folder, sources=sources, first_frames=first_frames, thumbs=thumbs)
    text = page.render(
        page.About(
            title=title,
            made_at=clock.iso(clock.now()),
            totals=noted.totals,
            shown=len(noted.kept),
            orphans=tuple(orphans),
            since=background.since,
            generations=background.generations,
            spent_usd=background.spent_usd,
            is_estimated=background.is_estimated,
            folder_id=background.folder_id,
        ),
        list(cards_of(noted, places=places, background=background)),
    )
    return files.write_whole(folder / FILE_NAME, lambda file: _encode(file, text))


def cards_of(noted: Gathering, *, places: Places, background: Background) -> Iterator[Card]:
    """The cards of the rows that the page shows: those that need a look first, then the others in their order."""
    ours = frozenset(files.schema("results")["properties"])
    since = background.since.began if background.since and not background.since.is_first else None
    for _, line in in_reading_order(noted.kept):
        yield card(line, places=places, ours=ours, older=background.older.get(str(line["id"]), ()), since=since)


def pieces(text: Iterator[str]) -> Callable[[IO[bytes]], None]:
    """What writes a page's text into a file."""
    return lambda file: _encode(file, text)


def _encode(file: IO[bytes], text: Iterator[str]) -> None:
    for piece in text:
        # a file name that is no text holds lone surrogates, which UTF-8 has no bytes for
        file.write(piece.encode("utf-8", errors="xmlcharrefreplace"))
