"""Room for what would be paid for: folders that take files, on disks with space left."""

import math
import os
import shutil
from pathlib import Path
from typing import Final

from batchmod import clock
from batchmod.errors import StoppedEarly

_MOMENT_S: Final = 0.02
ENOUGH_BYTES: Final = 32 << 20


class Room:
    """The folders that a paid output and its record go through."""

    def __init__(self, *folders: Path, enough_bytes: int = ENOUGH_BYTES) -> None:
        self._folders = folders
        self._enough = enough_bytes
        self._tried = False
        self._looked_at = -math.inf

    def check_now(self) -> None:
        """`check`, once for all requests of a moment: each of them waits longer than that for its intent's commit."""
        if clock.ticks() - self._looked_at > _MOMENT_S:
            self.check()
            self._looked_at = clock.ticks()

    def check(self) -> None:
        """Raise StoppedEarly where an output could not be kept: it is not paid for then.

        The first time each folder is written to; afterwards only what the system knows of it is asked for.
        """
        for folder in self._folders:
            try:
                self._look_at(folder)
            except OSError as error:
                why = error.strerror or str(error)
                text = f"{folder} takes no files any more ({why}): nothing more is sent"
                raise StoppedEarly(text, slug="system") from error
        self._tried = True

    def _look_at(self, folder: Path) -> None:
        usage = shutil.disk_usage(folder)
        if usage.total and usage.free < self._enough:  # some network file systems tell no sizes
            text = f"{folder} has {usage.free / 1e6:.0f} MB left, {self._enough / 1e6:.0f} MB are wanted for an output"
            raise StoppedEarly(f"{text}; make room and run again. Nothing more is sent", slug="disk_full")
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"{folder} may not be written")
        if not self._tried:
            _try(folder)


def _try(folder: Path) -> None:
    probe = folder / ".probe"  # one name: what a kill leaves of it, the next run takes away
    try:
        with probe.open("wb") as file:
            file.write(b"?")
            file.flush()
            os.fsync(file.fileno())
    finally:
        probe.unlink(missing_ok=True)
