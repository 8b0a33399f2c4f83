"""Raw rows → complete Rows, and every problem of theirs with its place."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from batchmod.errors import Place, Problem
from batchmod.model import NamedFile, Row
from batchmod.rows import ids, prompts
from batchmod.rows.named import named_files, source_fault
from batchmod.rows.raw import Default, RawRow
from batchmod.schema import Schema, Schemas, everywhere, problems, shown, surely_valid, typed

_SOURCES: Final = ("video_url", "first_frame_url")
_SPENT: Final = ("variants", "prompt_file")
"""Fields that several rows, or another field, were made of before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """The good rows, the user's own columns in first-seen order, and the problems of the bad rows."""

    rows: tuple[Row, ...]
    own_columns: tuple[str, ...]
    problems: tuple[Problem, ...]
    named: tuple[NamedFile, ...] = ()
    """The files the bad rows name: what is wrong with those is said at once too."""
    labels: tuple[str, ...] = ()
    """The id of every row, good or bad, as far as it has one."""


def complete(raw: Sequence[RawRow], *, schemas: Schemas) -> Completed:
    """Rows with defaults, ids and prompts filled in; a row with a problem is left out, its number stays."""
    checker = Checker(row_schema=schemas.row)
    faults: list[Problem] = []
    every: list[dict[str, Any]] = []
    for number, each in enumerate(raw, start=1):
        values, wrong = checker.values(each, number)
        faults += wrong
        every.append(values)
    faults += _label(raw, every)
    longest = schemas.row["properties"]["prompt"].get("maxLength")
    for number, (each, values) in enumerate(zip(raw, every, strict=True), start=1):
        faults += prompts.fill(each, number, values, longest=longest)
    bad = {fault.row for fault in faults}

    def numbered() -> Iterator[tuple[int, RawRow, dict[str, Any]]]:
        return zip(range(1, len(raw) + 1), raw, every, strict=True)

    return Completed(
        rows=tuple(
            _row(each, number, values, checker.places(each))
            for number, each, values in numbered()
            if number not in bad and "video_url" in values
        ),
        own_columns=tuple(dict.fromkeys(name for each in raw for name in each.own)),
        problems=tuple(faults),
        named=tuple(
            found
            for number, each, values in numbered()
            if number in bad
            for found in named_files(number, values, {**checker.places(each), **each.places}, each.place)
        ),
        labels=tuple(str(values.get("id", "")) for values in every),
    )


class _Verdict(NamedTuple):
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
    known: dict[tuple[str, str], _Verdict] = field(default_factory=dict)
    bases: dict[int, tuple[Mapping[str, Default], _Base]] = field(default_factory=dict)

    def values(self, raw: RawRow, number: int) -> tuple[dict[str, Any], list[Problem]]:
        """Field → typed value, and the problems of the row's own fields (defaults were checked before)."""
        values = dict(self._base(raw.defaults).values)
        wrong = [replace(each, row=number) for each in raw.problems]
        for name, text in raw.texts.items():
            values[name], faults = self.verdict(name, text)
            for message, hint in faults:
                wrong.append(_field_problem(raw, number, name, message, hint))
        if "video_url" not in values and "video_url" not in raw.excused:
            why = self.row_schema["properties"]["video_url"]["x-missing"]
            wrong.append(_field_problem(raw, number, "video_url", f"video_url is missing: {why}"))
        for name in _SPENT:
            values.pop(name, None)
        return values, wrong

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

    def verdict(self, name: str, text: str) -> _Verdict:
        """What `text` means for the field `name`."""
        schema = self.row_schema["properties"][name]
        if surely_valid(text, schema):
            return _text_verdict(name, text)
        if (name, text) not in self.known:
            value = typed(text, schema)
            found = problems({name: value}, {"properties": {name: schema}}, locate=everywhere(_NOWHERE))
            self.known[name, text] = _Verdict(value, tuple((each.message, each.hint) for each in found))
        return self.known[name, text]


def _text_verdict(name: str, text: str) -> _Verdict:
    if name == "id":
        label = ids.normal(text)
        reason = ids.fault(label)
        return _Verdict(label, ((f"{shown(label)} could not be a file name: it {reason}", None),) if reason else ())
    if name in _SOURCES and (reason := source_fault(text)):
        return _Verdict(text, ((reason, None),))
    return _Verdict(text)


def _field_problem(raw: RawRow, number: int, name: str, message: str, hint: str | None = None) -> Problem:
    place = raw.places.get(name, raw.place)
    return Problem(place=place, field=name, message=message, hint=hint, row=number)


_NOWHERE: Final = Place(file="")


def _schema_defaults(row_schema: Schema) -> dict[str, Default]:
    return {
        name: Default(text=str(inner["default"]).lower())
        for name, inner in row_schema["properties"].items()
        if "default" in inner
    }


def _label(raw: Sequence[RawRow], every: Sequence[dict[str, Any]]) -> list[Problem]:
    """Gives each nameless row its id, and each its suffix; says which ids are taken twice."""
    first: dict[str, int] = {}
    faults = []
    nameless = []
    for index, (each, values) in enumerate(zip(raw, every, strict=True)):
        if "id" not in each.texts:
            nameless.append(index)
            continue
        if each.suffix:
            faults += _suffixed(each, index + 1, values)
        if (before := first.setdefault(ids.folded(values["id"]), index)) != index:
            faults.append(_taken(each, index + 1, values["id"], raw[before], every[before]["id"]))
    stems = (ids.stem(every[index].get("video_url", "")) + raw[index].suffix for index in nameless)
    made = ids.assign(stems, taken=first)
    for index, label in zip(nameless, made, strict=True):
        every[index]["id"] = label
    return faults


def _suffixed(raw: RawRow, number: int, values: dict[str, Any]) -> list[Problem]:
    """The id with what tells rows made of one apart; a problem where that is no id any more."""
    written, values["id"] = values["id"], values["id"] + raw.suffix
    if ids.fault(written) is not None or (reason := ids.fault(values["id"])) is None:
        return []
    message = f"{shown(values['id'])} could not be a file name: it {reason}"
    return [_field_problem(raw, number, "id", message, "a shorter id leaves room for what is added to it")]


def _taken(raw: RawRow, number: int, label: str, other: RawRow, before: str) -> Problem:
    written = "" if label == before else f", written '{before}'"
    message = f"duplicate id '{label}': it stands at {other.places['id']} already{written}"
    return _field_problem(raw, number, "id", message)


def _row(raw: RawRow, number: int, values: Mapping[str, Any], places: Mapping[str, Place]) -> Row:
    return Row(
        number=number,
        own=raw.own,
        # a table of results names what came from defaults too
        explicit=frozenset() if raw.literal else frozenset(raw.texts),
        place=raw.place,
        places={**places, **raw.places} if places else raw.places,
        **values,
    )
