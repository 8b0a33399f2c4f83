"""Field by field: what a row's texts mean, and what is wrong with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from batchmod.errors import Place, Problem
from batchmod.rows import ids
from batchmod.rows.named import source_fault
from batchmod.rows.raw import Default, RawRow
from batchmod.schema import Schema, everywhere, problems, shown, surely_valid, typed

_SOURCES: Final = ("video_url", "first_frame_url")
_NOWHERE: Final = Place(file="")
_SPENT: Final = ("variants", "prompt_file")
"""Fields that several rows, or another field, were made of before."""


class Verdict(NamedTuple):
    """What a text means for a field, and what is wrong with it: message and hint."""

    value: Any
    faults: tuple[tuple[str, str | None], ...] = ()


class _Base(NamedTuple):
    """What a document's defaults come to: values, and where they stand."""

    values: dict[str, Any]
    places: dict[str, Place]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checker:
    """Checks field by field and remembers verdicts, since a sheet says the same few things in each row."""

    row_schema: Schema
    known: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    bases: dict[int, tuple[Mapping[str, Default], _Base]] = field(default_factory=dict)

    def values(self, raw: RawRow, number: int) -> tuple[dict[str, Any], list[Problem]]:
        """Field → typed value, and the problems of the row's own fields (defaults were checked before)."""
        values = dict(self._base(raw.defaults).values)
        wrong = [replace(each, row=number) for each in raw.problems]
        for name, text in raw.texts.items():
            values[name], faults = self.verdict(name, text)
            for message, hint in faults:
                wrong.append(field_problem(raw, number, name, message, hint))
        if "video_url" not in values and "video_url" not in raw.excused:
            why = self.row_schema["properties"]["video_url"]["x-missing"]
            wrong.append(field_problem(raw, number, "video_url", f"video_url is missing: {why}"))
        for name in _SPENT:
            values.pop(name, None)
        return values, wrong

    def meant(self, raw: RawRow) -> dict[str, Any]:
        """Field → typed value of a row in which nothing was found wrong: its URLs are not read again."""
        values = dict(self._base(raw.defaults).values)
        for name, text in raw.texts.items():
            values[name] = text if name in _SOURCES else self.verdict(name, text).value
        for name in _SPENT:
            values.pop(name, None)
        return values

    def defaults(self, written: Mapping[str, Default]) -> Mapping[str, Any]:
        """What a document's defaults come to."""
        return self._base(written).values

    def places(self, raw: RawRow) -> Mapping[str, Place]:
        """Where the defaults of a row's document stand."""
        return self._base(raw.defaults).places

    def _base(self, defaults: Mapping[str, Default]) -> _Base:
        # by identity, since all rows of a document share one mapping; it is kept, so that its identity stays its own
        if id(defaults) not in self.bases:
            fallback = {**_schema_defaults(self.row_schema), **defaults}
            values = {name: self.verdict(name, default.text).value for name, default in fallback.items()}
            places = {name: default.place for name, default in fallback.items() if default.place is not None}
            self.bases[id(defaults)] = (defaults, _Base(values, places))
        return self.bases[id(defaults)][1]

    def verdict(self, name: str, text: str) -> Verdict:
        """What `text` means for the field `name`."""
        schema = self.row_schema["properties"][name]
        if surely_valid(text, schema):
            return _text_verdict(name, text)
        if (name, text) not in self.known:
            value = typed(text, schema)
            found = problems({name: value}, {"properties": {name: schema}}, locate=everywhere(_NOWHERE))
            self.known[name, text] = Verdict(value, tuple((each.message, each.hint) for each in found))
        return self.known[name, text]


def _text_verdict(name: str, text: str) -> Verdict:
    if name == "id":
        label = ids.normal(text)
        reason = ids.fault(label)
        return Verdict(label, ((f"{shown(label)} could not be a file name: it {reason}", None),) if reason else ())
    if name in _SOURCES and (reason := source_fault(text)):
        return Verdict(text, ((reason, None),))
    return Verdict(text)


def field_problem(raw: RawRow, number: int, name: str, message: str, hint: str | None = None) -> Problem:
    """What is wrong with a field of a row, at its place."""
    place = raw.places.get(name, raw.place)
    return Problem(place=place, field=name, message=message, hint=hint, row=number)


def _schema_defaults(row_schema: Schema) -> dict[str, Default]:
    return {
        name: Default(text=str(inner["default"]).lower())
        for name, inner in row_schema["properties"].items()
        if "default" in inner
    }
