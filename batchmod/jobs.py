"""Manifest row + identities of its files → Job, whose key is a hash of everything that changes the result."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from batchmod.model import Job, ProviderFacts, Row, Source
from batchmod.rows import ids, templates
from batchmod.urls import origin_of

KEY_FORM: Final = 1
"""The canonical form's version; it stands in front of every key, so that a newer form knows an older key."""

_QUOTES: Final = str.maketrans({"‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"'})
_VERSION: Final = re.compile(r"\{version(?::0(\d)d)?\}")
_NOTHING: Final = "none"
_LONGEST_PART: Final = 230  # bytes; file systems stop at 255, and `.mp4` and the marks of unfinished files come to it
_ROOM_FOR_A_COLUMN: Final = (200, 100, 50, 25, 12)


def normalised_prompt(prompt: str | None) -> str | None:
    """The prompt as it is compared *and* sent: white space collapsed, typographic quotes made plain."""
    words = " ".join((prompt or "").translate(_QUOTES).split())
    return words or None


def result_options(options: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The options whose schema says `x-changes-result`; the others (time-outs, key names) enter no key."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    return {name: options[name] for name in sorted(options) if properties.get(name, {}).get("x-changes-result", False)}


def key_of(canonical: Mapping[str, Any]) -> str:
    """`1-` and 40 hex digits of SHA-256 over the canonical form as sorted, compact JSON."""
    text = json.dumps(canonical, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"{KEY_FORM}-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def make(
    row: Row,
    *,
    video: Source,
    first_frame: Source | None,
    keyframes: Source | None = None,
    facts: ProviderFacts,
    origin: str,
    options: Mapping[str, Any],
    naming: str,
) -> Job:
    """The job of a row; `origin` enters the key only where it is not the vendor's own (rules: money 6).

    A field that the provider has not got is not sent, and so enters no key either.
    """
    first_frame = first_frame if "first_frame_url" in facts.fields else None
    prompt = normalised_prompt(row.prompt)
    default_origin = origin_of(facts.base_urls["api"][1]) if facts.hosted else ""
    model = row.model or next(iter(facts.models), None)
    canonical = {
        "provider": facts.name,
        "model": model,
        "mode": row.mode if "mode" in facts.fields else None,
        "prompt": prompt,
        "options": result_options(options, facts.options_schema),
        "variant": row.variant,
        "video": video.identity,
        "first_frame": first_frame.identity if first_frame else None,
    }
    if keyframes is not None:
        canonical["keyframes"] = keyframes.identity
    if origin != default_origin:
        canonical["origin"] = origin
    return Job(
        key=key_of(canonical),
        id=row.id,
        number=row.number,
        provider=facts.name,
        model=model,
        mode=row.mode,
        prompt=prompt,
        video=video,
        first_frame=first_frame,
        keyframes=keyframes,
        variant=row.variant,
        options=dict(options),
        origin=origin,
        stem=stem_of(naming, row, provider=facts.name),
    )


def stem_of(naming: str, row: Row, *, provider: str) -> str:
    """The naming template with the row's columns put in, cleaned like ids; `{version…}` stays for later.

    Columns are cut short where a file system could not take the name otherwise; the id never is.
    """
    pieces = templates.parse(naming)
    values = {**row.own, **_fields(row, provider)}
    stem = ""
    for room in _ROOM_FOR_A_COLUMN:
        stem = "".join(_written(piece, row.id, values, room) for piece in pieces)
        if all(len(part.encode()) <= _LONGEST_PART for part in stem.split("/")):
            break
    return stem


def output_path(stem: str, version: int) -> str:
    """`videos/<name>.mp4`, relative to the output folder; the version's place in the stem filled in."""
    name = _VERSION.sub(lambda match: f"{version:0{match.group(1) or 1}d}", stem)
    return f"videos/{name}.mp4"


def colliding_stems(jobs: Iterable[Job]) -> list[tuple[Job, Job]]:
    """Pairs of jobs of different ids whose outputs would have one name, without regard to case."""
    seen: dict[str, Job] = {}
    pairs = []
    for job in jobs:
        first = seen.setdefault(job.stem.casefold(), job)
        if first.id.casefold() != job.id.casefold():
            pairs.append((first, job))
    return pairs


def _fields(row: Row, provider: str) -> dict[str, str]:
    """The row's own fields as texts for a file's name; a URL without its folders and its query."""
    return {
        "mode": row.mode,
        "prompt": row.prompt or "",
        "provider": provider,
        "model": row.model or "",
        "variant": str(row.variant),
        "video_url": ids.stem(row.video_url),
        "first_frame_url": ids.stem(row.first_frame_url or ""),
        "source_id": row.source_id or "",
    }


def _written(piece: templates.Piece, row_id: str, values: Mapping[str, str], room: int) -> str:
    """A piece of the template as it stands in a stem."""
    if not piece.hole:
        return piece.text
    if piece.text == "id":
        return row_id
    hole = f"{{{piece.text}}}"
    return hole if _VERSION.fullmatch(hole) else _clean(values.get(piece.text, ""), room)


def _clean(value: str, room: int) -> str:
    """A column's value as a piece of a file's name, at most `room` bytes."""
    if not value.strip():
        return _NOTHING
    return ids.clean(ids.clean(value).encode()[:room].decode("utf-8", "ignore"))
