"""An output folder: its record, opened safely, and how its manifest is called as seen from it."""

from pathlib import Path
from typing import Final

from batchmod import files
from batchmod.app import pointer, rotating, trail
from batchmod.app.loading import Loaded
from batchmod.checkpoint import FILE_NAME, Checkpoint
from batchmod.errors import RecordRefused

_TRACES: Final = ("results.csv", rotating.FILE_NAME, "videos")


def open_record(folder: Path, *, create: bool, state: Path | None = None) -> Checkpoint:
    """The folder's record, wherever it is; a new one below `state`, where that is given.

    Raises RecordRefused where it should be there and is not: that would pay twice.
    """
    path = _record_file(folder, state, create=create)
    pointer.make_home(path)
    return _checked(folder, Checkpoint.open(path, create=create))


def look_at(folder: Path, *, state: Path | None = None) -> Checkpoint:
    """The folder's record to read only: a run that is going on there is not disturbed. Raises RecordRefused."""
    return _checked(folder, Checkpoint.look_at(_record_file(folder, state, create=False)))


def look_if_there(folder: Path, *, state: Path | None = None) -> Checkpoint | None:
    """The same; None for a folder in which there was no run yet. Raises RecordRefused where one should be there."""
    path = _record_file(folder, state, create=True)
    return _checked(folder, Checkpoint.look_at(path)) if path.exists() else None


def _record_file(folder: Path, state: Path | None, *, create: bool) -> Path:
    path = pointer.record_file(folder, state)
    traces = [name for name in _TRACES if (folder / name).exists()]
    traces += [part.path.name for part in rotating.parts(folder)[-1:]]
    if not path.exists() and traces:
        raise RecordRefused(
            f"{folder} holds {', '.join(traces)} but no {FILE_NAME}: without the record nobody knows what was paid. "
            f"Put the record back, or let `batchmod resolve {files.shortest(folder)} --rebuild` make it anew from what "
            "is there; or choose another --output."
        )
    if not path.exists() and not create:
        raise RecordRefused(f"{folder}: there is no record; has `batchmod run` been here?")
    return path


def _checked(folder: Path, record: Checkpoint) -> Checkpoint:
    try:
        pointer.bind(folder, record)
        _refuse_behind(folder, record)
    except BaseException:
        record.close()
        raise
    return record


def _refuse_behind(folder: Path, record: Checkpoint) -> None:
    """An older copy of a record does not know what was paid since."""
    lacking = trail.behind(folder, record)
    if lacking is not None:
        raise RecordRefused(
            f"{record.path} is older than the folder: {rotating.FILE_NAME} tells of {lacking}, and the record does not "
            "know it. Nothing was sent. Put the newest record back, or let "
            f"`batchmod resolve {files.shortest(folder)} --rebuild` make it anew from what is there."
        )


def standing_facts(record: Checkpoint) -> dict[str, str]:
    """What the event log keeps of the folder itself, in case the record is lost."""
    names = ("folder_id", "account_salt", "manifest_name", "manifest_file")
    return {name: value for name in names if (value := record.fact(name)) is not None}


def where(loaded: Loaded) -> str:
    """The manifest's file as seen from its output folder."""
    return files.relative(loaded.path.resolve(), loaded.folder)
