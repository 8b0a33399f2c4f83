"""An output folder: opening its record safely, and writing what people read from it."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from batchmod import files, report, results
from batchmod.app import bookkeeping, delivered, paging, past, pointer, rotating, sheets, trail
from batchmod.app.loading import Invalid, Loaded
from batchmod.checkpoint import FILE_NAME, Checkpoint, StoredRow
from batchmod.errors import ManifestError, OtherManifest, Problem, RecordRefused
from batchmod.jobs import PlainJobs
from batchmod.jobs import parts_of as jobs_in_parts
from batchmod.model import Claim, Delivery, Job, ProviderFacts, Review, Row, Status, Work
from batchmod.planning import Action, Known, Plan, latest_by_key, redo_counts
from batchmod.rows import Stretch, parts_of, saying
from batchmod.rows.returning import COPY

_AT_A_TIME: Final = 1_000
_TRACES: Final = ("results.csv", rotating.FILE_NAME, "videos")


def open_record(folder: Path, *, create: bool, state: Path | None = None) -> Checkpoint:
    """The folder's record, wherever it is; a new one below `state`, where that is given.

    Raises RecordRefused where it should be there and is not: that would pay twice.
    """
    path = _record_file(folder, state, create=create)
    pointer.make_home(path)
    return _checked(folder, Checkpoint.open(path, create=create))


def look_at(folder: Path, *, state: Path | None = None) -> Checkpoint:
    """The folder's record to read only: a run that is going on there is not disturbed. Raises RecordRefused."""
    return _checked(folder, Checkpoint.look_at(_record_file(folder, state, create=False)))


def look_if_there(folder: Path, *, state: Path | None = None) -> Checkpoint | None:
    """The same; None for a folder in which there was no run yet. Raises RecordRefused where one should be there."""
    path = _record_file(folder, state, create=True)
    return _checked(folder, Checkpoint.look_at(path)) if path.exists() else None


def _record_file(folder: Path, state: Path | None, *, create: bool) -> Path:
    path = pointer.record_file(folder, state)
    traces = [name for name in _TRACES if (folder / name).exists()]
    traces += [part.path.name for part in rotating.parts(folder)[-1:]]
    if not path.exists() and traces:
        raise RecordRefused(
            f"{folder} holds {', '.join(traces)} but no {FILE_NAME}: without the record nobody knows what was paid. "
            f"Put the record back, or let `batchmod resolve {files.shortest(folder)} --rebuild` make it anew from what "
            "is there; or choose another --output."
        )
    if not path.exists() and not create:
        raise RecordRefused(f"{folder}: there is no record; has `batchmod run` been here?")
    return path


def _checked(folder: Path, record: Checkpoint) -> Checkpoint:
    try:
        pointer.bind(folder, record)
        _refuse_behind(folder, record)
    except BaseException:
        record.close()
        raise
    return record


def _refuse_behind(folder: Path, record: Checkpoint) -> None:
    """An older copy of a record does not know what was paid since."""
    lacking = trail.behind(folder, record)
    if lacking is not None:
        raise RecordRefused(
            f"{record.path} is older than the folder: {rotating.FILE_NAME} tells of {lacking}, and the record does not "
            "know it. Nothing was sent. Put the newest record back, or let "
            f"`batchmod resolve {files.shortest(folder)} --rebuild` make it anew from what is there."
        )


def standing_facts(record: Checkpoint) -> dict[str, str]:
    """What the event log keeps of the folder itself, in case the record is lost."""
    names = ("folder_id", "account_salt", "manifest_name", "manifest_file")
    return {name: value for name in names if (value := record.fact(name)) is not None}


def claim(record: Checkpoint, loaded: Loaded, *, add: bool = False) -> None:
    """Bind the folder to its manifest by name. Raises OtherManifest for another one, unless it is to be added."""
    refuse_other(record, loaded, add=add)
    name, place = loaded.manifest.name, where(loaded)
    first = record.fact("manifest_name")
    if first not in (None, name):
        record.set_facts({f"added_manifest {name}": place})
    elif first is None or record.fact("manifest_file") != place:
        record.set_facts({"manifest_name": name, "manifest_file": place})


def refuse_other(record: Checkpoint, loaded: Loaded, *, add: bool) -> None:
    """Raise OtherManifest where the folder belongs to a manifest of another name, and this one is not to be added.

    Raises ManifestError where it may be added, and has ids that the other one has.
    """
    name, place = loaded.manifest.name, where(loaded)
    first = record.fact("manifest_name")
    added = record.fact(f"added_manifest {name}")
    if first in (None, name):
        return
    if not add and added is None:
        raise OtherManifest(
            f"{loaded.folder} belongs to the manifest '{first}', not '{name}': choose another --output, "
            "or say --add to keep both manifests' rows there"
        )
    _refuse_same_ids(record, loaded, own={place, added or place})


def where(loaded: Loaded) -> str:
    """The manifest's file as seen from its output folder."""
    return files.relative(loaded.path.resolve(), loaded.folder)


def _refuse_same_ids(record: Checkpoint, loaded: Loaded, *, own: set[str]) -> None:
    """Ids are unique over all manifests of a folder. Raises ManifestError with each that is not."""
    taken = {row.id.casefold(): row for row in record.stored_rows() if row.manifest not in own}
    problems = [
        Problem(
            place=row.places.get("id", row.place),
            field="id",
            message=f"the id '{row.id}' belongs to row {taken[row.id.casefold()].number} of "
            f"{taken[row.id.casefold()].manifest}, which has this output folder too",
            row=row.number,
        )
        for row in loaded.manifest.rows
        if row.id.casefold() in taken
    ]
    if problems:
        raise ManifestError(problems)


def known(record: Checkpoint, folder: Path, facts: Mapping[str, ProviderFacts]) -> Known:
    """The record as planning needs it; `facts` of the providers that are planned for."""
    floors = {name: of.price.per_call_usd or 0.0 for name, of in facts.items() if of.price is not None}
    works, there = past.Latest(record), files.listing(folder, "videos") | bookkeeping.names(folder)
    return Known(
        works=works,
        wishes={work.job_key: work for work in record.wishes() if works[work.job_key].work_id != work.work_id},
        paid_again=past.OnceAsked(record.paid_again),
        deliveries=past.Delivered(record),
        unfinished=record.unfinished(),
        files=there,
        at_once=past.at_once(record, there),
        dearest=past.Later(lambda: record.dearest(floors)),
    )


def redo_asked(record: Checkpoint | None, loaded: Loaded) -> dict[int, int]:
    """Row number → the version its review asks to redo, where that counts now."""
    redo = [row for row in saying(loaded.manifest.rows, "review") if row.review == "redo"]
    if record is None or not redo:
        return {}
    reviews = record.reviews()
    asked = {}
    for row in redo:
        version = record.version_shown(row.id)
        if redo_counts(said_of=row.review_of, shown=version, review=reviews.get(row.id.casefold())):
            asked[row.number] = row.review_of or version or 0
    return asked


def arm_reviews(record: Checkpoint, loaded: Loaded) -> None:
    """Take note of the rows that were seen without `redo`, since the next one counts anew."""
    if not any(not review.armed for review in record.reviews().values()):
        return
    record.arm_reviews(row.id for row in loaded.manifest.rows if row.review != "redo")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reusable:
    """The keys that another folder has paid for and whose file is there: looked at when it is asked about one."""

    elsewhere: Mapping[str, Claim]

    def __contains__(self, key: object) -> bool:
        claim = self.elsewhere.get(str(key))
        return bool(claim and claim.output and claim.sha256 and (Path(claim.folder) / claim.output).is_file())


def store_rows(record: Checkpoint, loaded: Loaded, plan: Plan) -> bool:
    """Keep the manifest's rows for results.csv and the report; whether they are new."""
    manifest, name = where(loaded), "rows_of " + loaded.manifest.name
    held = {item.job.number: item.why for item in plan.of(Action.HOLD)}
    stored = _Stored(manifest=manifest, held=held, says_hold=loaded.held, cells=sheets.cells_of(loaded))
    digest, before = stored.digest(loaded), record.fact(name)
    replacing = [] if before is None else before.split("\n")[:1]
    record.store_rows(stored.rows(loaded), digest=digest, replacing=replacing)
    facts = {**sheets.fact_of(loaded), name: f"{manifest}\n{digest}"}
    changed = {fact: value for fact, value in facts.items() if record.fact(fact) != value}
    if changed:
        record.set_facts(changed)
    return bool(changed)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stored:
    """A manifest's rows as the record keeps them."""

    manifest: str
    held: Mapping[int, str]
    """The number of a row that is held → why."""
    says_hold: frozenset[int]
    cells: Callable[[int | None, Row | None], dict[str, list[str]]]
    """Line and row → the cells that the user wrote for it."""

    def rows(self, loaded: Loaded) -> Iterator[StoredRow]:
        """One by one."""
        for rows, jobs in zip(parts_of(loaded.manifest.rows), jobs_in_parts(loaded.jobs), strict=True):
            if isinstance(jobs, PlainJobs):
                yield from (self._row(row, jobs.of(row)) for row in rows)
            else:
                yield from map(self._row, rows, jobs)
        yield from self._invalid(loaded)

    def digest(self, loaded: Loaded) -> str:
        """Another one wherever one of them would be another: of plain rows it is that of what they are made from."""
        digest = hashlib.sha256()
        for rows, jobs in zip(parts_of(loaded.manifest.rows), jobs_in_parts(loaded.jobs), strict=True):
            if isinstance(rows, Stretch) and isinstance(jobs, PlainJobs):
                digest.update(rows.digest().encode())
                _add(digest, [jobs.providers_as_text(), self._row(rows.head, jobs.head)])
            else:
                _add(digest, list(map(self._row, rows, jobs)))
        _add(digest, [sorted(self.held.items()), sorted(self.says_hold), *self._invalid(loaded)])
        return digest.hexdigest()

    def _row(self, row: Row, job: Job) -> StoredRow:
        is_held = row.number in self.says_hold or row.number in self.held
        fields = {**fields_of(row, job), "why": self.held.get(row.number), **self.cells(row.place.line, row)}
        return StoredRow(row.number, row.id, job.key, "held" if is_held else None, fields, self.manifest)

    def _invalid(self, loaded: Loaded) -> Iterator[StoredRow]:
        return (
            StoredRow(
                row.number,
                row.id,
                None,
                "invalid",
                {**_fields_of_invalid(row), **self.cells(row.line, None)},
                self.manifest,
            )
            for row in loaded.invalid
        )


def _add(digest: "hashlib._Hash", values: Sequence[object]) -> None:
    digest.update(json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogatepass"))


_WRITTEN: Final = (
    *("provider", "model", "mode", "prompt", "video_url", "first_frame_url", "variant"),
    *("review", "keyframes", "source_id"),
)


def _fields_of_invalid(row: Invalid) -> dict[str, Any]:
    said = {name: row.said.get(name) for name in _WRITTEN}
    hold = "true" if row.said.get("hold") is True else None
    return {**said, "hold": hold, "id": row.id, "own": dict(row.own), "why": row.why, "source": "", "frame": None}


def fields_of(row: Row, job: Job) -> dict[str, Any]:
    """A row as the record keeps it."""
    return {
        "id": row.id,
        "provider": job.provider,
        "model": row.model,
        "mode": row.mode,
        "prompt": job.prompt,
        "video_url": row.video_url,
        "first_frame_url": row.first_frame_url,
        "variant": row.variant,
        "job_key": job.key,
        "review": row.review,
        "keyframes": row.keyframes,
        "source_id": row.source_id,
        "hold": "true" if row.hold else None,
        # which version was kept or held stays said; a redo is spent, and the record knows on which one
        **({"review_of": row.review_of} if row.review in ("keep", "hold") and row.review_of else {}),
        "own": dict(row.own),
        "source": job.video.location,
        "frame": job.first_frame.location if job.first_frame else None,
    }


def lines(record: Checkpoint) -> Iterator[dict[str, Any]]:
    """The lines of results.csv, one per manifest row, in the manifest's order."""
    return (line for _, line in lines_of_rows(record))


def lines_of_rows(record: Checkpoint) -> Iterator[tuple[StoredRow, dict[str, Any]]]:
    """Each row with its line of results.csv."""
    first, reviews = record.fact("manifest_file") or "", record.reviews()
    rows = record.stored_rows(first=first)
    while some := tuple(islice(rows, _AT_A_TIME)):
        works = latest_by_key(record.works_of(row.job_key for row in some if row.job_key))
        scored = record.scores_of(work.work_id for work in works.values())
        for row in some:
            work = works.get(row.job_key or "")
            yield (
                row,
                results.record(
                    row.fields,
                    number=row.number,
                    status=_status(row, work),
                    work=work,
                    delivery=None if work is None else _delivery(row, record.deliveries_of(work.work_id)),
                    spent_on=_spent_on(row, reviews),
                    manifest=row.manifest or first,
                    scored=None if work is None else scored.get(work.work_id),
                ),
            )


def _with_copies(lines: Iterable[dict[str, Any]], copies: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The lines with the delivered copy of each output, where there are any."""
    for line in lines:
        if copies:
            line[COPY] = copies.get(line["output"] or "")
        yield line


def _spent_on(row: StoredRow, reviews: Mapping[str, Review]) -> int | None:
    """The version that a row's `redo` was spent on; None where it says none, or one that still counts."""
    review = reviews.get(row.id.casefold()) if row.fields.get("review") == "redo" else None
    return None if review is None or review.armed else review.spent_on


def counts(record: Checkpoint, loaded: Loaded) -> dict[str, int]:
    """Status → how many of the chosen rows have it."""
    if loaded.is_whole and (rows := record.all_succeeded(where(loaded))):
        return {Status.SUCCEEDED.value: rows}
    found: Counter[str] = Counter()
    names = {where(loaded)} | ({""} if record.fact("manifest_file") == where(loaded) else set())
    for name in names:
        found.update(status for number, status in record.statuses(name) if number in loaded.chosen)
    return dict(found)


def _status(row: StoredRow, work: Work | None) -> Status:
    if work is None or (row.status is not None and work.status in (Status.PLANNED, Status.FAILED)):
        return Status(row.status or "planned")
    return work.status


def _delivery(row: StoredRow, deliveries: Iterable[Delivery]) -> Delivery | None:
    folded = row.id.casefold()
    return next((delivery for delivery in deliveries if delivery.id.casefold() == folded), None)


def orphans(record: Checkpoint) -> tuple[Work, ...]:
    """Unfinished works that no row shows: older versions, or sent before the row was edited, deleted or moved."""
    return tuple(work for work in record.unfinished() if not record.rows_showing(work))


def orphan_words(work: Work) -> str:
    """An orphan in a line."""
    return f"request {work.request_id or '(id not known)'} at {work.provider}: {work.status.value}"


def tables(folder: Path) -> tuple[Path, Path, Path | None]:
    """Where results.csv, report.html and, if there is one, results.xlsx stand when nobody holds them open."""
    workbook = folder / sheets.FILE_NAME
    return folder / results.FILE_NAME, folder / report.FILE_NAME, workbook if workbook.exists() else None


def written_aside(*written: Path | None) -> list[str]:
    """What to say of those that had to take another name."""
    usual = (results.FILE_NAME, report.FILE_NAME, sheets.FILE_NAME)
    names = [path for path in written if path is not None and path.name not in usual]
    return [
        f"{path.stem.rpartition(' (')[0]}{path.suffix} is open in a spreadsheet, so the new one is {path.name}; "
        f"close it, and run again or say `batchmod report {files.shortest(path.parent)}`"
        for path in names
    ]


def write_results(
    record: Checkpoint, folder: Path, *, thumbnails: int | None = sheets.AT_ONCE
) -> tuple[Path, Path, Path | None]:
    """results.csv, report.html and, where the manifest is a workbook, results.xlsx anew; where they stand.

    `thumbnails`: how many new ones may be made for the workbook; None: as many as are missing.
    """
    own: dict[str, None] = {}
    located: dict[str, str] = {}
    frames: dict[str, str] = {}
    further: set[str] = set()
    copies = delivered.shown(folder)
    for row in record.stored_rows():
        further.update(name for name in results.FURTHER if row.fields.get(name))
        own.update(dict.fromkeys(row.fields["own"]))
        # a URL stands in the row's line already, and there may be a million
        if row.fields["source"] and row.fields["source"] != row.fields.get("video_url"):
            located[row.id] = row.fields["source"]
        if row.fields["frame"] != row.fields.get("first_frame_url"):
            frames[row.id] = row.fields["frame"] or ""
    noted = report.Gathering()
    table = results.write(
        folder, noted.watch(_with_copies(lines(record), copies)), list(own), further=further, copies=bool(copies)
    )
    page = paging.write(
        record,
        folder,
        noted,
        sources=located,
        first_frames=frames,
        orphans=[orphan_words(work) for work in orphans(record)],
    )
    workbook = sheets.write(record, folder, lambda: lines_of_rows(record), new=thumbnails)
    return table, page, workbook
