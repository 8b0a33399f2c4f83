"""A workbook's rows in the record as the user wrote them, and the workbook that gives them back with their results."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from batchmod import files, work
from batchmod.app.loading import Loaded
from batchmod.checkpoint import Checkpoint
from batchmod.checkpoint.values import StoredRow
from batchmod.errors import MissingExtra
from batchmod.manifest import SheetRead
from batchmod.model import Row
from batchmod.results import workbook
from batchmod.results.workbook import FILE_NAME, Line, Picture, UsersSheet

__all__ = ["AT_ONCE", "FILE_NAME", "THUMBNAILS", "cells_of", "fact_of", "write"]

THUMBNAILS: Final = ".thumbnails"
AT_ONCE: Final = 50
"""How many new thumbnails a run makes at its end; `report` makes the others."""

_FACT: Final = "sheet_of "
_WORKERS: Final = 4


def fact_of(loaded: Loaded) -> dict[str, str]:
    """What the record keeps of a manifest's own sheet, where that is a workbook."""
    sheet = _own(loaded)
    if sheet is None or sheet.table is None or sheet.roles is None:
        return {}
    about = {
        "title": sheet.ways.sheet,
        "headers": sheet.table.headers,
        "fields": dict(sheet.roles.ours),
        "own": dict(sheet.roles.own),
    }
    return {_FACT + loaded.manifest.name: json.dumps(about, ensure_ascii=False)}


def cells_of(loaded: Loaded) -> Callable[[int | None, Row | None], dict[str, list[str]]]:
    """(line, row) → the cells that the user wrote for it, as a row's further fields in the record."""
    sheet = _own(loaded)
    if sheet is None or sheet.table is None or sheet.roles is None:
        return lambda line, row: {}  # noqa: ARG005 - nothing is kept
    records = {record.line: record.cells for record in sheet.table.records}
    fields = sheet.roles.ours

    def cells(line: int | None, row: Row | None) -> dict[str, list[str]]:
        written = records.get(line or 0)
        if written is None:
            return {}
        return {"cells": list(written) if row is None else _its_own(list(written), fields, row)}

    return cells


def _own(loaded: Loaded) -> SheetRead | None:
    """The manifest's own sheet."""
    return next((each for each in loaded.sheets if each.file == loaded.manifest.file), None)


def _its_own(cells: list[str], fields: Mapping[str, int], row: Row) -> list[str]:
    """The cells of one row, where the one line that was written stands for several (patterns, variants)."""
    if "id" in fields:
        cells[fields["id"]] = row.id
    if "*" in cells[fields["video_url"]]:
        cells[fields["video_url"]] = row.video_url
    if "variants" in fields and cells[fields["variants"]].strip():
        cells[fields["variants"]] = ""
        if "variant" in fields:
            cells[fields["variant"]] = str(row.variant)
    return cells


def write(
    record: Checkpoint,
    folder: Path,
    lines: Callable[[], Iterable[tuple[StoredRow, dict[str, Any]]]],
    *,
    new: int | None,
) -> Path | None:
    """results.xlsx, where the manifest is or was a workbook; None where it is none, or none can be written here.

    `new`: how many thumbnails may be made; None: as many as are missing.
    """
    kept = record.fact(_FACT + (record.fact("manifest_name") or ""))
    if kept is None:
        return None
    about = json.loads(kept)
    sheet = UsersSheet(title=about["title"], headers=tuple(about["headers"]), fields=about["fields"], own=about["own"])
    first = record.fact("manifest_file") or ""
    further: dict[str, None] = {}
    for row in record.stored_rows():
        if row.manifest in ("", first):
            further.update((name, None) for name in row.fields["own"] if name not in sheet.own)

    def chosen() -> Iterator[tuple[StoredRow, dict[str, Any]]]:
        return ((row, line) for row, line in lines() if row.manifest in ("", first))

    pictures = _pictures(folder, (line for _, line in chosen()), new=new)
    modes = files.schema("row")["properties"]["mode"]["enum"]
    made = (Line(results=line, cells=row.fields.get("cells"), row=row.fields) for row, line in chosen())
    try:
        return workbook.write(
            folder,
            sheet,
            made,
            further=list(further),
            modes=modes,
            picture=lambda line: pictures.get(line["sha256"] or ""),
        )
    except MissingExtra:
        return None


def _pictures(folder: Path, lines: Iterable[Mapping[str, Any]], *, new: int | None) -> dict[str, Picture]:
    """The hash of an output → its thumbnail, for the first of them; made where it is missing."""
    found: dict[str, Picture] = {}
    missing: dict[Path, Path] = {}
    for line in _with_output(lines):
        file = folder / THUMBNAILS / f"{line['sha256']}.jpg"
        height = max(1, round(line["height"] * workbook.PICTURE_WIDTH / line["width"]))
        found[line["sha256"]] = Picture(file=file, width=workbook.PICTURE_WIDTH, height=height)
        if not file.exists() and (new is None or len(missing) < new):
            missing[folder / line["output"]] = file
    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(_make, missing, missing.values()))
    return {sha256: picture for sha256, picture in found.items() if picture.file.exists()}


def _with_output(lines: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    shown = (line for line in lines if line["output"] and line["sha256"] and line["width"] and line["height"])
    for number, line in enumerate(shown):
        if number == workbook.MOST_PICTURES:
            return
        yield line


def _make(video: Path, target: Path) -> None:
    """A thumbnail; one that cannot be made or kept is done without."""
    small = work.thumbnail(str(video), workbook.PICTURE_WIDTH)
    if isinstance(small, bytes):
        try:
            files.write_whole(target, lambda file: file.write(small))
        except OSError:
            return
