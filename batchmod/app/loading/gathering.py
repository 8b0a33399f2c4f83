"""The files that a manifest's rows name, and the edited first frames that are theirs without being named."""

from dataclasses import dataclass
from pathlib import Path

from batchmod import sources
from batchmod.app.loading import pairing
from batchmod.app.options import Options
from batchmod.app.services import Services, identities
from batchmod.errors import Problem
from batchmod.manifest import Note
from batchmod.model import Manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A manifest whose rows have the edited frames that were found for them, and all its files."""

    manifest: Manifest
    gathered: sources.Gathered
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    notes: tuple[Note, ...]


def found(parsed: Manifest, path: Path, options: Options, services: Services, seen: sources.Seen) -> Found:
    """Find and identify the files of a manifest that lies at `path`. `seen`: what looking at clips showed before."""
    paired = pairing.paired(parsed, path, options)
    gathered = _gathered(paired.manifest, path, options, services)
    edited = pairing.edited(paired, gathered, seen)
    return Found(
        manifest=edited.manifest,
        gathered=edited.gathered,
        problems=(*paired.problems, *gathered.problems),
        warnings=(*paired.warnings, *edited.warnings),
        notes=edited.notes,
    )


def _gathered(parsed: Manifest, path: Path, options: Options, services: Services) -> sources.Gathered:
    known = identities(services.environ)
    gathered = sources.gather(parsed.rows, manifest=path, identities=known, allow_outside=options.allow_outside)
    known.save()
    return gathered
