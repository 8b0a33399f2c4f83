"""JSON Lines → a tree like that of YAML's `clips:`, each line one row, which knows where everything stands."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from batchmod.errors import Problem
from batchmod.manifest.trees import Entry, Listed, Mapped, Node, Scalar, Spot, Tree

_DEPTH: Final = 100
_SPACE: Final = re.compile(r"[ \t\r]*")
_ROW: Final = 'a row is an object: {"video_url": "…"}'


class _Refused(Exception):
    def __init__(self, message: str, at: int, hint: str | None = None) -> None:
        super().__init__(message)
        self.at = at
        self.hint = hint


def parse(text: str, *, file: str) -> Tree:
    """The rows in their order; a line that is no object is a problem, and the others are read all the same."""
    nodes: list[Node] = []
    problems: list[Problem] = []
    tree = Tree(file=file, root=None)
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            nodes.append(_row(line, number, problems, tree))
        except _Refused as refused:
            place = tree.at(Spot(number, refused.at + 1))
            problems.append(Problem(place=place, message=str(refused), hint=refused.hint))
    return Tree(file=file, root=Listed(Spot(1, 1), nodes), problems=tuple(problems))


def _row(line: str, number: int, problems: list[Problem], tree: Tree) -> Mapped:
    start = _skip(line, 0)
    if line[start] != "{":
        raise _Refused(f"this line is no object; {_ROW}", start)
    entries: dict[str, Entry] = {}
    end = start + 1
    for key, key_at, value, value_at, value_end in _pairs(line, start):
        end = value_end
        if key in entries:
            message = f"duplicate key '{key}': the first is in column {entries[key].key.column}"
            problems.append(Problem(place=tree.at(Spot(number, key_at + 1)), message=message))
            continue
        entries[key] = Entry(Spot(number, key_at + 1), _node(value, Spot(number, value_at + 1)))
    end = _skip(line, _skip(line, end) + 1)
    if end < len(line):
        raise _Refused("something follows the object; a line holds one row", end)
    return Mapped(Spot(number, start + 1), entries)


def _pairs(line: str, start: int) -> Iterator[tuple[str, int, Any, int, int]]:
    """Key, its place, value, its place and its end, for each member of the object."""
    at = _skip(line, start + 1)
    if line[at : at + 1] == "}":
        return
    while True:
        if line[at : at + 1] != '"':
            raise _Refused("not JSON: a key in double quotes belongs here", at)
        key, end = _value(line, at)
        colon = _skip(line, end)
        if line[colon : colon + 1] != ":":
            raise _Refused("not JSON: a ':' belongs here", colon)
        value_at = _skip(line, colon + 1)
        value, value_end = _value(line, value_at)
        yield key, at, value, value_at, value_end
        after = _skip(line, value_end)
        if line[after : after + 1] == "}":
            return
        if line[after : after + 1] != ",":
            raise _Refused("not JSON: a ',' or the closing '}' belongs here", after, "each row is one whole line")
        at = _skip(line, after + 1)


def _value(line: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(line, at)
    except json.JSONDecodeError as error:
        raise _Refused(f"not JSON: {error.msg.lower()}", error.pos) from None
    except RecursionError:
        raise _Refused(f"nested more than {_DEPTH} deep", at) from None
    except ValueError as error:
        raise _Refused(str(error), at) from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


class _Number(str):
    """A number as it is written, since ids are numbers too."""

    __slots__ = ()


_DECODER: Final = json.JSONDecoder(parse_int=_Number, parse_float=_Number, parse_constant=_no_constant)


def _node(value: Any, spot: Spot, depth: int = 0) -> Node:
    if depth > _DEPTH:
        raise _Refused(f"nested more than {_DEPTH} deep", spot.column - 1)
    if isinstance(value, dict):
        return Mapped(spot, {key: Entry(spot, _node(each, spot, depth + 1)) for key, each in value.items()})
    if isinstance(value, list):
        return Listed(spot, [_node(each, spot, depth + 1) for each in value])
    if value is None or isinstance(value, bool):
        return Scalar(spot, "null" if value is None else str(value).lower(), plain=True)
    return Scalar(spot, str(value), plain=isinstance(value, _Number))


def _skip(line: str, at: int) -> int:
    match = _SPACE.match(line, at)
    assert match is not None
    return match.end()
