"""Copies of sheets with a column that says what is wrong in each row."""

from pathlib import Path

from batchmod import files
from batchmod.errors import ManifestError, Problem
from batchmod.manifest import SheetRead
from batchmod.rows import annotating, ids


def annotate(error: ManifestError) -> list[Path]:
    """Writes a copy beside each sheet that has problems, `shots.annotated.csv`; where they stand.

    One without a file gets its copy in the current folder. A text that is no CSV to its end gets none.
    """
    by_file: dict[str, list[Problem]] = {}
    for problem in error.problems:
        by_file.setdefault(problem.place.file, []).append(problem)
    written = []
    for sheet in error.documents:
        if isinstance(sheet, SheetRead) and sheet.file in by_file:
            copy = _copy(sheet, by_file.pop(sheet.file))
            if copy is not None:
                written.append(_written(_place(sheet), copy))
    return written


def _written(place: Path, content: bytes) -> Path:
    return files.write_whole(place, lambda file: file.write(content))


def _copy(sheet: SheetRead, problems: list[Problem]) -> bytes | None:
    if sheet.kind == "xlsx":
        return annotating.workbook(sheet.data, sheet=sheet.ways.sheet, problems=problems)
    ways = sheet.ways
    return annotating.text(sheet.data, encoding=ways.encoding, delimiter=ways.delimiter or ",", problems=problems)


def _place(sheet: SheetRead) -> Path:
    if "://" in sheet.file or sheet.file == "stdin":
        return Path(f"{ids.clean(ids.stem(sheet.file))}.annotated.{sheet.kind}")
    path = Path(sheet.file)
    return path.with_name(f"{path.stem}.annotated{path.suffix}")
