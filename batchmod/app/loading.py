"""A manifest's file → jobs, with every problem found before anything is sent."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batchmod import files, jobs, manifest, planning, schema, sources
from batchmod.app import fitting
from batchmod.app.options import Options
from batchmod.app.services import Services, identities
from batchmod.errors import ManifestError, Place, Problem, UsageError
from batchmod.model import Job, Limits, Manifest, Row, VideoFacts
from batchmod.planning import Flaw
from batchmod.schema import Schemas


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A manifest made complete: its jobs, which of them are chosen, and what looking at their files showed."""

    path: Path
    manifest: Manifest
    folder: Path
    limits: Limits
    jobs: tuple[Job, ...]
    chosen: frozenset[int]
    """The numbers of the rows that this command is about."""
    flaws: Mapping[int, Flaw]
    clips: Mapping[str, VideoFacts]
    services: Services
    warnings: tuple[Problem, ...] = ()
    """What is worth knowing before a run, and stops none."""

    @property
    def held(self) -> frozenset[int]:
        """The numbers of the rows that say hold."""
        return frozenset(row.number for row in self.manifest.rows if row.hold or row.review == "hold")

    def matching(self, globs: Sequence[str]) -> frozenset[int]:
        """The numbers of the chosen rows whose ids match one of these."""
        return frozenset(
            row.number for row in self.manifest.rows if row.number in self.chosen and _matches(row.id, globs)
        )


def load(path: Path, options: Options, services: Services) -> Loaded:
    """Read, check and identify. Raises ManifestError with all problems, UsageError for wrong settings."""
    reading = read(path, options)
    if reading.manifest is None or reading.problems:
        named = sources.missing(reading.named, manifest=path, allow_outside=options.allow_outside)
        problems = [*reading.problems, *named]
        if reading.manifest is not None:
            problems += _gathered(reading.manifest, path, options, services).problems
        raise ManifestError(manifest.in_order(problems))
    parsed, services = fitting.with_its_key(reading.manifest, options, services)
    gathered = _gathered(parsed, path, options, services)
    problems = [*gathered.problems, *_provider_problems(parsed, options, services)]
    if problems:
        raise ManifestError(manifest.in_order(problems))
    unfit = list(fitting.unfit(parsed, services, lambda row: provider_of(row, parsed, options)))
    if any(not problem.warning for problem in unfit):
        raise ManifestError([problem for problem in unfit if not problem.warning])
    made = _jobs(parsed, options, services, gathered)
    collisions = [_collision(parsed, first, second) for first, second in jobs.colliding_stems(made)]
    if collisions:
        raise ManifestError(collisions)
    looked = sources.look_at(gathered)
    return Loaded(
        path=path,
        manifest=parsed,
        folder=output_folder(path, parsed, options),
        limits=_limits(parsed.limits, options),
        jobs=made,
        chosen=frozenset(row.number for row in _chosen(parsed, options)),
        flaws=_flaws(made, looked, services),
        clips=looked.clips,
        services=services,
        warnings=tuple(unfit),
    )


def read(path: Path, options: Options) -> manifest.Reading:
    """The manifest as text says it, with its problems; its files are not looked at."""
    return manifest.read(
        sources.read_document(path),
        file=str(path),
        schemas=Schemas(**{name: files.schema(name) for name in ("manifest", "row", "results")}),
        extra_columns=options.extra_columns,
        columns=options.columns,
    )


def _gathered(parsed: Manifest, path: Path, options: Options, services: Services) -> sources.Gathered:
    known = identities(services.environ)
    found = sources.gather(parsed.rows, manifest=path, identities=known, allow_outside=options.allow_outside)
    known.save()
    return found


def where(path: Path, options: Options) -> Path:
    """The output folder of a manifest."""
    reading = read(path, options)
    if reading.manifest is None:
        raise ManifestError(reading.problems)
    return output_folder(path, reading.manifest, options)


def output_folder(path: Path, parsed: Manifest, options: Options) -> Path:
    """Where outputs go: never the current folder by default, since cron's is another one."""
    base = path.resolve().parent
    if options.output is not None:
        folder = Path(options.output).absolute()
    elif parsed.output is not None:
        folder = base / parsed.output
    else:
        folder = (base.parent if base.name == "manifests" else base) / "outputs" / parsed.name
    folder = Path(files.normal(folder))
    return folder / "rehearsal" if options.rehearse else folder


def provider_of(row: Row, parsed: Manifest, options: Options) -> str:
    """The provider of a row: the command line, else the row, else the manifest, else the embedded engine."""
    if options.rehearse:
        return "local"
    return options.provider or row.provider or parsed.provider or "local"


def _jobs(parsed: Manifest, options: Options, services: Services, gathered: sources.Gathered) -> tuple[Job, ...]:
    made = []
    for row in parsed.rows:
        name = provider_of(row, parsed, options)
        made.append(
            jobs.make(
                row,
                video=gathered.videos[row.number],
                first_frame=gathered.first_frames.get(row.number),
                keyframes=gathered.keyframes.get(row.number),
                facts=services.facts(name),
                origin=services.origin(name),
                options=parsed.provider_options if name == parsed.provider else {},
                naming=parsed.naming,
            )
        )
    return tuple(made)


def _provider_problems(parsed: Manifest, options: Options, services: Services) -> list[Problem]:
    """Rows whose provider does not exist. The command line's own is checked first, as a usage error."""
    if options.provider is not None:
        services.facts(options.provider)
    problems = []
    for row in parsed.rows:
        try:
            services.facts(provider_of(row, parsed, options))
        except UsageError as error:
            place = row.places.get("provider", row.place)
            problems.append(Problem(place=place, field="provider", message=str(error), row=row.number))
    return problems or _option_problems(parsed, options, services)


def _option_problems(parsed: Manifest, options: Options, services: Services) -> list[Problem]:
    """What the provider's own schema says of `provider_options`, where the manifest's own provider is asked."""
    if options.provider not in (None, parsed.provider):
        return []
    accepted = services.facts(parsed.provider or "local").options_schema
    place = Place(file=parsed.file)
    found = schema.problems(dict(parsed.provider_options), accepted, locate=schema.everywhere(place))
    return [replace(problem, field=f"provider_options.{problem.field or ''}".rstrip(".")) for problem in found]


def _collision(parsed: Manifest, first: Job, second: Job) -> Problem:
    row = parsed.rows[second.number - 1]
    message = f"'{second.id}' and '{first.id}' would have outputs of one name ({second.stem})"
    return Problem(place=row.place, field="id", message=message, row=row.number)


def _flaws(made: tuple[Job, ...], looked: sources.Looked, services: Services) -> dict[int, Flaw]:
    """Why jobs cannot be sent: an unusable clip or picture, or a clip beyond the provider's limits."""
    flaws: dict[int, Flaw] = {}
    for job in made:
        for source in (job.first_frame, job.video):
            refusal = looked.refused.get(source.location) if source else None
            if refusal is not None and source is not None:
                flaws[job.number] = Flaw(slug=refusal.slug, message=f"{Path(source.location).name}: {refusal.message}")
        clip = looked.clips.get(job.video.identity)
        flaw = planning.flaw_of(clip, services.facts(job.provider)) if clip else None
        if flaw is not None:
            flaws.setdefault(job.number, flaw)
    return flaws


def _chosen(parsed: Manifest, options: Options) -> list[Row]:
    rows = [row for row in parsed.rows if _wanted(row, options)]
    return rows if options.first is None else rows[: options.first]


def _wanted(row: Row, options: Options) -> bool:
    if options.only and not _matches(row.id, options.only):
        return False
    return all(_cell(row, column) == value for column, value in options.where)


def _matches(row_id: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(row_id.casefold(), glob.casefold()) for glob in globs)


def _cell(row: Row, column: str) -> str | None:
    value: Any = row.own.get(column, getattr(row, column, None) if column in Row.__slots__ else None)
    return None if value is None else str(value)


def _limits(given: Limits, options: Options) -> Limits:
    """Command line before manifest before default."""
    return Limits(
        max_in_flight=options.max_in_flight or given.max_in_flight,
        submits_per_minute=options.submits_per_minute or given.submits_per_minute,
        polls_per_minute=options.polls_per_minute or given.polls_per_minute,
        max_cost_usd=given.max_cost_usd if options.max_cost_usd is None else options.max_cost_usd,
        max_cost_per_run_usd=given.max_cost_per_run_usd,
        price_usd=given.price_usd if options.price_usd is None else options.price_usd,
        max_attempts=given.max_attempts,
        stop_after_failures=given.stop_after_failures,
    )
