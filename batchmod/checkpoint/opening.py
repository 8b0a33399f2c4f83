"""Making and opening the file: whole or not at all, and never a foreign, newer or broken one."""

import sqlite3
import struct
import uuid
from importlib import resources
from pathlib import Path
from typing import Final

from batchmod import files
from batchmod.errors import RecordRefused

FILE_NAME: Final = "checkpoint.sqlite3"
APPLICATION_ID: Final = 1651336036
VERSION: Final = 1
_HEADER_BYTES: Final = 100


def make(path: Path) -> None:
    """Make the record whole beside its place and rename it in, so that no half-made one is ever met."""
    if path.with_name(f"{path.name}-wal").exists():
        raise RecordRefused(
            f"{path} is gone, but its last entries (-wal) are still there: put the record back, or choose another "
            "--output."
        )
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    db = sqlite3.connect(beside, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(resources.files("batchmod.checkpoint").joinpath("schema.sql").read_text(encoding="utf-8"))
        db.execute("INSERT INTO folder VALUES ('folder_id', ?)", (uuid.uuid4().hex,))
    finally:
        db.close()
    beside.replace(path)
    files.sync_folder(path.parent)


def refuse_foreign(path: Path) -> None:
    """Look at the file's first bytes only: SQLite itself may write to whatever it opens."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
        raise RecordRefused(f"{path} is not a record of batchmod's, or a broken one. Choose another --output.")
    version, application = struct.unpack_from(">I4xI", header, 60)
    if application != APPLICATION_ID:
        raise RecordRefused(f"{path} is not a record of batchmod's. Choose another --output.")
    if version != VERSION:
        text = f"{path} has form {version}; this batchmod reads form {VERSION}"
        raise RecordRefused(f"{text}. Use the batchmod that wrote it, or a newer one.")


def refuse_broken(db: sqlite3.Connection) -> None:
    """A damaged page may hide a paid request."""
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def unreadable(path: Path, error: Exception) -> RecordRefused:
    """A record that SQLite itself refuses."""
    text = f"{path}: the record cannot be read ({error}). Nothing was sent. Keep the file; restore a copy of it"
    return RecordRefused(f"{text}, or choose another --output.")
