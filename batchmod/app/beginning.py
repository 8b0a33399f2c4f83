"""`init`: a small batch that works, for somebody to begin with. What is there already stays as it is."""

import csv
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO, Final

from batchmod import files
from batchmod.errors import MissingExtra, UsageError
from batchmod.rows import dressing

MANIFESTS: Final = ("shots.yaml", "shots.csv", "shots.xlsx")
"""The batch in its three forms."""

_DROP_DOWNS: Final = {"hold": ("yes", "no")}
_Writer = Callable[[IO[bytes]], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """What became of each file, by its name below the folder."""

    folder: Path
    written: tuple[str, ...]
    kept: tuple[str, ...]
    """Those that were there already."""
    lacking: str | None
    """Why there is no workbook."""


def begin(folder: Path) -> Begun:
    """Write the example into a folder. Raises UsageError where it cannot be written."""
    written: list[str] = []
    kept: list[str] = []
    lacking = None
    try:
        for name, write in _contents().items():
            try:
                (written if _written(folder / name, write) else kept).append(name)
            except MissingExtra as missing:
                lacking = str(missing)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"the example cannot be written: {error.filename}: {reason}; name another folder") from error
    return Begun(folder=folder, written=tuple(written), kept=tuple(kept), lacking=lacking)


def _contents() -> dict[str, _Writer]:
    """What is to be written, by its name below the folder."""
    demo = files.packaged("manifests", "demo.yaml").parent / "demo"
    copies = {f"clips/{name}": demo / name for name in ("bunny.mp4", "ATTRIBUTION.md")}
    copies["frames/bunny-autumn.png"] = demo / "bunny-autumn.png"
    for name in ("manifest", "row", "results"):
        copies[f"schemas/{name}.schema.json"] = files.packaged("schemas", f"{name}.schema.json")
    made = {"shots.yaml": _bytes(_example("shots.yaml")), "shots.csv": _bytes(_sheet()), "shots.xlsx": _write_workbook}
    return {**made, **{name: _bytes(path.read_bytes()) for name, path in copies.items()}}


def _bytes(content: bytes) -> _Writer:
    return lambda file: file.write(content)


def _example(name: str) -> bytes:
    return resources.files("batchmod.app").joinpath("example", name).read_bytes()


def _sheet() -> bytes:
    """The CSV, so that every spreadsheet takes it for UTF-8."""
    return _example("shots.csv").decode().encode("utf-8-sig")


def _write_workbook(file: IO[bytes]) -> None:
    """The rows of the CSV as a workbook with lists to choose from."""
    headers, *rows = csv.reader(io.StringIO(_example("shots.csv").decode()))
    about = files.schema("row")["properties"]
    book, sheet = dressing.new_book("shots")
    widths = [dressing.width_of(column) for column in zip(headers, *rows, strict=True)]
    notes = {name: about[name]["description"] for name in headers if name in about}
    notes |= {name: "A column of your own: it is carried into the results." for name in headers if name not in about}
    dressing.begin(sheet, headers, widths, notes)
    for name, words in (("mode", about["mode"]["enum"]), *_DROP_DOWNS.items()):
        dressing.offer(sheet, headers.index(name), words)
    for row in rows:
        sheet.append([dressing.text(sheet, cell) if cell else None for cell in row])
    book.save(file)


def _written(target: Path, write: _Writer) -> bool:
    """Write a file whole under a name that nobody has; False where somebody has it."""
    if os.path.lexists(target):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            write(file)
        files.put_in_place(part, target)
    except FileExistsError:
        return False
    finally:
        part.unlink(missing_ok=True)
    return True
