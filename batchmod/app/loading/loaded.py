"""What reading a manifest comes to, as values: its jobs and all that is known of them, and the rows left out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchmod import rows
from batchmod.app.allowing import Allowed
from batchmod.app.loading.choosing import matches
from batchmod.app.services import Services
from batchmod.errors import Problem
from batchmod.manifest import Note, SheetRead
from batchmod.model import ClipFacts, Job, Limits, Manifest, VideoFacts
from batchmod.planning import Flaw


@dataclass(frozen=True, kw_only=True, slots=True)
class Invalid:
    """A row that cannot run, which the others go on without: what its results line says."""

    number: int
    id: str
    why: str
    own: Mapping[str, str]
    line: int | None = None
    """Where it stands in its document."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """Field → what it says there: whoever mends its line of results.csv need not write the rest again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A manifest made complete: its jobs, which of them are chosen, and what looking at their files showed."""

    path: Path
    manifest: Manifest
    folder: Path
    """Where outputs go on this machine; with a store, where they are until they are up, and the record always."""
    limits: Limits
    jobs: Sequence[Job]
    """A long sheet's are made anew whenever they are asked for."""
    chosen: Collection[int]
    """The numbers of the rows that this command is about."""
    flaws: Mapping[int, Flaw]
    clips: Mapping[str, VideoFacts]
    """The local clips, by identity."""
    stored: Mapping[str, ClipFacts]
    """How they are stored."""
    services: Services
    warnings: tuple[Problem, ...] = ()
    """What is worth knowing before a run, and stops none."""
    notes: tuple[Note, ...] = ()
    invalid: tuple[Invalid, ...] = ()
    """With `--skip-invalid`, the rows that are left out."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with those."""
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The lines of the texts among its documents."""
    sheets: tuple[SheetRead, ...] = ()
    """The sheets among its documents."""
    changed: Mapping[int, str] = field(default_factory=dict)
    """The number of a row whose clip or picture on the web is another one now → which, and since when."""
    allowed: Allowed = field(default_factory=Allowed)
    """What of the manifest's wishes for programs and messages is heard."""
    store: str | None = None
    """The store that the folder is put up into: `s3://bucket/prefix`."""
    homeless: bool = False
    """Whether neither the manifest's own folder nor anybody says where outputs go."""

    @property
    def held(self) -> frozenset[int]:
        """The numbers of the rows that say hold."""
        said = rows.saying(self.manifest.rows, "hold", "review")
        return frozenset(row.number for row in said if row.hold or row.review == "hold")

    @property
    def is_whole(self) -> bool:
        """Whether this command is about every row."""
        return all(number in self.chosen for number in rows.numbers_of(self.manifest.rows))

    def matching(self, globs: Sequence[str]) -> frozenset[int]:
        """The numbers of the chosen rows whose ids match one of these."""
        named = self.manifest.rows if globs else ()
        return frozenset(row.number for row in named if row.number in self.chosen and matches(row.id, globs))
