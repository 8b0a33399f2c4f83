"""The tables of docs pages that a schema has already: as they must stand there, line by line."""

from collections.abc import Iterator, Mapping
from typing import Any

_HEAD = ("schema_version", "event", "at", "run_id")
_OF_ROWS = ("id", "also", "job_key", "provider")
_WORDS = {"array": "list"}


def type_words(about: Mapping[str, Any]) -> str:
    """`string`, `number or null`; of one value that value, of few of them those."""
    if "const" in about:
        return f"`{about['const']}`"
    if "enum" in about:
        return ", ".join("null" if each is None else f"`{each}`" for each in about["enum"])
    types = [about["type"]] if isinstance(about["type"], str) else about["type"]
    return " or ".join(_WORDS.get(each, each) for each in types)


def table(schema: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> Iterator[str]:
    """A table of a schema's keys; one that may be missing has a `?`."""
    yield "| fact | type | what it says |"
    yield "|---|---|---|"
    for name, about in schema["properties"].items():
        if name not in without:
            mark = "" if name in schema["required"] else "?"
            yield f"| `{name}`{mark} | {type_words(about)} | {about['description']} |"


def of_events(schema: Mapping[str, Any]) -> Iterator[str]:
    """A section for each kind, behind one for what all have."""
    kinds = schema["$defs"]
    first = next(kind for kind in kinds.values() if "job_key" in kind["properties"])
    yield "## What every event has"
    yield ""
    shared = {name: first["properties"][name] for name in (*_HEAD, *_OF_ROWS)}
    shared["event"] = {**shared["event"], "type": "string"}
    shared["event"].pop("const")
    yield from table({"properties": shared, "required": _HEAD})
    yield ""
    yield "`job_key` and `provider` are in every event that is about a request: the kinds marked with *."
    for name, kind in kinds.items():
        yield ""
        yield f"## `{name}`{' *' if 'job_key' in kind['properties'] else ''}"
        yield ""
        yield kind["description"]
        facts = [fact for fact in kind["properties"] if fact not in (*_HEAD, *_OF_ROWS)]
        if facts:
            yield ""
            yield from table(kind, without=(*_HEAD, *_OF_ROWS))
