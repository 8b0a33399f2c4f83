"""A document → the manifest as text says it: with what it includes, and before any clip or picture is looked at."""

from collections.abc import Mapping, Sequence

from batchmod import files, manifest, sources
from batchmod.app import whereabouts
from batchmod.app.options import Options
from batchmod.errors import ManifestError, Problem
from batchmod.schema import Schemas


def published() -> Schemas:
    """The published schemas."""
    return Schemas(**{name: files.schema(name) for name in ("manifest", "row", "results")})


def read(document: sources.Document, options: Options, environ: Mapping[str, str]) -> manifest.Reading:
    """The manifest as text says it, with its problems; its clips and pictures are not looked at."""
    schemas = published()
    variables = {name: value for name, value in environ.items() if name.startswith(manifest.VARIABLES)}
    tree = None if options.allow_outside else sources.tree_of(document.anchor)
    answers: dict[manifest.Need, manifest.Answer] = {}
    while True:
        reading = manifest.read(
            document.data,
            file=document.file,
            kind=document.kind,
            schemas=schemas,
            extra_columns=options.extra_columns,
            columns=options.columns,
            ways=options.ways,
            given=manifest.Given(answers=answers, variables=variables),
        )
        if not reading.needs:
            return reading
        answers |= sources.answers(reading.needs, manifest=document.anchor, tree=tree, is_output=whereabouts.is_output)


def refusal(problems: Sequence[Problem], reading: manifest.Reading) -> ManifestError:
    """The error that says these problems, with the lines of the documents they are in."""
    notes = [note.text for note in reading.notes if not note.usual]
    return ManifestError(
        manifest.distinct(manifest.in_order(problems)), notes=notes, lines=lines_of(reading), documents=reading.sheets
    )


def lines_of(reading: manifest.Reading) -> dict[str, list[str]]:
    """File → the lines of its text."""
    return {file: text.splitlines() for file, text in reading.texts.items()}
