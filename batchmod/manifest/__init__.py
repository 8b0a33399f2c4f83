"""A manifest's bytes → a Manifest, or every problem in it with its place."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from batchmod.errors import ManifestError, Place, Problem
from batchmod.manifest.clips import raw_rows
from batchmod.manifest.trees import Listed, Mapped, Node, Scalar, Tree, parse, value
from batchmod.model import Limits, Manifest, NamedFile
from batchmod.rows import (
    Completed,
    Default,
    complete,
    files_of,
    from_table,
    ids,
    is_header,
    source_fault,
    tables,
)
from batchmod.rows.columns import Fields, Wishes, wished_twice
from batchmod.rows.templates import naming_faults
from batchmod.schema import Schemas, everywhere, one_line, problems, shown, types_of
from batchmod.schema import defaults as defaults_of

_SAVE_AS: Final = "save it as UTF-8 (in Excel: `CSV UTF-8`)"

_ZIP: Final = b"PK\x03\x04"
_YAML_HINT: Final = "list the clips under `clips:`, each with its `video_url:`"
_CSV_HINT: Final = "under a header such as id,video_url,mode,prompt there is one line for each clip"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a manifest says as far as it is good, and its problems in the file's order.

    `manifest` is None where nothing can be said; otherwise it holds the rows without problems.
    """

    manifest: Manifest | None
    problems: tuple[Problem, ...]
    named: tuple[NamedFile, ...] = ()
    """The files of rows that are not in `manifest`: what is wrong with those can be said at the same time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """What the caller gave beside the bytes."""

    file: str
    schemas: Schemas
    extra_columns: Sequence[str]
    columns: Mapping[str, str]

    @property
    def stem(self) -> str:
        return ids.stem(self.file)

    @property
    def wishes(self) -> Wishes:
        names = Fields.of(self.schemas.row).names
        known = {name: header for name, header in self.columns.items() if name in names}
        return Wishes(columns=known, extra=frozenset(self.extra_columns))


def manifest_of(
    data: bytes,
    *,
    file: str,
    schemas: Schemas,
    extra_columns: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> Manifest:
    """The manifest in a file, by its suffix; raises ManifestError with all problems."""
    return _or_raise(read(data, file=file, schemas=schemas, extra_columns=extra_columns, columns=columns))


def parse_yaml(
    data: bytes,
    *,
    file: str,
    schemas: Schemas,
    extra_columns: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> Manifest:
    """The manifest in YAML; raises ManifestError with all problems."""
    asked = _Asked(file=file, schemas=schemas, extra_columns=extra_columns, columns=columns or {})
    return _or_raise(_read_yaml(data, asked))


def parse_csv(
    data: bytes,
    *,
    file: str,
    schemas: Schemas,
    extra_columns: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> Manifest:
    """The manifest in a CSV or TSV, named for its file; raises ManifestError with all problems."""
    asked = _Asked(file=file, schemas=schemas, extra_columns=extra_columns, columns=columns or {})
    return _or_raise(_read_csv(data, asked))


def read(
    data: bytes,
    *,
    file: str,
    schemas: Schemas,
    extra_columns: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> Reading:
    """What `manifest_of` would give or raise, both as values: the good rows beside the problems."""
    asked = _Asked(file=file, schemas=schemas, extra_columns=extra_columns, columns=columns or {})
    suffix = file.rpartition(".")[2].casefold() if "." in file else ""
    if suffix in {"yaml", "yml"}:
        return _read_yaml(data, asked)
    if suffix in {"csv", "tsv"}:
        return _read_csv(data, asked)
    message = f"a manifest ends in .yaml, .yml, .csv or .tsv, not {shown('.' + suffix) if suffix else 'so'}"
    return _unreadable(Problem(place=Place(file=file), message=message))


def _or_raise(reading: Reading) -> Manifest:
    if reading.manifest is None or reading.problems:
        raise ManifestError(reading.problems)
    return reading.manifest


def _unreadable(*found: Problem) -> Reading:
    return Reading(manifest=None, problems=in_order(found))


def in_order(found: Sequence[Problem]) -> tuple[Problem, ...]:
    """The problems by place, each on one line."""

    def key(problem: Problem) -> tuple[int, int, str]:
        place = problem.place
        return (place.line or 0, place.column or len(place.cell or ""), place.cell or "")

    return tuple(_one_line(problem) for problem in sorted(found, key=key))


def _one_line(problem: Problem) -> Problem:
    """The problem on one line, whatever stands in the file."""
    hint = None if problem.hint is None else one_line(problem.hint)
    return replace(problem, message=one_line(problem.message), hint=hint)


def _decode(data: bytes, file: str) -> str | Problem:
    if data.startswith(_ZIP):
        message = "this is an Excel workbook or another zip file, not a text"
        return Problem(place=Place(file=file), message=message, hint="export it as `CSV UTF-8`")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return Problem(place=Place(file=file, line=1), message="this is UTF-16, not UTF-8", hint=_SAVE_AS)
        line = data.count(b"\n", 0, error.start) + 1
        message = f"not UTF-8: the byte 0x{data[error.start]:02X} stands here"
        return Problem(place=Place(file=file, line=line), message=message, hint=_SAVE_AS)


def _asked_problems(asked: _Asked) -> list[Problem]:
    """What is wrong with `--column` itself."""
    schema = asked.schemas.manifest
    only_columns = {**schema, "required": [], "properties": {"columns": schema["properties"]["columns"]}}
    place = Place(file="--column")
    found = problems(
        {"columns": dict(asked.columns)}, only_columns, locate=everywhere(place), shared=asked.schemas.all()
    )
    return found + [Problem(place=place, message=message) for _, message in wished_twice(asked.wishes)]


def _no_rows(place: Place, hint: str) -> Problem:
    return Problem(place=place, message="the manifest is empty: it has no rows", hint=hint)


def _reading(manifest: Manifest, found: Sequence[Problem], completed: Completed) -> Reading:
    """The manifest stands if all that is wrong is wrong with single rows."""
    if all(problem.row is not None for problem in found):
        return Reading(manifest=manifest, problems=in_order(found), named=completed.named)
    return Reading(manifest=None, problems=in_order(found), named=_all_named(completed))


def _all_named(completed: Completed) -> tuple[NamedFile, ...]:
    return (*completed.named, *(each for row in completed.rows for each in files_of(row)))


# --- CSV ----------------------------------------------------------------------------------------------------


def _read_csv(data: bytes, asked: _Asked) -> Reading:
    text = _decode(data, asked.file)
    if isinstance(text, Problem):
        return _unreadable(text)
    wishes, schemas = asked.wishes, asked.schemas
    table = tables.parse(
        text,
        file=asked.file,
        is_header=lambda cells: is_header(cells, schemas=schemas, wishes=wishes),
    )
    gathered = from_table(table, schemas=schemas, wishes=wishes, defaults={})
    completed = complete(gathered.rows, schemas=schemas)
    found = [*_asked_problems(asked), *table.problems, *gathered.problems, *completed.problems]
    if not gathered.rows and not table.problems:
        found.append(_no_rows(Place(file=asked.file), _CSV_HINT))
    manifest = Manifest(
        file=asked.file,
        name=asked.stem,
        naming=defaults_of(schemas.manifest)["naming"],
        limits=_limits({}, schemas),
        rows=completed.rows,
        own_columns=completed.own_columns,
    )
    return _reading(manifest, found, completed)


# --- YAML ---------------------------------------------------------------------------------------------------


def _read_yaml(data: bytes, asked: _Asked) -> Reading:
    text = _decode(data, asked.file)
    if isinstance(text, Problem):
        return _unreadable(text)
    tree = parse(text, file=asked.file)
    root = tree.root
    if root is None:
        return _unreadable(*(tree.problems or [_no_rows(Place(file=asked.file), _YAML_HINT)]))
    if not isinstance(root, Mapped):
        return _unreadable(*tree.problems, _no_mapping(tree, root))
    return _read_mapping(tree, root, asked)


def _no_mapping(tree: Tree, root: Node) -> Problem:
    if isinstance(root, Scalar) and root.is_null:
        return _no_rows(tree.at(root.spot), _YAML_HINT)
    what = "a list" if isinstance(root, Listed) else "a text"
    hint = "put the rows under `clips:`" if isinstance(root, Listed) else None
    return Problem(place=tree.at(root.spot), message=f"a manifest is a mapping, not {what}", hint=hint)


def _read_mapping(tree: Tree, root: Mapped, asked: _Asked) -> Reading:
    schemas = asked.schemas
    clips = root.entries.get("clips")
    document = _document(root, schemas)
    found = [*tree.problems, *_asked_problems(asked), *_document_problems(document, tree, schemas)]
    wishes = _wishes(document, asked)
    defaults, faults = _defaults(tree, root, schemas)
    found += faults
    found += _wish_problems(wishes, asked, tree)
    nodes = clips.node.nodes if clips and isinstance(clips.node, Listed) else []
    raw = list(raw_rows(tree, nodes, Fields.of(schemas.row), wishes))
    if clips and document["clips"] == [] and not raw:
        found.append(_no_rows(tree.at(clips.key), _YAML_HINT))
    completed = complete(raw, schemas=schemas, defaults=defaults)
    found += completed.problems
    found += _name_problems(document, tree, completed.own_columns, schemas)
    if any(problem.row is None for problem in found):
        return replace(_unreadable(*found), named=_all_named(completed))
    manifest = _manifest(document, asked, rows=completed.rows, own_columns=completed.own_columns)
    return _reading(manifest, found, completed)


def _document(root: Mapped, schemas: Schemas) -> dict[str, Any]:
    """The manifest without its rows, which are checked one by one."""
    document: dict[str, Any] = {}
    for key, entry in root.entries.items():
        node = entry.node
        schema = schemas.manifest["properties"].get(key, {})
        nothing = isinstance(node, Scalar) and node.is_null
        if key == "clips" and (isinstance(node, Listed) or nothing):
            document[key] = []
            continue
        # a section whose lines are all commented out
        if nothing and types_of(schema) in {("object",), ("array",)}:
            continue
        document[key] = value(node, schema, shared=schemas.all(), root=schemas.manifest)
    return document


def _document_problems(document: Mapping[str, Any], tree: Tree, schemas: Schemas) -> list[Problem]:
    found = problems(document, schemas.manifest, locate=tree.place, shared=schemas.all())
    if any(problem.hint and "'clips'" in problem.hint for problem in found):
        return [problem for problem in found if not problem.message.startswith("clips is missing")]
    return found


def _section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A mapping of the manifest; empty where it is none, which is reported elsewhere."""
    section = document.get(name)
    return section if isinstance(section, Mapping) else {}


def _wishes(document: Mapping[str, Any], asked: _Asked) -> Wishes:
    names = Fields.of(asked.schemas.row).names
    columns = _section(document, "columns")
    said = {name: header for name, header in columns.items() if name in names and isinstance(header, str)}
    extra = document.get("extra_columns")
    declared = [each for each in extra if isinstance(each, str)] if isinstance(extra, list) else []
    return Wishes(columns={**said, **asked.wishes.columns}, extra=frozenset([*declared, *asked.extra_columns]))


def _wish_problems(wishes: Wishes, asked: _Asked, tree: Tree) -> Iterator[Problem]:
    asked_twice = dict(wished_twice(asked.wishes))
    for name, message in wished_twice(wishes):
        if name not in asked_twice:
            yield Problem(place=tree.place(("columns", name)), field=f"columns.{name}", message=message)


def _defaults(tree: Tree, root: Mapped, schemas: Schemas) -> tuple[dict[str, Default], list[Problem]]:
    """The defaults by field, as text; what the schema says of them is reported elsewhere."""
    entry = root.entries.get("defaults")
    aliases = Fields.of(schemas.row).aliases
    found: dict[str, Default] = {}
    faults = []
    for key, each in entry.node.entries.items() if entry and isinstance(entry.node, Mapped) else ():
        if key not in aliases or not isinstance(each.node, Scalar) or each.node.is_null:
            continue
        name, place = aliases[key], tree.at(each.node.spot)
        if name in found:
            message = f"{name} is given twice, once by another name"
            faults.append(Problem(place=place, field=f"defaults.{key}", message=message))
        if name.endswith("_url") and (reason := source_fault(each.node.text)):
            faults.append(Problem(place=place, field=f"defaults.{key}", message=reason))
        found[name] = Default(text=each.node.text, place=place)
    return found, faults


def _name_problems(
    document: Mapping[str, Any], tree: Tree, own_columns: Sequence[str], schemas: Schemas
) -> Iterator[Problem]:
    """What is wrong with the batch's name and the naming template."""
    name, naming = document.get("name"), document.get("naming")
    if isinstance(name, str) and name and (reason := ids.fault(ids.normal(name))):
        message = f"{shown(name)} could not be a folder's name: it {reason}"
        yield Problem(place=tree.place(("name",)), field="name", message=message)
    if isinstance(naming, str) and naming:
        columns = [*Fields.of(schemas.row).names, *own_columns]
        for message, hint in naming_faults(naming, columns):
            yield Problem(place=tree.place(("naming",)), field="naming", message=message, hint=hint)


def _limits(said: Mapping[str, Any], schemas: Schemas) -> Limits:
    return Limits(**{**defaults_of(schemas.manifest)["limits"], **said})


def _manifest(document: Mapping[str, Any], asked: _Asked, **rows: Any) -> Manifest:
    known = {name: document[name] for name in ("provider", "output") if name in document}
    return Manifest(
        file=asked.file,
        name=document.get("name", asked.stem),
        naming=document.get("naming", defaults_of(asked.schemas.manifest)["naming"]),
        provider_options=_section(document, "provider_options"),
        limits=_limits(_section(document, "limits"), asked.schemas),
        **known,
        **rows,
    )
