"""Manifest row + identities of its files → Job, whose key is a hash of everything that changes the result."""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any, Final, NamedTuple, overload

from batchmod.model import Job, ProviderFacts, Row, Source
from batchmod.rows import Stretch, ids, templates
from batchmod.urls import identity_of_url, origin_of

KEY_FORM: Final = 1
"""The canonical form's version; it stands in front of every key, so that a newer form knows an older key."""

_QUOTES: Final = str.maketrans({"‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"'})
_VERSION: Final = re.compile(r"\{version(?::0(\d)d)?\}")
_NOTHING: Final = "none"
_LONGEST_PART: Final = 230  # bytes; file systems stop at 255, and `.mp4` and the marks of unfinished files come to it
_ROOM_FOR_A_COLUMN: Final = (200, 100, 50, 25, 12)


def normalised_prompt(prompt: str | None) -> str | None:
    """The prompt as it is compared *and* sent: white space collapsed, typographic quotes made plain."""
    text = prompt or ""
    words = " ".join((text if text.isascii() else text.translate(_QUOTES)).split())
    return words or None


def result_options(options: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The options whose schema says `x-changes-result`; the others (time-outs, key names) enter no key."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    return {name: options[name] for name in sorted(options) if properties.get(name, {}).get("x-changes-result", False)}


def key_of(canonical: Mapping[str, Any]) -> str:
    """`1-` and 40 hex digits of SHA-256 over the canonical form as sorted, compact JSON."""
    return _hashed(_canonical_text(canonical))


def _canonical_text(canonical: Mapping[str, Any]) -> str:
    return json.dumps(canonical, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _hashed(text: str) -> str:
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
    model = row.model or next(iter(facts.models), None)
    key = canonical(
        facts=facts,
        origin=origin,
        options=options,
        model=model,
        mode=row.mode,
        prompt=prompt,
        variant=row.variant,
        video=video.identity,
        first_frame=first_frame.identity if first_frame else None,
        keyframes=keyframes.identity if keyframes else None,
    )
    return Job(
        key=key_of(key),
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


def canonical(
    *, facts: ProviderFacts, origin: str, options: Mapping[str, Any], keyframes: str | None = None, **said: Any
) -> dict[str, Any]:
    """What a job_key is the hash of: `said` are model, mode, prompt, variant, and the identities of the files."""
    form = {**said, "provider": facts.name, "options": result_options(options, facts.options_schema)}
    form["mode"] = said["mode"] if "mode" in facts.fields else None
    if keyframes is not None:
        form["keyframes"] = keyframes
    if origin != (origin_of(facts.base_urls["api"][1]) if facts.hosted else ""):
        form["origin"] = origin
    return form


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


def tells_ids_apart(naming: str) -> bool:
    """Whether outputs of different ids have different names whatever else their rows say."""
    holes = templates.holes(templates.parse(naming))
    return "id" in holes and all(hole == "id" or _VERSION.fullmatch(f"{{{hole}}}") for hole in holes)


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


@dataclass(frozen=True, kw_only=True, slots=True)
class How:
    """What the jobs of one provider have in common."""

    facts: ProviderFacts
    origin: str
    options: Mapping[str, Any]


class Keyed(NamedTuple):
    """Jobs side by side, as far as most of what is decided about them needs to know."""

    ids: Sequence[str]
    keys: Sequence[str]
    kinds: frozenset[tuple[str | None, str | None]]
    """The (provider, model) that rows of theirs name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainJobs:
    """The jobs of plain rows, made anew whenever they are asked for: their clips and pictures are URLs."""

    rows: Stretch
    how: Callable[[str | None], How]
    """The provider a row names → how its job is made."""
    naming: str

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Job]:
        return map(self.of, self.rows)

    def of(self, row: Row) -> Job:
        """The job of one of its rows."""
        how = self.how(row.provider)
        return make(
            row,
            video=remote(row.video_url),
            first_frame=remote(row.first_frame_url) if row.first_frame_url else None,
            facts=how.facts,
            origin=how.origin,
            options=how.options,
            naming=self.naming,
        )

    @property
    def head(self) -> Job:
        """Its first job."""
        return self.of(self.rows.head)

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of its rows."""
        return self.rows.numbers

    def providers(self) -> frozenset[str]:
        """The names of the providers that are asked."""
        return frozenset(self.how(named).facts.name for named, _ in self.rows.kinds())

    def providers_as_text(self) -> str:
        """All that the providers and their options have to do with the jobs' keys, as a text."""
        return "\n".join(sorted(_form(self.how(named), model)[0] for named, model in self.rows.kinds()))

    def keyed(self) -> Keyed:
        """The jobs' ids and keys, each key as `make` gives it."""
        columns = self.rows.columns()
        kinds = list(zip(columns["provider"], columns["model"], strict=True))
        forms = {kind: _form(self.how(kind[0]), kind[1]) for kind in set(kinds)}
        written = {name: [write(value) for value in columns[column]] for name, (column, write) in _WRITTEN.items()}
        if len(forms) == 1:
            text, names = forms[kinds[0]]
            columns_of_it = zip(*(written[name] for name in names), strict=True)
            keys = [_hashed(text % values) for values in columns_of_it]
        else:
            keys = [
                _hashed(forms[kind][0] % tuple(written[name][at] for name in forms[kind][1]))
                for at, kind in enumerate(kinds)
            ]
        return Keyed(columns["id"], keys, frozenset(forms))


def _form(how: How, model: str | None) -> tuple[str, list[str]]:
    """The canonical form of a provider's jobs with `%s` for what differs from row to row, and the names of these."""
    holes = {name: f"\ue000{name}\ue001" for name in _WRITTEN}
    text = _canonical_text(
        canonical(
            facts=how.facts,
            origin=how.origin,
            options=how.options,
            model=model or next(iter(how.facts.models), None),
            **{**holes, "first_frame": holes["first_frame"] if "first_frame_url" in how.facts.fields else None},
        )
    ).replace("%", "%%")
    quoted = {f'"{hole}"': name for name, hole in holes.items() if hole in text}
    names = [quoted[match[0]] for match in re.finditer("|".join(quoted), text)]
    return re.sub("|".join(quoted), "%s", text), names


def _url(value: str | None) -> str:
    return "null" if value is None else encode_basestring(f"url:{value}")


def _prompt(value: str | None) -> str:
    prompt = normalised_prompt(value)
    return "null" if prompt is None else encode_basestring(prompt)


_WRITTEN: Final[Mapping[str, tuple[str, Callable[[Any], str]]]] = {
    "mode": ("mode", encode_basestring),
    "prompt": ("prompt", _prompt),
    "variant": ("variant", str),
    "video": ("video_url", _url),
    "first_frame": ("first_frame_url", _url),
}
"""What differs between the jobs of one provider and model → the row's field, and how the canonical form writes it."""


class Jobs(Sequence[Job]):
    """The jobs of a manifest's rows, in their order."""

    def __init__(self, parts: Iterable[Sequence[Job] | PlainJobs]) -> None:
        self.parts = tuple(part for part in parts if len(part))

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[Job]:
        for part in self.parts:
            yield from part

    @overload
    def __getitem__(self, index: int) -> Job: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Job]: ...
    def __getitem__(self, index: int | slice) -> Job | Sequence[Job]:
        return tuple(self)[index]


def parts_of(jobs: Sequence[Job]) -> Sequence[Sequence[Job] | PlainJobs]:
    """The jobs in parts: those that are kept, and those that are best looked at together."""
    return jobs.parts if isinstance(jobs, Jobs) else (jobs,)


def providers_of(jobs: Sequence[Job]) -> set[str]:
    """The names of the providers that the jobs ask."""
    found: set[str] = set()
    for part in parts_of(jobs):
        found |= part.providers() if isinstance(part, PlainJobs) else {job.provider for job in part}
    return found


def those(jobs: Sequence[Job], numbers: Collection[int]) -> list[Job]:
    """The jobs of rows of these numbers, in their order."""
    found: list[Job] = []
    for part in parts_of(jobs):
        if not isinstance(part, PlainJobs):
            found += (job for job in part if job.number in numbers)
        elif any(number in numbers for number in part.numbers):
            found += (part.of(row) for row in part.rows if row.number in numbers)
    return found


def remote(url: str) -> Source:
    """A clip or picture that the provider fetches itself. Raises ValueError where this is no URL."""
    return Source(location=url, local=False, identity=f"url:{identity_of_url(url)}")
