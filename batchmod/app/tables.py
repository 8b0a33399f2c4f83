"""What people read of a folder: results.csv, report.html and results.xlsx, written from the record."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from batchmod import files, report, results
from batchmod.app import delivered, orphans, outcomes, paging, sheets
from batchmod.checkpoint import Checkpoint
from batchmod.rows.returning import COPY


def places(folder: Path) -> tuple[Path, Path, Path | None]:
    """Where results.csv, report.html and, if there is one, results.xlsx stand when nobody holds them open."""
    workbook = folder / sheets.FILE_NAME
    return folder / results.FILE_NAME, folder / report.FILE_NAME, workbook if workbook.exists() else None


def written_aside(*written: Path | None) -> list[str]:
    """What to say of those that had to take another name."""
    usual = (results.FILE_NAME, report.FILE_NAME, sheets.FILE_NAME)
    names = [path for path in written if path is not None and path.name not in usual]
    return [
        f"{path.stem.rpartition(' (')[0]}{path.suffix} is open in a spreadsheet, so the new one is {path.name}; "
        f"close it, and run again or say `batchmod report {files.shortest(path.parent)}`"
        for path in names
    ]


def write(
    record: Checkpoint, folder: Path, *, thumbnails: int | None = sheets.AT_ONCE
) -> tuple[Path, Path, Path | None]:
    """results.csv, report.html and, where the manifest is a workbook, results.xlsx anew; where they stand.

    `thumbnails`: how many new ones may be made for the workbook; None: as many as are missing.
    """
    noted, about = report.Gathering(), _About.rows_of(record)
    copies = delivered.shown(folder)
    lines = noted.watch(_with_copies(outcomes.lines(record), copies))
    table = results.write(folder, lines, about.own, further=about.further, copies=bool(copies))
    page = paging.write(
        record,
        folder,
        noted,
        sources=about.sources,
        first_frames=about.first_frames,
        orphans=[orphans.in_words(work) for work in orphans.of(record)],
    )
    workbook = sheets.write(record, folder, lambda: outcomes.lines_of_rows(record), new=thumbnails)
    return table, page, workbook


@dataclass(frozen=True, kw_only=True, slots=True)
class _About:
    """What must be known of all rows before the first line is written."""

    own: list[str]
    """The user's own columns."""
    further: set[str]
    """The columns that stand there only where a row has something in them."""
    sources: dict[str, str]
    """Id → the clip, where it is not the URL that the row's line names."""
    first_frames: dict[str, str]
    """Id → the first frame, in the same way; empty for one that is not sent."""

    @classmethod
    def rows_of(cls, record: Checkpoint) -> Self:
        own: dict[str, None] = {}
        found = cls(own=[], further=set(), sources={}, first_frames={})
        for row in record.stored_rows():
            found.further.update(name for name in results.FURTHER if row.fields.get(name))
            own.update(dict.fromkeys(row.fields["own"]))
            # a URL stands in the row's line already, and there may be a million
            if row.fields["source"] and row.fields["source"] != row.fields.get("video_url"):
                found.sources[row.id] = row.fields["source"]
            if row.fields["frame"] != row.fields.get("first_frame_url"):
                found.first_frames[row.id] = row.fields["frame"] or ""
        found.own.extend(own)
        return found


def _with_copies(lines: Iterable[dict[str, Any]], copies: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The lines with the delivered copy of each output, where there are any."""
    for line in lines:
        if copies:
            line[COPY] = copies.get(line["output"] or "")
        yield line
