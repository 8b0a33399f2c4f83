"""A row as the last run saw it, and as the manifest says it now → what changed, field by field."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from batchmod.model import Job, Work
from batchmod.urls import cut

_FIELDS: Final = ("provider", "model", "mode", "prompt", "video_url", "first_frame_url", "variant", "review")
_FILES: Final = {"video": "video_url", "first_frame": "first_frame_url", "keyframes": "keyframes"}
_URLS: Final = ("video_url", "first_frame_url")
CONTENT: Final = "another content"
QUERY: Final = "another query"


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A row at one time: its fields as the record keeps them, and the request they made."""

    id: str
    job_key: str | None
    fields: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One field of a row that is not what it was."""

    field: str
    before: str | None = None
    after: str | None = None
    note: str | None = None
    """Where the text is the same and what it stands for is not: `another content`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What changed in one row."""

    id: str
    fields: tuple[Difference, ...]
    same_request: bool
    """Whether it still makes the request that it made: then the change costs nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """How a manifest differs from what a run saw last."""

    folder: str
    """The output folder of that run."""
    changed: tuple[Change, ...] = ()
    new: tuple[str, ...] = ()
    """The ids of rows that were not there."""
    gone: tuple[str, ...] = ()
    """The ids of rows that are not there any more."""


def between(
    before: Iterable[Seen],
    now: Iterable[tuple[Seen, Job]],
    *,
    folder: str,
    chosen: Callable[[Job], bool],
    work_of: Callable[[str], Work | None],
) -> Changes:
    """How the chosen rows differ from those of the last run. Ids are compared without regard to case.

    Both are gone through side by side: only rows that have moved are kept meanwhile.
    `work_of`: job_key → its work, which knows what the files of a request were.
    """
    changed: list[Change] = []
    gone: dict[str, Seen] = {}
    new: dict[str, tuple[Seen, Job]] = {}
    for old, here in zip_longest(before, now):
        if old is not None:
            gone[old.id.casefold()] = old
        if here is not None:
            new[here[0].id.casefold()] = here
        for folded in {seen.id.casefold() for seen in (old, here and here[0]) if seen} & gone.keys() & new.keys():
            was, (seen, job) = gone.pop(folded), new.pop(folded)
            if chosen(job) and (change := _change(was, seen, job, work_of)):
                changed.append(change)
    return Changes(
        folder=folder,
        changed=tuple(changed),
        new=tuple(seen.id for seen, job in new.values() if chosen(job)),
        gone=tuple(old.id for old in gone.values()),
    )


def _change(old: Seen, new: Seen, job: Job, work_of: Callable[[str], Work | None]) -> Change | None:
    same = old.job_key == job.key
    found = list(_written(old.fields, new.fields))
    if not same:
        found += _unwritten(work_of(old.job_key or ""), job, known={each.field for each in found})
        found = found or [Difference(field="content", note="a file or an option is another one")]
    return Change(id=new.id, fields=tuple(found), same_request=same) if found else None


def _written(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    """The differences that can be read in the manifest."""
    for name in _FIELDS:
        if old.get(name) != new.get(name):
            yield _difference(name, old.get(name), new.get(name))
    mine, theirs = old.get("own", {}), new.get("own", {})
    for name in {**mine, **theirs}:
        if (mine.get(name) or "") != (theirs.get(name) or ""):
            yield _difference(name, mine.get(name), theirs.get(name))


def _difference(name: str, before: object, after: object) -> Difference:
    """The query of a URL is a secret: it is named, not shown."""
    one, other = _text(name, before), _text(name, after)
    return Difference(field=name, note=QUERY) if one == other else Difference(field=name, before=one, after=other)


def _text(name: str, value: object) -> str | None:
    if value is None or value == "":
        return None
    return cut(str(value)) if name in _URLS else str(value)


def _unwritten(work: Work | None, job: Job, *, known: set[str]) -> Iterator[Difference]:
    """The differences behind the same words: files with another content, options, the place that is asked."""
    if work is None:
        return
    now = {"video": job.video, "first_frame": job.first_frame, "keyframes": job.keyframes}
    for part, name in _FILES.items():
        was, source = (work.inputs.get(part) or {}).get("identity"), now[part]
        if name not in known and was != (source.identity if source else None):
            yield Difference(field=name, note=CONTENT)
    if work.provider != job.provider:
        return  # options and origin are another service's
    for name in {**work.options, **job.options}:
        if work.options.get(name) != job.options.get(name):
            yield _difference(f"provider_options.{name}", work.options.get(name), job.options.get(name))
    if work.origin != job.origin:
        yield _difference("origin", work.origin, job.origin)
