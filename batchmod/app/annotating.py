"""Copies of sheets with a column that says what is wrong in each row."""

from pathlib import Path

from batchmod import files
from batchmod.errors import ManifestError, Problem
from batchmod.manifest import SheetRead
from batchmod.rows import annotating, ids


def annotate(error: ManifestError) -> list[Path]:
    """Writes a copy beside each sheet that has problems, `shots.annotated.csv`; where they stand.

    One without a file gets its copy in the current folder. A text that is no CSV to its end gets none;
    the sheets of one workbook share one.
    """
    by_sheet: dict[tuple[str, str | None], list[Problem]] = {}
    for problem in error.problems:
        by_sheet.setdefault((problem.place.file, problem.place.sheet), []).append(problem)
    copies: dict[str, tuple[Path, bytes]] = {}
    for sheet in error.documents:
        if isinstance(sheet, SheetRead) and (sheet.file, sheet.named) in by_sheet:
            place, data = copies.get(sheet.file, (_place(sheet), sheet.data))
            copy = _copy(sheet, data, by_sheet.pop((sheet.file, sheet.named)))
            if copy is not None:
                copies[sheet.file] = place, copy
    return [_written(place, copy) for place, copy in copies.values()]


def _written(place: Path, content: bytes) -> Path:
    return files.write_whole(place, lambda file: file.write(content))


def _copy(sheet: SheetRead, data: bytes, problems: list[Problem]) -> bytes | None:
    """`data`: the sheet's file, or its copy with what is wrong on another sheet of it."""
    if sheet.kind == "xlsx":
        return annotating.workbook(data, sheet=sheet.ways.sheet, problems=problems)
    ways = sheet.ways
    return annotating.text(data, encoding=ways.encoding, delimiter=ways.delimiter or ",", problems=problems)


def _place(sheet: SheetRead) -> Path:
    if "://" in sheet.file or sheet.file == "stdin":
        return Path(f"{ids.clean(ids.stem(sheet.file))}.annotated.{sheet.kind}")
    path = Path(sheet.file)
    return path.with_name(f"{path.stem}.annotated{path.suffix}")
