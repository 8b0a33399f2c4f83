"""What a manifest says for runs that nobody watches: whom to tell, what to start, what to look at again."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from batchmod.manifest.variables import substituted
from batchmod.model import Hook, Notice
from batchmod.rows.templates import StrayBrace, holes, parse
from batchmod.schema import Schema, defaults, did_you_mean, shown
from batchmod.urls import check_webhook_url

FACTS: Final = ("output", "id", "version", "job_key", "request_id", "run_id", "cost_usd", "folder", "manifest")
"""What a hook's arguments may name beside the row's columns."""

_AGE: Final = re.compile(r"([1-9][0-9]{0,4})([hdw])")
_UNIT_S: Final = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Path = tuple[str | int, ...]
Fault = tuple[Path, str, str | None]
"""Where something is wrong, what, and a hint."""


def notices_of(said: Any, schema: Schema, variables: Mapping[str, str]) -> tuple[Notice, ...]:
    """Whom `notify` names; entries that are wrong, which is reported elsewhere, are left out. `schema`: a notice's."""
    usual = defaults(schema)
    found = []
    for entry in said if isinstance(said, list) else ():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("url"), str):
            continue
        url, faults = substituted(entry["url"], variables)
        if not faults:
            given = {**usual, **entry}
            on, secret = given["on"], given.get("secret_env")
            when = frozenset(map(str, on if isinstance(on, list) else usual["on"]))
            found.append(Notice(url=url, on=when, format=str(given["format"]), secret_env=secret))
    return tuple(found)


def notice_faults(said: Any, variables: Mapping[str, str]) -> Iterator[Fault]:
    """What is wrong with `notify` beyond what the schema says."""
    for number, entry in enumerate(said if isinstance(said, list) else ()):
        if not isinstance(entry, Mapping):
            continue
        url, secret = entry.get("url"), entry.get("secret_env")
        if isinstance(url, str):
            filled, faults = substituted(url, variables)
            yield from (((number, "url"), message, hint) for message, hint in faults)
            if not faults and (problem := check_webhook_url(filled)) is not None:
                yield (number, "url"), problem, None
        if isinstance(secret, str):
            # What stands there is not repeated: it may be the secret itself, put there by mistake.
            if not _VARIABLE.fullmatch(secret):
                yield (number, "secret_env"), "this is no name of an environment variable", "name it, export its value"
            elif entry.get("format") == "slack":
                yield (number, "secret_env"), "only `format: json` is signed", "leave it out"


def hook_of(said: Mapping[str, Any], schema: Schema) -> Hook | None:
    """The program that is started for each output. `schema`: the manifest's."""
    command = said.get("on_succeeded")
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        return None
    limits = said.get("hooks")
    return Hook(
        command=tuple(command), **{**defaults(schema)["hooks"], **(limits if isinstance(limits, Mapping) else {})}
    )


def hook_faults(command: Any, columns: Collection[str]) -> Iterator[Fault]:
    """What is wrong with `on_succeeded`, whose arguments may name `columns` and FACTS."""
    for number, word in enumerate(command if isinstance(command, list) else ()):
        if not isinstance(word, str):
            continue
        if "\0" in word:
            yield (number,), "an argument holds no zero byte", None
        try:
            named = holes(parse(word))
        except StrayBrace as stray:
            yield (number,), str(stray), "a column's name goes between { and }; {{ is a plain brace"
            continue
        if number == 0:
            if named or not word.strip():
                yield (0,), "the first is the program itself: a plain name or path", None
            continue
        known = [*FACTS, *columns]
        for name in dict.fromkeys(named):
            if name not in known:
                yield (number,), f"{{{name}}} is no column of any row", did_you_mean(name, known)


def age_of(said: Any) -> float | None:
    """`30d` in seconds."""
    match = _AGE.fullmatch(said) if isinstance(said, str) else None
    return None if match is None else int(match[1]) * _UNIT_S[match[2]]


def age_faults(said: Any) -> Iterator[Fault]:
    """What is wrong with `max_age`."""
    if isinstance(said, str) and age_of(said) is None:
        yield (), f"{shown(said)} is no age", "a number and h, d or w: 12h, 30d, 4w"


def arguments(hook: Hook, values: Mapping[str, str]) -> list[str] | str:
    """The program's arguments with these values put in, or why it is not started.

    A value is never taken for an option: where one would begin an argument with `-`, the template must have said so
    itself, or have ended the options with `--`.
    """
    words: list[str] = []
    ended = False
    for written in hook.command[1:]:
        pieces = parse(written)
        word = "".join(values.get(piece.text, "") if piece.hole else piece.text for piece in pieces).replace("\0", "")
        literal = bool(pieces) and not pieces[0].hole
        if word.startswith("-") and not literal and not ended:
            return f"{shown(written)} is {shown(word)} here, which could be taken for an option: put -- before it"
        ended = ended or written == "--"
        words.append(word)
    return words
