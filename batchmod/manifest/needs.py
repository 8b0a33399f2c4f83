"""What a manifest needs beside its own bytes: asked for as values, and gathered by whoever may touch the world."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple


class Need(NamedTuple):
    """A document that is included, a text that a prompt is read from, or the files that a pattern matches.

    `name` is as seen from the manifest's folder: a path, a pattern, or an https:// address.
    """

    kind: Literal["document", "text", "listing"]
    name: str


class Missing(NamedTuple):
    """Why a need cannot be met, as the end of `'shots.csv' …`."""

    reason: str


Answer = bytes | tuple[str, ...] | Missing
"""The content of a document or text, the names a listing found, or why there is nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What the world holds of that, as far as it was asked."""

    answers: Mapping[Need, Answer] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    """The environment as far as a manifest may read it: names that begin with BATCHMOD_VAR_."""


@dataclass(kw_only=True, slots=True)
class Answers:
    """What is known of the needs, and which of them are still open."""

    known: Mapping[Need, Answer]
    wanted: set[Need] = field(default_factory=set)

    def content(self, need: Need) -> bytes | Missing | None:
        """What stands in a document or text; None where it is not known yet, and now asked for."""
        answer = self.known.get(need)
        if answer is None:
            self.wanted.add(need)
        return None if isinstance(answer, tuple) and not isinstance(answer, Missing) else answer

    def names(self, need: Need) -> tuple[str, ...] | Missing | None:
        """What a pattern matches, as `content` says it."""
        answer = self.known.get(need)
        if answer is None:
            self.wanted.add(need)
        return None if isinstance(answer, bytes) else answer
