"""An output folder: opening its record safely, and writing what people read from it."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from batchmod import files, report, results
from batchmod.app import pointer, sheets, trail
from batchmod.app.loading import Invalid, Loaded
from batchmod.checkpoint import FILE_NAME, Checkpoint, StoredRow
from batchmod.errors import ManifestError, OtherManifest, Problem, RecordRefused
from batchmod.model import Claim, Delivery, Job, ProviderFacts, Review, Row, Status, Work
from batchmod.planning import Action, Known, Plan, latest_by_key, redo_counts, wishes_by_key

_TRACES: Final = ("results.csv", "events.jsonl", "videos")


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


def _record_file(folder: Path, state: Path | None, *, create: bool) -> Path:
    path = pointer.record_file(folder, state)
    traces = [name for name in _TRACES if (folder / name).exists()]
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
            f"{record.path} is older than the folder: {trail.FILE_NAME} tells of {lacking}, and the record does not "
            "know it. Nothing was sent. Put the newest record back, or let "
            f"`batchmod resolve {files.shortest(folder)} --rebuild` make it anew from what is there."
        )


def standing_facts(record: Checkpoint) -> dict[str, str]:
    """What the event log keeps of the folder itself, in case the record is lost."""
    names = ("folder_id", "account_salt", "manifest_name", "manifest_file")
    return {name: value for name in names if (value := record.fact(name)) is not None}


def claim(record: Checkpoint, loaded: Loaded, *, add: bool = False) -> None:
    """Bind the folder to its manifest by name. Raises OtherManifest for another one, unless it is to be added."""
    name, place = loaded.manifest.name, where(loaded)
    first = record.fact("manifest_name")
    added = record.fact(f"added_manifest {name}")
    if first is None or first == name:
        if first is None or record.fact("manifest_file") != place:
            record.set_facts({"manifest_name": name, "manifest_file": place})
    elif add or added is not None:
        _refuse_same_ids(record, loaded, own={place, added or place})
        record.set_facts({f"added_manifest {name}": place})
    else:
        raise OtherManifest(
            f"{loaded.folder} belongs to the manifest '{first}', not '{name}': choose another --output, "
            "or say --add to keep both manifests' rows there"
        )


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
    every = tuple(record.works())
    shown = latest_by_key(every)
    return Known(
        works=shown,
        wishes=wishes_by_key(every, shown),
        paid_again=record.paid_again(),
        deliveries=record.deliveries(),
        unfinished=record.unfinished(),
        files=files.listing(folder, "videos"),
        dearest=record.dearest(floors),
    )


def redo_asked(record: Checkpoint | None, loaded: Loaded) -> dict[int, int]:
    """Row number → the version its review asks to redo, where that counts now."""
    if record is None:
        return {}
    shown: dict[str, int] = {}
    for deliveries in record.deliveries().values():
        for delivery in deliveries:
            if delivery.delivered:
                folded = delivery.id.casefold()
                shown[folded] = max(shown.get(folded, 0), delivery.version)
    reviews = record.reviews()
    asked = {}
    for row in loaded.manifest.rows:
        folded = row.id.casefold()
        version = shown.get(folded)
        if row.review == "redo" and redo_counts(said_of=row.review_of, shown=version, review=reviews.get(folded)):
            asked[row.number] = row.review_of or version or 0
    return asked


def reusable(elsewhere: Mapping[str, Claim], jobs: Iterable[Job]) -> frozenset[str]:
    """The keys of jobs that another folder has paid for and whose file is there."""
    claimed = ((job.key, elsewhere[job.key]) for job in jobs if job.key in elsewhere)
    return frozenset(
        key for key, claim in claimed if claim.output and claim.sha256 and (Path(claim.folder) / claim.output).is_file()
    )


def store_rows(record: Checkpoint, loaded: Loaded, plan: Plan) -> bool:
    """Keep the manifest's rows for results.csv and the report; whether they are new."""
    held = {item.job.number: item.why for item in plan.items if item.action is Action.HOLD}
    cells = sheets.cells_of(loaded)
    rows = [
        StoredRow(
            row.number,
            row.id,
            job.key,
            "held" if row.number in loaded.held or row.number in held else None,
            {**_fields(row, job), "why": held.get(row.number), **cells(row.place.line, row)},
            where(loaded),
        )
        for row, job in zip(loaded.manifest.rows, loaded.jobs, strict=True)
    ]
    rows += [
        StoredRow(
            row.number,
            row.id,
            None,
            "invalid",
            {**_fields_of_invalid(row), **cells(row.line, None)},
            where(loaded),
        )
        for row in loaded.invalid
    ]
    sheet = sheets.fact_of(loaded)
    digest = hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
    before = record.fact("rows_of " + loaded.manifest.name)
    record.store_rows(rows, digest=digest, replacing=[] if before is None else before.split("\n")[:1])
    mark = f"{where(loaded)}\n{digest}"
    changed = {
        name: value
        for name, value in {**sheet, "rows_of " + loaded.manifest.name: mark}.items()
        if record.fact(name) != value
    }
    if changed:
        record.set_facts(changed)
    return bool(changed)


def _fields_of_invalid(row: Invalid) -> dict[str, Any]:
    return {"id": row.id, "own": dict(row.own), "why": row.why, "source": "", "frame": None}


def _fields(row: Row, job: Job) -> dict[str, Any]:
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
        "own": dict(row.own),
        "source": job.video.location,
        "frame": job.first_frame.location if job.first_frame else None,
    }


def lines(record: Checkpoint) -> Iterator[dict[str, Any]]:
    """The lines of results.csv, one per manifest row, in the manifest's order."""
    return (line for _, line in lines_of_rows(record))


def lines_of_rows(record: Checkpoint) -> Iterator[tuple[StoredRow, dict[str, Any]]]:
    """Each row with its line of results.csv."""
    works = latest_by_key(record.works())
    deliveries = record.deliveries()
    reviews = record.reviews()
    first = record.fact("manifest_file") or ""
    for row in sorted(record.stored_rows(), key=lambda row: row.manifest not in ("", first)):
        work = works.get(row.job_key or "")
        line = results.record(
            row.fields,
            number=row.number,
            status=_status(row, work),
            work=work,
            delivery=_delivery(row, work, deliveries),
            spent_on=_spent_on(row, reviews),
            manifest=row.manifest or first,
        )
        yield row, line


def _spent_on(row: StoredRow, reviews: Mapping[str, Review]) -> int | None:
    """The version that a row's `redo` was spent on; None where it says none, or one that still counts."""
    review = reviews.get(row.id.casefold()) if row.fields.get("review") == "redo" else None
    return None if review is None or review.armed else review.spent_on


def _status(row: StoredRow, work: Work | None) -> Status:
    if work is None or (row.status is not None and work.status in (Status.PLANNED, Status.FAILED)):
        return Status(row.status or "planned")
    return work.status


def _delivery(row: StoredRow, work: Work | None, deliveries: Mapping[int, tuple[Delivery, ...]]) -> Delivery | None:
    if work is None:
        return None
    folded = row.id.casefold()
    return next((d for d in deliveries.get(work.work_id, ()) if d.id.casefold() == folded), None)


def orphans(record: Checkpoint) -> tuple[Work, ...]:
    """Unfinished works that no row shows: older versions, or sent before the row was edited, deleted or moved."""
    keys, newest = {row.job_key for row in record.stored_rows()}, record.newest()
    return tuple(work for work in record.unfinished() if work.job_key not in keys or work.work_id not in newest)


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
    for row in record.stored_rows():
        further.update(name for name in results.FURTHER if row.fields.get(name))
        own.update(dict.fromkeys(row.fields["own"]))
        if row.fields["source"]:
            located[row.id] = row.fields["source"]
        if row.fields["frame"]:
            frames[row.id] = row.fields["frame"]
    table = results.write(folder, lines(record), list(own), further=further)
    title = record.fact("manifest_name") or folder.name
    page = report.write(
        folder,
        lines(record),
        title=title,
        sources=located,
        first_frames=frames,
        orphans=[orphan_words(work) for work in orphans(record)],
    )
    workbook = sheets.write(record, folder, lambda: lines_of_rows(record), new=thumbnails)
    return table, page, workbook
