"""A report's marks as a manifest: the rows of their output folder, as results.csv has them, with the marks in them."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from batchmod import files, results, sources
from batchmod.app import folder as folders
from batchmod.app import loading, outcomes, pointer
from batchmod.app.loading import Loaded, returning
from batchmod.app.options import Options
from batchmod.app.services import Services
from batchmod.checkpoint import Checkpoint
from batchmod.errors import ManifestError, Problem
from batchmod.manifest import Reading
from batchmod.model import Conform
from batchmod.rows import Ways, marks
from batchmod.rows.marks import NOTE, Mark, Marked

_NOT_KNOWN: Final = "put the file beside the report's videos, or name that folder with --output"


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Marks as they count now: those that do, and why others do not."""

    counting: Mapping[str, Mark]
    """Id in casefold → its mark."""
    others: tuple[Problem, ...]
    rows: frozenset[str]
    """Every row that is marked and there, in casefold: one whose redo is over may still be under way."""


def load(name: Path | str, options: Options, services: Services) -> Loaded:
    """Read, check and identify. Raises ManifestError with all problems, UsageError for wrong settings.

    `name`: a path, `-` for standard input, or the https:// address of a published sheet. A file of marks comes to the
    rows of its folder, of which only those that it marks are chosen.
    """
    document = sources.read_document(name, kind=options.kind)
    marked = marked_in(document)
    if marked is None:
        return loading.load(document, options, services)
    folder = home_of(document, marked, options, services.environ)
    with folders.look_at(folder, state=options.state) as record:
        standing = standing_of(record, marked.marks)
        if len(of := manifests(record, standing)) > 1:
            raise ManifestError([_of_several(marked, of, folder)])
        text = _table(record, standing, of)
    table = folder / results.FILE_NAME
    document = sources.Document(data=text, kind="csv", file=str(table), anchor=table)
    ids = standing.rows
    options = replace(options, chosen_ids=ids, ways=Ways(), columns={}, extra_columns=())
    loaded = loading.load(document, options, services)
    return replace(loaded, warnings=(*standing.others, *loaded.warnings))


def where(name: Path | str, options: Options, environ: Mapping[str, str]) -> Path:
    """The output folder of a manifest."""
    return where_and_how(name, options, environ)[0]


def where_and_how(name: Path | str, options: Options, environ: Mapping[str, str]) -> tuple[Path, Conform | None]:
    """The output folder of a manifest, and what it says itself of delivered copies."""
    document = sources.read_document(name)
    marked = marked_in(document)
    if marked is not None:
        return home_of(document, marked, options, environ), None
    return loading.where_and_how(document, options, environ)


def marked_in(document: sources.Document) -> Marked | None:
    """What a document says as a file of marks; None where it is none. Raises ManifestError with what is wrong in it."""
    if not marks.may_be_marks(document.data, document.kind):
        return None
    marked = marks.read(document.data, file=document.file)
    if marked is not None and marked.problems:
        raise ManifestError(marked.problems)
    return marked


def home_of(document: sources.Document, marked: Marked, options: Options, environ: Mapping[str, str]) -> Path:
    """The output folder, by what it knows of the marked rows. Raises ManifestError where none does."""
    # beside a record only: a folder of downloads may hold anything
    lies_there = document.is_file and pointer.record_file(document.anchor.absolute().parent).exists()
    reading = Reading(manifest=None, problems=(), returned=marked.of)
    where = replace(document, is_file=lies_there)
    found = returning.folder_of(where, reading, options=options, environ=environ)
    if found is None:
        message = "these are marks of a report, and the output folder that they are of is not known here"
        raise ManifestError([Problem(place=marked.of.place, message=message, hint=_NOT_KNOWN)])
    return found


def standing_of(record: Checkpoint, said: Sequence[Mark]) -> Standing:
    """Which marks count now. A redo is said of one version: once there is a newer one, or it was spent, it is over."""
    there = {row.id.casefold() for row in record.stored_rows()}
    reviews = record.reviews()
    counting: dict[str, Mark] = {}
    others: list[Problem] = []
    for mark in said:
        folded = mark.id.casefold()
        spent = reviews.get(folded)
        why = None
        if folded not in there:
            why = f"no row is called '{mark.id}' any more"
        elif mark.review == "redo":
            why = _over(mark, record.version_shown(mark.id), spent.spent_on if spent else 0)
        if why is None:
            counting[folded] = mark
        else:
            others.append(Problem(place=mark.place, field="id", message=why, warning=True))
    marked = frozenset(mark.id.casefold() for mark in said)
    return Standing(counting=counting, others=tuple(others), rows=marked & there)


def _over(mark: Mark, shown: int | None, spent_on: int) -> str | None:
    assert mark.review_of is not None
    if shown is None or mark.review_of > shown:
        return f"'{mark.id}' has no version {mark.review_of} that could be made once more"
    if mark.review_of < shown or mark.review_of <= spent_on:
        return f"version {mark.review_of} of '{mark.id}' was made once more already: its redo is over"
    return None


def manifests(record: Checkpoint, standing: Standing) -> frozenset[str]:
    """The manifests, as their output folder sees them, that the marked rows are of."""
    first = record.fact("manifest_file") or ""
    return frozenset(row.manifest or first for row in record.stored_rows() if row.id.casefold() in standing.rows)


def _of_several(marked: Marked, of: Iterable[str], folder: Path) -> Problem:
    named = ", ".join(f"'{name}'" for name in sorted(of))
    return Problem(
        place=marked.of.place,
        field="manifest",
        message=f"these marks are on rows of several manifests ({named}), and each runs by itself",
        hint="leave the rows of one in this file and give the others a copy of their own, or let "
        f"`batchmod report {files.shortest(folder)} --marks {marked.of.place.file}` write them into all the sheets",
    )


def _table(record: Checkpoint, standing: Standing, of: frozenset[str]) -> bytes:
    """results.csv with the marks in it; of a folder of several manifests the rows of the one that is marked."""
    first = record.fact("manifest_file") or ""
    names = results.names_of((row.fields for row in record.stored_rows()), further=(NOTE,))

    def lines() -> Iterator[Mapping[str, Any]]:
        for row, line in outcomes.lines_of_rows(record):
            if not of or (row.manifest or first) in of:
                yield _with(line, standing.counting.get(row.id.casefold()))

    file = io.BytesIO()
    results.fill(file, lines(), names)
    return file.getvalue()


def _with(line: dict[str, Any], mark: Mark | None) -> Mapping[str, Any]:
    if mark is None:
        return line
    of = mark.review_of or line["review_of"]
    return {**line, "review": mark.review or None, "review_of": of, NOTE: mark.note or None}
