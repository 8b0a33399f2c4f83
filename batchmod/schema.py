"""Checks a document against a JSON Schema and says each mistake in words a person can act on."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource

from batchmod.errors import Place, Problem

Schema = Mapping[str, Any]
Path = tuple[str | int, ...]

_SUBSTITUTION_FROM: Final = 6
_SHOWN: Final = 60
_NOUNS: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping (`key: value`)",
    "array": "a list",
    "null": "empty",
}
TRUE_WORDS: Final = frozenset({"true", "yes", "y", "x", "on", "1"})
FALSE_WORDS: Final = frozenset({"false", "no", "n", "off", "0"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Schemas:
    """The three published schemas, parsed."""

    manifest: Schema
    row: Schema
    results: Schema

    def all(self) -> tuple[Schema, ...]:
        """Each of them, for references from one to another."""
        return (self.manifest, self.row, self.results)


class Locate(Protocol):
    """Says where the value at a path stands, or with `key=True` the key itself."""

    def __call__(self, path: Path, *, key: bool = False) -> Place:
        """The place of `path` in the user's file."""
        ...


def everywhere(place: Place) -> Locate:
    """A `Locate` for documents whose parts have no places of their own."""

    def locate(path: Path, *, key: bool = False) -> Place:  # noqa: ARG001 - the protocol's names
        return place

    return locate


def problems(document: Any, schema: Schema, *, locate: Locate, shared: Iterable[Schema] = ()) -> list[Problem]:
    """All mistakes of `document`; `shared` are the schemas that `$ref` may name by their `$id`."""
    registry: Registry[Any] = Registry().with_resources(
        (str(each["$id"]), Resource.from_contents(each)) for each in shared
    )
    validator = Draft202012Validator(dict(schema), registry=registry)
    return [problem for error in validator.iter_errors(document) for problem in _problems_of(error, locate=locate)]


def defaults(schema: Schema) -> dict[str, Any]:
    """Property → its default, through nested objects; properties without a default are left out."""
    found: dict[str, Any] = {}
    for name, inner in schema.get("properties", {}).items():
        if "default" in inner:
            found[name] = inner["default"]
        elif "properties" in inner and (nested := defaults(inner)):
            found[name] = nested
    return found


def resolve(schema: Schema, *, shared: Iterable[Schema] = (), root: Schema | None = None) -> Schema:
    """`schema` itself, or what its `$ref` names: `other.json#/a/b`, or `#/a/b` in `root`."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    document, _, pointer = str(reference).partition("#")
    target: Any = next((each for each in shared if each["$id"] == document), root) if document else root
    for part in pointer.strip("/").split("/") if pointer else ():
        target = target[part]
    return target  # type: ignore[no-any-return]


def types_of(schema: Schema) -> tuple[str, ...]:
    """The JSON types a schema allows; empty where it does not say."""
    named = schema.get("type", ())
    return (named,) if isinstance(named, str) else tuple(named)


def typed(text: str, schema: Schema) -> Any:
    """The value a text means where `schema` is expected; the text itself where it means none."""
    types = types_of(schema)
    if "string" in types:
        return text
    word = text.strip().casefold()
    if "boolean" in types and word in TRUE_WORDS | FALSE_WORDS:
        return word in TRUE_WORDS
    # spreadsheets write whole numbers as 2.0 in a column that has empty cells
    if "integer" in types and (number := re.fullmatch(r"([+-]?[0-9]{1,18})(\.0*)?", word)):
        return int(number[1])
    return text


def surely_valid(value: Any, schema: Schema) -> bool:
    """Whether a text is valid at a glance; False means only that `problems` has to look."""
    if not isinstance(value, str) or "string" not in types_of(schema):
        return False
    if len(value) < schema.get("minLength", 0) or len(value) > schema.get("maxLength", len(value)):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    return not schema.keys() & _NOT_AT_A_GLANCE


_NOT_AT_A_GLANCE: Final = frozenset({"pattern", "const", "not", "if", "anyOf", "oneOf", "allOf", "$ref", "$dynamicRef"})


def squash(name: str) -> str:
    """A name without case, spaces, `_` and `-`."""
    return re.sub(r"[\s_-]", "", name).casefold()


def is_near_miss(name: str, known: str, *, any_case: bool = True) -> bool:
    """Whether `name` is probably a slip of `known`.

    That is: equal but for case, space, `_`, `-`; or one letter more, one fewer, two neighbours swapped; or,
    from 6 letters on, one letter another. With `any_case=False` case counts as a difference.
    """
    if name == known:
        return False
    if any_case:
        return _one_slip(squash(name), squash(known))
    return _one_slip(re.sub(r"[\s_-]", "", name), re.sub(r"[\s_-]", "", known))


def _one_slip(name: str, known: str) -> bool:
    if abs(len(name) - len(known)) > 1:
        return False
    if name == known:
        return True
    head = _common_head(name, known)
    rest, wanted = name[head:], known[head:]
    return (
        rest[1:] == wanted
        or rest == wanted[1:]
        or (len(rest) > 1 and rest[1::-1] + rest[2:] == wanted)
        or (len(known) >= _SUBSTITUTION_FROM and rest[1:] == wanted[1:])
    )


def _common_head(one: str, other: str) -> int:
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))


def suggestion(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant, or None."""
    return _suggestion(name, tuple(known))


# a whole sheet may repeat one slip, and likeness is slow to measure
@lru_cache(maxsize=1024)
def _suggestion(name: str, names: tuple[str, ...]) -> str | None:
    by_squashed = {squash(each): each for each in names}
    if squash(name) in by_squashed:
        return by_squashed[squash(name)]
    if near := next((each for each in names if is_near_miss(name, each)), None):
        return near
    close = difflib.get_close_matches(squash(name), by_squashed, n=1, cutoff=0.7)
    return by_squashed[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint such as `did you mean 'mode'?`, or None."""
    meant = suggestion(name, known)
    return None if meant is None else f"did you mean '{meant}'?"


def shown(value: Any) -> str:
    """A value as a message shows it: short, and as YAML would write it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f"'{one_line(value)}'" if len(value) <= _SHOWN else f"'{one_line(value[:_SHOWN])}…'"
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case _:
            return str(value)[:_SHOWN]


def one_line(text: str) -> str:
    """A text with line breaks and control characters written as escapes, so that a terminal only shows it."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _problems_of(error: ValidationError, *, locate: Locate) -> Iterator[Problem]:
    path: Path = tuple(error.absolute_path)
    place, field = locate(path), _field(path)
    match error.validator:
        case "additionalProperties":
            yield from _unknown_keys(error, path, locate=locate)
        case "anyOf" | "oneOf" if error.context:
            deepest = max(error.context, key=lambda each: len(each.absolute_path))
            yield from _problems_of(deepest, locate=locate)
        case "required":
            yield Problem(place=place, field=field, message=_missing(error))
        case "enum":
            what = "possible here" if path and isinstance(path[-1], int) else f"a {_name(path)}"
            message = f"{shown(error.instance)} is not {what}"
            yield Problem(place=place, field=field, message=message, hint=_enum_hint(error))
        case "pattern" if isinstance(error.schema, Mapping) and "x-form" in error.schema:
            message = f"{_name(path)} must be {error.schema['x-form']}, not {shown(error.instance)}"
            yield Problem(place=place, field=field, message=message)
        case str() as rule if rule in _WORDS:
            message = _WORDS[rule](_name(path), _rule(error), error.instance)
            yield Problem(place=place, field=field, message=message)
        case _:
            yield Problem(place=place, field=field, message=error.message)


def _rule(error: ValidationError) -> Any:
    """The value of the keyword that was broken."""
    return error.validator_value


def _properties(error: ValidationError) -> Mapping[str, Any]:
    within: Any = error.schema
    properties: Mapping[str, Any] = within.get("properties", {})
    return properties


def _unknown_keys(error: ValidationError, path: Path, *, locate: Locate) -> Iterator[Problem]:
    known = _properties(error)
    there: Any = error.instance
    for key in there:
        if key not in known:
            yield Problem(
                place=locate((*path, key), key=True),
                field=_field(path),
                message=f"unknown key {shown(key)}",
                hint=did_you_mean(key, [each for each in known if each not in there]),
            )


def _missing(error: ValidationError) -> str:
    # jsonschema names the missing property only in its message, in quotes, first
    name = next(each for each in _rule(error) if error.message.startswith(f"{each!r} "))
    why = _properties(error).get(name, {}).get("x-missing")
    return f"{name} is missing: {why}" if why else f"{name} is missing"


def _enum_hint(error: ValidationError) -> str:
    allowed = [str(each) for each in _rule(error) if each is not None]
    return did_you_mean(str(error.instance), allowed) or "it is one of " + ", ".join(allowed)


def _field(path: Path) -> str | None:
    """`limits.max_in_flight`, `clips[2].mode`; None for the document itself."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or None


def _name(path: Path) -> str:
    if not path:
        return "the document"
    return f"entry {path[-1] + 1}" if isinstance(path[-1], int) else path[-1]


def _type_words(name: str, types: Any, value: Any) -> str:
    nouns = " or ".join(_NOUNS[each] for each in types_of({"type": types}))
    return f"{name} must be {nouns}, not {shown(value)}"


def _bound(words: str) -> Callable[[str, Any, Any], str]:
    return lambda name, rule, value: f"{name} must be {words} {rule}, not {shown(value)}"


_WORDS: Final[Mapping[str, Callable[[str, Any, Any], str]]] = {
    "type": _type_words,
    "const": lambda name, rule, value: f"{name} must be {rule}, not {shown(value)}",
    "minimum": _bound("at least"),
    "maximum": _bound("at most"),
    "exclusiveMinimum": _bound("more than"),
    "exclusiveMaximum": _bound("less than"),
    "minLength": lambda name, rule, value: f"{name} needs at least {rule} characters" if value else f"{name} is empty",
    "maxLength": lambda name, rule, value: f"{name} has {len(value)} characters; {rule} are the most it may have",
    "minItems": lambda name, rule, _: f"{name} needs at least {rule} entries",
    "maxItems": lambda name, rule, _: f"{name} may have at most {rule} entries",
    "uniqueItems": lambda name, *_: f"{name} holds the same value twice",
}
