"""Which rows take a clip that `check --fix` wrote anew, so that nothing that was paid for ever looks new."""

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from batchmod import executors, jobs, planning
from batchmod.app import folder as folders
from batchmod.app import pointer
from batchmod.app.loading import Loaded
from batchmod.app.options import Options
from batchmod.app.prepared import PreparedClips, identity_of, is_prepared, parts_of
from batchmod.app.services import identities, seen
from batchmod.checkpoint import Checkpoint
from batchmod.errors import RecordRefused
from batchmod.fitness import Recipe, recipe_of
from batchmod.model import ClipFacts, Job, ProviderFacts, Row, Status, Work
from batchmod.planning import Flaw

FACT: Final = "prepared"
"""Set in a record that holds requests with prepared clips: only then their recipes are looked for there."""
_GONE: Final = Flaw(
    slug="prepared_gone", message="its prepared clip is gone or changed; `batchmod check --fix` writes it again"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mended:
    """A clip that was written anew, or could not be; `ids` of the rows that have it."""

    ids: tuple[str, ...]
    clip: Path
    path: Path
    recipe: Recipe
    before: ClipFacts
    problem: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Candidate:
    """A job that may take a prepared clip: by the recipe its provider asks for now, or by those it was sent with."""

    row: Row
    job: Job
    facts: ProviderFacts
    clip: ClipFacts | None
    recipe: Recipe | None
    recipes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Paid:
    """What was sent already, here or from another folder of this user."""

    works: Mapping[str, Work]
    elsewhere: Collection[str]
    retry_failed: bool

    def holds(self, key: str) -> bool:
        """Whether that request must stay the one of its row: it came to anything but a certain no to the clip."""
        work = self.works.get(key)
        if key in self.elsewhere or work is None:
            return key in self.elsewhere
        if work.status is Status.FAILED and work.billed is False:
            return work.attempts > 0 and work.error_code != "unreadable_source" and not self.retry_failed
        return work.status is not Status.PLANNED or work.attempts > 0

    def may_need(self, row: Row, key: str) -> bool:
        """Whether that request of a row may need its clip once more."""
        work = self.works.get(key)
        return work is None or work.status in (Status.PLANNED, Status.FAILED) or row.review == "redo"


@contextmanager
def record_of(loaded: Loaded, options: Options) -> Iterator[Checkpoint | None]:
    """The folder's record, to look at; None where there is none, or none that can be trusted."""
    record: Checkpoint | None = None
    with suppress(RecordRefused):
        if pointer.record_file(loaded.folder, options.state).exists():
            record = folders.look_at(loaded.folder, state=options.state)
    if record is None:
        yield None
        return
    with record:
        yield record


def settled(loaded: Loaded, options: Options, record: Checkpoint | None) -> Loaded:
    """The manifest with prepared clips where its rows take one.

    A request that is under way, made, or may be paid keeps the clip it was sent with, whatever was prepared since,
    and whatever became of the prepared file: another clip would make it another request, paid again.
    """
    candidates = list(_candidates(loaded, record))
    if not candidates:
        return loaded
    hashes = identities(loaded.services.environ)
    clips, paid = PreparedClips(loaded.folder, hashes), _paid(loaded, options, record)
    taken = {each.row.number: job for each in candidates if (job := _taken(each, loaded.manifest.naming, clips, paid))}
    hashes.save()
    return _with(loaded, taken) if taken else loaded


def settled_for_a_run(loaded: Loaded, options: Options, record: Checkpoint) -> Loaded:
    """The same, and the record remembers that requests in it may have prepared clips."""
    now = settled(loaded, options, record)
    if now is not loaded and record.fact(FACT) is None:
        record.set_facts({FACT: "yes"})
    return now


def _candidates(loaded: Loaded, record: Checkpoint | None) -> Iterator[_Candidate]:
    sent_by = _recorded(record) if record is not None and record.fact(FACT) is not None else {}
    if not loaded.stored and not sent_by:
        return
    for row, job in zip(loaded.manifest.rows, loaded.jobs, strict=True):
        facts = loaded.services.facts(job.provider)
        clip = loaded.stored.get(job.video.identity) if job.video.local and facts.hosted else None
        recipe = recipe_of(clip, facts) if clip is not None else None
        recipes = (*([recipe.text] if recipe else []), *sent_by.get(job.video.identity, ()))
        if recipes and not is_prepared(job.video):
            distinct = tuple(dict.fromkeys(recipes))
            yield _Candidate(row=row, job=job, facts=facts, clip=clip, recipe=recipe, recipes=distinct)


def _recorded(record: Checkpoint) -> dict[str, list[str]]:
    """The identity of an original → the recipes it was ever sent by."""
    found: dict[str, list[str]] = {}
    for work in record.works():
        parts = parts_of(str((work.inputs.get("video") or {}).get("identity", "")))
        if parts is not None:
            found.setdefault(parts[0], []).append(parts[1])
    return found


def _paid(loaded: Loaded, options: Options, record: Checkpoint | None) -> _Paid:
    works = planning.latest_by_key(record.works()) if record is not None else {}
    elsewhere = loaded.services.elsewhere(record) if options.reuse else {}
    return _Paid(works=works, elsewhere=elsewhere.keys(), retry_failed=options.retry_failed)


def _taken(candidate: _Candidate, naming: str, clips: PreparedClips, paid: _Paid) -> Job | None:
    """The job with the prepared clip that it takes, if it takes one."""
    if paid.holds(candidate.job.key):
        return None
    made = {recipe: _remade(candidate, naming, clips, recipe) for recipe in candidate.recipes}
    sent = next((job for job in made.values() if paid.holds(job.key)), None)
    if sent is not None or candidate.recipe is None:
        return sent
    wanted = made[candidate.recipe.text]
    return wanted if wanted.video.sha256 is not None else None


def _remade(candidate: _Candidate, naming: str, clips: PreparedClips, recipe: str) -> Job:
    """The row's job with a prepared clip: all else stays as it is."""
    job = candidate.job
    return jobs.make(
        candidate.row,
        video=clips.source(job.video, recipe),
        first_frame=job.first_frame,
        keyframes=job.keyframes,
        facts=candidate.facts,
        origin=job.origin,
        options=job.options,
        naming=naming,
    )


def _with(loaded: Loaded, taken: Mapping[int, Job]) -> Loaded:
    """The manifest with these jobs, and what is known of their clips."""
    memory = seen(loaded.services.environ)
    there = {job.video.location: job.video for job in taken.values() if job.video.sha256 is not None}
    looked = memory.clips(there.values())
    memory.save()
    stored = {there[at].identity: facts for at, facts in looked.items() if isinstance(facts, ClipFacts)}
    flaws = {number: flaw for number, flaw in loaded.flaws.items() if number not in taken}
    for number, job in taken.items():
        facts = stored.get(job.video.identity)
        flaw = _GONE if facts is None else planning.flaw_of(facts.video, loaded.services.facts(job.provider))
        flaws |= {number: flaw} if flaw else {}
    return replace(
        loaded,
        jobs=tuple(taken.get(job.number, job) for job in loaded.jobs),
        flaws=flaws,
        stored={**loaded.stored, **stored},
        clips={**loaded.clips, **{identity: facts.video for identity, facts in stored.items()}},
    )


def mend(
    loaded: Loaded, options: Options, record: Checkpoint | None, *, tell: Callable[[Path], None]
) -> tuple[Loaded, list[Mended]]:
    """Write what chosen rows need and do not have, several clips at a time; the manifest as it is then.

    `tell` hears of each original when its turn comes: it takes a while.
    """
    paid, hashes = _paid(loaded, options, record), identities(loaded.services.environ)
    clips = PreparedClips(loaded.folder, hashes)
    groups: dict[str, list[_Candidate]] = {}
    for each in _candidates(loaded, record):
        if each.row.number in loaded.chosen and _lacks(each, loaded.manifest.naming, clips, paid):
            assert each.recipe is not None
            groups.setdefault(identity_of(each.job.video, each.recipe.text), []).append(each)
    with ThreadPoolExecutor(max_workers=max(1, executors.cores() // 2)) as pool:
        done = list(pool.map(lambda group: _mended(group, clips, tell), groups.values()))
    for group, one in zip(groups.values(), done, strict=True):
        if one.problem is None:
            clips.add(group[0].job.video, one.recipe.text)
    hashes.save()
    return settled(loaded, options, record), done


def mendable(loaded: Loaded, options: Options, record: Checkpoint | None) -> frozenset[int]:
    """The chosen rows for which `mend` would write a clip."""
    candidates = [each for each in _candidates(loaded, record) if each.row.number in loaded.chosen]
    if not candidates:
        return frozenset()
    paid, clips = _paid(loaded, options, record), PreparedClips(loaded.folder, identities(loaded.services.environ))
    return frozenset(each.row.number for each in candidates if _lacks(each, loaded.manifest.naming, clips, paid))


def without_idle(loaded: Loaded, options: Options, record: Checkpoint | None) -> Loaded:
    """The manifest without complaints about prepared clips that are gone and that no request needs any more."""
    gone = {number for number, flaw in loaded.flaws.items() if flaw is _GONE}
    if not gone:
        return loaded
    paid = _paid(loaded, options, record)
    idle = {
        row.number
        for row, job in zip(loaded.manifest.rows, loaded.jobs, strict=True)
        if row.number in gone and (job.key in paid.elsewhere or not paid.may_need(row, job.key))
    }
    return replace(loaded, flaws={number: flaw for number, flaw in loaded.flaws.items() if number not in idle})


def _lacks(candidate: _Candidate, naming: str, clips: PreparedClips, paid: _Paid) -> bool:
    """Whether a row needs a prepared clip that is not there."""
    if candidate.recipe is None or paid.holds(candidate.job.key):
        return False
    job = _remade(candidate, naming, clips, candidate.recipe.text)
    return job.video.sha256 is None and paid.may_need(candidate.row, job.key)


def _mended(group: list[_Candidate], clips: PreparedClips, tell: Callable[[Path], None]) -> Mended:
    first = group[0]
    assert first.recipe is not None
    assert first.clip is not None
    tell(Path(first.job.video.location))
    largest = min((each.facts.max_clip_bytes for each in group if each.facts.max_clip_bytes), default=None)
    problem = clips.write(first.job.video, first.recipe, max_bytes=largest)
    return Mended(
        ids=tuple(each.row.id for each in group),
        clip=Path(first.job.video.location),
        path=clips.place(first.job.video, first.recipe.text),
        recipe=first.recipe,
        before=first.clip,
        problem=problem,
    )
