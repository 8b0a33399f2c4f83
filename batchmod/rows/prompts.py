"""A row's prompt: what goes before and after it, and its columns put into the braces."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from batchmod.errors import Place, Problem
from batchmod.rows import templates
from batchmod.rows.raw import RawRow
from batchmod.schema import did_you_mean

PARTS: Final = ("prompt_prefix", "prompt", "prompt_suffix")
"""The fields a prompt is made of, in their order."""

_JOINED: Final = tuple(",.;:!?")
_NOWHERE: Final = Place(file="")


def fill(raw: RawRow, number: int, values: dict[str, Any], *, longest: int | None) -> list[Problem]:
    """Puts a row's prompt together in `values`; the parts are no values any more.

    `longest`: how many characters it may have. A results.csv's prompt is final and stays as it is.
    """
    prefix, suffix, prompt = (values.pop(name, None) for name in ("prompt_prefix", "prompt_suffix", "prompt"))
    if prompt is None:
        return []
    plain = not (prefix or suffix or "{" in prompt or "}" in prompt)
    if plain or raw.literal:
        values["prompt"] = prompt
        return []
    parts = {name: text for name, text in zip(PARTS, (prefix, prompt, suffix), strict=True) if text}
    there = _columns(raw, values) if any("{" in text or "}" in text for text in parts.values()) else {}
    filled: dict[str, str] = {}
    faults: list[Problem] = []
    for name, text in parts.items():
        outcome = _filled(text, name, there, longest) if "{" in text or "}" in text else text
        if isinstance(outcome, str):
            filled[name] = outcome
        else:
            faults += [_placed(each, raw, number, name) for each in outcome]
    whole = _joined(filled)
    if not faults and longest is not None and len(whole) > longest:
        faults.append(_placed(_too_long(len(whole), longest), raw, number, "prompt"))
    values["prompt"] = whole
    return faults


def _joined(parts: Mapping[str, str]) -> str:
    """The parts with a space between them, but before a comma and its kin."""
    whole = ""
    for text in (parts[name].strip() if len(parts) > 1 else parts[name] for name in PARTS if name in parts):
        whole += text if not whole or text.startswith(_JOINED) else f" {text}"
    return whole


def _filled(written: str, name: str, there: Mapping[str, str], longest: int | None) -> str | list[Problem]:
    """The text with its braces filled, or what is wrong with them, still without a place."""
    try:
        pieces = templates.parse(written)
    except templates.StrayBrace as stray:
        return [_fault(str(stray), "a column's name goes between { and }; write {{ and }} for plain braces")]
    unknown = dict.fromkeys(hole for hole in templates.holes(pieces) if hole not in there)
    if unknown:
        return [_no_column(hole, there) for hole in unknown]
    size = sum(len(there[piece.text]) if piece.hole else len(piece.text) for piece in pieces)
    if longest is not None and size > longest:
        return [_too_long(size, longest, name)]
    return templates.fill(pieces, there)


def _fault(message: str, hint: str | None = None) -> Problem:
    return Problem(place=_NOWHERE, message=message, hint=hint)


def _too_long(size: int, longest: int, name: str = "prompt") -> Problem:
    return _fault(f"{name} has {size} characters with its columns; {longest} are the most it may have")


def _no_column(name: str, there: Iterable[str]) -> Problem:
    return _fault(
        f"{{{name}}} is no column of this row", did_you_mean(name, there) or "write {{ and }} for plain braces"
    )


def _placed(fault: Problem, raw: RawRow, number: int, name: str) -> Problem:
    # a default is no row's own: the row is what lacks the column
    return replace(fault, place=raw.places.get(name, raw.place), field=name, row=number)


def _columns(raw: RawRow, values: Mapping[str, Any]) -> dict[str, str]:
    """What `{name}` may insert: our fields, by our name and by the user's, and the user's own columns."""
    ours = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
    theirs = {header: ours[name] for name, header in raw.headers.items() if name in ours}
    return {**ours, **theirs, **raw.own}
