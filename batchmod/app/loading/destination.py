"""Where a manifest's outputs go: a folder of this machine, and the store that it is put up into."""

from collections.abc import Mapping
from pathlib import Path

from batchmod import files, manifest, sources
from batchmod.app.loading import returning
from batchmod.app.loading.reading import read, refusal
from batchmod.app.options import Options
from batchmod.errors import UsageError
from batchmod.model import Conform, Manifest
from batchmod.rows import ids
from batchmod.urls import is_put_up, output_fault


def where_and_how(
    document: sources.Document, options: Options, environ: Mapping[str, str]
) -> tuple[Path, Conform | None]:
    """The output folder of a manifest, and what it says itself of delivered copies."""
    if document.kind not in (None, "yaml"):  # a sheet says nothing of its folder, however it is read
        if manifest.may_be_returned(document.data, document.kind):
            reading = read(document, options, environ)
            if (home := returning.folder_of(document, reading, options=options, environ=environ)) is not None:
                return home, None
        bare = Manifest(file=document.file, name=ids.stem(document.file), rows=())
        return output_folder(document.anchor, bare, options), None
    reading = read(document, options, environ)
    if reading.manifest is None:
        raise refusal(reading.problems, reading)
    return output_folder(document.anchor, reading.manifest, options), reading.manifest.deliver


def output_folder(path: Path, parsed: Manifest, options: Options) -> Path:
    """Where outputs go: never the current folder by default, since cron's is another one."""
    base, said = path.resolve().parent, _folder_of(parsed)
    if options.folder is not None:
        folder = Path(options.folder).absolute()
    elif said is not None:
        folder = base / said
    else:
        folder = (base.parent if base.name == "manifests" else base) / "outputs" / parsed.name
    folder = Path(files.normal(folder))
    return folder / "rehearsal" if options.rehearse else folder


def is_homeless(document: sources.Document, parsed: Manifest, options: Options) -> bool:
    """Whether neither the manifest's own folder nor anybody says where outputs go."""
    return not document.is_file and options.folder is None and _folder_of(parsed) is None


def store_of(parsed: Manifest, options: Options) -> str | None:
    """The store that outputs go to, without a `/` at its end; None where they stay on this machine.

    Raises UsageError for an `--output` that takes none.
    """
    said = parsed.output if options.output is None else options.output
    if options.output is not None and (fault := output_fault(options.output)) is not None:
        raise UsageError(f"--output: {fault}")
    if said is None or not is_put_up(said):
        return None
    store = said.rstrip("/")
    return f"{store}/rehearsal" if options.rehearse else store


def _folder_of(parsed: Manifest) -> str | None:
    return None if parsed.output is None or is_put_up(parsed.output) else parsed.output
