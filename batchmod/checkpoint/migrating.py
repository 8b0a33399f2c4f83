"""A record of an older form made one of this form: a copy first, then everything in one transaction."""

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Final

from batchmod import files
from batchmod.errors import RecordRefused, StoppedEarly

VERSION: Final = 2
"""The form that this batchmod writes."""
OLDEST: Final = 1
_NEW_IN: Final[Mapping[int, tuple[str, ...]]] = {2: ("score",)}
"""Form → the tables that came with it."""


def schema() -> str:
    """The SQL of a new record."""
    return resources.files("batchmod.checkpoint").joinpath("schema.sql").read_text(encoding="utf-8")


def form_of(db: sqlite3.Connection) -> int:
    """The form of an open record; the file's head may still tell of the one before."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def refuse_form(path: Path, form: int) -> None:
    """Raise RecordRefused for a form that this batchmod cannot read."""
    if not OLDEST <= form <= VERSION:
        text = f"{path} has form {form}; this batchmod reads form {VERSION}"
        raise RecordRefused(f"{text}. Use the batchmod that wrote it, or a newer one.")


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring an open record to this form; what it was before stays beside it, as `<name>.form-<n>`.

    Raises StoppedEarly where there is no room for it: then everything is as it was.
    """
    form = form_of(db)
    refuse_form(path, form)
    if form == VERSION:
        return
    try:
        db.execute("BEGIN IMMEDIATE")  # nobody writes between the copy and the change
        if form_of(db) == form:
            _copy(path, path.with_name(f"{path.name}.form-{form}"))
            for statement in _statements(form):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except (sqlite3.OperationalError, OSError) as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        text = f"{path} is of an older form, and could not be copied and brought to this one: {error}"
        raise StoppedEarly(text, slug="record_failed") from error
    # into the file itself, so that a batchmod that knows the older form only sees at once that it must not write
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def stand_in(db: sqlite3.Connection, path: Path) -> None:
    """Let a record of an older form be read as one of this form without changing it: what came later is empty."""
    form = form_of(db)
    refuse_form(path, form)
    for statement in _statements(form):
        db.execute(statement.replace("CREATE TABLE", "CREATE TEMP TABLE").replace("CREATE INDEX", "CREATE TEMP INDEX"))


def _statements(form: int) -> Iterator[str]:
    """What a record of a form lacks."""
    text = schema()
    for number in range(form + 1, VERSION + 1):
        for table in _NEW_IN[number]:
            yield from re.findall(rf"^CREATE TABLE {table} \(.*?^\) STRICT;", text, flags=re.MULTILINE | re.DOTALL)


def _copy(path: Path, target: Path) -> None:
    """A whole copy, under its name only once it is whole."""
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as copy:
            source.backup(copy)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)  # one that a killed process has left is of the same record
        files.sync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)
