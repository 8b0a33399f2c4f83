"""Rows as they were written, before anything is filled in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from batchmod.errors import Place, Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Default:
    """What a field is where a row does not say, and where that stands (None: in the schema)."""

    text: str
    place: Place | None = None


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
    """Whether it is a row of our own results: its prompt is final, and its fields may come from defaults."""
    defaults: Mapping[str, Default] = field(default_factory=dict)
    """What its document says for rows that do not; shared by all of a document's rows."""
    base: str = ""
    """The folder its paths are relative to, as seen from the manifest's; empty where it is that."""
    suffix: str = ""
    """What its id gets behind it, since it is one of several rows made of one."""
    excused: frozenset[str] = frozenset()
    """Fields whose absence was reported already."""
    problems: tuple[Problem, ...] = ()
    """What was wrong with its columns and cells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """Raw rows of one document, and what was wrong with its columns."""

    rows: Sequence[RawRow]
    problems: tuple[Problem, ...] = ()
