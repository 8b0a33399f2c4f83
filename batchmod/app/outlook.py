"""What a run would do, cost and take, and what has changed since the last one. No key, no lock, no network."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from batchmod import changes, executors, forecast
from batchmod.app import belonging, preparing, rechecking, stored_rows, storing
from batchmod.app import folder as folders
from batchmod.app.deciding import budgets, facts_of, make_plan, needs_a_word, objections
from batchmod.app.loading import Invalid, Loaded
from batchmod.app.options import Options
from batchmod.changes import Changes, Seen
from batchmod.checkpoint import Checkpoint
from batchmod.errors import Problem, RecordRefused, UsageError
from batchmod.forecast import Cap, Reused, Share, Span
from batchmod.model import Estimate, Work
from batchmod.planning import Action, Item, Plan, public_files


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What a run of a manifest would do now, with each row's line in `items`."""

    name: str
    manifest: Path
    folder: Path
    plan: Plan
    shares: tuple[Share, ...]
    """Counts, money and time, provider by provider."""
    seconds: Span
    reused: tuple[Reused, ...]
    caps: tuple[Cap, ...]
    changes: Changes | None
    """How the rows differ from what the last run saw; None where there was none."""
    invalid: tuple[Invalid, ...]
    """With `skip_invalid`, the rows that are left out."""
    warnings: tuple[Problem, ...]
    public_files: Mapping[str, int]
    """Provider → how many local files would be put under a URL that is, or may be, public."""
    objections: tuple[UsageError, ...]
    """Why a run would be refused as things are, such as a key that is not set."""
    needs_a_word: bool
    """Whether a run asks before it spends: it has no `yes` and no cap."""
    elsewhere: str | None = None
    """What the store that outputs go to may hold of earlier runs, where this machine has no record of any."""

    @property
    def items(self) -> Sequence[Item]:
        """Each row's line, in the manifest's order."""
        return self.plan.items

    @property
    def counts(self) -> dict[Action, int]:
        """Action → number of rows; what no row has is not in it."""
        found = forecast.counts(self.plan)
        return found | {Action.INVALID: len(self.invalid)} if self.invalid else found

    @property
    def cost(self) -> Estimate:
        """What the new requests may cost together."""
        return self.plan.cost

    @property
    def orphans(self) -> tuple[Work, ...]:
        """Unfinished requests of rows, or versions, that are not in the manifest any more: a run collects them."""
        return self.plan.orphans

    def ids(self, action: Action) -> tuple[str, ...]:
        """The ids of the rows with this action."""
        return tuple(item.job.id for item in self.plan.items if item.action is action)


def foresee(loaded: Loaded, options: Options) -> Outlook:
    """What `run` would do now. Raises what it would raise for the folder: RecordRefused, OtherManifest."""
    with ExitStack() as stack:
        record = folders.look_if_there(loaded.folder, state=options.state)
        if record is not None:
            stack.enter_context(record)
            belonging.refuse_other(record, loaded, add=options.add)
        now = rechecking.settled(loaded, options)
        return _outlook(record, preparing.settled(now, options, record), options)


def _outlook(record: Checkpoint | None, loaded: Loaded, options: Options) -> Outlook:
    plan = make_plan(record, loaded, options)
    facts = facts_of(loaded)
    given = forecast.Conditions(
        facts=facts,
        limits=loaded.limits,
        typical_s=record.typical_seconds() if record is not None else {},
        cores=executors.cores(),
        clips=loaded.clips,
    )
    parts = forecast.shares(plan, given)
    folder, run = budgets(record, loaded)
    return Outlook(
        name=loaded.manifest.name,
        manifest=loaded.path,
        folder=loaded.folder,
        plan=plan,
        shares=parts,
        seconds=forecast.total(parts),
        reused=forecast.reused(plan),
        caps=forecast.caps(plan, loaded.limits, folder=folder, run=run),
        changes=_changes(record, loaded, plan),
        invalid=tuple(row for row in loaded.invalid if row.number in loaded.chosen),
        warnings=loaded.warnings,
        public_files=public_files(plan, facts),
        objections=tuple(objections(plan, loaded, options)),
        needs_a_word=needs_a_word(plan, loaded, options),
        elsewhere=storing.glimpse(loaded, options) if record is None else None,
    )


def _changes(record: Checkpoint | None, loaded: Loaded, plan: Plan) -> Changes | None:
    """Against what the last run saw; in a new folder, against the folder that has paid for most of the rows."""
    if record is not None and record.fact("manifest_name") is not None:
        return changes_since(record, loaded, folder=loaded.folder, manifest=folders.where(loaded))
    paid = forecast.reused(plan)
    if not paid:
        return None
    folder = Path(max(paid, key=lambda each: each.rows).folder)
    try:
        with folders.look_at(folder) as other:
            return changes_since(other, loaded, folder=folder, manifest=None)
    except RecordRefused:
        return None


def changes_since(record: Checkpoint, loaded: Loaded, *, folder: Path, manifest: str | None) -> Changes | None:
    """How the chosen rows differ from a record's; `manifest`: only from the rows of that one, by its file."""
    before = _stored(record, loaded, manifest)
    if (first := next(before, None)) is None:
        return None
    invalid = {row.id.casefold() for row in loaded.invalid}  # one that is wrong now is neither changed nor gone
    now = (
        (Seen(id=row.id, job_key=job.key, fields=stored_rows.fields_of(row, job)), job)
        for row, job in zip(loaded.manifest.rows, loaded.jobs, strict=True)
    )
    return changes.between(
        (seen for seen in chain([first], before) if seen.id.casefold() not in invalid),
        now,
        folder=str(folder),
        chosen=lambda job: job.number in loaded.chosen,
        work_of=record.latest_work,
    )


def _stored(record: Checkpoint, loaded: Loaded, manifest: str | None) -> Iterator[Seen]:
    """The rows as the last run saw them; one that was wrong then said nothing."""
    names: set[str | None] = {manifest, record.fact(f"added_manifest {loaded.manifest.name}")}
    if record.fact("manifest_name") == loaded.manifest.name:
        names |= {record.fact("manifest_file"), ""}
    for row in record.stored_rows():
        if row.job_key is not None and (manifest is None or row.manifest in names):
            yield Seen(id=row.id, job_key=row.job_key, fields=row.fields)
