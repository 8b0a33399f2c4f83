"""What `check` sees in the clips and first frames of a manifest, beyond what keeps a row from being sent."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batchmod import files, sources, work
from batchmod.app.loading import Loaded, pairing
from batchmod.app.options import Options
from batchmod.app.services import identities, seen
from batchmod.errors import Problem
from batchmod.filetypes import sniff
from batchmod.fitness import Concern, Field, concern_of_frame, concerns_of
from batchmod.manifest import distinct
from batchmod.model import FrameFacts, Job, ProviderFacts, Row, Source, VideoFacts
from batchmod.planning import flaw_of
from batchmod.urls import without_query

if TYPE_CHECKING:  # the HTTP client is loaded only where something is asked
    from batchmod.transport import Asked

_CURE: Final = "--fix writes it anew as upright H.264 in MP4"
_MOST_BYTES: Final = 600_000_000
"""More than any provider takes: such a clip needs no look into its index."""
_FIELDS: Final[tuple[Field, ...]] = ("video_url", "first_frame_url")


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """What there is to say, each at its place; `notes` of what nobody could look at."""

    warnings: tuple[Problem, ...]
    notes: tuple[str, ...] = ()


def examined(loaded: Loaded, options: Options, mendable: frozenset[int]) -> Examined:
    """Look at the files of the chosen rows, several at a time; ask for those on the web, with a limit of time.

    `mendable`: the rows whose clips `--fix` would write anew.
    """
    pairs = [pair for pair in zip(loaded.manifest.rows, loaded.jobs, strict=True) if pair[0].number in loaded.chosen]
    asked = _asked(job for _, job in pairs)
    found = [
        *_of_clips(pairs, loaded, mendable),
        *_of_frames(pairs, loaded),
        *_edited_in_place(pairs, loaded, pairing.folder_of(loaded.path, options.folder)),
        *_of_the_web(pairs, loaded, asked),
    ]
    order = {row.number: at for at, row in enumerate(loaded.manifest.rows)}
    found.sort(key=lambda problem: order[problem.row or 0])
    return Examined(warnings=distinct(found), notes=tuple(_unseen(asked)))


def _warning(row: Row, field: str, slug: str, message: str, hint: str | None = None) -> Problem:
    place = row.places.get(field, row.place)
    return Problem(
        place=place, field=field, message=message, hint=hint, slug=slug, warning=True, row=row.number
    )  # fmt: skip


def _of_clips(pairs: Iterable[tuple[Row, Job]], loaded: Loaded, mendable: frozenset[int]) -> Iterator[Problem]:
    for row, job in pairs:
        clip = loaded.stored.get(job.video.identity)
        for concern in concerns_of(clip, loaded.services.facts(job.provider)) if clip else ():
            hint = _CURE if concern.mended and row.number in mendable else concern.hint
            yield _warning(row, concern.field, concern.slug, concern.message, hint)


def _of_frames(pairs: Iterable[tuple[Row, Job]], loaded: Loaded) -> Iterator[Problem]:
    """First frames beside their clips: both must be on this machine."""
    beside = {row.number: (job.video, job.first_frame) for row, job in pairs if job.first_frame is not None}
    near = {number: (clip, frame) for number, (clip, frame) in beside.items() if clip.sha256 and frame.sha256}
    memory = seen(loaded.services.environ)
    facts = memory.frames(near.values())
    memory.save()
    for row, _ in pairs:
        if row.number not in near or row.number in loaded.flaws:
            continue
        clip, frame = near[row.number]
        said = facts[clip.location, frame.location]
        concern = concern_of_frame(said) if isinstance(said, FrameFacts) else None
        if concern is not None:
            yield _warning(row, concern.field, concern.slug, concern.message, concern.hint)


def _edited_in_place(pairs: Iterable[tuple[Row, Job]], loaded: Loaded, folder: Path) -> Iterator[Problem]:
    """Frames that `batchmod frames` wrote, and that somebody has edited without giving them another name."""
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    bare = [
        (row, job.video, folder / sources.extracted_name(row.id))
        for row, job in pairs
        if job.first_frame is None and job.video.sha256 and sources.extracted_name(row.id) in there
    ]
    hashes, memory = identities(loaded.services.environ), seen(loaded.services.environ)
    pictures = {
        path: Source(location=str(path), local=True, identity="", sha256=hashes.sha256(path)) for *_, path in bare
    }
    facts = memory.frames((video, pictures[path]) for _, video, path in bare)
    memory.save()
    for row, video, path in bare:
        said = facts[video.location, str(path)]
        if isinstance(said, FrameFacts) and not said.equal:
            message = f"'{files.shortest(path)}' is not the clip's own first frame any more, and is not used"
            hint = f"if it is the edited one, call it {path.stem}.edited.png"
            yield _warning(row, "first_frame_url", "frame_unused", message, hint)


def _remote(job: Job) -> Iterator[tuple[Field, Source]]:
    for field, source in zip(_FIELDS, (job.video, job.first_frame), strict=True):
        if source is not None and not source.local:
            yield field, source


def _asked(jobs: Iterable[Job]) -> "Mapping[str, Asked | None]":
    wanted: dict[str, bool] = {}
    for job in jobs:
        for field, source in _remote(job):
            wanted[source.location] = wanted.get(source.location, False) or field == "video_url"
    return sources.ask(wanted)


def _of_the_web(
    pairs: Iterable[tuple[Row, Job]], loaded: Loaded, asked: "Mapping[str, Asked | None]"
) -> Iterator[Problem]:
    for row, job in pairs:
        facts = loaded.services.facts(job.provider)
        for field, source in _remote(job):
            said = asked[source.location]
            concern = None if said is None else _concern(field, said, facts)
            if concern is not None:
                message = f"{without_query(source.location)}: {concern.message}"
                yield _warning(row, field, concern.slug, message, concern.hint)


def _concern(field: Field, said: "Asked", facts: ProviderFacts) -> Concern | None:
    """What is odd about an answer."""
    if said.problem:
        hint = f"{facts.name} fetches it, not this machine" if facts.hosted else "the engine fetches it when it runs"
        return Concern(field=field, slug="source_unreachable", message=said.problem, hint=f"{hint}: see that it can")
    kind = sniff(said.head) if said.head else None
    if kind is not None and (kind.video if field == "video_url" else kind.image) is None:
        message = f"it is {kind.words}, not {'a clip' if field == 'video_url' else 'a picture'}"
        return Concern(field=field, slug="source_unlikely", message=message, hint="give the address of the file itself")
    flaw = flaw_of(_declared(said), facts) if field == "video_url" else None
    return None if flaw is None else Concern(field=field, slug=flaw.slug, message=flaw.message)


def _declared(said: "Asked") -> VideoFacts:
    """A clip as its header tells it, where that is in the pieces of it that are there; else its size alone."""
    unread = VideoFacts(
        width=0, height=0, fps=None, frames=None, duration_s=None, has_audio=False, bytes=said.size or 0
    )
    if not said.head or said.size is None or said.size > _MOST_BYTES:
        return unread
    declared = work.declared_facts(said.head, said.tail, said.size)
    return declared if isinstance(declared, VideoFacts) else unread


def _unseen(asked: "Mapping[str, Asked | None]") -> Iterator[str]:
    """What was not looked at, and why."""
    late = sum(said is None for said in asked.values())
    if asked:
        files = "1 file" if len(asked) == 1 else f"{len(asked):,} files"
        yield f"{files} on the web: asked for, not fetched; their frames and what they are coded in were not looked at"
    if late:
        yield f"{late:,} of them were not asked for: the time was over"
