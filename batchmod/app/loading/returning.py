"""A table of results that is run as a manifest: whose it is, where its paths begin, and where its outputs are."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from batchmod import files, sources
from batchmod.app import pointer, rotating, whereabouts
from batchmod.app.loading.reading import read
from batchmod.app.options import Options
from batchmod.checkpoint import Checkpoint
from batchmod.errors import BatchmodError, ManifestError, Problem
from batchmod.manifest import Reading, Returned, kind_of
from batchmod.model import Row
from batchmod.rows import files_of

_MINE: Final = "take the column job_key out: then it is a manifest of its own, with paths relative to itself"
_NOT_KNOWN: Final = f"put the file back beside its videos, or name that folder with --output, or {_MINE}"
_ABSENT: Final = "put it back, or say --allow-outside if the files in its folder are meant"
_GONE: Final = f"put it back, for its settings are needed; or {_MINE}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Home:
    """The output folder of a table of results, and its manifest by its file, as seen from there, and its name."""

    folder: Path
    manifest: str
    name: str

    @property
    def anchor(self) -> Path:
        """The manifest's file."""
        return Path(files.normal(self.folder / self.manifest))


def settled(
    document: sources.Document, reading: Reading, *, options: Options, environ: Mapping[str, str]
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
        message = "these are results, and the output folder that they are from is not known here"
        return document, _refused(reading, of, message, _NOT_KNOWN)
    anchor = home.anchor
    document = replace(document, anchor=anchor)
    settings = None
    if kind_of(anchor.name) == "yaml":
        try:
            named = read(sources.read_document(anchor), replace(options, columns={}), environ)
        except ManifestError as error:
            return document, _refused(reading, of, f"the manifest that these results name: {error}", _GONE)
        if named.manifest is None:
            return document, replace(reading, manifest=None, problems=(*reading.problems, *named.problems))
        settings = named.manifest
    if reading.manifest is None:
        return document, reading
    if not anchor.exists() and not options.allow_outside and any(map(_names_files, reading.manifest.rows)):
        # who writes a table must not choose which folder's files may be sent
        return document, _refused(reading, of, f"the manifest that these results name is not there: {anchor}", _ABSENT)
    rehearsed = options.rehearse and home.folder.name == "rehearsal"
    rows, own_columns = reading.manifest.rows, reading.manifest.own_columns
    manifest = replace(
        settings or reading.manifest,
        file=reading.manifest.file,
        rows=rows,
        own_columns=own_columns,
        name=home.name,
        output=str(home.folder.parent if rehearsed else home.folder),
    )
    return document, replace(reading, manifest=manifest)


def folder_of(
    document: sources.Document, reading: Reading, *, options: Options, environ: Mapping[str, str]
) -> Path | None:
    """The output folder that a table of results is from; None for anything else."""
    home = None if reading.returned is None else _home(document, reading.returned, options, environ)
    return None if home is None else home.folder


def _names_files(row: Row) -> bool:
    return any(not sources.is_remote(named.value) for named in files_of(row))


def _refused(reading: Reading, of: Returned, message: str, hint: str) -> Reading:
    problem = Problem(place=of.place, field="manifest", message=message, hint=hint)
    return replace(reading, manifest=None, problems=(*reading.problems, problem))


def _home(document: sources.Document, of: Returned, options: Options, environ: Mapping[str, str]) -> _Home | None:
    """The folder whose record knows these results: the one they lie in, the one that is named, or one met before.

    Where several do, the one from where the manifest is where it should be.
    """
    first = None
    for home in _homes(document, of, options, environ):
        if home.anchor.exists():
            return home
        first = first or home
    return first


def _homes(document: sources.Document, of: Returned, options: Options, environ: Mapping[str, str]) -> Iterator[_Home]:
    beside = document.anchor.absolute()
    # a folder may be a link, and the manifest's place is seen from the link
    for own in dict.fromkeys((beside.parent, beside.resolve().parent)) if document.is_file else ():
        path = pointer.record_file(own, options.state)
        if path.exists():
            yield from _at(own, of, path)
        elif rotating.is_there(own) or (own / "videos").exists():
            # whoever opens the folder says that its record is lost
            yield _Home(folder=own, manifest=next(iter(of.manifests), ""), name="")
    named = () if options.folder is None else (Path(options.folder).absolute(),)
    for folder in (*named, *whereabouts.places(environ)):
        with suppress(BatchmodError, OSError):
            yield from _at(folder, of, pointer.record_file(folder))


def _at(folder: Path, of: Returned, path: Path) -> Iterator[_Home]:
    """The folder, where its record knows one of the runs or of the rows."""
    if not path.exists():
        return
    with Checkpoint.look_at(path) as record:
        if not any(map(record.knows_run, of.run_ids)) and not any(map(record.rows_of, of.job_keys)):
            return
        names = record.manifests()
    cell = next(iter(of.manifests), "")
    if cell not in names and len(names) == 1:  # renamed since
        cell = next(iter(names))
    if cell in names:
        yield _Home(folder=folder, manifest=cell, name=names[cell])
