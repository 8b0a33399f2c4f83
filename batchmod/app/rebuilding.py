"""`resolve --rebuild`: a record made anew from whatever tells of it, the old one kept."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from batchmod import clock, files, index, providers, results
from batchmod.app import evidence, owning, pointer, rotating, settling, trail
from batchmod.app import folder as folders
from batchmod.app.homes import index_file
from batchmod.app.services import Services
from batchmod.checkpoint import FILE_NAME, anew
from batchmod.errors import RecordRefused, UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Rebuilt:
    """What a record was made anew from, and what it holds now."""

    record: Path
    kept: Path | None
    """Where the old record is."""
    counts: dict[str, int]
    """Status → number of requests."""
    strangers: int
    """Outputs that no known request made; they keep their names."""
    notes: tuple[str, ...]
    """What cannot be known, in words."""


def rebuild(folder: Path, services: Services) -> Rebuilt | None:
    """Make the record anew; None where there is nothing to mend. Raises RecordRefused for one that is not ours."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not there")
    with owning.owned(folder):
        return rebuilt(folder, services)


def rebuilt(folder: Path, services: Services) -> Rebuilt | None:
    """The same in a folder that is ours already."""
    if _is_sound(folder):
        return None
    path = _place(folder)
    heard = evidence.Evidence(now=clock.now())
    old = [each for each in (*anew.kept_before(path), path) if each.exists()]
    salvaged = [anew.salvage(each) for each in old]
    for rows in salvaged:
        heard.hear_record(rows)
    events = list(trail.read(folder))
    heard.hear_events(events)
    table = folder / results.FILE_NAME
    heard.hear_results(results.read(table) if table.exists() else ())
    _name_folder(heard, folder, services)
    heard.hear_claims(index.claims_of(index_file(services.environ), heard.facts["folder_id"]))
    heard.facts.setdefault("epoch", str(int(clock.now())))  # one that no earlier run can have begun under
    heard.facts[trail.ANEW_AT] = str(trail.end(folder))
    there = {name: files.sha256_of(folder / name) for name in sorted(files.listing(folder, "videos"))}
    made = settling.settle(heard, there, hosted=providers.HOSTED, origin=services.origin)
    stamp = datetime.fromtimestamp(clock.now(), UTC).strftime("%Y%m%dT%H%M%S%fZ")
    kept = anew.put(path, made, stamp=stamp)
    return _said(path, kept, made, _notes(folder, events=bool(events), salvaged=any(salvaged)))


def _is_sound(folder: Path) -> bool:
    """Whether the record opens and is not behind the event log."""
    try:
        with folders.open_record(folder, create=False):
            return True
    except RecordRefused:
        return False


def _place(folder: Path) -> Path:
    """Where the record is to be: where the folder points to, else in it."""
    pointed = pointer.read(folder)
    if pointed is None:
        return folder / FILE_NAME
    if (folder / FILE_NAME).exists():
        pointer.record_file(folder)  # says which of the two must go
    pointer.make_home(pointed.record)
    return pointed.record


def _name_folder(heard: evidence.Evidence, folder: Path, services: Services) -> None:
    """The folder's own id, under which its requests stand in the index of paid work."""
    pointed = pointer.read(folder)
    known = pointed.folder_id if pointed is not None else heard.facts.get("folder_id")
    heard.facts["folder_id"] = known or index.folder_at(index_file(services.environ), folder) or index.new_folder_id()


def _said(path: Path, kept: Path | None, made: anew.Rows, notes: tuple[str, ...]) -> Rebuilt:
    own = [work for work in made["work"] if not str(work["job_key"]).startswith(settling.STRANGER)]
    return Rebuilt(
        record=path,
        kept=kept,
        counts=dict(Counter(str(work["status"]) for work in own)),
        strangers=len(made["work"]) - len(own),
        notes=notes,
    )


def _notes(folder: Path, *, events: bool, salvaged: bool) -> tuple[str, ...]:
    """What nobody can know, given what was there to be heard."""
    notes = []
    if not events and not salvaged:
        since = "results.csv was written" if (folder / results.FILE_NAME).exists() else "the folder was made"
        notes.append(
            f"there is no {rotating.FILE_NAME} and no old record: a request sent after {since} is not known here; "
            "`batchmod rescue MANIFEST` finds it in the provider's history"
        )
    return tuple(notes)
