"""The mapping of a YAML manifest → what it says for all of its rows, checked against the schema."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchmod.errors import Place, Problem
from batchmod.manifest import standing
from batchmod.manifest.asking import Asked, Document, no_rows
from batchmod.manifest.expanding import rooted
from batchmod.manifest.matrix import Matrix, matrix_of
from batchmod.manifest.trees import Entry, Listed, Mapped, Node, Scalar, Tree, value
from batchmod.manifest.variables import substituted
from batchmod.rows import Checker, Default, ids, source_fault
from batchmod.rows.columns import Fields, Wishes, wished_twice
from batchmod.rows.templates import naming_faults
from batchmod.schema import Schemas, problems, shown, types_of
from batchmod.urls import output_fault

HINT: Final = "list the clips under `clips:`, each with its `video_url:`"
_OF_THE_WHOLE: Final = (
    *("name", "provider", "provider_options", "output", "naming", "pair_frames", "deliver", "limits"),
    *("notify", "on_succeeded", "hooks", "recheck_sources", "max_age"),
)
"""What only the manifest itself may say, since there is one of each."""
_PATHS: Final = ("video_url", "first_frame_url", "keyframes", "prompt_file")
_PAIRS: Final = (("prompt", "prompt_file"), ("variant", "variants"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Include:
    """A document that is to add its rows: where it is, how it is read, and where that is said."""

    name: str
    place: Place
    ways: Mapping[str, Any]
    columns: Mapping[str, str] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """A manifest's mapping without its rows."""

    document: Mapping[str, Any]
    wishes: Wishes
    defaults: Mapping[str, Default]
    matrix: Matrix
    clips: tuple[Node, ...]
    includes: tuple[Include, ...]
    problems: tuple[Problem, ...]


def batch_of(tree: Tree, root: Mapped, *, document: Document, asked: Asked) -> Batch:
    """What the mapping says; all mistakes in it but those of its rows."""
    schemas = asked.schemas
    said = _said(root, schemas)
    found = [*tree.problems, *_document_problems(said, tree, schemas)]
    if document.above:
        found += _not_here(root, tree, document.above[0])
    if isinstance(said.get("output"), str):
        said["output"], faults = substituted(said["output"], asked.variables)
        found += [_at(tree, ("output",), message, hint) for message, hint in faults]
        if not faults and (fault := output_fault(said["output"])) is not None:
            found.append(_at(tree, ("output",), fault))
    faults_of_notices = standing.notice_faults(said.get("notify"), asked.variables)
    found += [_at(tree, ("notify", *path), message, hint) for path, message, hint in faults_of_notices]
    for path, message, hint in standing.age_faults(said.get("max_age")):
        found.append(_at(tree, ("max_age", *path), message, hint))
    wishes = _wishes(said, asked, document)
    found += _wish_problems(wishes, asked, tree)
    defaults, faults_of_defaults = _defaults(tree, root, document, asked)
    found += faults_of_defaults
    matrix = matrix_of(
        tree,
        root.entries.get("matrix"),
        fields=asked.fields,
        wishes=wishes,
        checker=Checker(row_schema=schemas.row),
    )
    includes, faults_of_includes = _includes(tree, root.entries.get("include"), asked)
    found += [*matrix.problems, *faults_of_includes]
    clips = root.entries.get("clips")
    nodes = tuple(clips.node.nodes) if clips and isinstance(clips.node, Listed) else ()
    if clips and said.get("clips") == [] and not nodes and "include" not in root.entries:
        found.append(no_rows(tree.at(clips.key), HINT))
    return Batch(
        document=said,
        wishes=wishes,
        defaults={**document.defaults, **defaults},
        matrix=matrix,
        clips=nodes,
        includes=tuple(includes),
        problems=tuple(found),
    )


def _at(tree: Tree, path: tuple[str | int, ...], message: str, hint: str | None = None) -> Problem:
    field = ".".join(str(part) for part in path if isinstance(part, str))
    return Problem(place=tree.place(path), field=field, message=message, hint=hint)


def _said(root: Mapped, schemas: Schemas) -> dict[str, Any]:
    """The manifest without its rows and its matrix, which are checked one by one."""
    said: dict[str, Any] = {}
    for key, entry in root.entries.items():
        node = entry.node
        schema = schemas.manifest["properties"].get(key, {})
        nothing = isinstance(node, Scalar) and node.is_null
        if key == "clips" and (isinstance(node, Listed) or nothing):
            said[key] = []
            continue
        # a section whose lines are all commented out
        if key == "matrix" or (nothing and types_of(schema) in {("object",), ("array",)}):
            continue
        said[key] = value(node, schema, shared=schemas.all(), root=schemas.manifest)
    return said


def _document_problems(said: Mapping[str, Any], tree: Tree, schemas: Schemas) -> list[Problem]:
    found = problems(said, schemas.manifest, locate=tree.place, shared=schemas.all())
    if any(problem.hint and "'clips'" in problem.hint for problem in found):
        return [problem for problem in found if not problem.message.startswith("clips is missing")]
    return found


def _not_here(root: Mapped, tree: Tree, manifest: str) -> Iterator[Problem]:
    for key in _OF_THE_WHOLE:
        if key in root.entries:
            message = f"{key} belongs in {manifest}, which includes this file"
            yield Problem(place=tree.at(root.entries[key].key), field=key, message=message)


def section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A mapping of the manifest; empty where it is none, which is reported elsewhere."""
    found = document.get(name)
    return found if isinstance(found, Mapping) else {}


def _wishes(said: Mapping[str, Any], asked: Asked, document: Document) -> Wishes:
    columns = section(said, "columns")
    named = {name: header for name, header in columns.items() if name in asked.fields.names and isinstance(header, str)}
    extra = said.get("extra_columns")
    declared = [each for each in extra if isinstance(each, str)] if isinstance(extra, list) else []
    return Wishes(
        columns={**named, **document.wishes.columns},
        extra=frozenset([*declared, *document.wishes.extra]),
        in_file=True,
    )


def _wish_problems(wishes: Wishes, asked: Asked, tree: Tree) -> Iterator[Problem]:
    asked_twice = dict(wished_twice(asked.wishes))
    for name, message in wished_twice(wishes):
        if name not in asked_twice:
            yield Problem(place=tree.place(("columns", name)), field=f"columns.{name}", message=message)


def _defaults(tree: Tree, root: Mapped, document: Document, asked: Asked) -> tuple[dict[str, Default], list[Problem]]:
    """The defaults by field, as text; what the schema says of them is reported elsewhere."""
    entry = root.entries.get("defaults")
    aliases = asked.fields.aliases
    found: dict[str, Default] = {}
    faults: list[Problem] = []
    for key, each in entry.node.entries.items() if entry and isinstance(entry.node, Mapped) else ():
        if key not in aliases or not isinstance(each.node, Scalar) or each.node.is_null:
            continue
        name = aliases[key]
        text, wrong = _default(name, each.node.text, document, asked)
        place = tree.at(each.node.spot)
        if name in found:
            wrong.append((f"{name} is given twice, once by another name", None))
        faults += [Problem(place=place, field=f"defaults.{key}", message=message, hint=hint) for message, hint in wrong]
        found[name] = Default(text=text, place=place)
    for one, other in _PAIRS:
        if one in found and other in found:
            message = f"{one} and {other} exclude each other"
            faults.append(_at(tree, ("defaults", other), message))
    return found, faults


def _default(name: str, text: str, document: Document, asked: Asked) -> tuple[str, list[tuple[str, str | None]]]:
    wrong: list[tuple[str, str | None]] = []
    if asked.schemas.row["properties"][name].get("x-env"):
        text, wrong = substituted(text, asked.variables)
    if name in _PATHS:
        text = rooted(document.base, text)
    if name.endswith("_url") and (reason := source_fault(text)):
        wrong.append((reason, None))
    return text, wrong


def _includes(tree: Tree, entry: Entry | None, asked: Asked) -> tuple[list[Include], list[Problem]]:
    found: list[Include] = []
    faults: list[Problem] = []
    nodes = entry.node.nodes if entry and isinstance(entry.node, Listed) else []
    for number, node in enumerate(nodes):
        said: dict[str, Node] = {"file": node} if isinstance(node, Scalar) else {}
        if isinstance(node, Mapped):
            said = {key: each.node for key, each in node.entries.items()}
        file = said.get("file")
        if not isinstance(file, Scalar) or file.is_null or not file.text:
            continue
        name, wrong = substituted(file.text, asked.variables)
        faults += [_at(tree, ("include", number), message, hint) for message, hint in wrong]
        if wrong:
            continue
        schema = asked.schemas.manifest["$defs"]["include_with_ways"]
        ways = {
            key: value(each, schema["properties"][key], shared=asked.schemas.all(), root=asked.schemas.manifest)
            for key, each in said.items()
            if key in schema["properties"]
        }
        columns = ways.pop("columns", None)
        ways.pop("file", None)
        found.append(Include(name=name, place=tree.at(file.spot), ways=ways, columns=columns))
    return found, faults


def name_problems(
    document: Mapping[str, Any], tree: Tree, own_columns: Sequence[str], schemas: Schemas
) -> Iterator[Problem]:
    """What is wrong with the batch's name and the naming template."""
    name, naming = document.get("name"), document.get("naming")
    if isinstance(name, str) and name and (reason := ids.fault(ids.normal(name))):
        message = f"{shown(name)} could not be a folder's name: it {reason}"
        yield Problem(place=tree.place(("name",)), field="name", message=message)
    columns = [*Fields.of(schemas.row).names, *own_columns]
    for path, message, hint in standing.hook_faults(document.get("on_succeeded"), columns):
        yield Problem(place=tree.place(("on_succeeded", *path)), field="on_succeeded", message=message, hint=hint)
    if isinstance(naming, str) and naming:
        for message, hint in naming_faults(naming, columns):
            yield Problem(place=tree.place(("naming",)), field="naming", message=message, hint=hint)
