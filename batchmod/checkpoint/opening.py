"""Making and opening the file: whole or not at all, and never a foreign, newer or broken one."""

import json
import os
import sqlite3
import struct
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from batchmod import clock, files
from batchmod.checkpoint.migrating import refuse_form, schema
from batchmod.errors import RecordRefused, StoppedEarly

FILE_NAME: Final = "checkpoint.sqlite3"
APPLICATION_ID: Final = 1651336036
_HEADER_BYTES: Final = 100
WAY_OUT: Final = (
    "Put a newer copy of the record back, or let `batchmod resolve PATH --rebuild` make it anew from what is there; or "
    "choose another --output."
)
BALLAST_NAME: Final = ".ballast"
SEAL_NAME: Final = ".checkpoint.seal"
"""Beside the record: which file the last run has left, and when all its pages were looked at."""
_LOOKED_AT_S: Final = 86400.0
_BALLAST_BYTES: Final = 1 << 20


def make(path: Path) -> None:
    """Make the record whole beside its place and rename it in, so that no half-made one is ever met."""
    if path.with_name(f"{path.name}-wal").exists():
        raise RecordRefused(f"{path} is gone, but its last entries (-wal) are still there. {WAY_OUT}")
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    db = sqlite3.connect(beside, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(schema())
        db.execute("INSERT INTO folder VALUES ('folder_id', ?)", (uuid.uuid4().hex,))
    finally:
        db.close()
    beside.replace(path)
    files.sync_folder(path.parent)


def load_ballast(path: Path) -> None:
    """Keep a megabyte beside the record, to be thrown off for a receipt when the disk is full.

    Raises StoppedEarly where there is no room for it: then nothing may be sent.
    """
    ballast = path.with_name(BALLAST_NAME)
    if ballast.exists() and ballast.stat().st_size >= _BALLAST_BYTES:
        return
    try:
        with ballast.open("wb") as file:
            file.write(b"\1" * _BALLAST_BYTES)  # not zeros: some file systems keep no room for those
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        ballast.unlink(missing_ok=True)
        message = f"{path.parent} has no room left ({error.strerror or error}); nothing was sent"
        raise StoppedEarly(message, slug="disk_full") from error


def drop_ballast(path: Path) -> bool:
    """Make room for a receipt; False where the ballast is gone already."""
    ballast = path.with_name(BALLAST_NAME)
    there = ballast.exists()
    ballast.unlink(missing_ok=True)
    return there


def refuse_foreign(path: Path) -> None:
    """Look at the file's first bytes only: SQLite itself may write to whatever it opens."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
        raise RecordRefused(f"{path} is not a record of batchmod's, or a broken one. {WAY_OUT}")
    version, application = struct.unpack_from(">I4xI", header, 60)
    if application != APPLICATION_ID:
        raise RecordRefused(f"{path} is not a record of batchmod's. Choose another --output.")
    refuse_form(path, version)


def refuse_broken(db: sqlite3.Connection) -> None:
    """A damaged page may hide a paid request.

    Pages are not looked at again within a day where the file is, to inode and times, the one that a run has sealed.
    """
    path = Path(db.execute("PRAGMA database_list").fetchone()[2])
    sealed = _seal_of(path)
    if sealed is not None and sealed["file"] == _stamp(path) and _is_fresh(sealed, clock.now()):
        return
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def seal(path: Path, *, opened_at: float) -> None:
    """Take note that a run which opened the record then has closed it in good order, and which file it has left.

    A seal that was fresh when it was opened keeps its time, since its pages may not have been looked at again; a seal
    that cannot be written is done without.
    """
    sealed = _seal_of(path)
    looked_at = sealed["looked_at"] if sealed is not None and _is_fresh(sealed, opened_at) else opened_at
    with suppress(OSError):
        said = json.dumps({"file": _stamp(path), "looked_at": looked_at})
        path.with_name(SEAL_NAME).write_text(said, encoding="utf-8")


def _is_fresh(sealed: Mapping[str, Any], at: float) -> bool:
    return 0 <= at - float(sealed["looked_at"]) < _LOOKED_AT_S


def _stamp(path: Path) -> list[int] | None:
    """What tells a file from any other, and from itself before a change; None where more than it is the record."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        return None
    stat = path.stat()
    return [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _seal_of(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.with_name(SEAL_NAME).read_text(encoding="utf-8"))
        return {"file": list(found["file"]), "looked_at": float(found["looked_at"])}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def unreadable(path: Path, error: Exception) -> RecordRefused:
    """A record that SQLite itself refuses."""
    return RecordRefused(f"{path}: the record cannot be read ({error}). Nothing was sent. {WAY_OUT}")
