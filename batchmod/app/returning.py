"""A table of results that is run as a manifest: whose it is, where its paths begin, and where its outputs are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from batchmod import files, sources
from batchmod.app import pointer, whereabouts
from batchmod.app.options import Options
from batchmod.checkpoint import Checkpoint
from batchmod.errors import BatchmodError, ManifestError, Problem
from batchmod.manifest import Reading, Returned, kind_of
from batchmod.model import Manifest
from batchmod.rows import ids

_TRACES: Final = ("events.jsonl", "videos")
_MINE: Final = "or take the column job_key out: then it is a manifest of its own, with paths relative to itself"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Home:
    """The output folder of a table of results, and its manifest by its file, as seen from there, and its name."""

    folder: Path
    manifest: str
    name: str


Read = Callable[[sources.Document], Reading]


def settled(
    document: sources.Document, reading: Reading, *, options: Options, environ: Mapping[str, str], read: Read
) -> tuple[sources.Document, Reading]:
    """A table of results as if its manifest said it: that one's paths, settings and output folder; others as they are.

    Settings that change what comes out, such as `provider_options`, stand in the manifest alone: without them each row
    would be another request, and paid again.
    """
    of = reading.returned
    if of is None or len(of.manifests) > 1:
        return document, reading
    home = _home(document, of, options, environ)
    if home is None:
        return document, _refused(
            reading, of, "these are results, and the output folder that they are from is not known here"
        )
    anchor = Path(files.normal(home.folder / home.manifest))
    document = replace(document, anchor=anchor)
    settings = Manifest(file=document.file, name=home.name, rows=())
    if kind_of(anchor.name) == "yaml":
        try:
            named = read(sources.read_document(anchor))
        except ManifestError as error:
            return document, _refused(reading, of, f"the manifest that these results name: {error}")
        if named.manifest is None:
            return document, replace(reading, manifest=None, problems=(*reading.problems, *named.problems))
        settings = named.manifest
    if reading.manifest is None:
        return document, reading
    rehearsed = options.rehearse and home.folder.name == "rehearsal"
    manifest = replace(
        reading.manifest,
        name=home.name,
        provider=settings.provider,
        provider_options=settings.provider_options,
        naming=settings.naming,
        limits=settings.limits,
        output=str(home.folder.parent if rehearsed else home.folder),
    )
    return document, replace(reading, manifest=manifest)


def folder_of(
    document: sources.Document, reading: Reading, *, options: Options, environ: Mapping[str, str]
) -> Path | None:
    """The output folder that a table of results is from; None for anything else."""
    home = None if reading.returned is None else _home(document, reading.returned, options, environ)
    return None if home is None else home.folder


def _refused(reading: Reading, of: Returned, message: str) -> Reading:
    hint = f"put the file back beside its videos, or name that folder with --output, {_MINE}"
    problem = Problem(place=of.place, field="manifest", message=message, hint=hint)
    return replace(reading, manifest=None, problems=(*reading.problems, problem))


def _home(document: sources.Document, of: Returned, options: Options, environ: Mapping[str, str]) -> _Home | None:
    """The folder whose record knows these results: the one they lie in, the one that is named, or one met before."""
    own = document.anchor.resolve().parent
    if document.is_file:
        if (home := _at(own, of, path=pointer.record_file(own, options.state))) is not None:
            return home
        if not pointer.record_file(own).exists() and any((own / name).exists() for name in _TRACES):
            cell = next(iter(of.manifests), "")
            return _Home(
                folder=own, manifest=cell, name=ids.stem(cell)
            )  # whoever opens it says that its record is lost
    named = () if options.output is None else (Path(options.output).absolute(),)
    return next((home for each in (*named, *whereabouts.places(environ)) if (home := _met(each, of)) is not None), None)


def _met(folder: Path, of: Returned) -> _Home | None:
    try:
        return _at(folder, of, path=pointer.record_file(folder))
    except (BatchmodError, OSError):
        return None


def _at(folder: Path, of: Returned, *, path: Path) -> _Home | None:
    if not path.exists():
        return None
    with Checkpoint.look_at(path) as record:
        return _of_record(record, folder, of)


def _of_record(record: Checkpoint, folder: Path, of: Returned) -> _Home | None:
    """The folder, where its record knows one of the runs or of the rows."""
    if not any(map(record.knows_run, of.run_ids)) and not any(map(record.rows_of, of.job_keys)):
        return None
    names = record.manifests()
    cell = next(iter(of.manifests), "")
    # a manifest that was renamed since is known by its new name, where there is no other
    place = cell if cell in names else next(iter(names)) if len(names) == 1 else None
    return None if place is None else _Home(folder=folder, manifest=place, name=names[place])
