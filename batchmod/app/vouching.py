"""Whether a file is the engine's own work, which can be made again for nothing: only where everything says so."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, Self

from batchmod import files, index
from batchmod.app import trail
from batchmod.app.homes import index_file
from batchmod.checkpoint import Checkpoint
from batchmod.errors import UsageError
from batchmod.model import Claim, Delivery, Status, Work

ENGINE: Final = "local"
_OUTPUTS: Final = "videos"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    """What the event log says of one output."""

    is_engines: bool = False
    """Whether an event says that the engine was to make it."""
    is_others: bool = False
    """Whether any event says that it was somebody else, or knows a request of it."""
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Witness:
    """All that is known of an output folder's files, from sources that know nothing of each other."""

    folder: Path
    works: Mapping[int, Work]
    paid_contents: frozenset[str]
    """The hashes of all outputs of hosted services that the record or the index of paid work knows."""
    paid_files: frozenset[tuple[int, int]]
    """Device and inode of each paid output that is there: one file may have several names."""
    claims: Mapping[str, Claim]
    told: Mapping[str, _Told]
    sent: frozenset[int]
    """The works of which an attempt went somewhere, or has a request id."""
    deliveries: Mapping[int, tuple[Delivery, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, record: Checkpoint, environ: Mapping[str, str]) -> Self:
        """Hear everybody. Raises StoppedEarly where the index of paid work cannot be read."""
        works = {work.work_id: work for work in record.works()}
        deliveries = record.deliveries()
        claims = _claims(environ)
        sent = frozenset(work_id for work_id in works if any(_went_out(each) for each in record.attempts_of(work_id)))
        paid = [work for work in works.values() if _is_paid(work) or work.work_id in sent]
        paths = [delivery.path for work in paid for delivery in deliveries.get(work.work_id, ())]
        contents = [*(work.sha256 for work in paid), *(claim.sha256 for claim in claims.values())]
        return cls(
            folder=folder,
            works=works,
            paid_contents=frozenset(each for each in contents if each),
            paid_files=frozenset(known for path in paths if (known := _inode(folder / path)) is not None),
            claims=claims,
            told=_told(folder),
            sent=sent,
            deliveries=deliveries,
        )

    def against(self, delivery: Delivery) -> str | None:
        """What speaks against deleting an output as the engine's own; None where nothing does, and all speak for it."""
        work = self.works.get(delivery.work_id)
        if work is None or work.status is not Status.SUCCEEDED or not delivery.delivered:
            return "its request has not ended well"
        if _is_paid(work) or work.work_id in self.sent:
            return f"{work.provider} made it"
        if work.job_key in self.claims:
            return "the index of paid work knows its request"
        told = self.told.get(delivery.path, _Told())
        if told.is_others:
            return "the event log says that a service made it"
        if not told.is_engines:
            return "the event log does not say who made it"
        if work.sha256 is None or told.sha256 != work.sha256:
            return "record and event log do not speak of the same file"
        return self.against_file(delivery.path, sha256=work.sha256)

    def against_file(self, path: str, *, sha256: str | None = None) -> str | None:
        """What speaks against deleting a file by its place: links, other names, what was paid for."""
        if (problem := out_of_place(self.folder, path)) is not None:
            return problem
        place = self.folder / path
        if _inode(place) in self.paid_files:
            return "it is a paid output under another name"
        if sha256 is None and PurePosixPath(path).parts[0] != _OUTPUTS and not path.lower().endswith(".mp4"):
            return None
        content = files.sha256_of(place)
        if content in self.paid_contents:
            return "it has the content of a paid output"
        return None if sha256 in (None, content) else "it is not the file that was made"


def out_of_place(folder: Path, path: str) -> str | None:
    """Why a name below an output folder does not lead to a plain file there: a link, a way out, no file."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or ".." in parts or str(PurePosixPath(path)) != path:
        return "its name leads out of the folder"
    place = folder
    for part in parts[:-1]:
        place = place / part
        if not _is(place, stat.S_ISDIR):
            return "a folder on its way is a link, or not there"
    place = place / parts[-1]
    if not _is(place, stat.S_ISREG):
        return "it is a link, or not there"
    return "it has several names on this disk" if place.lstat().st_nlink > 1 else None


def _is(place: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(os.lstat(place).st_mode)
    except OSError:
        return False


def _inode(place: Path) -> tuple[int, int] | None:
    try:
        found = place.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_paid(work: Work) -> bool:
    """Whether anything in a work's own entry speaks of a service, or of money."""
    is_elsewhere = work.provider != ENGINE or bool(work.origin) or work.request_id is not None
    return is_elsewhere or bool(work.cost_usd) or bool(work.billed) or work.cost_source is not None


def _went_out(attempt: Any) -> bool:
    return bool(attempt.origin) or attempt.provider != ENGINE or attempt.request_id is not None or bool(attempt.account)


def _claims(environ: Mapping[str, str]) -> dict[str, Claim]:
    try:
        return index.elsewhere(index_file(environ), None)
    except UsageError:
        return {}


def _told(folder: Path) -> dict[str, _Told]:
    """Output → what the event log says of it."""
    found: dict[str, _Told] = {}
    for event in trail.read(folder):
        for path in _paths(event):
            before = found.get(path, _Told())
            service = event.get("provider") not in (None, ENGINE) or bool(event.get("origin"))
            found[path] = _Told(
                is_engines=before.is_engines or (event["event"] == "intended" and event.get("provider") == ENGINE),
                is_others=before.is_others
                or service
                or bool(event.get("request_id"))
                or bool(event.get("reused_from")),
                sha256=event.get("sha256") or before.sha256,
            )
    return found


def _paths(event: Mapping[str, Any]) -> Iterator[str]:
    outputs = event.get("outputs")
    for each in outputs if isinstance(outputs, list) else ():
        if isinstance(each, dict) and isinstance(path := each.get("path"), str):
            yield path
