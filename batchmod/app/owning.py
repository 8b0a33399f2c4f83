"""One run per output folder: a lock on a local disk, a lease on a network file system, and the record's own lock."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from batchmod import files, lease, mounts
from batchmod.app import pointer


@dataclass(frozen=True, kw_only=True, slots=True)
class Ownership:
    """The right to write into an output folder."""

    check: Callable[[], None]
    """Raises StoppedEarly where another run has taken the folder over."""
    taken_from: str | None = None
    """Who held it before, and died with it."""


@contextmanager
def owned(folder: Path, *, terms: lease.Terms | None = None) -> Iterator[Ownership]:
    """Own the folder, and its record wherever it is, for the block. Raises FolderInUse where another run does."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if mounts.network_file_system(folder) is None:
            stack.enter_context(files.locked(folder))
            mine = Ownership(check=_for_ever)
        else:
            held = stack.enter_context(lease.held(folder, terms=terms))
            dead = held.taken_from
            mine = Ownership(check=held.check, taken_from=None if dead is None else str(dead))
        pointed = pointer.read(folder)
        if pointed is not None and pointed.record.exists():
            stack.enter_context(files.locked(pointed.record.parent))
        yield mine


class Checked(Protocol):
    """What else may be taken away from a run, such as its store."""

    def check(self) -> None:
        """Raise StoppedEarly where it was."""


def both(owner: Ownership, other: Checked) -> Ownership:
    """The right to write into a folder while another right lasts too."""

    def check() -> None:
        owner.check()
        other.check()

    return replace(owner, check=check)


def _for_ever() -> None:
    """A lock of the operating system is never taken away."""
