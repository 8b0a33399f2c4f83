"""A manifest's bytes → a Manifest, or every problem in it with its place."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from batchmod.errors import ManifestError, Place, Problem
from batchmod.manifest import standing
from batchmod.manifest.asking import (
    Asked,
    Document,
    Note,
    Part,
    Reading,
    Rejected,
    SheetRead,
    distinct,
    in_order,
    kind_of,
    sniffed,
)
from batchmod.manifest.batch import Batch, name_problems, section
from batchmod.manifest.delivering import as_said, conform_of, wishes_of
from batchmod.manifest.documents import part_of, yaml_part
from batchmod.manifest.expanding import expanded
from batchmod.manifest.needs import Answer, Answers, Given, Missing, Need
from batchmod.manifest.trees import Tree
from batchmod.manifest.variables import PREFIX as VARIABLES
from batchmod.model import Limits, Manifest, NamedFile
from batchmod.rows import Completed, Draft, Ways, complete, files_of
from batchmod.rows.columns import wished_twice
from batchmod.rows.returning import Returned, may_be_returned
from batchmod.schema import Schemas, everywhere, problems, shown
from batchmod.schema import defaults as defaults_of

__all__ = [
    "VARIABLES",
    "Answer",
    "Given",
    "Missing",
    "Need",
    "Note",
    "Reading",
    "Rejected",
    "Returned",
    "SheetRead",
    "Ways",
    "as_said",
    "conform_of",
    "distinct",
    "in_order",
    "kind_of",
    "manifest_of",
    "may_be_returned",
    "parse_csv",
    "parse_yaml",
    "read",
    "sniffed",
    "wishes_of",
]

_ENDINGS: Final = "a manifest ends in .yaml, .yml, .csv, .tsv, .xlsx or .jsonl"
_NO_WAYS: Final = Ways()
_NOTHING: Final = Given()


def manifest_of(data: bytes, *, file: str, schemas: Schemas, **wishes: Any) -> Manifest:
    """The manifest in a file, by its suffix; raises ManifestError with all problems. `wishes` as `read` takes them."""
    return _or_raise(read(data, file=file, schemas=schemas, **wishes))


def parse_yaml(data: bytes, *, file: str, schemas: Schemas, **wishes: Any) -> Manifest:
    """The manifest in YAML; raises ManifestError with all problems."""
    return _or_raise(read(data, file=file, schemas=schemas, kind="yaml", **wishes))


def parse_csv(data: bytes, *, file: str, schemas: Schemas, **wishes: Any) -> Manifest:
    """The manifest in a CSV or TSV, named for its file; raises ManifestError with all problems."""
    return _or_raise(read(data, file=file, schemas=schemas, kind="csv", **wishes))


def read(
    data: bytes,
    *,
    file: str,
    schemas: Schemas,
    kind: str | None = None,
    extra_columns: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    ways: Ways = _NO_WAYS,
    given: Given = _NOTHING,
) -> Reading:
    """What `manifest_of` would give or raise, both as values: the good rows beside the problems.

    `kind` is `yaml`, `csv`, `tsv`, `xlsx` or `jsonl`, else the suffix says it. What the manifest needs beside its own
    bytes stands in `given`; where something is lacking, the reading holds nothing but its `needs`.
    """
    asked = Asked(
        file=file,
        schemas=schemas,
        extra_columns=extra_columns,
        columns=columns or {},
        ways=ways,
        variables=given.variables,
        answers=Answers(known=given.answers),
    )
    kind = kind or kind_of(file)
    if kind is None:
        suffix = file.rpartition(".")[2].casefold() if "." in file else ""
        message = f"{_ENDINGS}, not {shown('.' + suffix) if suffix else 'so'}"
        return Reading(manifest=None, problems=(Problem(place=Place(file=file), message=message),))
    document = Document(data=data, file=file, kind=kind, base="", ways=ways, wishes=asked.wishes, defaults={})
    if kind == "yaml":
        tree, batch, part = yaml_part(document, asked)
    else:
        tree, batch, part = None, None, part_of(document, asked)
    reading = _reading(part, tree, batch, asked)
    if asked.answers.wanted:
        return Reading(manifest=None, problems=(), needs=frozenset(asked.answers.wanted))
    return reading


def _or_raise(reading: Reading) -> Manifest:
    if reading.needs:
        raise ManifestError(
            Problem(place=Place(file=need.name), message="this must be read first, for the manifest names it")
            for need in sorted(reading.needs)
        )
    if reading.manifest is None or reading.problems:
        raise ManifestError(distinct(reading.problems))
    return reading.manifest


def _reading(part: Part, tree: Tree | None, batch: Batch | None, asked: Asked) -> Reading:
    """The manifest stands if all that is wrong is wrong with single rows."""
    completed = complete(tuple(expanded(part.runs, asked)), schemas=asked.schemas)
    found = [*_asked_problems(asked), *part.problems, *completed.problems]
    document = batch.document if batch else {}
    if tree is not None:
        found += name_problems(document, tree, completed.own_columns, asked.schemas)
    unfilled = {problem.row for problem in completed.problems if (problem.field or "").startswith("prompt")}
    reading = Reading(
        manifest=None,
        problems=in_order(found),
        notes=part.notes,
        sheets=part.sheets,
        texts=part.texts,
        returned=part.returned,
        rejected=tuple(_rejected(draft, unfilled) for draft in completed.rejected),
    )
    if any(problem.row is None for problem in found):
        return replace(reading, named=_all_named(completed))
    manifest = _manifest(document, asked, rows=completed.rows, own_columns=completed.own_columns)
    return replace(reading, manifest=manifest, named=completed.named)


def _rejected(draft: Draft, unfilled: Collection[int | None]) -> Rejected:
    raw = draft.raw
    cells = {**raw.texts, **raw.own}
    said = {name: value for name, value in draft.values.items() if name != "prompt" or draft.number not in unfilled}
    return Rejected(number=draft.number, id=draft.label, cells=cells, own=raw.own, line=raw.place.line, said=said)


def _all_named(completed: Completed) -> tuple[NamedFile, ...]:
    return (*completed.named, *(each for row in completed.rows for each in files_of(row)))


def _asked_problems(asked: Asked) -> list[Problem]:
    """What is wrong with `--column` itself."""
    schema = asked.schemas.manifest
    properties = {"columns": schema["properties"]["columns"]}
    only_columns = {"$id": schema["$id"], "$defs": schema["$defs"], "properties": properties}
    place = Place(file="--column")
    found = problems(
        {"columns": dict(asked.columns)}, only_columns, locate=everywhere(place), shared=asked.schemas.all()
    )
    return found + [Problem(place=place, message=message) for _, message in wished_twice(asked.wishes)]


def _limits(said: Mapping[str, Any], schemas: Schemas) -> Limits:
    return Limits(**{**defaults_of(schemas.manifest)["limits"], **said})


def _manifest(document: Mapping[str, Any], asked: Asked, **rows: Any) -> Manifest:
    known = {name: document[name] for name in ("provider", "output") if name in document}
    schema = asked.schemas.manifest
    return Manifest(
        file=asked.file,
        name=document.get("name", asked.stem),
        naming=document.get("naming", defaults_of(asked.schemas.manifest)["naming"]),
        pair_frames=document.get("pair_frames", False) is True,
        deliver=conform_of(document["deliver"], asked.schemas) if "deliver" in document else None,
        provider_options=section(document, "provider_options"),
        limits=_limits(section(document, "limits"), asked.schemas),
        notify=standing.notices_of(document.get("notify"), schema["$defs"]["notice"], asked.variables),
        on_succeeded=standing.hook_of(document, schema),
        recheck_sources=document.get("recheck_sources") == "etag",
        max_age_s=standing.age_of(document.get("max_age")),
        **known,
        **rows,
    )
