"""The user's own configuration: what manifests may do on this machine, and who is told of every run."""

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from batchmod.errors import Place, Problem
from batchmod.manifest import standing
from batchmod.manifest.trees import Mapped, parse, value
from batchmod.model import Notice
from batchmod.schema import Schema, Schemas, problems
from batchmod.urls import check_webhook_url, origin_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A program that manifests may start; `manifests`: only these, as whole paths with `*`. None: any."""

    path: str
    manifests: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """A user's configuration; without a file it allows nothing."""

    notify: tuple[Notice, ...] = ()
    programs: tuple[Program, ...] = ()
    urls: tuple[str, ...] = ()
    secrets: frozenset[str] = frozenset()

    def allows_program(self, path: str, *, manifest: str | None) -> bool:
        """Whether this manifest may start the program at this whole path; None is one that lies nowhere."""
        return any(
            each.path == path
            and (each.manifests is None or (manifest is not None and _is_one_of(manifest, each.manifests)))
            for each in self.programs
        )

    def allows_url(self, url: str) -> bool:
        """Whether a manifest may post there: to this origin, at this path or below it."""
        return any(_is_below(url, allowed) for allowed in self.urls)


def _is_one_of(manifest: str, globs: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(manifest, glob) for glob in globs)


def _is_below(url: str, allowed: str) -> bool:
    if origin_of(url) != origin_of(allowed):
        return False
    path, top = _path(url), _path(allowed).rstrip("/")
    # a server may take `/..` and its spellings for the way up
    return (path == top or path.startswith(f"{top}/")) and ".." not in path.lower().replace("%2e", ".")


def _path(url: str) -> str:
    rest = url.partition("://")[2]
    return "/" + rest.partition("/")[2].partition("?")[0].partition("#")[0]


def read(
    text: str, *, file: str, schemas: Schemas, schema: Schema, variables: Mapping[str, str]
) -> tuple[Configuration, tuple[Problem, ...]]:
    """What config.yaml says, and every problem in it with its place; with problems the configuration is empty."""
    tree = parse(text, file=file)
    if tree.problems:
        return Configuration(), tree.problems
    if tree.root is None or (isinstance(tree.root, Mapped) and not tree.root.entries):
        return Configuration(), ()
    shared = (*schemas.all(), schema)
    said = value(tree.root, schema, shared=shared, root=schema)
    found = problems(said, schema, locate=tree.place, shared=shared)
    if not isinstance(said, dict):
        return Configuration(), tuple(found)
    for path, message, hint in _faults(said, variables):
        field = ".".join(str(part) for part in path if isinstance(part, str))
        found.append(Problem(place=tree.place(path), field=field, message=message, hint=hint))
    if found:
        return Configuration(), tuple(found)
    return _configuration(said, schemas, variables), ()


def _faults(said: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[standing.Fault]:
    for path, message, hint in standing.notice_faults(said.get("notify"), variables):
        yield ("notify", *path), message, hint
    allow = said.get("allow")
    if not isinstance(allow, Mapping):
        return
    for number, url in enumerate(_list(allow, "urls")):
        if isinstance(url, str) and (problem := check_webhook_url(url)) is not None:
            yield ("allow", "urls", number), problem, None
    for number, entry in enumerate(_list(allow, "programs")):
        program = entry.get("program") if isinstance(entry, Mapping) else None
        if isinstance(program, str) and not _is_whole(program):
            message = "a program is allowed by its whole path"
            yield ("allow", "programs", number, "program"), message, "such as /opt/studio/publish"


def _is_whole(path: str) -> bool:
    """Whether this is a whole path of any system."""
    return path.startswith("/") or path[1:3] in (":\\", ":/")


def _list(said: Mapping[str, Any], name: str) -> list[Any]:
    found = said.get(name)
    return found if isinstance(found, list) else []


def _configuration(said: Mapping[str, Any], schemas: Schemas, variables: Mapping[str, str]) -> Configuration:
    allow = said.get("allow") or {}
    return Configuration(
        notify=standing.notices_of(said.get("notify"), schemas.manifest["$defs"]["notice"], variables),
        programs=tuple(
            Program(path=each["program"], manifests=tuple(each["manifests"]) if "manifests" in each else None)
            for each in _list(allow, "programs")
        ),
        urls=tuple(_list(allow, "urls")),
        secrets=frozenset(_list(allow, "secrets")),
    )


def not_a_text(file: str) -> Problem:
    """A configuration that is no UTF-8."""
    return Problem(place=Place(file=file), message="this is no text in UTF-8")
