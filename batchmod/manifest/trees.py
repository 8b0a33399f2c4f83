"""YAML text → a tree of written scalars that knows where everything stands; builds no Python objects from tags."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, NamedTuple

import yaml

from batchmod.errors import Place, Problem
from batchmod.schema import Path, Schema, resolve, typed, types_of

_DEPTH: Final = 100
_TOO_DEEP: Final = f"nested more than {_DEPTH} deep"
_EXPANDED: Final = 1_000_000
_GROWTH: Final = 10
_STANDARD: Final = "tag:yaml.org,2002:"
_TAGS: Final = frozenset(_STANDARD + name for name in ("str", "int", "float", "bool", "null", "seq", "map"))
# what YAML itself does not allow in a text
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_NULL: Final = re.compile(r"null|Null|NULL|~|")
_BOOL: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT: Final = re.compile(r"[-+]?[0-9]{1,300}")
_BASED: Final = re.compile(r"0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class Spot(NamedTuple):
    """A line and a column, from 1."""

    line: int
    column: int


class Scalar(NamedTuple):
    """A scalar as written; `plain` where neither quotes nor a tag say that it is text."""

    spot: Spot
    text: str
    plain: bool

    @property
    def is_null(self) -> bool:
        """Whether it says nothing: empty, `null` or `~`."""
        return self.plain and _NULL.fullmatch(self.text) is not None


class Entry(NamedTuple):
    """A value of a mapping and where its key stands."""

    key: Spot
    node: "Node"


class Mapped(NamedTuple):
    """A mapping; merge keys are already merged in."""

    spot: Spot
    entries: dict[str, Entry]


class Listed(NamedTuple):
    """A list."""

    spot: Spot
    nodes: list["Node"]


Node = Scalar | Mapped | Listed


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """A parsed document; `root` None where there is none or it could not be read."""

    file: str
    root: Node | None
    problems: tuple[Problem, ...] = ()

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Where the value at `path` stands, or its key; as far along the path as the tree goes."""
        spot = Spot(1, 1) if self.root is None else self.root.spot
        node = self.root
        for part in path:
            match node:
                case Mapped(entries=entries) if part in entries:
                    entry = entries[str(part)]
                    spot, node = (entry.key if key and part == path[-1] else entry.node.spot), entry.node
                case Listed(nodes=nodes) if isinstance(part, int):
                    node = nodes[part]
                    spot = node.spot
                case _:
                    break
        return self.at(spot)

    def at(self, spot: Spot) -> Place:
        """A spot of this file."""
        return Place(file=self.file, line=spot.line, column=spot.column)


def parse(text: str, *, file: str) -> Tree:
    """The tree of one YAML document; a text that is no YAML gives one problem."""
    if bad := _UNPRINTABLE.search(text):
        where = _spot_of(text, bad.start())
        message = f"a control character (U+{ord(bad[0]):04X}) stands here; is this a text file?"
        return Tree(file=file, root=None, problems=(_problem(file, where, message),))
    builder = _Builder(file=file)
    try:
        root = builder.build(yaml.parse(text, Loader=yaml.CSafeLoader))
    except _Refused as refused:
        return Tree(file=file, root=None, problems=(*builder.problems, refused.problem))
    except yaml.MarkedYAMLError as error:
        return Tree(file=file, root=None, problems=(*builder.problems, _said(error, text, file)))
    return Tree(file=file, root=root, problems=tuple(builder.problems))


def value(node: Node, schema: Schema, *, shared: tuple[Schema, ...], root: Schema) -> Any:
    """The node as JSON would have it: scalars by YAML 1.2's core rules, but text where `schema` wants text."""
    wanted = resolve(schema, shared=shared, root=root)
    match node:
        case Mapped():
            properties = wanted.get("properties", {})
            return {
                key: value(entry.node, properties.get(key, {}), shared=shared, root=root)
                for key, entry in node.entries.items()
            }
        case Listed():
            items = wanted.get("items", {})
            return [value(each, items, shared=shared, root=root) for each in node.nodes]
        case Scalar():
            if node.is_null or "string" not in types_of(wanted):
                return _as_wanted(node, wanted)
            return node.text


def _as_wanted(scalar: Scalar, wanted: Schema) -> Any:
    core = _core(scalar)
    if isinstance(core, str) or (core is not None and "boolean" in types_of(wanted)):
        return typed(scalar.text, wanted)
    whole = isinstance(core, float) and core.is_integer() and types_of(wanted) == ("integer",)
    return int(core) if whole else core


def plain(node: Node) -> Any:
    """The node as JSON would have it, where no schema says more."""
    return value(node, {}, shared=(), root={})


def _core(scalar: Scalar) -> Any:
    """YAML 1.2's core schema; infinities and NaN stay text, since JSON has no such numbers."""
    text = scalar.text
    if not scalar.plain:
        return text
    if scalar.is_null:
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.fullmatch(text) and isfinite(number := float(text)):
        return number
    return text


class _Refused(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    node: Mapped | Listed
    anchor: str | None
    key: Scalar | None = None
    merges: list[tuple[Spot, Node]] = field(default_factory=list)
    size: int = 1


@dataclass(slots=True)
class _Builder:
    """Takes the parser's events one by one, so that depth and size are bounded while they grow.

    `yaml.compose` with libyaml recurses without a bound and can end the process.
    """

    file: str
    problems: list[Problem] = field(default_factory=list)
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, Node] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    written: int = 0
    root: Node | None = None
    documents: int = 0

    def build(self, events: Iterator[Any]) -> Node | None:
        for event in events:
            match event:
                case yaml.ScalarEvent():
                    self._scalar(event)
                case yaml.MappingStartEvent():
                    self._start(event, Mapped(_start(event), {}))
                case yaml.SequenceStartEvent():
                    self._start(event, Listed(_start(event), []))
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._end()
                case yaml.AliasEvent():
                    self._alias(event)
                case yaml.DocumentStartEvent():
                    self._document(event)
                case _:
                    pass
        return self.root

    def _document(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            raise self._refused(_start(event), "a second document starts here; a manifest is one document")

    def _scalar(self, event: Any) -> None:
        self._check_tag(event)
        untagged = event.tag is None and event.implicit[0]
        node = Scalar(_start(event), event.value, untagged or event.tag in _TAGS - {f"{_STANDARD}str"})
        if event.anchor:
            self.anchors[event.anchor] = node
        self._add(node, size=1)

    def _start(self, event: Any, node: Mapped | Listed) -> None:
        self._check_tag(event)
        if len(self.stack) >= _DEPTH:
            raise self._refused(node.spot, _TOO_DEEP)
        if event.anchor:
            self.anchors.pop(event.anchor, None)
        self.stack.append(_Open(node=node, anchor=event.anchor))

    def _end(self) -> None:
        done = self.stack.pop()
        if isinstance(done.node, Mapped):
            self._merge(done, done.node)
        self.sizes[id(done.node)] = done.size
        if done.anchor:
            self.anchors[done.anchor] = done.node
        self._add(done.node, size=done.size)

    def _alias(self, event: Any) -> None:
        spot = _start(event)
        node = self.anchors.get(event.anchor)
        if node is None:
            inside = any(each.anchor == event.anchor for each in self.stack)
            reason = "stands inside its own anchor" if inside else "has no anchor before it"
            raise self._refused(spot, f"the alias *{event.anchor} {reason}")
        self._add(node._replace(spot=spot) if isinstance(node, Scalar) else node, size=self._size(node))

    def _add(self, node: Node, *, size: int) -> None:
        self.written += 1
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        self._grow(top, size, node.spot)
        if isinstance(top.node, Listed):
            top.node.nodes.append(node)
        elif top.key is None:
            top.key = self._as_key(node)
        else:
            self._enter(top, top.node, top.key, node)
            top.key = None

    def _enter(self, top: _Open, mapped: Mapped, key: Scalar, node: Node) -> None:
        if key.text == "<<" and key.plain:
            top.merges.append((key.spot, node))
        elif key.text in mapped.entries:
            first = mapped.entries[key.text].key
            self.problems.append(
                _problem(
                    self.file,
                    key.spot,
                    f"duplicate key '{key.text}': the first is in line {first.line}, column {first.column}",
                )
            )
        else:
            mapped.entries[key.text] = Entry(key.spot, node)

    def _merge(self, top: _Open, mapped: Mapped) -> None:
        for spot, node in top.merges:
            for each in node.nodes if isinstance(node, Listed) else [node]:
                if not isinstance(each, Mapped):
                    self.problems.append(_problem(self.file, spot, "<< takes a mapping or a list of mappings"))
                    continue
                self._grow(top, len(each.entries), spot)
                for key, entry in each.entries.items():
                    mapped.entries.setdefault(key, entry)

    def _as_key(self, node: Node) -> Scalar:
        if isinstance(node, Scalar):
            return node
        raise self._refused(node.spot, "a key must be a word, not a list or a mapping")

    def _grow(self, top: _Open, size: int, spot: Spot) -> None:
        top.size += size
        if top.size > _EXPANDED and top.size > _GROWTH * self.written:
            raise self._refused(spot, "the aliases make this document grow beyond all measure")

    def _size(self, node: Node) -> int:
        return self.sizes.get(id(node), 1)

    def _check_tag(self, event: Any) -> None:
        if event.tag not in {None, "!", *_TAGS}:
            shown = event.tag.replace(_STANDARD, "!!")
            raise self._refused(_start(event), f"the tag {shown} means nothing in a manifest")

    def _refused(self, spot: Spot, message: str) -> _Refused:
        return _Refused(_problem(self.file, spot, message))


def _start(event: Any) -> Spot:
    return Spot(event.start_mark.line + 1, event.start_mark.column + 1)


def _problem(file: str, spot: Spot, message: str, hint: str | None = None) -> Problem:
    place = Place(file=file, line=spot.line, column=spot.column)
    return Problem(place=place, message=message, hint=hint)


def _spot_of(text: str, index: int) -> Spot:
    before = text[:index]
    return Spot(before.count("\n") + 1, index - before.rfind("\n"))


def _said(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    problem, context = str(error.problem), str(error.context)
    mark = error.problem_mark or error.context_mark
    assert mark is not None
    spot = Spot(mark.line + 1, mark.column + 1)
    opened = error.context_mark and Spot(error.context_mark.line + 1, error.context_mark.column + 1)
    line = text.splitlines()[mark.line] if mark.line < len(text.splitlines()) else ""
    if "nesting depth" in problem:  # newer parsers have a bound of their own, and read ahead of what they have told
        return _problem(file, spot, _TOO_DEEP)
    if opened and "quoted scalar" in context and "end of stream" in problem:
        return _problem(file, opened, "not YAML: this quote is never closed")
    if opened and "flow" in context and "did not find expected" in problem:
        bracket = "[" if "sequence" in context else "{"
        return _problem(file, opened, f"not YAML: this '{bracket}' is never closed")
    if line[mark.column : mark.column + 1] == "\t":
        return _problem(file, spot, "not YAML: a tab stands here", "indent with spaces")
    if "cannot start any token" in problem:
        return _problem(file, spot, f"not YAML: no text may start with {line[mark.column]}", "put it in quotes")
    if "mapping values are not allowed" in problem:
        hint = "put a text that holds ': ' in quotes, and indent keys alike"
        return _problem(file, spot, "not YAML: a ':' too many", hint)
    return _problem(file, spot, f"not YAML: {problem}", _KNOWN_CURES.get(problem))


_KNOWN_CURES: Final[Mapping[str, str]] = {
    "did not find expected key": "look at the indentation of this line and the one before",
    "did not find expected '-' indicator": "look at the indentation of this line and the one before",
    "found unknown escape character": "use single quotes, or \\\\ for a backslash",
}
