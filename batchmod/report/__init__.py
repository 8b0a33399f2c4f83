"""Outcomes → one page: report.html, for people; it opens from disk and asks no network."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from batchmod import clock, files
from batchmod.report import page
from batchmod.report.cards import Places, card
from batchmod.report.tally import MOST_CARDS, Gathering, in_reading_order

__all__ = ["FILE_NAME", "MOST_CARDS", "Gathering", "write"]

FILE_NAME: Final = "report.html"
_NONE: Final[Mapping[str, str]] = {}


def write(
    folder: Path,
    lines: Iterable[Mapping[str, Any]] | Gathering,
    *,
    title: str,
    sources: Mapping[str, str],
    first_frames: Mapping[str, str] = _NONE,
    orphans: Sequence[str] = (),
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
    totals, kept = noted.totals, noted.kept
    ours = frozenset(files.schema("results")["properties"])
    places = Places(folder=folder, sources=sources, first_frames=first_frames)
    cards = (card(line, number=number, places=places, ours=ours) for number, line in in_reading_order(kept))
    made_at = clock.iso(clock.now())
    text = page.render(title=title, made_at=made_at, totals=totals, shown=len(kept), cards=cards, orphans=orphans)
    return files.write_whole(folder / FILE_NAME, lambda file: _encode(file, text))


def _encode(file: IO[bytes], text: Iterator[str]) -> None:
    for piece in text:
        # a file name that is no text holds lone surrogates, which UTF-8 has no bytes for
        file.write(piece.encode("utf-8", errors="xmlcharrefreplace"))
