"""Where an output folder keeps its record: in itself, or below `--state DIR`, with a pointer to exactly that one."""

import json
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchmod import files, mounts
from batchmod.checkpoint import FILE_NAME, Checkpoint
from batchmod.errors import RecordOnNetwork, RecordRefused, UsageError

POINTER_NAME: Final = "state.json"
_LONGEST_NAME: Final = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Pointer:
    """What an output folder says about a record that is elsewhere."""

    record: Path
    folder_id: str


def read(folder: Path) -> Pointer | None:
    """The folder's pointer, if its record is elsewhere. Raises RecordRefused for one that cannot be read."""
    path = folder / POINTER_NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        record, folder_id = Path(found["record"]), str(found["folder_id"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecordRefused(
            f"{path} should say where the record of {folder} is, and cannot be read ({error!r}). Put it back from a "
            'copy, or write it anew: {"record": "/…/checkpoint.sqlite3", "folder_id": "…"}'
        ) from error
    if not record.is_absolute():
        raise RecordRefused(f"{path} names '{record}' as the record: it must be an absolute path. Mend it.")
    return Pointer(record=record, folder_id=folder_id)


def record_file(folder: Path, state: Path | None = None) -> Path:
    """The file of the folder's record; where there is none yet, the one to make.

    Raises RecordRefused where it is not there though it must be, or not where `state` says, and RecordOnNetwork where
    SQLite cannot keep it.
    """
    inside, pointer = folder / FILE_NAME, read(folder)
    if pointer is not None:
        path = _pointed_to(folder, pointer, state)
    elif state is not None:
        path = _new_home(folder, inside, state)
    else:
        path = inside
    _refuse_network(folder, path)
    return path


def _pointed_to(folder: Path, pointer: Pointer, state: Path | None) -> Path:
    name = folder / POINTER_NAME
    if (folder / FILE_NAME).exists():
        raise RecordRefused(
            f"{folder} has two records: its own {FILE_NAME}, and {pointer.record}, to which {name} points. Nobody "
            "knows which one is true: move away the one that is not, and the pointer with it if that is the other."
        )
    if state is not None and pointer.record.parent.parent.resolve() != state.resolve():
        raise RecordRefused(
            f"the record of {folder} is {pointer.record}, not below --state {state}. Leave --state out: {name} is "
            "followed without it."
        )
    if not pointer.record.exists():
        raise RecordRefused(
            f"the record of {folder} is not there: {pointer.record}. Without it nobody knows what was paid. Is it on "
            f"another machine, or on a disk that is not mounted? Bring it back; if you moved it, say where in {name}. "
            f"If it is lost for good, `batchmod resolve {files.shortest(folder)} --rebuild` makes it anew."
        )
    return pointer.record


def _new_home(folder: Path, inside: Path, state: Path) -> Path:
    """A record's place below `state` that nobody else can have."""
    if inside.exists():
        raise RecordRefused(
            f"{folder} holds its record itself ({FILE_NAME}): run without --state, or begin another folder with "
            "--output DIR --state DIR: what is paid for here is reused there."
        )
    readable = re.sub(r"[^\w.-]+", "-", folder.name)[:_LONGEST_NAME]
    return _absolute(state) / f"{readable}-{uuid.uuid4().hex[:12]}" / FILE_NAME


def _absolute(state: Path) -> Path:
    return Path(files.normal(state.absolute()))


def _refuse_network(folder: Path, path: Path) -> None:
    kind = mounts.network_file_system(path.parent)
    if kind is None:
        return
    where = f"{path.parent} is on a network file system ({kind}), where a record (SQLite) breaks"
    if path.exists() and path.parent == folder:
        raise RecordOnNetwork(f"{where}. Nothing was sent. Move the folder to a local disk, and name it with --output.")
    raise RecordOnNetwork(
        f"{where}. Nothing was sent. Keep the record on a local disk with --state DIR; the videos stay where they are."
    )


def make_home(path: Path) -> None:
    """Make the folder of a record that is to be made. Raises UsageError where it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path.parent} cannot be made: {(error.strerror or str(error)).lower()}") from error


def bind(folder: Path, record: Checkpoint) -> None:
    """Let the folder point to its record, where that is elsewhere; see that it is the one it points to.

    Raises RecordRefused for a record of another folder.
    """
    if record.path.parent == folder:
        return
    pointer, folder_id = read(folder), record.fact("folder_id") or ""
    if pointer is None:
        about = {"record": str(record.path), "folder_id": folder_id}
        text = json.dumps(about, indent=2, ensure_ascii=False).encode()
        files.write_whole(folder / POINTER_NAME, lambda file: file.write(text))
    elif pointer.folder_id != folder_id:
        raise RecordRefused(
            f"{record.path} is the record of another folder, not of {folder}: {folder / POINTER_NAME} expects the one "
            f"with the id {pointer.folder_id}. Put that one back."
        )
