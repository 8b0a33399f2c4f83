"""A copy of a record that may be written meanwhile: of one moment, checked, one file."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from batchmod.errors import RecordRefused

_SIDES = ("", "-wal", "-shm", "-journal")


def copy_record(path: Path, target: Path) -> None:
    """Copy the record at `path` as it is at one moment; `target` is whole and on disk when this returns.

    It is SQLite that reads the record, since any other reader that closes the file would take this process's locks
    off it. Raises RecordRefused for a copy that does not read well, OSError where there is no room for it.
    """
    drop_copy(target)
    try:
        with (
            closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=10.0)) as source,
            closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
            found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        drop_copy(target)
        raise OSError(None, str(error), str(target)) from error
    if found != "ok":
        drop_copy(target)
        raise RecordRefused(f"{path}: a copy of the record does not read well ({found}); the record stays as it is")
    with target.open("rb+") as file:
        os.fsync(file.fileno())


def drop_copy(target: Path) -> None:
    """Remove a copy, or what a kill has left of one."""
    for side in _SIDES:
        target.with_name(target.name + side).unlink(missing_ok=True)
