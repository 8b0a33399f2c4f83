"""Manifest row + identities of its files → Job, whose key is a hash of everything that changes the result."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from batchmod.model import Job, ProviderFacts, Row, Source

KEY_FORM: Final = 1
"""The canonical form's version; it stands in front of every key, so that a newer form knows an older key."""

_QUOTES: Final = str.maketrans({"‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"'})
_VERSION: Final = re.compile(r"\{version(?::0(\d)d)?\}")
_COLUMN: Final = re.compile(r"\{([^{}]+)\}")
_UNSAFE: Final = re.compile(r"[^\w .\-]+")


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
    facts: ProviderFacts,
    origin: str,
    options: Mapping[str, Any],
    naming: str,
) -> Job:
    """The job of a row; `origin` enters the key only where it is not the vendor's own (rules: money 6)."""
    prompt = normalised_prompt(row.prompt)
    default_origin = facts.base_urls["api"][1] if facts.hosted else ""
    canonical = {
        "provider": facts.name,
        "model": row.model,
        "mode": row.mode,
        "prompt": prompt,
        "options": result_options(options, facts.options_schema),
        "variant": row.variant,
        "video": video.identity,
        "first_frame": first_frame.identity if first_frame else None,
    }
    if origin != default_origin:
        canonical["origin"] = origin
    return Job(
        key=key_of(canonical),
        id=row.id,
        number=row.number,
        provider=facts.name,
        model=row.model,
        mode=row.mode,
        prompt=prompt,
        video=video,
        first_frame=first_frame,
        variant=row.variant,
        options=dict(options),
        origin=origin,
        stem=stem_of(naming, row),
    )


def stem_of(naming: str, row: Row) -> str:
    """The naming template with the row's columns put in, cleaned like ids; `{version…}` stays for later."""
    values = {**row.own, "id": row.id, "mode": row.mode}

    def put(match: re.Match[str]) -> str:
        name = match.group(1)
        return match.group(0) if name.startswith("version") else _clean(values.get(name, ""))

    return _COLUMN.sub(put, naming)


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


def _clean(value: str) -> str:
    return _UNSAFE.sub("-", value).strip(" .-_") or "none"
