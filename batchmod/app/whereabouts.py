"""Where this user's output folders are, so that a table of results that was copied elsewhere finds its own.

A hint: what cannot be written is done without, and what is read is believed only where a record bears it out.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from batchmod import files
from batchmod.app import prepared, rotating
from batchmod.app.homes import data_folder
from batchmod.checkpoint import FILE_NAME, Checkpoint
from batchmod.errors import UsageError

FOLDER_NAME: Final = "folders"


def remember(record: Checkpoint, folder: Path, environ: Mapping[str, str]) -> None:
    """Keep where a folder is, under its own id."""
    text = json.dumps({"folder": str(folder.absolute())}, ensure_ascii=False).encode()
    with contextlib.suppress(OSError, UsageError):
        name = files.safe_name(record.fact("folder_id") or str(folder))
        page = data_folder(environ) / FOLDER_NAME / f"{name}.json"
        if not page.exists() or page.read_bytes() != text:
            files.write_whole(page, lambda file: file.write(text))


def places(environ: Mapping[str, str]) -> Iterator[Path]:
    """Every folder that is known, the one that was met last first."""
    try:
        pages = sorted((data_folder(environ) / FOLDER_NAME).glob("*.json"), key=lambda page: -page.stat().st_mtime)
    except (OSError, UsageError):
        return
    for page in pages:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            yield Path(json.loads(page.read_text(encoding="utf-8"))["folder"])


def is_output(folder: Path) -> bool:
    """Whether this is an output folder, wherever its record may be."""
    if (folder / FILE_NAME).exists() or (folder / prepared.FOLDER / prepared.LEDGER).exists():
        return True
    return rotating.is_there(folder) and (folder / "videos").is_dir()
