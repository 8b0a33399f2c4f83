"""`rescue`: outputs that were paid for elsewhere, found in the provider's history, booked and brought home."""

import secrets
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from batchmod import clock, files, planning, reconcile
from batchmod.app import belonging, hands, matching, others, owning, past, rechecking, stored_rows, tables
from batchmod.app import folder as folders
from batchmod.app.deciding import make_plan
from batchmod.app.equipping import opener, verifier
from batchmod.app.loading import Loaded
from batchmod.app.log import Log
from batchmod.app.matching import Choice, Pair
from batchmod.app.options import Options
from batchmod.checkpoint import Checkpoint
from batchmod.checkpoint.values import BOOKED
from batchmod.errors import StoppedEarly, UsageError
from batchmod.model import Attempt, Event, HistoryRow, Job, Price, Status
from batchmod.planning import Action, Item, Items, Plan
from batchmod.providers.base import Provider
from batchmod.runner import Runner, Settings, Tools, recover
from batchmod.runner.money import Purse
from batchmod.urls import origin_of

_OPEN_TO_RESCUE: Final = (Action.SEND, Action.LEAVE, Action.FAIL)
_DAY_S: Final = 86400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rescued:
    """What a rescue found and did."""

    booked: tuple[Pair, ...]
    choices: tuple[Choice, ...]
    """What fits, and is not booked until a person says which."""
    statuses: Mapping[str, str]
    """job_key → what became of a booked request."""
    spent_usd: float
    others: int
    """Requests of the history that fit no row and are nobody's here."""
    unreadable: int
    """Requests whose inputs the history does not show."""
    warnings: tuple[str, ...]
    stop_reason: str | None
    message: str | None

    @property
    def exit_code(self) -> int:
        """0: all that fits is here; 1: something is left to choose, or failed; 3: stopped, say it again."""
        if self.stop_reason is not None:
            return 3
        return 1 if self.choices or any(status != "succeeded" for status in self.statuses.values()) else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Field:
    """What there is to be matched at one provider."""

    provider: Provider
    items: tuple[Item, ...]
    rows: tuple[HistoryRow, ...]
    uploaded: matching.Uploaded


async def rescue(
    loaded: Loaded, options: Options, *, by_hand: Mapping[str, str], days: float, observe: Callable[[Event], None]
) -> Rescued:
    """Match, book, collect; nothing is sent. `by_hand`: id → request id.

    Raises UsageError for a pair by hand that cannot be, before anything is booked.
    """
    loaded = rechecking.settled(loaded, options)
    places = _places(loaded)
    files.make_folder(loaded.folder)
    with (
        owning.owned(loaded.folder) as owner,
        folders.open_record(loaded.folder, create=True, state=options.state) as record,
        Log(loaded.folder, observe) as log,
    ):
        record.own()
        belonging.claim(record, loaded)
        recover(record, hosted=lambda name: loaded.services.facts(name).hosted, at=clock.now())
        scratch = loaded.folder / ".work"
        scratch.mkdir(exist_ok=True)
        with loaded.services.open_index(record, loaded.folder) as claims:
            tools = Tools(
                checkpoint=record,
                folder=loaded.folder,
                scratch=scratch,
                provider=opener(loaded.services, record, scratch, engine=hands.engine(loaded.services)),
                verify=verifier(options.verify),
                clip=loaded.clips.get,
                observe=log.write,
                dice=secrets.SystemRandom().random,
                claims=claims,
                check_owner=owner.check,
                elsewhere=others.holders(loaded.services, record, loaded.folder),
            )
            settings = Settings(
                run_id=uuid.uuid4().hex[:12],
                max_in_flight=loaded.limits.max_in_flight,
                polls_per_minute=loaded.limits.polls_per_minute,
                history_grace_s=options.history_grace_s,
            )
            rescuer = _Rescuer(loaded, options, Runner(tools, settings, Purse()))
            try:
                return await rescuer.rescue(places, by_hand, since=clock.now() - days * _DAY_S)
            finally:
                await rescuer.runner.close()
                files.clear(scratch, keep=".part")


def _places(loaded: Loaded) -> tuple[tuple[str, str], ...]:
    """(provider, origin) of the chosen rows that a history can tell of. Raises UsageError where none can."""
    found = {(job.provider, job.origin) for job in loaded.jobs if job.number in loaded.chosen and job.origin}
    if not found:
        raise UsageError("the embedded engine has no history of paid requests; name the provider: --provider NAME")
    for name, _ in sorted(found):
        if not _has_history(loaded, name):
            raise UsageError(f"{name} has no history that could be asked: what was paid for there cannot be found")
        loaded.services.require(name)
    return tuple(sorted(found))


async def book_unknown(
    loaded: Loaded, options: Options, runner: Runner, *, since: float
) -> tuple[tuple[Choice, ...], tuple[str, ...]]:
    """Book what the providers' histories show of requests that the record should know and does not; nothing is fetched.

    What fits and is not beyond doubt, and the providers whose history nobody can ask. Raises StoppedEarly for a history
    that cannot be read now.
    """
    hosted = {(job.provider, job.origin) for job in loaded.jobs if job.number in loaded.chosen and job.origin}
    asked = {each for each in hosted if _has_history(loaded, each[0])}
    choices = await _Rescuer(loaded, options, runner).book(sorted(asked), since=since)
    return choices, tuple(sorted({name for name, _ in hosted - asked}))


def _has_history(loaded: Loaded, name: str) -> bool:
    return loaded.services.facts(name).history and loaded.services.endpoints(name).history is not None


class _Rescuer:
    """One rescue, inside its folder's lock."""

    def __init__(self, loaded: Loaded, options: Options, runner: Runner) -> None:
        self._loaded = loaded
        self._options = options
        self.runner = runner
        self._desk = runner.desk
        self._record: Checkpoint = runner.desk.record

    async def rescue(self, places: Sequence[tuple[str, str]], by_hand: Mapping[str, str], *, since: float) -> Rescued:
        """From the history to the files."""
        await self.runner.resolve()  # what we sent ourselves comes first
        plan = make_plan(self._record, self._loaded, self._options)
        stored_rows.store(self._record, self._loaded, plan)
        fields, booked, choices = await self._booked(plan, places, by_hand, since=since)
        before = self._record.totals().spent_usd
        await self.runner.run(_collecting(plan, self._record, booked))
        tables.write(self._record, self._loaded.folder)
        return self._said(fields, booked, choices, before)

    async def book(self, places: Sequence[tuple[str, str]], *, since: float) -> tuple[Choice, ...]:
        """Book what is beyond doubt; what fits and is not."""
        plan = make_plan(self._record, self._loaded, self._options)
        _, _, choices = await self._booked(plan, places, {}, since=since)
        return tuple(choices)

    async def _booked(
        self, plan: Plan, places: Sequence[tuple[str, str]], by_hand: Mapping[str, str], *, since: float
    ) -> tuple[list[_Field], list[Pair], list[Choice]]:
        fields = [await self._survey(plan, name, origin, since=since) for name, origin in places]
        try:
            chosen = self._chosen(plan, fields, by_hand)
            booked = list(chosen)
            choices: list[Choice] = []
            for field in fields:
                pairs, open_ = self._match(field, chosen)
                booked += pairs
                choices += open_
            where = {pair.row.request_id: field for field in fields for pair in booked if pair.row in field.rows}
            booked = [pair for pair in booked if self._book(plan, pair, where[pair.row.request_id].provider)]
        finally:
            for field in fields:
                await field.provider.close()
        return fields, booked, choices

    async def _survey(self, plan: Plan, name: str, origin: str, *, since: float) -> _Field:
        """The rows that lack an output, and the history's requests that nobody here holds."""
        provider = self._desk.tools.provider(name, origin)
        assert provider is not None
        walk = await provider.history(since=since, now=clock.now())
        if walk is None or walk.problem:
            await provider.close()
            problem = walk.problem if walk is not None else f"{name} has no history"
            raise StoppedEarly(f"{problem}; nothing was booked", slug="history_unread")
        rows = reconcile.deduplicated(walk.rows)
        held = {attempt.request_id for attempt in self._record.accepted_attempts(name, origin)}
        rows = [row for row in rows if row.request_id not in held]
        items = [item for item in plan.items if (item.job.provider, item.job.origin) == (name, origin)]
        shelf = origin_of(self._loaded.services.endpoints(name).upload or origin)
        field = _Field(
            provider=provider,
            items=tuple(item for item in items if self._is_open(item)),
            rows=tuple(row for row in rows if _lives(row, since)),
            uploaded=lambda sha256: self._record.uploaded(name, shelf, sha256),
        )
        return replace(field, rows=tuple(self._nobody_elses(field)))

    def _nobody_elses(self, field: _Field) -> Iterator[HistoryRow]:
        """The rows that no other folder of this user holds, but for what is lost there: that may be fetched here."""
        name, origin = field.provider.facts.name, field.provider.origin
        told = self._desk.tools.elsewhere(name, origin, [row.request_id for row in field.rows])
        held = {attempt.request_id for attempt in told}
        lost = [item.job for item in field.items if item.action is Action.HOLD]
        for row in field.rows:
            fits = any(matching.differences(job, row, field.uploaded) == () for job in lost)
            if row.request_id not in held or fits:
                yield row

    def _is_open(self, item: Item) -> bool:
        """Whether a row lacks an output and nothing is under way for it, here or in another folder."""
        if item.job.number in self._loaded.held or item.again:
            return False
        kept = (Status.SUCCEEDED, Status.FAILED)  # by another folder, that has no file of it
        lost = item.action is Action.HOLD and item.claim is not None and item.claim.status in kept
        return lost or item.action in _OPEN_TO_RESCUE

    def _match(self, field: _Field, chosen: Iterable[Pair]) -> tuple[tuple[Pair, ...], tuple[Choice, ...]]:
        done, used = {pair.job.key for pair in chosen}, {pair.row.request_id for pair in chosen}
        jobs = {item.job.key: item.job for item in reversed(field.items) if item.job.key not in done}
        rows = [row for row in field.rows if row.request_id not in used]
        return matching.match(list(reversed(jobs.values())), rows, field.uploaded)

    def _chosen(self, plan: Plan, fields: Sequence[_Field], by_hand: Mapping[str, str]) -> tuple[Pair, ...]:
        """The pairs somebody has named. Raises UsageError for the first that cannot be, before anything is booked."""
        items = {item.job.id.casefold(): item for item in plan.items}
        open_keys = {item.job.key for field in fields for item in field.items} | set(self._doubted())
        if len(set(by_hand.values())) < len(by_hand):
            raise UsageError("--pair names one request twice: it has one output, for one row")
        for name, request_id in by_hand.items():
            self._refuse_by_hand(items.get(name.casefold()), open_keys, f"--pair {name}={request_id}", request_id)
        found = [self._by_hand(items[name.casefold()], request, fields) for name, request in by_hand.items()]
        if len({pair.job.key for pair in found}) < len(found):
            raise UsageError("--pair names two requests for rows that are the same request; one is enough")
        return tuple(found)

    def _refuse_by_hand(self, item: Item | None, open_keys: Collection[str], said: str, request_id: str) -> None:
        if item is None:
            raise UsageError(f"{said}: there is no such row among those that are asked for")
        if item.job.key not in open_keys or item.job.number in self._loaded.held:
            raise UsageError(f"{said}: the row needs no request ({item.action.value}: {item.why})")
        if self._record.knows_request(request_id):
            raise UsageError(f"{said}: that request belongs to another row already")

    def _by_hand(self, item: Item, request_id: str, fields: Sequence[_Field]) -> Pair:
        job = item.job
        for field in fields:
            for row in field.rows:
                if row.request_id != request_id or field.provider.origin != job.origin:
                    continue
                unlike = matching.differences(job, row, field.uploaded)
                if unlike:
                    text = (
                        f"request {request_id} is not what {job.id} asks for ({', '.join(unlike)}); booked as you said"
                    )
                    self._desk.warnings.append(text)
                return Pair(job=job, row=row)
        text = "the history does not show it with an output, or under way; --days looks further back"
        raise UsageError(f"--pair {job.id}={request_id}: {text}")

    def _doubted(self) -> dict[str, Attempt]:
        """job_key → the attempt that nobody is sure of, and that has no id."""
        found = (attempt for attempt in self._record.uncertain_attempts() if attempt.request_id is None)
        return {self._record.work(attempt.work_id).job_key: attempt for attempt in found}

    def _book(self, plan: Plan, pair: Pair, provider: Provider) -> bool:
        """Write a request down as its row's own; False where it is another's after all."""
        job, row = pair.job, pair.row
        jobs = [item.job for item in plan.items if item.job.key == job.key and item.job.number not in self._loaded.held]
        doubted = self._doubted().get(job.key)
        work_id: int | None
        if doubted is not None:
            attempt_id, request_id = doubted.attempt_id, row.request_id
            done = self._record.accept(doubted.work_id, attempt_id, request_id=request_id, state={}, booked=True)
            work_id = doubted.work_id if done else None
        else:
            work_id = self._record.book(
                job,
                run_id=self._desk.settings.run_id,
                body=matching.body_of(job, row),
                request_id=row.request_id,
                at=row.at or clock.now(),
                reserved_usd=self._estimate(job),
                jobs=jobs,
                account=provider.account,
            )
        if work_id is None:
            return False
        self._desk.keep_claim(work_id)
        how = f"{BOOKED}, found in the history"
        self._desk.tell("resolved", self._record.work(work_id), jobs, request_id=row.request_id, how=how)
        return True

    def _estimate(self, job: Job) -> float:
        """What the request may have cost, until the provider says it."""
        facts, clip = self._loaded.services.facts(job.provider), self._loaded.clips.get(job.video.identity)
        seconds, pixels = (clip.duration_s, clip.width * clip.height) if clip else (None, None)
        price = planning.price_of(job, facts) or Price()
        return price.estimate(seconds, longest_s=facts.max_clip_s or 30.0, pixels=pixels).high

    def _said(
        self, fields: Sequence[_Field], booked: Sequence[Pair], choices: Sequence[Choice], before: float
    ) -> Rescued:
        works = past.Latest(self._record)
        used = {pair.row.request_id for pair in booked}
        used |= {row.request_id for choice in choices for row in choice.rows}
        rows = [row for field in fields for row in field.rows if row.request_id not in used]
        return Rescued(
            booked=tuple(booked),
            choices=tuple(choices),
            statuses={pair.job.key: works[pair.job.key].status.value for pair in booked},
            spent_usd=self._record.totals().spent_usd - before,
            others=sum(row.inputs is not None for row in rows),
            unreadable=sum(row.inputs is None for row in rows),
            warnings=tuple(self._desk.warnings),
            stop_reason=self._desk.stop_slug or ("download_failed" if self._desk.unfetched else None),
            message=self._desk.stop_message,
        )


def _lives(row: HistoryRow, since: float) -> bool:
    """Whether a request has an output that can be had, or may still have one."""
    return row.status.upper() != "FAILED" and row.error is None and (row.at is None or row.at >= since)


def _collecting(plan: Plan, record: Checkpoint, booked: Iterable[Pair]) -> Plan:
    """A plan that collects what was booked, for every row it is for, and does nothing else."""
    keys = {pair.job.key for pair in booked}
    items: list[Item] = []
    for item in plan.items:
        work = record.held_work(item.job.key) if item.job.key in keys else None
        if work is not None and work.status is Status.SUBMITTED:
            first = all(item.job.key != other.job.key for other in items)
            action = Action.RESUME if first else Action.COPY
            items.append(Item(job=item.job, action=action, why="paid for elsewhere", work_id=work.work_id))
    return Plan(items=Items([items]))
