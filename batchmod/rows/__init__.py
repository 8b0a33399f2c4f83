"""Raw rows, from a sheet or from YAML → complete Rows, and every problem of theirs with its place."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from batchmod.errors import Place, Problem
from batchmod.model import NamedFile, Row
from batchmod.rows import ids, templates
from batchmod.rows.columns import Fields, Roles, Wishes, roles, unmapped
from batchmod.rows.tables import Record, Table, letters
from batchmod.schema import (
    Schema,
    Schemas,
    did_you_mean,
    everywhere,
    problems,
    shown,
    surely_valid,
    typed,
)
from batchmod.urls import check_request_url

_SOURCES: Final = ("video_url", "first_frame_url")
# what tells a sheet that it is a results.csv of ours
_RESULT_MARKS: Final = frozenset({"job_key", "status"})
_GUARDED: Final = "=+-@\t\r'"


@dataclass(frozen=True, kw_only=True, slots=True)
class RawRow:
    """A row before defaults: what it says for our fields, and the user's own columns, all as text."""

    place: Place
    texts: Mapping[str, str]
    """Field → text; an absent field is not there."""
    places: Mapping[str, Place]
    own: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Field → the user's own name for it."""
    literal: bool = False
    """Whether the prompt is final, so that its braces mean nothing."""
    excused: frozenset[str] = frozenset()
    """Fields whose absence was reported already."""
    problems: tuple[Problem, ...] = ()
    """What was wrong with its columns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Default:
    """What a field is where a row does not say, and where that stands (None: in the schema)."""

    text: str
    place: Place | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """Raw rows of one document, and what was wrong with its columns."""

    rows: tuple[RawRow, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """The good rows, the user's own columns in first-seen order, and the problems of the bad rows."""

    rows: tuple[Row, ...]
    own_columns: tuple[str, ...]
    problems: tuple[Problem, ...]
    named: tuple[NamedFile, ...] = ()
    """The files the bad rows name: what is wrong with those is said at once too."""


# --- from a sheet -------------------------------------------------------------------------------------------


def is_header(cells: Iterable[str], *, schemas: Schemas, wishes: Wishes) -> bool:
    """Whether the cells name a clip column, or a slip of it: what a manifest's header must have."""
    return roles(list(cells), fields=Fields.of(schemas.row), wishes=wishes, sheet=True).meant("video_url")


def from_table(table: Table, *, schemas: Schemas, wishes: Wishes, defaults: Mapping[str, Default]) -> Gathered:
    """The raw rows of a sheet; empty cells are absent, and columns that batchmod itself wrote are dropped."""
    fields = Fields.of(schemas.row)
    results = table.headers if set(table.headers) >= _RESULT_MARKS else ()
    ours_too = {*fields.names} | {*wishes.columns.values()}
    dropped = {*schemas.results["properties"]} - ours_too if results else set()
    headers = ["" if header in dropped else header for header in table.headers]
    found = roles(headers, fields=fields, wishes=wishes, sheet=True)
    faults = _header_problems(table, found, wishes)
    excused: frozenset[str] = frozenset()
    if table.headers and not found.meant("video_url") and "video_url" not in defaults:
        excused = frozenset({"video_url"})
        if not faults:
            faults.append(_no_clip_column(table, schemas))
    excused |= {slip.meant for slip in found.slips if slip.meant}
    build = _sheet_row(table, found, literal=bool(results), excused=excused)
    return Gathered(rows=tuple(build(record) for record in table.records), problems=tuple(faults))


def _header_problems(table: Table, found: Roles, wishes: Wishes) -> list[Problem]:
    if not table.headers:
        return []
    slips = [
        Problem(place=table.place(table.line, slip.column), message=slip.message, hint=slip.hint)
        for slip in found.slips
    ]
    absent = [
        Problem(
            place=table.place(table.line),
            message=f"there is no column '{header}', which columns names for {name}",
            hint=hint,
        )
        for name, header, hint in unmapped(table.headers, wishes)
    ]
    return slips + absent


def _no_clip_column(table: Table, schemas: Schemas) -> Problem:
    there = ", ".join(each for each in table.headers if each) or "none"
    why = schemas.row["properties"]["video_url"]["x-missing"]
    message = f"there is no column video_url: {why}"
    hint = f"the columns are {there}; `columns: {{video_url: …}}` or `--column video_url=…` names yours"
    return Problem(place=table.place(table.line), message=message, hint=hint)


@dataclass(frozen=True, slots=True)
class _CellPlaces(Mapping[str, Place]):
    """Field → place of its cell; made when asked for, since a sheet may have a million rows."""

    file: str
    line: int
    cells: Mapping[str, str]
    """Field → letters; shared by all rows that have the same cells."""

    def __getitem__(self, name: str) -> Place:
        return Place(file=self.file, line=self.line, cell=self.cells[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)


def _sheet_row(table: Table, found: Roles, *, literal: bool, excused: frozenset[str]) -> Callable[[Record], RawRow]:
    headers = {name: table.headers[index] for name, index in found.ours.items()}
    ours, own = tuple(found.ours.items()), tuple(found.own.items())
    lettered: dict[tuple[str, ...], dict[str, str]] = {}

    def build(record: Record) -> RawRow:
        line, cells, surplus = record
        if literal:
            cells = tuple(_unguarded(cell) for cell in cells)
        texts = {name: text for name, index in ours if (text := cells[index].strip())}
        there = tuple(texts)
        if there not in lettered:
            lettered[there] = {name: letters(index) for name, index in ours if name in there or name == "video_url"}
        return RawRow(
            place=Place(file=table.file, line=line),
            texts=texts,
            places=_CellPlaces(table.file, line, lettered[there]),
            own={name: cells[index] for name, index in own},
            headers=headers,
            literal=literal,
            excused=excused,
            problems=(_surplus(table, record),) if surplus else (),
        )

    return build


def _surplus(table: Table, record: Record) -> Problem:
    width = len(table.headers)
    return Problem(
        place=table.place(record.line, width),
        message=f"{width + record.surplus} cells, but the header has {width}",
        hint="a text that holds the separator needs quotes around it",
    )


def _unguarded(cell: str) -> str:
    """A cell without the `'` that keeps spreadsheets from taking it for a formula."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _GUARDED and len(cell) > 1 else cell


# --- to rows ------------------------------------------------------------------------------------------------


def complete(raw: Sequence[RawRow], *, schemas: Schemas, defaults: Mapping[str, Default] | None = None) -> Completed:
    """Rows with defaults, ids and prompts filled in; a row with a problem is left out, its number stays."""
    checker = _Checker(row_schema=schemas.row)
    fallback = _all_defaults(schemas.row, defaults or {})
    base = {name: checker.verdict(name, default.text).value for name, default in fallback.items()}
    places = {name: default.place for name, default in fallback.items() if default.place is not None}
    faults: list[Problem] = []
    every: list[dict[str, Any]] = []
    for number, each in enumerate(raw, start=1):
        values, wrong = checker.values(each, number, base)
        faults += wrong
        every.append(values)
    faults += _label(raw, every)
    for number, (each, values) in enumerate(zip(raw, every, strict=True), start=1):
        faults += _fill_prompt(each, number, values, checker)
    bad = {fault.row for fault in faults}
    rows = tuple(
        _row(each, number, values, places)
        for number, (each, values) in enumerate(zip(raw, every, strict=True), start=1)
        if number not in bad and "video_url" in values
    )
    own_columns = tuple(dict.fromkeys(name for each in raw for name in each.own))
    named = tuple(
        each
        for number, (row, values) in enumerate(zip(raw, every, strict=True), start=1)
        if number in bad
        for each in _named_files(number, values, {**places, **row.places}, row.place)
    )
    return Completed(rows=rows, own_columns=own_columns, problems=tuple(faults), named=named)


def files_of(row: Row) -> Iterator[NamedFile]:
    """The files a good row names."""
    values = {"video_url": row.video_url, "first_frame_url": row.first_frame_url, "keyframes": row.keyframes}
    return _named_files(row.number, values, row.places, row.place)


def _named_files(
    number: int, values: Mapping[str, Any], places: Mapping[str, Place], place: Place
) -> Iterator[NamedFile]:
    for name in ("video_url", "first_frame_url", "keyframes"):
        value = values.get(name)
        if isinstance(value, str) and source_fault(value) is None:
            yield NamedFile(number=number, field=name, value=value, place=places.get(name, place))


def _all_defaults(row_schema: Schema, given: Mapping[str, Default]) -> dict[str, Default]:
    ours = {
        name: Default(text=str(inner["default"]).lower())
        for name, inner in row_schema["properties"].items()
        if "default" in inner
    }
    return {**ours, **given}


class _Verdict(NamedTuple):
    """What a text means for a field, and what is wrong with it: message and hint."""

    value: Any
    faults: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Checker:
    """Checks field by field and remembers verdicts, since a sheet says the same few things in each row."""

    row_schema: Schema
    known: dict[tuple[str, str], _Verdict] = field(default_factory=dict)

    def values(self, raw: RawRow, number: int, base: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        """Field → typed value, and the problems of the row's own fields (defaults were checked before)."""
        values = dict(base)
        wrong = [replace(each, row=number) for each in raw.problems]
        for name, text in raw.texts.items():
            values[name], faults = self.verdict(name, text)
            for message, hint in faults:
                wrong.append(_field_problem(raw, number, name, message, hint))
        if "video_url" not in values and "video_url" not in raw.excused:
            why = self.row_schema["properties"]["video_url"]["x-missing"]
            wrong.append(_field_problem(raw, number, "video_url", f"video_url is missing: {why}"))
        return values, wrong

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


def source_fault(text: str) -> str | None:
    """Why a path or URL is refused unseen; never shows a password."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        return None
    if scheme.casefold() in {"http", "https"}:
        return check_request_url(text)
    return "a URL must not hold a user or password" if "@" in rest.partition("/")[0] else None


def _label(raw: Sequence[RawRow], every: Sequence[dict[str, Any]]) -> list[Problem]:
    """Gives each nameless row its id; says which ids are taken twice."""
    first: dict[str, int] = {}
    faults = []
    nameless = []
    for index, (each, values) in enumerate(zip(raw, every, strict=True)):
        if "id" not in each.texts:
            nameless.append(index)
        elif (before := first.setdefault(ids.folded(values["id"]), index)) != index:
            faults.append(_taken(each, index + 1, values["id"], raw[before], every[before]["id"]))
    stems = (ids.stem(every[index].get("video_url", "")) for index in nameless)
    made = ids.assign(stems, taken=first)
    for index, label in zip(nameless, made, strict=True):
        every[index]["id"] = label
    return faults


def _taken(raw: RawRow, number: int, label: str, other: RawRow, before: str) -> Problem:
    written = "" if label == before else f", written '{before}'"
    message = f"duplicate id '{label}': it stands at {other.places['id']} already{written}"
    return _field_problem(raw, number, "id", message)


def _fill_prompt(raw: RawRow, number: int, values: dict[str, Any], checker: _Checker) -> list[Problem]:
    """Puts the columns into the prompt's braces."""
    written = values.get("prompt", "")
    if raw.literal or not ("{" in written or "}" in written):
        return []
    try:
        pieces = templates.parse(written)
    except templates.StrayBrace as stray:
        hint = "a column's name goes between { and }; write {{ and }} for plain braces"
        return [_field_problem(raw, number, "prompt", str(stray), hint)]
    there = _columns(raw, values)
    unknown = dict.fromkeys(name for name in templates.holes(pieces) if name not in there)
    if unknown:
        return [_no_column(raw, number, name, there) for name in unknown]
    longest = checker.row_schema["properties"]["prompt"].get("maxLength")
    size = sum(len(there[piece.text]) if piece.hole else len(piece.text) for piece in pieces)
    if longest is not None and size > longest:
        message = f"prompt has {size} characters with its columns; {longest} are the most it may have"
        return [_field_problem(raw, number, "prompt", message)]
    values["prompt"] = templates.fill(pieces, there)
    return []


def _no_column(raw: RawRow, number: int, name: str, there: Iterable[str]) -> Problem:
    hint = did_you_mean(name, there) or "write {{ and }} for plain braces"
    return _field_problem(raw, number, "prompt", f"{{{name}}} is no column of this row", hint)


def _columns(raw: RawRow, values: Mapping[str, Any]) -> dict[str, str]:
    """What `{name}` may insert: our fields, by our name and by the user's, and the user's own columns."""
    ours = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in values.items()
        if name != "prompt"
    }
    theirs = {header: ours[name] for name, header in raw.headers.items() if name in ours}
    return {**ours, **theirs, **raw.own}


def _row(raw: RawRow, number: int, values: Mapping[str, Any], places: Mapping[str, Place]) -> Row:
    return Row(
        number=number,
        own=raw.own,
        explicit=frozenset(raw.texts),
        place=raw.place,
        places={**places, **raw.places} if places else raw.places,
        **values,
    )
