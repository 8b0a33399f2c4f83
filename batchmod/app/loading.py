"""A manifest's file → jobs, with every problem found before anything is sent."""

import fnmatch
import functools
import gc
import heapq
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from batchmod import files, jobs, manifest, planning, providers, rows, schema, sources
from batchmod.app import fitting, pairing, returning, whereabouts
from batchmod.app.allowing import Allowed, allowed, configuration_of
from batchmod.app.options import Options
from batchmod.app.services import Services, identities, seen
from batchmod.errors import ManifestError, Place, Problem, UsageError
from batchmod.manifest import Note, SheetRead
from batchmod.model import ClipFacts, Conform, Job, Limits, Manifest, Row, VideoFacts
from batchmod.planning import Flaw
from batchmod.rows import ids
from batchmod.schema import Schemas, did_you_mean
from batchmod.urls import is_put_up, output_fault

_INNER = frozenset({"number", "own", "explicit", "place", "places"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Invalid:
    """A row that cannot run, which the others go on without: what its results line says."""

    number: int
    id: str
    why: str
    own: Mapping[str, str]
    line: int | None = None
    """Where it stands in its document."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """Field → what it says there: whoever mends its line of results.csv need not write the rest again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A manifest made complete: its jobs, which of them are chosen, and what looking at their files showed."""

    path: Path
    manifest: Manifest
    folder: Path
    """Where outputs go on this machine; with a store, where they are until they are up, and the record always."""
    limits: Limits
    jobs: Sequence[Job]
    """A long sheet's are made anew whenever they are asked for."""
    chosen: Collection[int]
    """The numbers of the rows that this command is about."""
    flaws: Mapping[int, Flaw]
    clips: Mapping[str, VideoFacts]
    """The local clips, by identity."""
    stored: Mapping[str, ClipFacts]
    """How they are stored."""
    services: Services
    warnings: tuple[Problem, ...] = ()
    """What is worth knowing before a run, and stops none."""
    notes: tuple[Note, ...] = ()
    invalid: tuple[Invalid, ...] = ()
    """With `--skip-invalid`, the rows that are left out."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with those."""
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The lines of the texts among its documents."""
    sheets: tuple[SheetRead, ...] = ()
    """The sheets among its documents."""
    changed: Mapping[int, str] = field(default_factory=dict)
    """The number of a row whose clip or picture on the web is another one now → which, and since when."""
    allowed: Allowed = field(default_factory=Allowed)
    """What of the manifest's wishes for programs and messages is heard."""
    store: str | None = None
    """The store that the folder is put up into: `s3://bucket/prefix`."""
    homeless: bool = False
    """Whether neither the manifest's own folder nor anybody says where outputs go."""

    @property
    def held(self) -> frozenset[int]:
        """The numbers of the rows that say hold."""
        said = rows.saying(self.manifest.rows, "hold", "review")
        return frozenset(row.number for row in said if row.hold or row.review == "hold")

    @property
    def is_whole(self) -> bool:
        """Whether this command is about every row."""
        return all(number in self.chosen for number in rows.numbers_of(self.manifest.rows))

    def matching(self, globs: Sequence[str]) -> frozenset[int]:
        """The numbers of the chosen rows whose ids match one of these."""
        named = self.manifest.rows if globs else ()
        return frozenset(row.number for row in named if row.number in self.chosen and matches(row.id, globs))


def load(document: sources.Document, options: Options, services: Services) -> Loaded:
    """Check and identify. Raises ManifestError with all problems, UsageError for wrong settings."""
    with _collector_at_rest():
        return _load(document, options, services)


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


def _load(document: sources.Document, options: Options, services: Services) -> Loaded:
    document, reading = _settled(document, read(document, options, services.environ), options, services.environ)
    path = document.anchor
    named = sources.missing(reading.named, manifest=path, allow_outside=options.allow_outside)
    problems = [*reading.problems, *named]
    if reading.manifest is None:
        raise _refusal(problems, reading)
    parsed, services = fitting.with_its_key(reading.manifest, options, services)
    paired = pairing.paired(parsed, path, options)
    gathered = _gathered(paired.manifest, path, options, services)
    memory = seen(services.environ)
    edited = pairing.edited(paired, gathered, memory)
    parsed, gathered = edited.manifest, edited.gathered
    misnamed = _provider_problems(parsed, options, services)
    unfit = _unfit(parsed, misnamed, options, services)
    problems += [*paired.problems, *gathered.problems, *misnamed, *(each for each in unfit if not each.warning)]
    if not options.first_frames:
        problems = [each for each in problems if (each.slug, each.field) != ("bad_source", "first_frame_url")]
    sieve = Sieve(reading=reading, skip=options.skip_invalid)
    parsed = sieve.sift(parsed, problems)
    made = _jobs(parsed, options, services, gathered)
    if collisions := _collisions(parsed, made):
        parsed = sieve.sift(parsed, collisions)
        made = _jobs(parsed, options, services, gathered)
    looked = sources.look_at(gathered if options.media else sources.Gathered(), memory)
    memory.save()
    own = configuration_of(services.environ, published())
    heard = allowed(parsed, path, options, is_file=document.is_file, own=own, environ=services.environ)
    chosen = _chosen(parsed, reading.rejected, sieve, options)
    warnings = [
        *(problem for problem in unfit if problem.warning),
        *paired.warnings,
        *edited.warnings,
        *heard.warnings,
    ]
    return Loaded(
        path=path,
        manifest=parsed,
        folder=output_folder(path, parsed, options),
        store=store_of(parsed, options),
        limits=limits_of(parsed.limits, options),
        jobs=made,
        chosen=chosen,
        flaws=_flaws(made, looked, services),
        clips={identity: clip.video for identity, clip in looked.clips.items()},
        stored=looked.clips,
        services=services,
        warnings=(*warnings, *([] if chosen else [_nothing_chosen(parsed, options)])),
        notes=(*reading.notes, *edited.notes),
        invalid=tuple(_with_provider(each, parsed, options) for each in sieve.invalid()),
        problems=manifest.distinct(manifest.in_order(sieve.problems)),
        lines={file: text.splitlines() for file, text in reading.texts.items()},
        sheets=reading.sheets,
        allowed=heard,
        homeless=not document.is_file and options.folder is None and _folder_of(parsed) is None,
    )


class Sieve:
    """Lets a manifest through only without problems, or, asked to skip, without the rows that have some."""

    def __init__(self, *, reading: manifest.Reading, skip: bool) -> None:
        self._reading = reading
        self._skip = skip
        self._rows: dict[int, Row] = {}
        self.problems: list[Problem] = []

    def sift(self, parsed: Manifest, problems: Sequence[Problem]) -> Manifest:
        """The manifest without the rows that have problems. Raises ManifestError where that will not do."""
        bad = {problem.row for problem in problems}
        numbers = frozenset(number for number in bad if number is not None)
        good = rows.without(parsed.rows, numbers)
        if problems and (not self._skip or None in bad or not good):
            raise _refusal([*self.problems, *problems], self._reading)
        self.problems += problems
        self._rows.update({row.number: row for row in rows.those(parsed.rows, numbers)})
        return parsed if len(good) == len(parsed.rows) else replace(parsed, rows=good)

    def invalid(self) -> tuple[Invalid, ...]:
        """The rows that were left out, in their order."""
        why: dict[int, list[str]] = {}
        for problem in self.problems:
            assert problem.row is not None
            cell = f"{problem.field}: " if problem.field else ""
            why.setdefault(problem.row, []).append(f"{cell}{problem.message}")
        lacking = {problem.row for problem in self.problems if problem.field == "first_frame_url"}
        known = {
            row.number: Invalid(
                number=row.number,
                id=row.id,
                why="",
                own=row.own,
                line=row.place.line,
                # one that could not be paired is not what it would be without a picture
                said={} if row.number in lacking and row.first_frame_url is None else _said_by(row),
            )
            for row in self._rows.values()
        }
        known |= {
            each.number: Invalid(number=each.number, id=each.id, why="", own=each.own, line=each.line, said=each.said)
            for each in self._reading.rejected
        }
        return tuple(replace(known[number], why="; ".join(why[number])) for number in sorted(why))

    def rejected(self) -> Iterator[tuple[int, Row]]:
        """The rows that were good as texts, and were left out later."""
        yield from sorted(self._rows.items())


def _said_by(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in Row.__slots__ if name not in _INNER}


def _with_provider(row: Invalid, parsed: Manifest, options: Options) -> Invalid:
    """As the good rows have it: read back from results.csv, a mended row goes where it was meant to go."""
    return replace(row, said={**row.said, "provider": _provider(row.said.get("provider"), parsed, options)})


def _refusal(problems: Sequence[Problem], reading: manifest.Reading) -> ManifestError:
    notes = [note.text for note in reading.notes if not note.usual]
    lines = {file: text.splitlines() for file, text in reading.texts.items()}
    return ManifestError(
        manifest.distinct(manifest.in_order(problems)), notes=notes, lines=lines, documents=reading.sheets
    )


def published() -> Schemas:
    """The published schemas."""
    return Schemas(**{name: files.schema(name) for name in ("manifest", "row", "results")})


def read(document: sources.Document, options: Options, environ: Mapping[str, str]) -> manifest.Reading:
    """The manifest as text says it, with its problems; its clips and pictures are not looked at."""
    schemas = published()
    variables = {name: value for name, value in environ.items() if name.startswith(manifest.VARIABLES)}
    tree = None if options.allow_outside else sources.tree_of(document.anchor)
    answers: dict[manifest.Need, manifest.Answer] = {}
    while True:
        reading = manifest.read(
            document.data,
            file=document.file,
            kind=document.kind,
            schemas=schemas,
            extra_columns=options.extra_columns,
            columns=options.columns,
            ways=options.ways,
            given=manifest.Given(answers=answers, variables=variables),
        )
        if not reading.needs:
            return reading
        answers |= sources.answers(reading.needs, manifest=document.anchor, tree=tree, is_output=whereabouts.is_output)


def _settled(
    document: sources.Document, reading: manifest.Reading, options: Options, environ: Mapping[str, str]
) -> tuple[sources.Document, manifest.Reading]:
    """What a table of results comes to as a manifest; every other document as it is."""
    beside = replace(options, columns={})
    return returning.settled(
        document, reading, options=options, environ=environ, read=lambda other: read(other, beside, environ)
    )


def _gathered(parsed: Manifest, path: Path, options: Options, services: Services) -> sources.Gathered:
    known = identities(services.environ)
    found = sources.gather(parsed.rows, manifest=path, identities=known, allow_outside=options.allow_outside)
    known.save()
    return found


def where_and_how(
    document: sources.Document, options: Options, environ: Mapping[str, str]
) -> tuple[Path, Conform | None]:
    """The output folder of a manifest, and what it says itself of delivered copies."""
    if document.kind not in (None, "yaml"):  # a sheet says nothing of its folder, however it is read
        if manifest.may_be_returned(document.data, document.kind):
            reading = read(document, options, environ)
            if (home := returning.folder_of(document, reading, options=options, environ=environ)) is not None:
                return home, None
        bare = Manifest(file=document.file, name=ids.stem(document.file), rows=())
        return output_folder(document.anchor, bare, options), None
    reading = read(document, options, environ)
    if reading.manifest is None:
        raise _refusal(reading.problems, reading)
    return output_folder(document.anchor, reading.manifest, options), reading.manifest.deliver


def output_folder(path: Path, parsed: Manifest, options: Options) -> Path:
    """Where outputs go: never the current folder by default, since cron's is another one."""
    base, said = path.resolve().parent, _folder_of(parsed)
    if options.folder is not None:
        folder = Path(options.folder).absolute()
    elif said is not None:
        folder = base / said
    else:
        folder = (base.parent if base.name == "manifests" else base) / "outputs" / parsed.name
    folder = Path(files.normal(folder))
    return folder / "rehearsal" if options.rehearse else folder


def _folder_of(parsed: Manifest) -> str | None:
    return None if parsed.output is None or is_put_up(parsed.output) else parsed.output


def store_of(parsed: Manifest, options: Options) -> str | None:
    """The store that outputs go to, without a `/` at its end; None where they stay on this machine.

    Raises UsageError for an `--output` that takes none.
    """
    said = parsed.output if options.output is None else options.output
    if options.output is not None and (fault := output_fault(options.output)) is not None:
        raise UsageError(f"--output: {fault}")
    if said is None or not is_put_up(said):
        return None
    store = said.rstrip("/")
    return f"{store}/rehearsal" if options.rehearse else store


def provider_of(row: Row, parsed: Manifest, options: Options) -> str:
    """The provider of a row: the command line, else the row, else the manifest, else the embedded engine."""
    return _provider(row.provider, parsed, options)


def _provider(named: str | None, parsed: Manifest, options: Options) -> str:
    if options.rehearse:
        return "local"
    return options.provider or named or parsed.provider or "local"


def _jobs(parsed: Manifest, options: Options, services: Services, gathered: sources.Gathered) -> Sequence[Job]:
    @functools.cache
    def how(named: str | None) -> jobs.How:
        name = _provider(named, parsed, options)
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


def _provider_problems(parsed: Manifest, options: Options, services: Services) -> list[Problem]:
    """Rows whose provider does not exist. The command line's own is checked first, as a usage error."""
    if options.provider is not None:
        services.facts(options.provider)
    problems = []
    usual = _provider(None, parsed, options)
    for row in rows.saying(parsed.rows, "provider") if usual in providers.NAMES else parsed.rows:
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


def _unfit(parsed: Manifest, misnamed: Sequence[Problem], options: Options, services: Services) -> tuple[Problem, ...]:
    """What rows ask of their providers that these have not got; of a provider that there is not, nobody can say."""
    unknown = {problem.row for problem in misnamed}
    known = replace(parsed, rows=rows.without(parsed.rows, {number for number in unknown if number is not None}))
    return tuple(fitting.unfit(known, services, lambda named: _provider(named, parsed, options)))


def _collisions(parsed: Manifest, made: Sequence[Job]) -> list[Problem]:
    if jobs.tells_ids_apart(parsed.naming):
        return []
    pairs = jobs.colliding_stems(made)
    known = {row.number: row for row in rows.those(parsed.rows, {second.number for _, second in pairs})}
    return [_collision(known[second.number], first, second) for first, second in pairs]


def _collision(row: Row, first: Job, second: Job) -> Problem:
    message = f"'{second.id}' and '{first.id}' would have outputs of one name ({second.stem})"
    return Problem(place=row.place, field="id", message=message, row=row.number)


def _flaws(made: Sequence[Job], looked: sources.Looked, services: Services) -> dict[int, Flaw]:
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


def _chosen(parsed: Manifest, rejected: Sequence[manifest.Rejected], sieve: Sieve, options: Options) -> Collection[int]:
    """The rows that this command is about, the invalid ones among them."""
    for column, _ in options.where:
        there = (*parsed.own_columns, *(name for name in Row.__slots__ if name not in _INNER))
        if column not in there and not any(column in each.cells for each in rejected):
            hint = did_you_mean(column, there) or f"there are {', '.join(there)}"
            raise UsageError(f"--where: {parsed.file} has no column {schema.shown(column)}; {hint}")
    wanted: Iterable[int] = rows.numbers_of(parsed.rows)
    if options.only or options.where or options.chosen_ids is not None:
        wanted = (row.number for row in parsed.rows if _wanted(row.id, functools.partial(_cell, row), options))
    if options.skip_invalid:
        left: dict[int, tuple[str, Callable[[str], str | None]]] = {
            number: (row.id, functools.partial(_cell, row)) for number, row in sieve.rejected()
        }
        left |= {each.number: (each.id, each.cells.get) for each in rejected}
        wanted = heapq.merge(
            wanted, sorted(number for number, (of, cell) in left.items() if _wanted(of, cell, options))
        )
    return _together(list(itertools.islice(wanted, options.first)))


def _together(numbers: Sequence[int]) -> Collection[int]:
    """Rising numbers as a collection: all of a million rows take no room."""
    if numbers and numbers[-1] - numbers[0] + 1 == len(numbers):
        return range(numbers[0], numbers[-1] + 1)
    return frozenset(numbers)


def _nothing_chosen(parsed: Manifest, options: Options) -> Problem:
    asked = [f"--only {glob}" for glob in options.only]
    asked += ["a mark that counts"] if options.chosen_ids is not None else []
    asked += [f"--where {column}={value}" for column, value in options.where]
    message = f"no row is what was asked for ({' '.join(asked)}): nothing to do"
    return Problem(place=Place(file=parsed.file), message=message, warning=True)


def _wanted(row_id: str, cell: Callable[[str], str | None], options: Options) -> bool:
    if options.only and not matches(row_id, options.only):
        return False
    if options.chosen_ids is not None and row_id.casefold() not in options.chosen_ids:
        return False
    return all((cell(column) or "") == value for column, value in options.where)


def matches(row_id: str, globs: Iterable[str]) -> bool:
    """Whether an id is one of those that `--only` names, in any case."""
    return any(fnmatch.fnmatchcase(row_id.casefold(), glob.casefold()) for glob in globs)


def _cell(row: Row, column: str) -> str | None:
    value: Any = row.own.get(column, getattr(row, column, None) if column in Row.__slots__ else None)
    return None if value is None else str(value)


def limits_of(given: Limits, options: Options) -> Limits:
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
