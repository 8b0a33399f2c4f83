"""A record made anew: what can still be read of an old one, and a new one in its place, the old one kept."""

import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from batchmod import files
from batchmod.checkpoint.migrating import VERSION
from batchmod.checkpoint.opening import APPLICATION_ID, make
from batchmod.errors import RecordRefused

Rows = dict[str, list[dict[str, Any]]]
"""Table → its rows, column → value as SQLite holds it."""

_TABLES: Final = ("folder", "work", "attempt", "delivery", "manifest_row", "review", "upload", "run")
_SIDES: Final = ("", "-wal", "-shm")
_HEAD: Final = struct.Struct(">60xI4xI")


def kept_before(path: Path) -> list[Path]:
    """The records that were put aside when this one was made anew, oldest first."""
    return sorted(each for each in path.parent.glob(f"{path.name}.before-*") if not each.name.endswith(_SIDES[1:]))


def salvage(path: Path) -> Rows:
    """Every row that can still be read of a record that is older, cut or broken; the file itself is not touched.

    Raises RecordRefused for a database that is not ours, or newer: that is not ours to replace.
    """
    if not path.exists() or not _ours(path):
        return {}
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".salvage-") as folder:
        copy = Path(folder) / path.name
        for side in _SIDES[:2]:
            if (source := path.with_name(path.name + side)).exists():
                shutil.copyfile(source, copy.with_name(copy.name + side))
        try:
            with closing(sqlite3.connect(copy)) as db:
                db.row_factory = sqlite3.Row
                return {table: _rows(db, table) for table in _TABLES}
        except sqlite3.Error:
            return {}


def _ours(path: Path) -> bool:
    """Whether the file's head says that it is a record of this form or an older one; False for what is no database."""
    with path.open("rb") as file:
        head = file.read(100)
    if not head.startswith(b"SQLite format 3\0") or len(head) < _HEAD.size:
        return False
    version, application = _HEAD.unpack_from(head)
    if application != APPLICATION_ID:
        raise RecordRefused(f"{path} is a database of another program; move it away first.")
    if version > VERSION:
        raise RecordRefused(f"{path} was written by a newer batchmod (form {version}); use that one.")
    return True


def _rows(db: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    """A table's rows before and behind whatever is damaged in it."""
    found: dict[int, dict[str, Any]] = {}
    for order in ("ASC", "DESC"):
        with suppress(sqlite3.Error, UnicodeDecodeError):
            for row in db.execute(f"SELECT rowid AS row_number_, * FROM {table} ORDER BY rowid {order}"):  # noqa: S608
                values = dict(row)
                found.setdefault(values.pop("row_number_"), values)
    return [found[number] for number in sorted(found)]


def put(path: Path, tables: Mapping[str, Sequence[Mapping[str, Any]]], *, stamp: str) -> Path | None:
    """Make a record of these rows in the place of the one there, which is kept; where that now is."""
    fresh = path.with_name(f".{path.name}.anew")
    for side in _SIDES:
        fresh.with_name(fresh.name + side).unlink(missing_ok=True)
    make(fresh)
    with closing(sqlite3.connect(fresh, isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys=ON")
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM folder")
        for table in _TABLES:
            for row in tables.get(table, ()):
                _insert(db, table, row)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    old = _put_aside(path, stamp)
    fresh.replace(path)
    files.sync_folder(path.parent)
    return old


def _insert(db: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    """A row's values for the columns there are; an older form may lack some, and hold others."""
    columns = {about[1] for about in db.execute(f"PRAGMA table_info({table})")}
    names = [name for name in row if name in columns]
    marks = ", ".join("?" * len(names))
    values = [row[name] for name in names]
    db.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)  # noqa: S608 - names of columns


def _put_aside(path: Path, stamp: str) -> Path | None:
    """Rename what is there, its last entries (-wal) too, so that SQLite still finds them together."""
    old = path.with_name(f"{path.name}.before-{stamp}")
    for side in reversed(_SIDES):
        if (there := path.with_name(path.name + side)).exists():
            there.rename(old.with_name(old.name + side))
    return old if old.exists() else None
