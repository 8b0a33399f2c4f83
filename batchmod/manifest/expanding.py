"""Raw rows → more of them: variables and folders filled in, patterns, prompt files, variants."""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from batchmod.errors import Problem
from batchmod.manifest.asking import Asked
from batchmod.manifest.needs import Missing, Need
from batchmod.manifest.variables import substituted
from batchmod.rows import Checker, Plain, RawRow, SheetRows, glance, ids
from batchmod.schema import shown, typed

_PATHS: Final = ("video_url", "first_frame_url", "keyframes", "prompt_file")
_MANY: Final = frozenset({"prompt_file", "variants"})
_MANY_BY_DEFAULT: Final = _MANY | {"video_url"}
_PATTERN: Final = re.compile(r"\*")
_ABSOLUTE: Final = re.compile(r"/|\\\\|[A-Za-z]:[/\\]|[A-Za-z][A-Za-z0-9+.-]*://")


def expanded(runs: Iterable[Sequence[RawRow]], asked: Asked) -> Iterator[Plain | list[RawRow]]:
    """Each row as the one or the many that it stands for; what is wrong is carried by the row.

    The plain blocks of sheets stand for themselves.
    """
    checker = Checker(row_schema=asked.schemas.row)
    for run in runs:
        if not isinstance(run, SheetRows) or not run.spans:
            yield _expanded(run, asked)
            continue
        for span in run.spans:
            yield glance(run, span, checker) or _expanded(run.of(span), asked)


def _expanded(rows: Iterable[RawRow], asked: Asked) -> list[RawRow]:
    env = tuple(name for name, inner in asked.schemas.row["properties"].items() if inner.get("x-env"))
    most = int(asked.schemas.row["properties"]["variants"]["maximum"])
    every: list[RawRow] = []
    for raw in rows:
        if raw.literal or _is_one(raw):
            every.append(_rooted(raw))
            continue
        for clip in _clips(_rooted(_with_variables(raw, env, asked.variables)), asked):
            every += _variants(_with_prompt(clip, asked), most)
    return every


def _is_one(raw: RawRow) -> bool:
    """Whether a row stands for itself as it is, as nearly all of a long sheet's do."""
    if raw.base or not _MANY.isdisjoint(raw.texts) or not _MANY_BY_DEFAULT.isdisjoint(raw.defaults):
        return False
    return not any("*" in text or "${" in text for name, text in raw.texts.items() if name in _PATHS)


def rooted(base: str, value: str) -> str:
    """A path of a document in the folder `base`, as seen from the manifest's folder."""
    return value if not base or _ABSOLUTE.match(value) else posixpath.normpath(f"{base}/{value}")


def is_pattern(value: str) -> bool:
    """Whether a path stands for all the files that it matches."""
    return _PATTERN.search(value) is not None and "://" not in value


def _with_variables(raw: RawRow, env: Sequence[str], variables: Mapping[str, str]) -> RawRow:
    named = [name for name in env if "${" in raw.texts.get(name, "")]
    if not named:
        return raw
    texts = dict(raw.texts)
    problems = list(raw.problems)
    excused = set(raw.excused)
    for name in named:
        texts[name], faults = substituted(texts[name], variables)
        problems += [_problem(raw, name, message, hint) for message, hint in faults]
        if faults:
            del texts[name]
            excused.add(name)
    return replace(raw, texts=texts, problems=tuple(problems), excused=frozenset(excused))


def _rooted(raw: RawRow) -> RawRow:
    if not raw.base:
        return raw
    moved = {name: rooted(raw.base, raw.texts[name]) for name in _PATHS if name in raw.texts}
    return replace(raw, texts={**raw.texts, **moved}) if moved else raw


def _written(raw: RawRow, name: str) -> str | None:
    """What the row says for a field, or its document's defaults."""
    default = raw.defaults.get(name)
    return raw.texts.get(name) or (default.text if default else None)


def _clips(raw: RawRow, asked: Asked) -> Iterator[RawRow]:
    """A row for each clip that its pattern matches."""
    pattern = _written(raw, "video_url")
    if pattern is None or not is_pattern(pattern):
        yield raw
        return
    names = asked.answers.names(Need("listing", pattern))
    if names is None:
        return
    if isinstance(names, Missing) or not names:
        reason = names.reason if isinstance(names, Missing) else "matches no file"
        yield _without(raw, "video_url", f"{shown(pattern)} {reason}")
        return
    for name in names:
        suffix = f"-{ids.clean(ids.stem(name))}" if "id" in raw.texts else ""
        yield replace(raw, texts={**raw.texts, "video_url": name}, suffix=suffix + raw.suffix)


def _with_prompt(raw: RawRow, asked: Asked) -> RawRow:
    """The row with its prompt read from the file it names."""
    if "prompt_file" in raw.texts and "prompt" in raw.texts:
        return _without(raw, "prompt_file", "a row has a prompt or a prompt_file, not both")
    name = raw.texts.get("prompt_file") or (None if "prompt" in raw.texts else _written(raw, "prompt_file"))
    if name is None or raw.literal:
        return raw
    content = asked.answers.content(Need("text", name))
    if content is None:
        return raw
    if isinstance(content, Missing):
        return _without(raw, "prompt_file", f"{shown(name)} {content.reason}")
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return _without(raw, "prompt_file", f"{shown(name)} is no text in UTF-8", "save it as UTF-8")
    if not text:
        return _without(raw, "prompt_file", f"{shown(name)} is empty")
    default = raw.defaults.get("prompt_file")
    place = raw.places.get("prompt_file") or (default.place if default else None) or raw.place
    return replace(raw, texts={**raw.texts, "prompt": text}, places={**raw.places, "prompt": place})


def _variants(raw: RawRow, most: int) -> Iterator[RawRow]:
    """The row as often as `variants` says, each another request; the first keeps the id it would have alone."""
    if "variants" in raw.texts and "variant" in raw.texts:
        yield _without(raw, "variants", "a row has a variant or variants, not both")
        return
    written = raw.texts.get("variants") or (None if "variant" in raw.texts else _written(raw, "variants"))
    count = None if written is None else typed(written, {"type": "integer"})
    if not isinstance(count, int) or not 1 <= count <= most:  # what is no such number is said with the row's fields
        yield raw
        return
    default = raw.defaults.get("variants")
    place = raw.places.get("variants") or (default.place if default else None) or raw.place
    for number in range(1, count + 1):
        suffix = raw.suffix if number == 1 else f"{raw.suffix}-variant{number}"
        texts = {**raw.texts, "variant": str(number)}
        yield replace(raw, texts=texts, places={**raw.places, "variant": place}, suffix=suffix)


def _without(raw: RawRow, name: str, message: str, hint: str | None = None) -> RawRow:
    """The row without a field that cannot stand, and with the reason."""
    texts = {field: text for field, text in raw.texts.items() if field != name}
    problems = (*raw.problems, _problem(raw, name, message, hint))
    return replace(raw, texts=texts, problems=problems, excused=raw.excused | {name})


def _problem(raw: RawRow, name: str, message: str, hint: str | None = None) -> Problem:
    default = raw.defaults.get(name)
    place = raw.places.get(name) or (default.place if default else None) or raw.place
    return Problem(place=place, field=name, message=message, hint=hint)
