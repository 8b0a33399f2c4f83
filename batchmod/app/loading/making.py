"""Rows → jobs, and what keeps these from being sent: outputs of one name, clips and pictures that cannot be used."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from batchmod import jobs, planning, rows, sources
from batchmod.app.loading.settings import provider_for
from batchmod.app.options import Options
from batchmod.app.services import Services
from batchmod.errors import Problem
from batchmod.model import Job, Manifest, Row
from batchmod.planning import Flaw


def jobs_of(parsed: Manifest, options: Options, services: Services, gathered: sources.Gathered) -> Sequence[Job]:
    """A manifest's jobs; those of a long sheet's plain rows are made anew whenever they are asked for."""

    @functools.cache
    def how(named: str | None) -> jobs.How:
        name = provider_for(named, parsed, options)
        its_options = parsed.provider_options if name == parsed.provider else {}
        return jobs.How(facts=services.facts(name), origin=services.origin(name), options=its_options)

    def made(row: Row) -> Job:
        its = how(row.provider)
        return jobs.make(
            row,
            video=gathered.videos[row.number],
            first_frame=gathered.first_frames.get(row.number),
            keyframes=gathered.keyframes.get(row.number),
            facts=its.facts,
            origin=its.origin,
            options=its.options,
            naming=parsed.naming,
        )

    if not isinstance(parsed.rows, rows.Rows):
        return tuple(map(made, parsed.rows))
    return jobs.Jobs(
        jobs.PlainJobs(rows=part, how=how, naming=parsed.naming)
        if isinstance(part, rows.Stretch)
        else tuple(map(made, part))
        for part in parsed.rows.parts
    )


def collisions(parsed: Manifest, made: Sequence[Job]) -> list[Problem]:
    """Rows whose outputs would have the name of an earlier row's."""
    if jobs.tells_ids_apart(parsed.naming):
        return []
    pairs = jobs.colliding_stems(made)
    known = {row.number: row for row in rows.those(parsed.rows, {second.number for _, second in pairs})}
    return [_collision(known[second.number], first, second) for first, second in pairs]


def _collision(row: Row, first: Job, second: Job) -> Problem:
    message = f"'{second.id}' and '{first.id}' would have outputs of one name ({second.stem})"
    return Problem(place=row.place, field="id", message=message, row=row.number)


def flaws_of(made: Sequence[Job], looked: sources.Looked, services: Services) -> dict[int, Flaw]:
    """Why jobs cannot be sent: an unusable clip or picture, or a clip beyond the provider's limits."""
    flaws: dict[int, Flaw] = {}
    # those of plain rows have no file that could be looked at
    for job in (job for part in jobs.parts_of(made) if not isinstance(part, jobs.PlainJobs) for job in part):
        named = [("video_url", job.video), *([("first_frame_url", job.first_frame)] if job.first_frame else [])]
        wrong = [
            Flaw(slug=refusal.slug, message=f"{Path(source.location).name}: {refusal.message}", field=field)
            for field, source in named
            if (refusal := looked.refused.get((field, source.location))) is not None
        ]
        if wrong:
            flaws[job.number] = replace(wrong[0], message="; ".join(each.message for each in wrong))
        clip = looked.clips.get(job.video.identity)
        flaw = planning.flaw_of(clip.video, services.facts(job.provider)) if clip else None
        if flaw is not None:
            flaws.setdefault(job.number, flaw)
    return flaws
