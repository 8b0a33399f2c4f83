"""Scores and thumbnails: beside a run, where they delay nothing, or afterwards, where they are waited for."""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from batchmod import clock, executors, files, judgement, sources, work
from batchmod.app import folder as folders
from batchmod.app.options import Options
from batchmod.app.services import engine_installed
from batchmod.checkpoint import Checkpoint, source_of
from batchmod.errors import StoppedEarly
from batchmod.model import Event, Scored, Scores, Source, Work
from batchmod.providers.base import Executor
from batchmod.runner.delivering import doubt
from batchmod.urls import is_loopback_host, is_stored, without_query

if TYPE_CHECKING:  # the HTTP client is loaded only where a source is fetched
    from batchmod.transport import Transport

Answer = TypeVar("Answer")

THUMBS: Final = "thumbs"
WIDTH: Final = 320
"""Pixels of the widest thumbnail."""

_AFTER_S: Final = 1.0
"""A run that is over by then would only wait for its workers to start."""
_KEPT_EVERY_S: Final = 5.0
_MOST_WAITING: Final = 1000
"""Further ones are left to `batchmod report`."""
_MOST_DRAWN: Final = 20_000
"""Outputs that thumbnails are made for afterwards: as many as the report shows."""
_SHARE: Final = 4
"""Of the works that a cluster is given at a time, so many to one output that is looked at: that takes far less."""
_FETCHED: Final = 4
"""Remote clips that are kept at hand, for further outputs of theirs."""
_NEEDED: Final = (
    *("PATH", "HOME", "USER", "TMPDIR", "TMP", "TEMP", "LANG", "TZ", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
    *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "LOCALAPPDATA", "APPDATA", "USERPROFILE"),
    *("BATCHMOD_HOME", "XDG_CACHE_HOME"),
)
_NEEDED_BY_NAME: Final = ("LC_", "PYTHON", "NUMBA_", "OMP_", "OPENBLAS_", "COVERAGE_")
"""All that a worker is told of the environment: what it opens comes from anywhere, and it needs no key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What is to be done about scores."""

    scores: bool = True
    remote: bool = False
    """Whether sources on the web are fetched."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One output to be looked at."""

    work_id: int
    sha256: str
    output: Path
    stems: tuple[str, ...]
    """Of its thumbnails, below their folder: one for each id that it was delivered to."""
    video: Source
    first_frame: Source | None
    work: Work


def order_of(record: Checkpoint, folder: Path, work_id: int) -> Order | None:
    """What there is to look at of a work; None where its output or what it was made from is not known."""
    found = record.work(work_id)
    there = [each.path for each in record.deliveries_of(work_id) if each.delivered and (folder / each.path).is_file()]
    video = source_of(found.inputs.get("video"))
    if not there or video is None or found.sha256 is None:
        return None
    return Order(
        work_id=work_id,
        sha256=found.sha256,
        output=folder / there[0],
        stems=tuple(map(stem_of, there)),
        video=video,
        first_frame=source_of(found.inputs.get("first_frame")),
        work=found,
    )


def stem_of(output: str) -> str:
    """`woman_v001`, of `videos/woman_v001.mp4`; folders of a naming template stay."""
    path = PurePosixPath(output)
    return str(PurePosixPath(*path.parts[1:]).with_suffix("")) if len(path.parts) > 1 else path.stem


class Scorer:
    """Looks at outputs in worker processes of low priority; what it found is kept as it comes.

    `machines`: where a run's works go; a cluster that sees the folder looks at its outputs too.
    """

    def __init__(
        self, record: Checkpoint, folder: Path, wishes: Wishes, *, workers: int, machines: Executor | None = None
    ) -> None:
        self._record, self._folder, self._wishes = record, folder, wishes
        self._pool = executors.Processes(workers, drop_environment=_not_needed(), nicer=19)
        self._rooms = asyncio.Semaphore(workers)
        self._machines = machines
        self._scores = wishes.scores and engine_installed()
        self._remote = _Remote() if wishes.remote else None
        self._found: list[Scored] = []
        self._kept_at = clock.ticks()
        self.kept = 0
        """Works that scores, or why there are none, were written down for."""
        self.problems: dict[str, int] = {}
        """Why there are no scores → for how many works."""

    def widen(self, workers: int) -> None:
        """Look at so many at a time from now on; before the first."""
        self._rooms = asyncio.Semaphore(workers)

    async def look(self, work_id: int) -> None:
        """Make what an output lacks of thumbnails and scores; nothing that goes wrong with them goes further."""
        try:
            async with self._rooms:
                order = order_of(self._record, self._folder, work_id)
                if order is not None:
                    await self._look(order)
        except Exception as error:  # noqa: BLE001 - they are no part of what a run is for; the text is shown
            self._count(f"{type(error).__name__}: {error}")

    async def _look(self, order: Order) -> None:
        clip, frame = await self._at_hand(order.video), await self._at_hand(order.first_frame)
        await self._draw(order, clip)
        if not self._scores or self._has(order.work_id):
            return
        if isinstance(clip, work.Refusal):
            self._note(order, clip)
        elif clip is not None:
            self._note(order, await self._scored(order, clip, frame))

    def _has(self, work_id: int) -> bool:
        known = self._record.scores_of([work_id]).get(work_id)
        return known is not None and known.scores is not None

    async def _scored(self, order: Order, video: Path, frame: "Path | work.Refusal | None") -> "Scores | work.Refusal":
        first = str(frame) if isinstance(frame, Path) else None
        hashes = _hash(order.video), None if order.first_frame is None else _hash(order.first_frame)
        reads = (str(video), str(order.output), *((first,) if first else ()))
        found = await self._run(work.score, str(video), str(order.output), first, hashes, reads=reads)
        if isinstance(frame, work.Refusal) and isinstance(found, Scores):
            return replace(found, notes=(*found.notes, f"the first frame was not compared: {frame.message}"))
        return found

    async def _draw(self, order: Order, video: "Path | work.Refusal | None") -> None:
        """Small pictures of the output's first frame and the source's; one that cannot be made is done without."""
        for stem in order.stems:
            for clip, name in ((order.output, f"{stem}.jpg"), (video, f"{stem}.source.jpg")):
                target = self._folder / THUMBS / name
                if isinstance(clip, Path) and not target.exists():
                    await self._run(work.write_thumbnail, str(clip), str(target), WIDTH, reads=(str(clip),))

    async def _run(
        self, function: Callable[..., Answer], *values: object, reads: tuple[str, ...] = ()
    ) -> "Answer | work.Refusal":
        """The worker's answer; one that dies is tried once more, since its neighbours die with it."""
        if self._machines is not None and is_shared(self._machines):
            # what a cluster cannot do (a clip of the web lies here alone, a worker dies over it) is done here
            with contextlib.suppress(Exception):
                return await self._machines.submit(function, *values, reads=reads)
        for _ in range(2):
            try:
                return await self._pool.submit(function, *values)
            except work.WorkerDied:
                continue
            except Exception as error:  # noqa: BLE001 - a broken clip must harm nothing; the text is shown
                return work.Refusal(slug="engine_failed", message=f"{type(error).__name__}: {error}")
        return work.Refusal(slug="engine_failed", message="the process that looked at it died")

    async def _at_hand(self, source: Source | None) -> "Path | work.Refusal | None":
        """A source as a file; None where there is none, or it is on the web and not to be fetched."""
        if source is None:
            return None
        if source.local:
            return Path(source.location)
        return None if self._remote is None else await self._remote.fetch(source.location)

    def _note(self, order: Order, found: "Scores | work.Refusal") -> None:
        scores = found if isinstance(found, Scores) else None
        problem = found.message if isinstance(found, work.Refusal) else None
        if problem is not None:
            self._count(problem)
        if scores is not None and order.work.flag_reason is None and order.work.facts is not None:
            scores = replace(scores, differs=doubt(scores.source, order.work.facts))
        new = Scored(work_id=order.work_id, sha256=order.sha256, scores=scores, problem=problem)
        if scores is None and self._record.scores_of([order.work_id]).get(order.work_id) == new:
            return  # known already: a run with nothing new must write nothing anew
        self._found.append(new)
        if clock.ticks() - self._kept_at >= _KEPT_EVERY_S:
            self.keep()

    def _count(self, problem: str) -> None:
        self.problems[problem] = self.problems.get(problem, 0) + 1

    def keep(self) -> None:
        """Write down what was found; where the disk does not take it, nothing is lost that cannot be made again."""
        found, self._found, self._kept_at = self._found, [], clock.ticks()
        if found:
            with contextlib.suppress(StoppedEarly):
                self._record.keep_scores(found, form=judgement.FORM)
                self.kept += len(found)

    async def close(self) -> None:
        """Stop at once, and keep what there is."""
        self._pool.close()
        if self._remote is not None:
            await self._remote.close()
        self.keep()


def _unfetched(url: str, problem: str) -> work.Refusal:
    return work.Refusal(slug="source_unreachable", message=f"{without_query(url)} could not be fetched: {problem}")


class _Remote:
    """Clips and pictures on the web, fetched with the same care as outputs, and forgotten soon."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="batchmod-scores-")
        self._transport: Transport | None = None
        self._files: dict[str, asyncio.Task[Path | work.Refusal]] = {}
        self._count = 0

    async def fetch(self, url: str) -> "Path | work.Refusal":
        """The file, or why it cannot be had."""
        if url not in self._files:
            self._forget()
            self._count += 1
            place = Path(self._folder.name) / str(self._count)
            self._files[url] = asyncio.ensure_future(self._download(url, place))
        return await asyncio.shield(self._files[url])

    def _forget(self) -> None:
        done = [url for url, task in self._files.items() if task.done()]
        for url in done[: max(0, len(done) - _FETCHED)]:
            found = self._files.pop(url).result()
            if isinstance(found, Path):
                found.unlink(missing_ok=True)

    async def _download(self, url: str, place: Path) -> "Path | work.Refusal":
        if is_stored(url):
            problem = await asyncio.to_thread(sources.fetch, url, place)
            return place if problem is None else _unfetched(url, problem)
        if self._transport is None:
            from batchmod.transport import Transport

            self._transport = Transport()
        near = is_loopback_host(urlsplit(url).hostname or "")
        got = await self._transport.download(url, place, loopback_allowed=near)
        return place if got.ok else _unfetched(url, got.problem)

    async def close(self) -> None:
        """Stop what is being fetched, and forget everything."""
        for task in self._files.values():
            task.cancel()
        await asyncio.gather(*self._files.values(), return_exceptions=True)
        if self._transport is not None:
            await self._transport.aclose()
        self._folder.cleanup()


def is_shared(machines: Executor) -> bool:
    """Whether these are a cluster's, which sees the files that are seen here."""
    return machines.is_elsewhere and machines.shares_files


class Scoring:
    """Scores and thumbnails beside a run: not waited for unless somebody says so."""

    warnings: Sequence[str] = ()

    def __init__(
        self,
        record: Checkpoint,
        folder: Path,
        options: Options,
        tell: Callable[[int, int], None],
        *,
        machines: Executor | None = None,
    ) -> None:
        self._record, self._folder, self._tell = record, folder, tell
        self._wishes = Wishes(scores=options.scores, remote=options.score_remote)
        self._is_awaited = options.wait_scores
        self._workers = max(1, executors.cores() // 2)
        self._machines = machines
        self._scorer = Scorer(record, folder, self._wishes, workers=self._workers, machines=machines)
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue(_MOST_WAITING)
        self._tasks: list[asyncio.Task[None]] = []
        self._heard: dict[str, None] = {}
        self._ended = not options.scores

    @property
    def kept(self) -> int:
        """Outputs that scores, or why there are none, were written down for."""
        return self._scorer.kept

    def left(self) -> int:
        """How many outputs of this run have no scores yet and can have them."""
        if not self._wishes.scores or not engine_installed():
            return 0
        works = [work for key in self._heard if (work := self._record.latest_work(key)) is not None]
        scored = self._record.scores_of(work.work_id for work in works)
        return sum(work.work_id not in scored and self._can_be_seen(work) for work in works)

    def _can_be_seen(self, work: Work) -> bool:
        video = source_of(work.inputs.get("video"))
        return video is not None and (video.local or self._wishes.remote)

    def begin(self) -> None:
        """See how many can be looked at side by side; outputs of before are looked at by `batchmod report`."""
        if self._machines is not None and is_shared(self._machines):
            self._workers = max(self._workers, self._machines.width // _SHARE)
            self._scorer.widen(self._workers)

    def heard(self, event: Event) -> None:
        """Take note of an output; more than can wait are left for later."""
        if event.kind not in ("succeeded", "copied") or event.job_key is None or self._ended:
            return
        if event.kind == "succeeded":
            self._heard[event.job_key] = None
        if not self._tasks:
            self._tasks = [asyncio.ensure_future(self._carry()) for _ in range(self._workers)]
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait(event.job_key)

    async def _carry(self) -> None:
        await clock.sleep(_AFTER_S)
        while (key := await self._waiting.get()) is not None:
            found = self._record.latest_work(key)
            if found is not None:
                await self._scorer.look(found.work_id)

    def stop(self) -> None:
        """Leave what is not done, at once."""
        self._ended = True
        for task in self._tasks:
            task.cancel()

    async def finish(self) -> None:
        """Where they are waited for: every output of the folder that has no scores yet, or until `stop`."""
        if self._ended or not self._is_awaited:
            return
        waiting = asyncio.ensure_future(self._rest())
        self._tasks.append(waiting)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([waiting])

    async def _rest(self) -> None:
        """End what is being looked at, then look at what was not."""
        while not self._waiting.empty():
            self._waiting.get_nowait()
        carriers = self._tasks[: self._workers] if self._heard else []
        for _ in carriers:
            self._waiting.put_nowait(None)
        await asyncio.gather(*carriers)
        self._scorer.keep()
        await look_at_all(self._scorer, lacking(self._record, self._folder, self._wishes), self._tell)

    async def close(self) -> None:
        """Leave what is not done, and keep what is."""
        self.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._scorer.close()


def lacking(record: Checkpoint, folder: Path, wishes: Wishes) -> list[int]:
    """The works whose output is here and lacks scores, or, as far as the report shows it, a thumbnail; newest first."""
    found = dict.fromkeys(record.unscored(judgement.FORM, remote=wishes.remote)) if engine_installed() else {}
    drawn = files.listing(folder, THUMBS)
    for work_id, path in record.newest_outputs(_MOST_DRAWN):
        if f"{THUMBS}/{stem_of(path)}.jpg" not in drawn:
            found[work_id] = None
    return sorted(found, reverse=True)


@dataclass(kw_only=True, slots=True)
class LookedAt:
    """What came of looking at a folder's outputs; filled in while it goes on, and whatever ends it."""

    kept: int = 0
    """Outputs that scores, or why there are none, were written down for."""
    problems: dict[str, int] = field(default_factory=dict)
    """Why there are no scores → for how many outputs."""
    remote: int = 0
    """Outputs whose source is on the web and is not to be fetched."""
    lacks_engine: bool = False
    """Whether nothing can be scored, since the `local` extra is not installed."""


async def look_at_missing(
    folder: Path,
    came: LookedAt,
    *,
    state: Path | None = None,
    remote: bool = False,
    tell: Callable[[int, int], None] = lambda done, of: None,  # noqa: ARG005 - nobody watches
) -> None:
    """Make the scores and thumbnails that a folder's outputs lack, all cores at a time; tells (done, of).

    It takes no lock: a run may go on there. Raises RecordRefused where there is no record.
    """
    wishes = Wishes(remote=remote)
    with folders.look_at(folder, state=state) as record:
        todo = lacking(record, folder, wishes)
        if engine_installed() and not remote:
            came.remote = len(record.unscored(judgement.FORM)) - len(record.unscored(judgement.FORM, remote=False))
        came.lacks_engine = not engine_installed() and bool(record.unscored(judgement.FORM))
    if not todo:
        return
    with folders.open_record(folder, create=False, state=state) as record:
        scorer = Scorer(record, folder, wishes, workers=executors.cores())
        try:
            await look_at_all(scorer, todo, tell)
        finally:
            await scorer.close()
            came.kept, came.problems = scorer.kept, scorer.problems


async def look_at_all(scorer: Scorer, work_ids: Iterable[int], tell: Callable[[int, int], None]) -> None:
    """Look at these outputs, as many at a time as there are workers; tells (done, of)."""
    todo, done = list(work_ids), 0
    waiting = iter(todo)

    async def carry() -> None:
        nonlocal done
        for work_id in waiting:
            await scorer.look(work_id)
            done += 1
            tell(done, len(todo))

    tell(0, len(todo))
    carriers = [asyncio.ensure_future(carry()) for _ in range(2 * executors.cores())]
    try:
        await asyncio.gather(*carriers)
    finally:
        for carrier in carriers:
            carrier.cancel()


def _hash(source: Source) -> str | None:
    """The hash a local file had when the request was made; None where nobody knows it."""
    if not source.local:
        return None
    kind, _, value = source.identity.partition(":")
    return source.sha256 or (value if kind == "sha256" else None)


def _not_needed() -> tuple[str, ...]:
    """The variables of the environment that a worker is not told."""
    return tuple(
        name
        for name in executors.environment()
        if name.upper() not in _NEEDED and not name.upper().startswith(_NEEDED_BY_NAME)
    )
