"""`matrix:` in a manifest: every row in every combination of a few values."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Final, NamedTuple

from batchmod.errors import Place, Problem
from batchmod.manifest.trees import Entry, Listed, Mapped, Scalar, Tree
from batchmod.rows import Checker, RawRow, ids
from batchmod.rows.columns import Fields, Wishes, roles
from batchmod.schema import shown

_MOST: Final = 10_000
_READABLE: Final = 32
_OF_ONE_ROW: Final = frozenset({"id", "source_id", "review", "review_of", "variants"})


class Value(NamedTuple):
    """One value of the matrix: of a field of ours, or of a column of the user's."""

    name: str
    own: bool
    text: str
    place: Place
    label: str
    """What it adds to an id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """The values of each name, in their order; none where there is no matrix."""

    axes: tuple[tuple[Value, ...], ...] = ()
    problems: tuple[Problem, ...] = ()

    def over(self, rows: Iterable[RawRow]) -> Iterator[RawRow]:
        """Each row in each combination; one that sets such a field itself carries a problem."""
        for raw in rows:
            if not self.axes:
                yield raw
            elif clash := list(self._clashes(raw)):
                yield replace(raw, problems=(*raw.problems, *clash))
            else:
                yield from (_combined(raw, values) for values in product(*self.axes))

    def _clashes(self, raw: RawRow) -> Iterator[Problem]:
        for first, *_ in self.axes:
            there = raw.own.get(first.name) if first.own else raw.texts.get(first.name)
            if there:
                place = raw.places.get(first.name, raw.place)
                message = f"{first.name} is set here and by the matrix ({first.place})"
                yield Problem(place=place, field=first.name, message=message, hint="leave one of them out")


def _combined(raw: RawRow, values: Sequence[Value]) -> RawRow:
    ours = [value for value in values if not value.own]
    return replace(
        raw,
        texts={**raw.texts, **{value.name: value.text for value in ours}},
        places={**raw.places, **{value.name: value.place for value in values}},
        own={**raw.own, **{value.name: value.text for value in values if value.own}},
        suffix=raw.suffix + "".join(f"-{value.label}" for value in values),
    )


def matrix_of(tree: Tree, entry: Entry | None, *, fields: Fields, wishes: Wishes, checker: Checker) -> Matrix:
    """The matrix in a manifest: `name: [value, …]`, or `name: {label: value, …}`."""
    if entry is None or (isinstance(entry.node, Scalar) and entry.node.is_null):
        return Matrix()
    if not isinstance(entry.node, Mapped):
        message = "matrix must be a mapping: `mode: [adhere_1, flex_1]`"
        return Matrix(problems=(Problem(place=tree.at(entry.node.spot), field="matrix", message=message),))
    keys = tuple(entry.node.entries)
    found = roles(keys, fields=fields, wishes=wishes, sheet=False)
    problems = [
        Problem(
            place=tree.at(entry.node.entries[slip.header].key), field="matrix", message=slip.message, hint=slip.hint
        )
        for slip in found.slips
    ]
    axes: list[tuple[Value, ...]] = []
    named: Mapping[str, str] = {keys[index]: name for name, index in found.ours.items()}
    for key, each in entry.node.entries.items():
        if any(slip.header == key for slip in found.slips):
            continue
        name = named.get(key, key)
        values, faults = _axis(tree, each, name, own=key not in named, checker=checker)
        problems += faults
        if values:
            axes.append(tuple(values))
    if prod(map(len, axes)) > _MOST:
        message = f"matrix has {prod(map(len, axes)):,} combinations; {_MOST:,} are the most"
        problems.append(Problem(place=tree.at(entry.key), field="matrix", message=message))
        axes = []
    return Matrix(axes=tuple(axes), problems=tuple(problems))


def _axis(tree: Tree, entry: Entry, name: str, *, own: bool, checker: Checker) -> tuple[list[Value], list[Problem]]:
    field = f"matrix.{name}"
    if name in _OF_ONE_ROW and not own:
        message = f"{name} belongs to one row, and cannot be in a matrix"
        return [], [Problem(place=tree.at(entry.key), field=field, message=message)]
    given: list[tuple[str | None, object]]
    match entry.node:
        case Listed(nodes=nodes) if nodes:
            given = [(None, node) for node in nodes]
        case Mapped(entries=entries) if entries:
            given = [(label, each.node) for label, each in entries.items()]
        case _:
            message = f"{name} must be a list of values, or `label: value` pairs"
            return [], [Problem(place=tree.at(entry.node.spot), field=field, message=message)]
    values: list[Value] = []
    problems: list[Problem] = []
    for number, (label, node) in enumerate(given, start=1):
        if not isinstance(node, Scalar) or node.is_null:
            place = tree.at(node.spot if isinstance(node, Scalar | Listed | Mapped) else entry.node.spot)
            problems.append(Problem(place=place, field=field, message="each value must be a single one"))
            continue
        faults = () if own else checker.verdict(name, node.text).faults
        problems += [
            Problem(place=tree.at(node.spot), field=field, message=message, hint=hint) for message, hint in faults
        ]
        shown_as = _label(label or node.text, name, number, [value.label for value in values])
        values.append(Value(name, own, node.text, tree.at(node.spot), shown_as))
        if label is not None and ids.fault(ids.normal(label)):
            message = f"{shown(label)} could not be part of a file name: it {ids.fault(ids.normal(label))}"
            problems.append(Problem(place=tree.at(node.spot), field=field, message=message))
    return values, problems


def _label(text: str, name: str, number: int, before: Sequence[str]) -> str:
    """A value as part of an id: itself where it is short and the only such one, else its place in the list."""
    label = ids.clean(text)
    taken = {ids.folded(each) for each in before}
    if len(text) > _READABLE or ids.folded(label) in taken:
        label = f"{name}-{number}"
    return label
