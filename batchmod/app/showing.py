"""Looking without touching: a folder's standing, and its pages anew. No key, no lock, no network."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from batchmod.app import copying, delivered, orphans, outcomes, tables
from batchmod.app import folder as folders


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Counts and money of one output folder."""

    folder: Path
    rows: int
    counts: Mapping[str, int]
    spent_usd: float
    reserved_usd: float
    orphans: tuple[str, ...]
    """Unfinished works no row shows any more."""
    copies: int
    """How many rows have a delivered copy of their output."""
    lacking: int
    """How many have an output and no copy, where the last run was to make copies."""
    troubles: tuple[tuple[str, str, str], ...]
    """(id, status, message) of each row that failed or is uncertain."""


def standing(folder: Path, *, state: Path | None = None) -> Standing:
    """Where an output folder stands."""
    with folders.look_at(folder, state=state) as record:
        lines = list(outcomes.lines(record))
        totals = record.totals()
        copies, wanted = delivered.shown(folder), copying.remembered(record) is not None
        counts: dict[str, int] = {}
        for line in lines:
            counts[line["status"]] = counts.get(line["status"], 0) + 1
        return Standing(
            folder=folder,
            rows=len(lines),
            counts=counts,
            spent_usd=totals.spent_usd,
            reserved_usd=totals.reserved_usd,
            orphans=tuple(orphans.in_words(work) for work in orphans.of(record)),
            copies=sum(line["output"] in copies for line in lines),
            lacking=sum(bool(line["output"]) and line["output"] not in copies for line in lines) if wanted else 0,
            troubles=tuple(
                (line["id"], line["status"], line["error"] or "")
                for line in lines
                if line["status"] in ("failed", "uncertain")
            ),
        )


def rewrite(folder: Path, *, state: Path | None = None) -> tuple[Path, ...]:
    """results.csv, report.html and, where the manifest is a workbook, results.xlsx anew, from the record alone."""
    with folders.look_at(folder, state=state) as record:
        return tuple(path for path in tables.write(record, folder, thumbnails=None) if path is not None)
