"""What is to be looked at: an output and what it was made from, and which outputs of a folder lack something."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchmod import files, judgement
from batchmod.app.scoring import thumbnails
from batchmod.app.services import engine_installed
from batchmod.checkpoint import Checkpoint, source_of
from batchmod.model import Source, Work
from batchmod.report import THUMBS

_MOST_DRAWN: Final = 20_000
"""Outputs that thumbnails are made for afterwards: as many as the report shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What is to be done about scores."""

    scores: bool = True
    remote: bool = False
    """Whether sources on the web are fetched."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One output to be looked at."""

    work_id: int
    sha256: str
    output: Path
    delivered: tuple[str, ...]
    """Where it lies below the folder: once for each id that it was delivered to."""
    video: Source
    first_frame: Source | None
    work: Work


def order_of(record: Checkpoint, folder: Path, work_id: int) -> Order | None:
    """What there is to look at of a work; None where its output or what it was made from is not known."""
    found = record.work(work_id)
    there = [each.path for each in record.deliveries_of(work_id) if each.delivered and (folder / each.path).is_file()]
    video = source_of(found.inputs.get("video"))
    if not there or video is None or found.sha256 is None:
        return None
    return Order(
        work_id=work_id,
        sha256=found.sha256,
        output=folder / there[0],
        delivered=tuple(there),
        video=video,
        first_frame=source_of(found.inputs.get("first_frame")),
        work=found,
    )


def lacking(record: Checkpoint, folder: Path, wishes: Wishes) -> list[int]:
    """The works whose output is here and lacks scores, or, as far as the report shows it, a thumbnail; newest first."""
    found = dict.fromkeys(record.unscored(judgement.FORM, remote=wishes.remote)) if engine_installed() else {}
    drawn = files.listing(folder, THUMBS)
    for work_id, path in record.newest_outputs(_MOST_DRAWN):
        if thumbnails.of_output(path) not in drawn:
            found[work_id] = None
    return sorted(found, reverse=True)
