"""Makes the delivered copies of an output folder, in workers that step back behind everything else."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, Self

from batchmod import executors, files, manifest, schema, sources, work
from batchmod.app import folder as folders
from batchmod.app import prepared, tables
from batchmod.app.delivered import FOLDER, Copy, Ledger, Place
from batchmod.app.loading import matches
from batchmod.app.services import Services, identities
from batchmod.checkpoint import Checkpoint, StoredRow
from batchmod.errors import NO_ROOM, FolderInUse, UsageError
from batchmod.fitness import end_of
from batchmod.model import Conform, Status
from batchmod.planning import latest_by_key
from batchmod.urls import without_query
from batchmod.work import Copied, Refusal

FACT: Final = "deliver"
"""What the last run of a folder said of copies, in the record."""
_AT_A_TIME: Final = 1_000
_ROOM_BYTES: Final = 256 << 20
"""What is left free beside the file that is copied: outputs that are paid for, and the record, come first."""
_SAID: Final = 3
_TRIES: Final = 2
_MARK: Final = "sha256:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """An output of which there should be a copy."""

    id: str
    output: str
    """Relative to the output folder."""
    sha256: str
    source: str
    """The path or URL of the clip it was made from; of the original, where that was prepared."""
    identity: str
    until_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a copy: `made`, `there`, `changed` (by a person, and left so), or `failed`."""

    id: str
    output: str
    state: Literal["made", "there", "changed", "failed"]
    path: Path | None = None
    notes: tuple[str, ...] = ()
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asking:
    """A row that has, or will have, an output."""

    id: str
    source: str


def wish_of(loaded_says: Conform | None, words: Sequence[str]) -> Conform | None:
    """What the manifest says with the command line's words over it; None where neither says anything.

    Raises UsageError for a word that means nothing.
    """
    if not words:
        return loaded_says
    schemas = _schemas()
    said, wrong = manifest.wishes_of(words, schemas)
    if wrong:
        raise UsageError("; ".join(str(problem) for problem in wrong))
    return manifest.conform_of({**({} if loaded_says is None else manifest.as_said(loaded_says)), **said}, schemas)


def _schemas() -> schema.Schemas:
    return schema.Schemas(**{name: files.schema(name) for name in ("manifest", "row", "results")})


def remembered(record: Checkpoint) -> Conform | None:
    """What the last run said of copies."""
    try:
        return manifest.conform_of(json.loads(record.fact(FACT) or ""), _schemas())
    except (ValueError, TypeError):  # nothing, or what another version has said
        return None


def remember(record: Checkpoint, wish: Conform | None) -> None:
    """Keep what this run says of copies."""
    text = "" if wish is None else json.dumps(manifest.as_said(wish), sort_keys=True)
    if (record.fact(FACT) or "") != text:
        record.set_facts({FACT: text})


class Asked:
    """The rows whose outputs are wanted as copies, by the keys of their requests."""

    def __init__(self, record: Checkpoint, folder: Path, chosen: Callable[[StoredRow], bool]) -> None:
        self._record = record
        self._rows: dict[str, list[_Asking]] = {}
        first = record.fact("manifest_file") or ""
        for row in record.stored_rows(first=first):
            if row.job_key is not None and chosen(row):
                asking = _Asking(id=row.id, source=_original(row, folder, first))
                self._rows.setdefault(row.job_key, []).append(asking)

    def wanted(self, keys: Iterable[str] | None = None) -> Iterator[Wanted]:
        """Every output of these requests that is there, or of all; for a record that is being written, at once."""
        left = iter(self._rows if keys is None else keys)
        while some := tuple(islice(left, _AT_A_TIME)):
            for key, of in latest_by_key(self._record.works_of(some)).items():
                if of.status is not Status.SUCCEEDED or of.sha256 is None:
                    continue
                deliveries = self._record.deliveries_of(of.work_id)
                for row in self._rows.get(key, ()):
                    its = next((each for each in deliveries if each.id.casefold() == row.id.casefold()), None)
                    if its is not None:
                        identity, until_s = _sent(of.inputs)
                        yield Wanted(
                            id=row.id,
                            output=its.path,
                            sha256=of.sha256,
                            source=row.source,
                            identity=identity,
                            until_s=until_s,
                        )


def _sent(inputs: Mapping[str, Any]) -> tuple[str, float | None]:
    """The identity of the clip that a request is about, and where the part that was sent ends."""
    identity = str((inputs.get("video") or {}).get("identity", ""))
    parts = prepared.parts_of(identity)
    return (identity, None) if parts is None else (parts[0], end_of(parts[1]))


def _original(row: StoredRow, folder: Path, first: str) -> str:
    """The row's clip: not the one that was prepared of it, which has lost timecode and colour tags."""
    source = str(row.fields.get("source") or "")
    named = row.fields.get("video_url")
    is_prepared = not sources.is_remote(source) and Path(source).parent == folder / prepared.FOLDER
    if not is_prepared or not named:
        return source
    base = Path(files.normal(folder / (row.manifest or first))).parent
    return files.normal(base / str(named))


@dataclass(kw_only=True, slots=True)
class Copier:
    """Makes copies, some at a time; one session at a time in a folder. Leaving it stops what is under way."""

    folder: Path
    wish: Conform
    services: Services
    tell: Callable[[Outcome], None] = lambda _: None
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """What became of the copy of each output, as far as it was asked for."""
    _open: ExitStack = field(default_factory=ExitStack)
    _guard: asyncio.Lock = field(default_factory=asyncio.Lock)
    _busy: dict[str, asyncio.Lock] = field(default_factory=dict)
    _fetched: dict[str, "asyncio.Task[Path | Refusal]"] = field(default_factory=dict)
    _ledger: Ledger | None = None
    _pool: executors.Processes | None = None

    def __enter__(self) -> Self:
        """Take the folder's copies over. Raises FolderInUse where another command makes them."""
        below = self.folder / FOLDER
        try:
            self._open.enter_context(files.locked(below))
        except FolderInUse as error:
            raise FolderInUse(f"{error} It makes the copies.") from None
        for part in below.rglob(".*.part"):
            part.unlink(missing_ok=True)
        self._ledger = Ledger(self.folder)
        self._pool = executors.Processes(workers(), drop_environment=self.services.key_names(), nicer=19)
        self._open.callback(self._pool.close)
        self._open.callback(self._keep)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _keep(self) -> None:
        if self._ledger is not None and any(each.state == "made" for each in self.outcomes.values()):
            with suppress(OSError):
                self._ledger.save()

    async def make(self, wanted: Wanted) -> Outcome:
        """Make a copy, unless it is there."""
        async with self._busy.setdefault(wanted.output, asyncio.Lock()):  # two events may ask for one copy
            outcome, before = await self._made(wanted), self.outcomes.get(wanted.output)
            if before is not None and before.state == "made" and outcome.state == "there":
                return before
            self.outcomes[wanted.output] = outcome
        self.tell(outcome)
        return outcome

    async def _made(self, wanted: Wanted) -> Outcome:
        try:
            return await self._placed(wanted)
        except OSError as error:
            code = "disk_full" if error.errno in NO_ROOM else "system"
            return _failed(wanted, Refusal(slug=code, message=f"{error.filename or FOLDER}: {error.strerror or error}"))

    async def _placed(self, wanted: Wanted) -> Outcome:
        assert self._ledger is not None
        of, source, recipe = wanted.sha256, wanted.identity, self.wish.recipe
        async with self._guard:
            place = await asyncio.to_thread(
                self._ledger.place, wanted.output, suffix=self.wish.suffix, of=of, source=source, recipe=recipe
            )
        path = self.folder / place.name
        if place.state in ("there", "changed"):
            return Outcome(id=wanted.id, output=wanted.output, state=place.state, path=path, notes=place.notes)
        part = path.with_name(f".{path.name}.part")
        try:
            found = await self._written(wanted, part)
            if isinstance(found, Refusal):
                return _failed(wanted, found)
            copy = Copy(
                output=wanted.output, of=of, source=source, recipe=recipe, sha256=found.sha256, notes=found.notes
            )
            await self._put(part, place, copy)
        finally:
            part.unlink(missing_ok=True)
        return Outcome(id=wanted.id, output=wanted.output, state="made", path=path, notes=found.notes)

    async def _put(self, part: Path, place: Place, copy: Copy) -> None:
        assert self._ledger is not None
        async with self._guard:
            await asyncio.to_thread(self._ledger.put, part, place, copy)

    async def _written(self, wanted: Wanted, part: Path) -> Copied | Refusal:
        assert self._pool is not None
        output = self.folder / wanted.output
        if not output.is_file():
            is_up = self._ledger is not None and self._ledger.is_up(wanted.output)
            way = (
                "lies in the store alone: fetch it from there" if is_up else "is gone; `batchmod run` fetches it again"
            )
            return Refusal(slug="copy_output_gone", message=f"{output} {way}")
        source = await self._source(wanted)
        if isinstance(source, Refusal):
            return source
        if (refusal := self._room(output)) is not None:
            return refusal
        part.parent.mkdir(parents=True, exist_ok=True)
        given = None if source is None else str(source)
        for _ in range(_TRIES):
            try:
                return await self._pool.submit(work.conform, given, str(output), str(part), self.wish, wanted.until_s)
            except work.WorkerDied:
                continue
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001 - what one clip does to its worker is not the next one's business
                return Refusal(slug="copy_failed", message=f"{output}: {error!r}")
        message = f"the worker that wrote the copy of {output} was killed, for its memory perhaps"
        return Refusal(slug="copy_failed", message=message)

    def _room(self, output: Path) -> Refusal | None:
        usage = shutil.disk_usage(self.folder)
        if not usage.total or usage.free >= _ROOM_BYTES + output.stat().st_size:
            return None
        message = f"{self.folder} has {usage.free / 1e6:.0f} MB left: what is paid for comes first"
        return Refusal(slug="disk_full", message=message)

    async def _source(self, wanted: Wanted) -> Path | Refusal | None:
        """The clip that the copy is made after, as a file, and surely the one that was sent."""
        if not self.wish.needs_source:
            return None
        if not sources.is_remote(wanted.source):
            return await asyncio.to_thread(self._local, wanted)
        if self.wish.fetch:
            if wanted.source not in self._fetched:
                self._fetched[wanted.source] = self._fetching(wanted.source)
            return await asyncio.shield(self._fetched[wanted.source])
        name = without_query(wanted.source)
        message = f"its clip is on the web ({name}); `fetch: true` lets it be fetched for its sound and clock"
        return Refusal(slug="copy_source_remote", message=message)

    def _local(self, wanted: Wanted) -> Path | Refusal:
        path = Path(wanted.source)
        if not path.is_file():
            return Refusal(slug="copy_source_gone", message=f"its clip {path} is gone; put it back")
        if wanted.identity.startswith(_MARK):
            known = identities(self.services.environ)
            if _MARK + known.sha256(path) != wanted.identity:
                message = f"{path} is another file than the one that was sent; put that one back"
                return Refusal(slug="copy_source_changed", message=message)
        return path

    def _fetching(self, url: str) -> "asyncio.Task[Path | Refusal]":
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="batchmod-")))

        async def fetched() -> Path | Refusal:
            problem = await asyncio.to_thread(sources.fetch, url, folder / "clip")
            if problem is None:
                return folder / "clip"
            message = f"{without_query(url)} could not be fetched: {problem}"
            return Refusal(slug="copy_source_gone", message=message)

        return asyncio.ensure_future(fetched())


def _failed(wanted: Wanted, refusal: Refusal) -> Outcome:
    return Outcome(id=wanted.id, output=wanted.output, state="failed", code=refusal.slug, message=refusal.message)


def workers() -> int:
    """How many copies are made at a time: half of the cores are left to everything else."""
    return max(1, executors.cores() // 2)


async def make_all(copier: Copier, wanted: Iterable[Wanted]) -> None:
    """Make every copy that is not there, some at a time."""
    waiting = iter(wanted)

    async def work_off() -> None:
        for each in waiting:
            await copier.make(each)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers()):
            group.create_task(work_off())


def warnings_of(outcomes: Iterable[Outcome]) -> list[str]:
    """What to say of the copies that could not be made: some of each kind, and how many there are."""
    by_code: dict[str, list[Outcome]] = {}
    for each in outcomes:
        if each.state == "failed":
            by_code.setdefault(each.code or "", []).append(each)
    said = []
    for code, some in by_code.items():
        said += [f"{each.id}: no copy: {each.message} [{code}]" for each in some[:_SAID]]
        if len(some) > _SAID:
            said.append(f"{len(some) - _SAID:,} more outputs have no copy for the same reason [{code}]")
    return said


def deliver(
    folder: Path,
    services: Services,
    *,
    state: Path | None,
    says: Conform | None,
    words: Sequence[str],
    only: Collection[str],
    tell: Callable[[Outcome], None],
) -> list[Outcome]:
    """Make the copies that are missing in an output folder: no key, no network unless `fetch`, not the run's lock.

    `says`: what the manifest says of copies; else what the last run said counts, else the defaults.
    Raises RecordRefused, FolderInUse, and UsageError for a word that means nothing.
    """
    with folders.look_at(folder, state=state) as record:
        wish = wish_of(says or remembered(record), words) or wish_of(None, ("h264",))
        assert wish is not None
        asked = Asked(record, folder, lambda row: not only or matches(row.id, only))
        wanted = list(asked.wanted())
        with Copier(folder=folder, wish=wish, services=services, tell=tell) as copier:
            asyncio.run(make_all(copier, wanted))
        if any(each.state == "made" for each in copier.outcomes.values()):
            tables.write(record, folder)
    return [copier.outcomes[each.output] for each in wanted]
