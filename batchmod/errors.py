"""Every error batchmod raises on purpose, in one tree, since each class has its own exit code and slug.

    BatchmodError                  70  bug            (never raised itself)
    ├── UsageError                  2  usage          wrong arguments; nothing was sent
    │   ├── ManifestError           2  bad_manifest   carries all problems of all manifests
    │   ├── SpendingNeedsAWord      2  spending_needs_a_word
    │   ├── MissingKey              2  missing_key
    │   ├── MissingExtra            2  missing_extra  an optional part is not installed
    │   ├── RecordRefused           2  record_refused foreign, newer, lost or broken record
    │   │   ├── RecordOnNetwork     2  record_on_network
    │   │   └── RecordElsewhere     2  record_elsewhere  the store's record is another's, or only a copy
    │   ├── StoreRefused            2  (its own)      a store that cannot be used as things are
    │   ├── OtherManifest           2  other_manifest the folder belongs to another manifest
    │   ├── PortInUse               2  port_in_use    `serve` cannot listen where another program does
    │   └── NoCluster               2  no_cluster     `--executor ray` finds none to join
    ├── StoppedEarly                3  (its own)      resumable; the slug says why
    ├── FolderInUse                 4  folder_in_use
    ├── StorageError                3  (its own)      an object or its store cannot be used
    └── MediaError                  1  (its own)      a clip or picture that cannot be used

A failed job is no exception but an `Outcome`; these are for what ends a command.
"""

import errno
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a system says where a file may not grow: the disk is full, or what this user may fill of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where something stands in a user's file; lines and columns count from 1.

    A cell of a sheet has `line` (the line or sheet row where it starts) and `cell` (its column's letters);
    a spot in a text has `line` and `column`.
    """

    file: str
    line: int | None = None
    column: int | None = None
    cell: str | None = None
    sheet: str | None = None
    """The workbook's sheet, where another one of it may belong to the same manifest."""

    def __str__(self) -> str:
        """`shots.csv:14:C` for a cell, `shots.xlsx[Day 2]:14:C` on a named sheet, `shots.yaml:14:9` for a text."""
        parts = [self.document, self.line, self.cell or self.column]
        return ":".join(str(part) for part in parts if part is not None)

    @property
    def document(self) -> str:
        """The file, and the sheet where one is named."""
        return self.file if self.sheet is None else f"{self.file}[{self.sheet}]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing wrong with what the user gave, with its place and, if we know, the cure."""

    place: Place
    message: str
    field: str | None = None
    hint: str | None = None
    slug: str = "bad_manifest"
    warning: bool = False
    row: int | None = None
    """The row's number, from 1, where the problem is one row's."""

    def __str__(self) -> str:
        """`shots.csv:14:C (mode): 'flex_9' is not a mode; did you mean 'flex_3'?`."""
        field = f" ({self.field})" if self.field else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.place}{field}: {self.message}{hint}"


class BatchmodError(Exception):
    """The base of every error raised on purpose."""

    exit_code: ClassVar[int] = 70
    slug: str = "bug"


class UsageError(BatchmodError):
    """Wrong arguments or settings; nothing was sent."""

    exit_code = 2
    slug = "usage"


class ManifestError(UsageError):
    """A manifest that cannot be run; `problems` holds all of them, in the order of the file.

    `notes` say how its sheets were read, where that is not how everybody would; `lines` are those of the texts among
    its files, `documents` the sheets as they were read.
    """

    slug = "bad_manifest"

    def __init__(
        self,
        problems: Iterable[Problem],
        *,
        notes: Iterable[str] = (),
        lines: Mapping[str, Sequence[str]] | None = None,
        documents: Iterable[object] = (),
    ) -> None:
        self.problems = tuple(problems)
        self.notes = tuple(notes)
        self.lines = dict(lines or {})
        self.documents = tuple(documents)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SpendingNeedsAWord(UsageError):
    """A paid run without a terminal, `--yes` or a cap."""

    slug = "spending_needs_a_word"


class MissingKey(UsageError):
    """A hosted provider without its key."""

    slug = "missing_key"


class MissingExtra(UsageError):
    """An optional part of batchmod is not installed."""

    slug = "missing_extra"


class RecordRefused(UsageError):
    """A checkpoint that is foreign, newer, lost or broken: going on could pay twice."""

    slug = "record_refused"


class RecordOnNetwork(RecordRefused):
    """A checkpoint on a network file system, where SQLite breaks."""

    slug = "record_on_network"


class RecordElsewhere(RecordRefused):
    """The record in the store that outputs go to is another's, or one that may not know everything."""

    slug = "record_elsewhere"


class StoreRefused(UsageError):
    """A store that outputs go to and that cannot be used as things are; nothing was sent."""

    def __init__(self, message: str, *, slug: str) -> None:
        super().__init__(message)
        self.slug = slug


class OtherManifest(UsageError):
    """The output folder belongs to a manifest of another name."""

    slug = "other_manifest"


class PortInUse(UsageError):
    """Another program listens on the port that the service was to have."""

    slug = "port_in_use"


class NoCluster(UsageError):
    """There is no Ray cluster to be joined at the address that was given."""

    slug = "no_cluster"


class StoppedEarly(BatchmodError):
    """The run stopped before its end and can be resumed; `slug` says why."""

    exit_code = 3

    def __init__(self, message: str, *, slug: str) -> None:
        super().__init__(message)
        self.slug = slug

    @classmethod
    def of(cls, error: OSError) -> "StoppedEarly":
        """What the system refused, as the end of a run: `disk_full`, or `system` for anything else."""
        place = f"{error.filename}: " if error.filename else ""
        slug = "disk_full" if error.errno in NO_ROOM else "system"
        return cls(f"{place}{error.strerror or error}; run again to go on", slug=slug)


class FolderInUse(BatchmodError):
    """Another run holds the output folder."""

    exit_code = 4
    slug = "folder_in_use"


class StorageError(BatchmodError):
    """An object, a bucket or a whole store that cannot be used now.

    Slugs: `object_missing`, `bucket_missing`, `object_there`, `store_refused`, `no_store_credentials`,
    `store_unreachable`, `store_failed`, `file_changed`. `retry`: the same call may do better in a while.
    """

    exit_code = 3

    def __init__(self, message: str, *, slug: str, retry: bool = False) -> None:
        super().__init__(message)
        self.slug = slug
        self.retry = retry


class MediaError(BatchmodError):
    """A clip or picture that cannot be used.

    Slugs: `empty_file`, `not_a_video`, `not_an_image`, `broken_video`, `broken_image`, `unsafe_container`,
    `too_large`, `no_look`, `bad_keyframes`, `source_unreachable`, `worker_died`, `too_large_to_carry`.
    """

    exit_code = 1

    def __init__(self, message: str, *, slug: str) -> None:
        super().__init__(message)
        self.slug = slug
