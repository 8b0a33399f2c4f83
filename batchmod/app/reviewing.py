"""A report's marks written into the user's own sheets, which then say keep, redo and hold by themselves."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from batchmod import files, sources
from batchmod.app import folder as folders
from batchmod.app import loading, marking
from batchmod.app.options import Options
from batchmod.errors import ManifestError, Problem, UsageError
from batchmod.manifest import Reading, SheetRead
from batchmod.model import Row
from batchmod.rows import marks
from batchmod.rows.marks import Mark

_BACKUP = ".before-marks"
_RUN_IT = "`batchmod run` takes the file of marks itself"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reviewed:
    """What became of a file of marks."""

    written: tuple[tuple[Path, Path, int], ...]
    """Each sheet, the copy of what it was before, and how many rows were marked in it."""
    left: tuple[Problem, ...]
    """The marks that are not written, and why."""


def review(
    folder: Path, marks_file: Path, *, manifest: Path | None, options: Options, environ: Mapping[str, str]
) -> Reviewed:
    """Write marks into the sheets that hold the rows they are on; what a sheet was before is kept beside it.

    `manifest`: None where the folder says which ones it has. Raises UsageError where a sheet is held open, or the
    file is none of marks; ManifestError where the manifest or the marks cannot be read.
    """
    marked = marking.marked_in(sources.read_document(marks_file))
    if marked is None:
        raise UsageError(
            f"{marks_file} is no file of marks: export one from the report, or run it as the manifest it is"
        )
    with folders.look_at(folder, state=options.state) as record:
        standing = marking.standing_of(record, marked.marks)
        known = marking.manifests(record, standing) or frozenset(record.manifests())
    paths = [Path(files.normal(folder / name)) for name in sorted(known)] if manifest is None else [manifest]
    if (gone := next((path for path in paths if not path.is_file()), None)) is not None or not paths:
        text = f"the manifest of {folder} is not there" + (f" ({gone})" if gone else "")
        raise UsageError(f"{text}: name it in place of the folder ({_RUN_IT})")
    found = _found([_read(path, options, environ) for path in paths])
    targets, left = found.targets(standing.counting.values())
    for sheet in targets:
        if files.held_open(Path(sheet)):
            raise UsageError(
                f"{sheet} is open in a spreadsheet, which would write its own state over the marks: close it"
            )
    written = tuple(_write(Path(file), each) for file, each in targets.items())
    return Reviewed(written=written, left=(*standing.others, *left))


def _read(path: Path, options: Options, environ: Mapping[str, str]) -> Reading:
    """A manifest that marks may be written into. Raises ManifestError, and UsageError for a table of results."""
    reading = loading.read(sources.read_document(path), options, environ)
    if reading.manifest is None:
        raise ManifestError(reading.problems)
    if reading.returned is not None:
        raise UsageError(f"{path} is a table of results, which is written anew: name the manifest itself ({_RUN_IT})")
    return reading


def _found(readings: Iterable[Reading]) -> "_Found":
    """All rows, and each sheet once, whichever manifests include it."""
    rows: list[Row] = []
    sheets: dict[tuple[str, str | None], SheetRead] = {}
    for reading in readings:
        rows += reading.manifest.rows if reading.manifest is not None else ()
        sheets |= {(sheet.file, sheet.named): sheet for sheet in reading.sheets}
    return _Found(rows=tuple(rows), sheets=tuple(sheets.values()))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    rows: tuple[Row, ...]
    sheets: tuple[SheetRead, ...]

    def targets(
        self, marked: Iterable[Mark]
    ) -> tuple[dict[str, list[tuple[SheetRead, dict[int, Mapping[str, str]]]]], list[Problem]]:
        """File → its sheets with the cells to be written, and the marks that have no place."""
        by_id = {row.id.casefold(): row for row in self.rows}
        lines: dict[tuple[str, str | None, int | None], int] = {}
        for row in self.rows:
            at = (row.place.file, row.place.sheet, row.place.line)
            lines[at] = lines.get(at, 0) + 1
        sheets = {(sheet.file, sheet.named): sheet for sheet in self.sheets}
        cells: dict[tuple[str, str | None], dict[int, Mapping[str, str]]] = {}
        left: list[Problem] = []
        for mark in marked:
            marked_row = by_id.get(mark.id.casefold())
            why = self._why_not(marked_row, lines, sheets)
            if why is not None or marked_row is None or marked_row.place.line is None:
                left.append(Problem(place=mark.place, field="id", message=f"'{mark.id}' {why}", warning=True))
                continue
            sheet = sheets[marked_row.place.file, marked_row.place.sheet]
            cells.setdefault((sheet.file, sheet.named), {})[marked_row.place.line] = _cells(mark, sheet)
        targets: dict[str, list[tuple[SheetRead, dict[int, Mapping[str, str]]]]] = {}
        for (file, named), each in cells.items():
            targets.setdefault(file, []).append((sheets[file, named], each))
        return targets, left

    def _why_not(
        self,
        row: Row | None,
        lines: Mapping[tuple[str, str | None, int | None], int],
        sheets: Mapping[tuple[str, str | None], SheetRead],
    ) -> str | None:
        if row is None:
            return "is not in the manifest any more"
        sheet = sheets.get((row.place.file, row.place.sheet))
        if sheet is None or sheet.roles is None or row.place.line is None:
            return f"does not stand in a .csv, .tsv or .xlsx: {_RUN_IT}"
        if not Path(sheet.file).is_file():
            return f"stands in a sheet that is no file here: {_RUN_IT}"
        if lines[row.place.file, row.place.sheet, row.place.line] > 1:
            return f"is one of several rows that one line of the sheet stands for: {_RUN_IT}"
        return None


def _cells(mark: Mark, sheet: SheetRead) -> Mapping[str, str]:
    """Header → text: under the user's own names for our fields, where they have some."""
    assert sheet.roles is not None
    headers = sheet.headers
    names = {name: headers[index] for name, index in sheet.roles.ours.items() if index < len(headers)}
    said = {"review": mark.review, "review_of": str(mark.review_of or ""), marks.NOTE: mark.note}
    wanted = {names.get(name, name): text for name, text in said.items()}
    if not mark.note and marks.NOTE not in sheet.roles.own:
        del wanted[marks.NOTE]
    return wanted


def _write(path: Path, sheets: list[tuple[SheetRead, dict[int, Mapping[str, str]]]]) -> tuple[Path, Path, int]:
    data = before = path.read_bytes()
    for sheet, cells in sheets:
        ways = sheet.ways
        if sheet.kind == "xlsx":
            data = marks.into_workbook(data, sheet=ways.sheet, cells=cells)
            continue
        changed = marks.into_text(data, encoding=ways.encoding, delimiter=ways.delimiter or ",", cells=cells)
        if changed is None:
            raise UsageError(f"{path} cannot be read to its end: nothing was written into it")
        data = changed
    backup = path.with_name(path.name + _BACKUP)
    if data != before:
        shutil.copyfile(path, backup)
        files.write_whole(path, lambda file: file.write(data))
    return path, backup, sum(len(cells) for _, cells in sheets)
