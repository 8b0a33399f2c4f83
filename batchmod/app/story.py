"""One row's whole story: as it was read, its job, its requests and files, and what run would do with it now.

No key, no lock, no network.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from batchmod import files
from batchmod.app import folder as folders
from batchmod.app import loading, marking, preparing, rechecking, trail
from batchmod.app.loading import Invalid, Loaded
from batchmod.app.options import Options
from batchmod.app.outlook import changes_since, foresee
from batchmod.app.services import Services
from batchmod.changes import Change
from batchmod.checkpoint import Checkpoint, StoredRow
from batchmod.errors import ManifestError, Place, Problem, UsageError
from batchmod.model import Attempt, Delivery, Job, Row, Scored, VideoFacts, Work
from batchmod.planning import Item
from batchmod.schema import did_you_mean

_FIELDS: Final = (
    *("id", "video_url", "first_frame_url", "keyframes", "prompt", "mode", "provider", "model", "variant"),
    *("source_id", "hold", "review", "review_of"),
)
_DEFAULTS: Final[Mapping[str, object]] = {"variant": 1, "hold": False}
"""What needs no word where nobody wrote it."""
_UNWRITTEN: Final = {"id": "made", "first_frame_url": "paired"}
"""Where a value is from that stands nowhere, and that no schema gives."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One value of a row, and where it comes from."""

    field: str
    value: str
    place: str | None
    """`shots.csv:14:C`; None for what stands in no file."""
    origin: str
    """`row`, `defaults`, `command line`, `manifest`, `default`, `made` for an id that batchmod gave, or `paired` for a
    picture that was found by the row's name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """A version of the row's output, and whether its file is there."""

    version: int
    path: str
    delivered: bool
    there: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One request that the row made, with every POST that was to create it."""

    work: Work
    attempts: tuple[Attempt, ...]
    outputs: tuple[Output, ...]
    """Those of this row."""
    also: tuple[str, ...]
    """The other ids it was made for."""
    current: bool
    """Whether the row, as it is now, still asks for it."""
    scored: Scored | None = None
    """How good its output is, or why nobody can say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """All that is known of a row."""

    id: str
    folder: Path
    manifest: Path | None
    """None where it cannot be read; `problems` say why."""
    number: int | None
    row: Row | None
    """None where no row has the id any more, or the row is wrong."""
    cells: tuple[Cell, ...]
    job: Job | None
    clip: VideoFacts | None
    stored: StoredRow | None
    """The row as the last run saw it."""
    change: Change | None
    """What has changed in it since."""
    requests: tuple[Asked, ...]
    """Oldest first."""
    events: tuple[Mapping[str, Any], ...]
    item: Item | None
    """What run would do with it now; None where no run touches it."""
    problems: tuple[Problem, ...] = ()
    invalid: Invalid | None = None
    notes: tuple[str, ...] = ()

    @property
    def spent_usd(self) -> float:
        """What all its requests have cost."""
        return sum(asked.work.cost_usd or 0.0 for asked in self.requests)


def tell(path: Path, row_id: str, options: Options, services: Services) -> Story:
    """The story of a row of a manifest, or of an output folder. Raises UsageError for an id that nobody knows."""
    options = replace(options, skip_invalid=True, only=(), where=(), first=None)
    if path.is_dir():
        return _of_folder(path, row_id, options, services)
    loaded, problems = _loaded(path, options, services)
    folder = loaded.folder if loaded is not None else marking.where(path, options, services.environ)
    return _story(folder, row_id, options, loaded, problems)


def _of_folder(folder: Path, row_id: str, options: Options, services: Services) -> Story:
    """With the manifest that the folder names, where that is still there."""
    with folders.look_at(folder, state=options.state) as record:
        stored = _stored(record, row_id)
        file = (stored.manifest if stored else None) or record.fact("manifest_file")
    manifest = Path(files.normal(folder / file)) if file else None
    if manifest is None or not manifest.is_file():
        return _story(folder, row_id, options, None, (), "the manifest that it comes from is not there any more")
    options = replace(options, output=str(folder), rehearse=False)
    loaded, problems = _loaded(manifest, options, services)
    if loaded is not None and stored is not None and options.provider is None:
        asked = stored.fields.get("provider")
        job = next((job for job in loaded.jobs if job.id.casefold() == row_id.casefold()), None)
        if asked and job is not None and job.provider != asked and loaded.manifest.provider is None:
            options = replace(options, provider=asked)  # the command line of that run said so
            loaded, problems = _loaded(manifest, options, services)
    return _story(folder, row_id, options, loaded, problems)


def _loaded(manifest: Path, options: Options, services: Services) -> tuple[Loaded | None, tuple[Problem, ...]]:
    try:
        loaded = marking.load(manifest, options, services)
    except ManifestError as error:
        return None, error.problems
    return loaded, loaded.problems


def _stored(record: Checkpoint, row_id: str) -> StoredRow | None:
    folded = row_id.casefold()
    return next((row for row in record.stored_rows() if row.id.casefold() == folded), None)


def _story(
    folder: Path,
    row_id: str,
    options: Options,
    loaded: Loaded | None,
    problems: tuple[Problem, ...],
    *notes: str,
) -> Story:
    with ExitStack() as stack:
        record = folders.look_if_there(folder, state=options.state)
        if record is not None:
            stack.enter_context(record)
        if loaded is not None:
            loaded = preparing.settled(rechecking.settled(loaded, options), options, record)
        row, job, invalid = _found(loaded, row_id)
        stored = _stored(record, row_id) if record is not None else None
        requests = tuple(_requests(record, folder, row_id, job, stored)) if record is not None else ()
        if row is None and invalid is None and stored is None and not requests:
            raise _unknown(row_id, loaded, record, problems)
        number = next((each.number for each in (row, invalid) if each is not None), None)
        return Story(
            id=next((each.id for each in (row, invalid, stored) if each is not None), row_id),
            folder=folder,
            manifest=loaded.path if loaded is not None else None,
            number=number,
            row=row,
            cells=tuple(_cells(row, loaded, options)) if row is not None and loaded is not None else (),
            job=job,
            clip=loaded.clips.get(job.video.identity) if loaded is not None and job is not None else None,
            stored=stored,
            change=_change(record, loaded, row),
            requests=requests,
            events=_events(folder, row_id, job, requests),
            item=_item(loaded, options, job),
            problems=problems if loaded is None else tuple(p for p in problems if p.row == number),
            invalid=invalid,
            notes=notes,
        )


def _found(loaded: Loaded | None, row_id: str) -> tuple[Row | None, Job | None, Invalid | None]:
    """The row of this id, its job, and what is wrong with it."""
    if loaded is None:
        return None, None, None
    folded = row_id.casefold()
    row = next((row for row in loaded.manifest.rows if row.id.casefold() == folded), None)
    job = next((job for job in loaded.jobs if row is not None and job.number == row.number), None)
    return row, job, next((each for each in loaded.invalid if each.id.casefold() == folded), None)


def _unknown(
    row_id: str, loaded: Loaded | None, record: Checkpoint | None, problems: tuple[Problem, ...]
) -> UsageError:
    if loaded is None and problems:
        return ManifestError(problems)
    ids = [row.id for row in loaded.manifest.rows] if loaded is not None else []
    ids += [row.id for row in record.stored_rows()] if record is not None else []
    hint = did_you_mean(row_id, ids) or "`batchmod plan` lists the ids"
    return UsageError(f"no row has the id '{row_id}', and none had it; {hint}")


def _cells(row: Row, loaded: Loaded, options: Options) -> Iterator[Cell]:
    """The values in the order of the fields, then the user's own."""
    for name in _FIELDS:
        value = getattr(row, name)
        if name == "provider":
            yield _provider_cell(row, loaded, options)
        elif value is not None and (name in row.places or value != _DEFAULTS.get(name)):
            yield _cell(row, name, value)
    for name, text in row.own.items():
        place = row.places.get(name, row.place)
        yield Cell(field=name, value=text, place=str(place), origin="row")


def _cell(row: Row, name: str, value: object) -> Cell:
    place = row.places.get(name)
    if name in row.explicit or _is_cell_of(place, row):
        origin = "row"
    elif place is not None and name != "id":
        origin = "defaults"
    else:
        place, origin = None, _UNWRITTEN.get(name, "default")
    return Cell(field=name, value=str(value), place=str(place) if place else None, origin=origin)


def _is_cell_of(place: Place | None, row: Row) -> bool:
    """Whether it is a cell in the row's own line: a table of results does not tell what its rows set themselves."""
    of = row.place
    return place is not None and place.cell is not None and (place.file, place.line) == (of.file, of.line)


def _provider_cell(row: Row, loaded: Loaded, options: Options) -> Cell:
    name = loading.provider_of(row, loaded.manifest, options)
    if options.rehearse or options.provider is not None:
        return Cell(field="provider", value=name, place=None, origin="command line")
    if row.provider is not None:
        return _cell(row, "provider", name)
    return Cell(field="provider", value=name, place=None, origin="manifest" if loaded.manifest.provider else "default")


def _requests(
    record: Checkpoint, folder: Path, row_id: str, job: Job | None, stored: StoredRow | None
) -> Iterator[Asked]:
    keys = {job.key if job else None, stored.job_key if stored else None}
    for work in record.works_for(row_id, *keys):
        given = record.deliveries_of(work.work_id)
        mine = [each for each in given if each.id.casefold() == row_id.casefold()]
        yield Asked(
            work=work,
            attempts=record.attempts_of(work.work_id),
            outputs=tuple(_output(folder, each) for each in mine),
            also=tuple(each.id for each in given if each not in mine),
            current=job is not None and work.job_key == job.key,
            scored=record.scores_of([work.work_id]).get(work.work_id),
        )


def _output(folder: Path, delivery: Delivery) -> Output:
    return Output(
        version=delivery.version,
        path=delivery.path,
        delivered=delivery.delivered,
        there=(folder / delivery.path).is_file(),
    )


def _events(folder: Path, row_id: str, job: Job | None, requests: tuple[Asked, ...]) -> tuple[Mapping[str, Any], ...]:
    """What the event log tells of the row, or of a request of its."""
    keys = {asked.work.job_key for asked in requests} | ({job.key} if job else set())
    marks = [row_id, *keys]
    found = trail.read(folder, having=marks)
    return tuple(each for each in found if _is_of(each, row_id.casefold(), keys))


def _is_of(event: Mapping[str, Any], folded: str, keys: set[str]) -> bool:
    ids = {str(each).casefold() for each in (event.get("id"), *event.get("also", ()))}
    return folded in ids or event.get("job_key") in keys


def _change(record: Checkpoint | None, loaded: Loaded | None, row: Row | None) -> Change | None:
    if record is None or loaded is None or row is None:
        return None
    found = changes_since(record, loaded, folder=loaded.folder, manifest=folders.where(loaded))
    return next((each for each in found.changed if each.id == row.id), None) if found is not None else None


def _item(loaded: Loaded | None, options: Options, job: Job | None) -> Item | None:
    """Decided among all rows: another one may make the same request."""
    if loaded is None or job is None:
        return None
    return next(item for item in foresee(loaded, options).items if item.job.number == job.number)
