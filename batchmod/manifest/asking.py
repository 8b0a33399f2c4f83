"""What a reader is asked to read, and what it answers."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from batchmod.errors import Place, Problem
from batchmod.manifest.needs import Answers, Need
from batchmod.model import Manifest, NamedFile
from batchmod.rows import Default, RawRow, Ways, ids
from batchmod.rows.columns import Fields, Roles, Wishes
from batchmod.rows.returning import Returned
from batchmod.rows.tables import Table
from batchmod.schema import Schemas, one_line


class Note(NamedTuple):
    """What was found out about a document: `shots.csv: cp1252, ';', 214 rows`."""

    text: str
    usual: bool
    """Whether it is what everybody expects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SheetRead:
    """A sheet as it was read, for whoever writes a copy of it."""

    file: str
    kind: str
    data: bytes
    ways: Ways
    """With what was found out about it filled in."""
    named: str | None = None
    """The workbook's sheet as places name it."""
    headers: tuple[str, ...] = ()
    table: Table | None = None
    """The table of a workbook, for whoever gives it back with results."""
    roles: Roles | None = None
    """What its columns are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A row with a problem, as far as it can be told: its number, its id, and what its cells say."""

    number: int
    id: str
    cells: Mapping[str, str]
    own: Mapping[str, str]
    line: int | None = None
    """Where it stands in its document."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """Field → its value, with defaults; no prompt where that could not be put together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a manifest says as far as it is good, and its problems in the file's order.

    `manifest` is None where nothing can be said; otherwise it holds the rows without problems.
    """

    manifest: Manifest | None
    problems: tuple[Problem, ...]
    named: tuple[NamedFile, ...] = ()
    """The files of rows that are not in `manifest`: what is wrong with those can be said at the same time."""
    notes: tuple[Note, ...] = ()
    sheets: tuple[SheetRead, ...] = ()
    """The sheets among its documents, and how each was read."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """File → its text, where problems have a line and a column in it."""
    returned: Returned | None = None
    """Where it is from, if it is a table of our own results: its paths are those of the manifest that it names."""
    needs: frozenset[Need] = frozenset()
    """What must be known first; then nothing else is said yet."""
    rejected: tuple[Rejected, ...] = ()
    """The rows that are not in `manifest`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What the caller gave beside the bytes."""

    file: str
    schemas: Schemas
    extra_columns: Sequence[str]
    columns: Mapping[str, str]
    ways: Ways
    variables: Mapping[str, str]
    """The environment as far as a manifest may read it: names that begin with BATCHMOD_VAR_."""
    answers: Answers

    @property
    def stem(self) -> str:
        """The batch's name where it does not say."""
        stem = ids.stem(self.file)
        return ids.clean(stem) if "://" in self.file else stem

    @property
    def fields(self) -> Fields:
        """The names that a row knows."""
        return Fields.of(self.schemas.row)

    @property
    def wishes(self) -> Wishes:
        """What the command line says about columns."""
        known = {name: header for name, header in self.columns.items() if name in self.fields.names}
        return Wishes(columns=known, extra=frozenset(self.extra_columns))


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One file of a manifest: itself, or one that it includes."""

    data: bytes
    file: str
    """As problems show it."""
    kind: str
    """`yaml`, `csv`, `tsv`, `xlsx` or `jsonl`."""
    base: str
    """Its folder as seen from the manifest's; empty where it is that."""
    ways: Ways
    wishes: Wishes
    defaults: Mapping[str, Default]
    above: tuple[str, ...] = ()
    """The documents that include it, the manifest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What one document adds to a manifest."""

    runs: tuple[Sequence[RawRow], ...] = ()
    """Its rows: those of a sheet stay one run, which is read block by block."""
    problems: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = ()
    sheets: tuple[SheetRead, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    """File → its text, where problems have a line and a column in it."""
    returned: Returned | None = None
    """Where it is from, if it is a table of our own results."""


_YAML = re.compile(r"---|- |[A-Za-z_]+:(\s|$)")
KINDS = {"yaml": "yaml", "yml": "yaml", "csv": "csv", "tsv": "tsv", "xlsx": "xlsx", "xlsm": "xlsx", "jsonl": "jsonl"}
"""Suffix → kind of document."""


def kind_of(file: str) -> str | None:
    """What kind of document a name says; None where it says none."""
    return KINDS.get(file.rpartition(".")[2].casefold()) if "." in file else None


def sniffed(data: bytes) -> str:
    """What kind of document bytes without a name are most likely."""
    if data.startswith(b"PK\x03\x04"):
        return "xlsx"
    lines = (line.strip() for line in data[:65536].decode("utf-8-sig", "replace").splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    if first.startswith("{"):
        return "jsonl" if _is_row(first) else "yaml"
    return "yaml" if _YAML.match(first) else "csv"


def _is_row(line: str) -> bool:
    """Whether a line is a JSON object that is a row, and no whole manifest."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and not {"clips", "include"} & found.keys()


def in_order(found: Sequence[Problem]) -> tuple[Problem, ...]:
    """The problems by place, each on one line; the command line's first, then file by file as they were met."""
    ranks: dict[str, int] = {}
    for problem in found:
        if not problem.place.file.startswith("--"):
            ranks.setdefault(problem.place.document, len(ranks))

    def key(problem: Problem) -> tuple[int, int, int, str]:
        place = problem.place
        return (
            ranks.get(place.document, -1),
            place.line or 0,
            place.column or len(place.cell or ""),
            place.cell or "",
        )

    return tuple(_one_line(problem) for problem in sorted(found, key=key))


def distinct(found: Sequence[Problem]) -> tuple[Problem, ...]:
    """Each problem once: rows that were made of one have the same ones, at the same places."""
    seen: dict[tuple[Place, str | None, str], Problem] = {}
    for problem in found:
        seen.setdefault((problem.place, problem.field, problem.message), problem)
    return tuple(seen.values())


def _one_line(problem: Problem) -> Problem:
    """The problem on one line, whatever stands in the file."""
    hint = None if problem.hint is None else one_line(problem.hint)
    return replace(problem, message=one_line(problem.message), hint=hint)


def no_rows(place: Place, hint: str) -> Problem:
    """What is said of a document without rows."""
    return Problem(place=place, message="the manifest is empty: it has no rows", hint=hint)
