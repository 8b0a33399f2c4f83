"""What a manifest, or a command line, says of delivered copies."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from batchmod.errors import Place, Problem
from batchmod.model import Conform
from batchmod.schema import Schema, Schemas, defaults, everywhere, problems, typed

_NEAR: Final = Fraction(1, 4_000)
"""So that 23.98 is 24000/1001 too, and 24 is not."""


def conform_of(said: Mapping[str, Any], schemas: Schemas) -> Conform:
    """The settings where `said` is valid; the schema's defaults for what it leaves out."""
    known = {**defaults(schemas.manifest)["deliver"], **said}
    return Conform(**{**known, "fps": rate_of(known["fps"])})


def wishes_of(words: Sequence[str], schemas: Schemas) -> tuple[dict[str, Any], list[Problem]]:
    """What `--deliver` says, each word a codec or KEY=VALUE, and what is wrong with it."""
    schema = _schema(schemas)
    said: dict[str, Any] = {}
    for word in words:
        name, sign, text = word.partition("=")
        name, text = (name.strip(), text.strip()) if sign else ("codec", word.strip())
        said[name] = _value(text, schema["properties"].get(name, {}))
    place = Place(file="--deliver")
    return said, problems(said, schema, locate=everywhere(place), shared=schemas.all())


def as_said(wish: Conform) -> dict[str, Any]:
    """The settings as a manifest would say them."""
    said = {name: getattr(wish, name) for name in Conform.__slots__}
    return {**said, "fps": str(wish.fps)}


def rate_of(text: str) -> Any:
    """`source` and `output` as they are; a rate as a fraction, 23.976 as the 24000/1001 that is meant."""
    if text in ("source", "output"):
        return text
    rate = Fraction(text)
    meant = Fraction(round(rate * Fraction(1001, 1000)) * 1000, 1001)
    return meant if rate.denominator != 1 and abs(rate / meant - 1) < _NEAR else rate


def _schema(schemas: Schemas) -> Schema:
    found: Schema = schemas.manifest["properties"]["deliver"]
    return found


def _value(text: str, schema: Schema) -> Any:
    if schema.get("type") == "number":
        try:
            return float(text)
        except ValueError:
            return text
    return typed(text, schema)
