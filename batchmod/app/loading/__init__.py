"""A manifest's file → jobs, with every problem found before anything is sent."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from batchmod import manifest, sources
from batchmod.app.allowing import allowed, configuration_of
from batchmod.app.loading import fitting, gathering, making, returning
from batchmod.app.loading.choosing import chosen, matches, nothing_chosen
from batchmod.app.loading.destination import is_homeless, output_folder, store_of, where_and_how
from batchmod.app.loading.loaded import Invalid, Loaded
from batchmod.app.loading.reading import lines_of, published, read, refusal
from batchmod.app.loading.settings import limits_of, provider_for, provider_of
from batchmod.app.loading.sieve import Sieve
from batchmod.app.options import Options
from batchmod.app.services import Services, seen
from batchmod.errors import Problem
from batchmod.model import Job, Manifest

__all__ = ["Invalid", "Loaded", "limits_of", "load", "matches", "provider_of", "read", "where_and_how"]


def load(document: sources.Document, options: Options, services: Services) -> Loaded:
    """Check and identify. Raises ManifestError with all problems, UsageError for wrong settings."""
    with _collector_at_rest():
        return _load(document, options, services)


def _load(document: sources.Document, options: Options, services: Services) -> Loaded:
    environ = services.environ
    document, reading = returning.settled(document, read(document, options, environ), options=options, environ=environ)
    path = document.anchor
    missing = sources.missing(reading.named, manifest=path, allow_outside=options.allow_outside)
    if reading.manifest is None:
        raise refusal([*reading.problems, *missing], reading)
    parsed, services = fitting.with_its_key(reading.manifest, options, services)
    memory = seen(environ)
    found = gathering.found(parsed, path, options, services, memory)
    unfit = fitting.problems(found.manifest, options, services)
    problems = [*reading.problems, *missing, *found.problems, *(each for each in unfit if not each.warning)]
    sieve = Sieve(reading=reading, skip=options.skip_invalid)
    parsed, jobs = _sifted(sieve, found, problems, options, services)
    looked = sources.look_at(found.gathered if options.media else sources.Gathered(), memory)
    memory.save()
    own = configuration_of(environ, published())
    heard = allowed(parsed, path, options, is_file=document.is_file, own=own, environ=environ)
    numbers = chosen(parsed, options, rejected=reading.rejected, left_out=sieve.left_out())
    warnings = [*(each for each in unfit if each.warning), *found.warnings, *heard.warnings]
    return Loaded(
        path=path,
        manifest=parsed,
        folder=output_folder(path, parsed, options),
        store=store_of(parsed, options),
        limits=limits_of(parsed.limits, options),
        jobs=jobs,
        chosen=numbers,
        flaws=making.flaws_of(jobs, looked, services),
        clips={identity: clip.video for identity, clip in looked.clips.items()},
        stored=looked.clips,
        services=services,
        warnings=(*warnings, *([] if numbers else [nothing_chosen(parsed, options)])),
        notes=(*reading.notes, *found.notes),
        invalid=tuple(_with_provider(each, parsed, options) for each in sieve.invalid()),
        problems=manifest.distinct(manifest.in_order(sieve.problems)),
        lines=lines_of(reading),
        sheets=reading.sheets,
        allowed=heard,
        homeless=is_homeless(document, parsed, options),
    )


def _sifted(
    sieve: Sieve, found: gathering.Found, problems: Sequence[Problem], options: Options, services: Services
) -> tuple[Manifest, Sequence[Job]]:
    """The good rows, and their jobs. Raises ManifestError where there are problems that no row can be left out for."""
    if not options.first_frames:
        problems = [each for each in problems if (each.slug, each.field) != ("bad_source", "first_frame_url")]
    parsed = sieve.sift(found.manifest, problems)
    jobs = making.jobs_of(parsed, options, services, found.gathered)
    if collisions := making.collisions(parsed, jobs):
        parsed = sieve.sift(parsed, collisions)
        jobs = making.jobs_of(parsed, options, services, found.gathered)
    return parsed, jobs


def _with_provider(row: Invalid, parsed: Manifest, options: Options) -> Invalid:
    """As the good rows have it: read back from results.csv, a mended row goes where it was meant to go."""
    return replace(row, said={**row.said, "provider": provider_for(row.said.get("provider"), parsed, options)})


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Without the search for cycles: a long sheet becomes millions of values, and none of them is in one."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
