"""`clean`: what an output folder can do without. Never anything that was paid for, and nothing that is in doubt."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from batchmod import clock, files
from batchmod.app import delivered, following, owning, prepared, sheets
from batchmod.app import folder as folders
from batchmod.app.scoring import thumbnails
from batchmod.app.vouching import Witness, out_of_place
from batchmod.checkpoint import FILE_NAME, Checkpoint
from batchmod.errors import FolderInUse, RecordRefused
from batchmod.model import Delivery, Status

REHEARSAL: Final = "rehearsal"
_OLD_LOG: Final = re.compile(r"events\.(\d{6,})\.jsonl(\.gz)?")
_THUMBNAIL: Final = re.compile(r"([0-9a-f]{64})\.jpg")
_OF_A_REHEARSAL: Final = re.compile(
    r"(results( \(\d\))?\.(csv|xlsx)|report( \(\d\))?\.html|run\.json|events(\.\d+)?\.jsonl(\.gz)?"
    r"|sources\.json|hooks\.jsonl"
    r"|checkpoint\.sqlite3(-wal|-shm)?|\.checkpoint\.seal|\.batchmod\.lock|\.ballast"
    r"|\.thumbnails/[0-9a-f]{64}\.jpg|hooks/[\w-]+\.log"
    r"|prepared/prepared\.json|prepared/[^/]+-[0-9a-f]{10}\.mp4"
    r"|delivered/delivered\.json|delivered/\.batchmod\.lock)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Idle:
    """A file that is not needed any more."""

    path: str
    """Below the output folder, with `/`."""
    kind: str
    """log, hook_log, thumbnail, prepared, rehearsal or superseded."""
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """Something that might look as if it could go, and stays."""

    path: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cleaned:
    """What can go from an output folder, or what went."""

    folder: Path
    idle: tuple[Idle, ...]
    kept: tuple[Kept, ...]
    deleted: bool = False


def survey(folder: Path, *, older_than_s: float, superseded: bool, environ: Mapping[str, str]) -> Cleaned:
    """What can go; nothing is touched. Raises RecordRefused where the record is lost, broken or older."""
    with folders.look_at(folder) as record:
        return _surveyed(folder, record, older_than_s=older_than_s, superseded=superseded, environ=environ)


def clean(folder: Path, *, older_than_s: float, superseded: bool, environ: Mapping[str, str]) -> Cleaned:
    """Delete what can go. Raises as `survey`, and FolderInUse while a run holds the folder."""
    with ExitStack() as stack:
        stack.enter_context(owning.owned(folder))
        record = stack.enter_context(folders.look_at(folder))
        found = _surveyed(folder, record, older_than_s=older_than_s, superseded=superseded, environ=environ)
        gone: list[Idle] = []
        kept = list(found.kept)
        for kind, idle in groupby(found.idle, key=lambda each: each.kind):
            held = stack.enter_context(_rehearsal_held(folder)) if kind == "rehearsal" else True
            for each in idle:
                problem = "a rehearsal is going on" if not held else out_of_place(folder, each.path)
                if problem is None:
                    (folder / each.path).unlink()
                    gone.append(each)
                else:
                    kept.append(Kept(path=each.path, why=problem))
        _drop_empty_folders(folder, gone)
    return Cleaned(folder=folder, idle=tuple(gone), kept=tuple(kept), deleted=True)


class _rehearsal_held:  # noqa: N801 - used as a function
    """Hold the rehearsal's folder, if nobody else does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / REHEARSAL
        self._stack = ExitStack()

    def __enter__(self) -> bool:
        try:
            self._stack.enter_context(owning.owned(self._folder))
        except FolderInUse:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._stack.close()


def _surveyed(
    folder: Path, record: Checkpoint, *, older_than_s: float, superseded: bool, environ: Mapping[str, str]
) -> Cleaned:
    witness, before = Witness.of(folder, record, environ), clock.now() - older_than_s
    idle: list[Idle] = []
    kept: list[Kept] = []

    def offer(kind: str, path: str, *, against: Callable[[], str | None]) -> None:
        """Take a file in, if it is old enough and nothing speaks against it."""
        found = _stat(folder / path)
        if found is None or found[1] >= before:
            return
        if (why := against()) is not None:
            kept.append(Kept(path=path, why=why))
        else:
            idle.append(Idle(path=path, kind=kind, bytes=found[0]))

    for kind, path in (*_logs(folder), *_thumbnails(folder, record), *_prepared(folder, record)):
        offer(kind, path, against=lambda path=path: witness.against_file(path))  # type: ignore[misc]
    rehearsal, why = _rehearsal(folder, before, environ)
    kept += [Kept(path=REHEARSAL, why=why)] if why else []
    idle += rehearsal
    for delivery in _superseded(witness) if superseded else ():
        offer("superseded", delivery.path, against=lambda delivery=delivery: witness.against(delivery))  # type: ignore[misc]
    return Cleaned(folder=folder, idle=tuple(idle), kept=tuple(kept))


def _stat(place: Path) -> tuple[int, float] | None:
    """How large a file is, and when it was changed."""
    try:
        found = place.lstat()
    except OSError:
        return None
    return found.st_size, found.st_mtime


def _named(folder: Path, under: str) -> list[str]:
    """The names in a folder below the output folder, in order; nothing behind a link."""
    place = folder / under
    if place.is_symlink() or not place.is_dir():
        return []
    return sorted(path.name for path in place.iterdir())


def _logs(folder: Path) -> Iterator[tuple[str, str]]:
    """Old parts of the event log but the newest one, and what users' programs have said."""
    parts = sorted((int(match[1]), name) for name in _named(folder, ".") if (match := _OLD_LOG.fullmatch(name)))
    newest = parts[-1][0] if parts else 0
    yield from (("log", name) for number, name in parts if number < newest)
    yield from (
        ("hook_log", f"{following.LOGS}/{name}") for name in _named(folder, following.LOGS) if name.endswith(".log")
    )


def _thumbnails(folder: Path, record: Checkpoint) -> Iterator[tuple[str, str]]:
    """Pictures of outputs that the record does not know any more."""
    known = {work.sha256 for work in record.works()}
    for name in _named(folder, sheets.THUMBNAILS):
        if (match := _THUMBNAIL.fullmatch(name)) and match[1] not in known:
            yield "thumbnail", f"{sheets.THUMBNAILS}/{name}"


def _prepared(folder: Path, record: Checkpoint) -> Iterator[tuple[str, str]]:
    """Clips that `check --fix` wrote and that neither a row nor an unfinished request has any more."""
    shown = {row.job_key for row in record.stored_rows()}
    ended = (Status.SUCCEEDED, Status.FAILED)
    needed = {
        Path(str((work.inputs.get("video") or {}).get("location", ""))).name
        for work in record.works()
        if work.job_key in shown or work.status not in ended
    }
    written = prepared.written(folder)
    for name in _named(folder, prepared.FOLDER):
        if name in written and name not in needed:
            yield "prepared", f"{prepared.FOLDER}/{name}"


def _superseded(witness: Witness) -> Iterator[Delivery]:
    """Outputs of which a newer version is there."""
    every = [each for some in witness.deliveries.values() for each in some]
    newest: dict[str, int] = {}
    for each in every:
        if each.delivered and (witness.folder / each.path).is_file():
            folded = each.id.casefold()
            newest[folded] = max(newest.get(folded, 0), each.version)
    old = (each for each in every if each.version < newest.get(each.id.casefold(), 0))
    yield from sorted(old, key=lambda each: each.path)


def _rehearsal(folder: Path, before: float, environ: Mapping[str, str]) -> tuple[list[Idle], str | None]:
    """The files of a rehearsal, or why it stays as a whole."""
    inner = folder / REHEARSAL
    if inner.is_symlink() or not inner.is_dir():
        return [], "it is a link" if inner.is_symlink() else None
    found = list(_below(inner, ""))
    if any(changed >= before for _, _, changed in found):
        return [], None
    try:
        why = _against_rehearsal(inner, [path for path, _, _ in found], environ)
    except RecordRefused as error:
        why = f"its record is refused: {error}"
    if why is not None:
        return [], why
    # the ledger of the copies goes late, the record last: cut off in between, what is left is still known
    ledger = f"{delivered.FOLDER}/{delivered.LEDGER}"

    def turn(each: tuple[str, int, float]) -> tuple[bool, bool, bool, str]:
        return each[0].startswith(FILE_NAME), each[0] == files.LOCK_NAME, each[0] == ledger, each[0]

    order = sorted(found, key=turn)
    return [Idle(path=f"{REHEARSAL}/{path}", kind="rehearsal", bytes=size) for path, size, _ in order], None


def _against_rehearsal(inner: Path, paths: Iterable[str], environ: Mapping[str, str]) -> str | None:
    """What speaks against deleting a rehearsal: a file that is not its own, or not known to be the engine's."""
    with folders.look_at(inner) as record:
        if record.fact("folder_id") is None or record.unfinished():
            return "something in it has not ended"
        witness = Witness.of(inner, record, environ)
        outputs = {each.path: each for some in witness.deliveries.values() for each in some}
        thumbs = {of(path) for path in outputs for of in (thumbnails.of_output, thumbnails.of_source)}
        copies = delivered.contents(inner)
        for path in paths:
            if path in outputs:
                why = witness.against(outputs[path])
            elif path in copies:
                why = witness.against_file(path, sha256=copies[path])
            elif path in thumbs or _OF_A_REHEARSAL.fullmatch(path):
                why = witness.against_file(path)
            else:
                why = "a rehearsal has no such file"
            if why is not None:
                return f"{path}: {why}"
    return None


def _below(place: Path, under: str) -> Iterator[tuple[str, int, float]]:
    """Each file's path, size and time; links are files here, and nobody follows them."""
    for path in sorted(place.iterdir()):
        name = f"{under}{path.name}"
        if path.is_dir() and not path.is_symlink():
            yield from _below(path, f"{name}/")
        else:
            size, changed = _stat(path) or (0, 0.0)
            yield name, size, changed


def _drop_empty_folders(folder: Path, gone: Iterable[Idle]) -> None:
    parents = {parent for each in gone for parent in Path(each.path).parents if str(parent) not in (".", "videos")}
    for parent in sorted(parents, key=lambda path: -len(path.parts)):
        with suppress(OSError):
            (folder / parent).rmdir()
