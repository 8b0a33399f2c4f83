"""One manifest's run, from the lock to the closing line."""

import functools
import json
import os
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final, Literal, Self

from batchmod import clock, executors, files, jobs, limits, planning, work
from batchmod.app import folder as folders
from batchmod.app import others, owning
from batchmod.app.loading import Loaded
from batchmod.app.options import Options
from batchmod.app.room import Room
from batchmod.app.services import Services
from batchmod.checkpoint import Checkpoint, load_ballast
from batchmod.errors import NO_ROOM, FolderInUse, StoppedEarly, UsageError
from batchmod.index import Index, NoIndex
from batchmod.model import Event, VideoFacts
from batchmod.planning import Action, Plan
from batchmod.providers.base import Provider
from batchmod.rows import saying, those
from batchmod.runner import Runner, Settings, Tools, recover
from batchmod.runner.money import Purse

_PASSING: Final = ("polled", "progress")
"""Events for who watches; nothing has changed with them."""
SIGNALLED: Final = {"sigint": 130, "sigterm": 143}


@dataclass(kw_only=True, slots=True)
class Control:
    """The hand on a run's brake: whoever holds it may stop the run without losing anything."""

    _drain: Callable[[str], None] | None = None
    stopped: str | None = None

    def stop(self, slug: str) -> None:
        """No new requests; the ids of those in the air are recorded, then the run ends."""
        self.stopped = slug
        if self._drain is not None:
            self._drain(slug)

    def attach(self, drain: Callable[[str], None]) -> None:
        """Give the running run's brake; a stop that came earlier takes hold now."""
        self._drain = drain
        if self.stopped is not None:
            drain(self.stopped)


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """How a run ended."""

    folder: Path
    exit_code: int
    counts: Mapping[str, int]
    """Status → number of selected rows."""
    made: int
    copied: int
    spent_usd: float
    seconds: float
    stop_reason: str | None = None
    message: str | None = None
    warnings: tuple[str, ...] = ()
    results: Path | None = None
    report: Path | None = None


Confirm = Callable[[Plan, Loaded], bool]
"""Shows a paid plan and asks; raises SpendingNeedsAWord where nobody can be asked."""


async def run(
    loaded: Loaded, options: Options, *, observe: Callable[[Event], None], confirm: Confirm, control: Control
) -> Summary:
    """Carry a manifest out; run again to go on. Raises the errors of `errors` that end a command."""
    files.make_folder(loaded.folder)
    while True:
        try:
            with owning.owned(loaded.folder) as owner:
                return await _run_owned(loaded, options, owner=owner, observe=observe, confirm=confirm, control=control)
        except FolderInUse:
            if options.if_locked == "skip":
                return _not_begun(loaded, 0, message="another run holds the folder; skipped")
            if options.if_locked == "refuse":
                raise
            await clock.sleep(1.0)
            if control.stopped is not None:
                return _not_begun(loaded, SIGNALLED[control.stopped], stop_reason=control.stopped)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise StoppedEarly.of(error) from error
            raise


async def _run_owned(
    loaded: Loaded,
    options: Options,
    *,
    owner: owning.Ownership,
    observe: Callable[[Event], None],
    confirm: Confirm,
    control: Control,
) -> Summary:
    run_id, began = uuid.uuid4().hex[:12], clock.now()
    scratch = loaded.folder / ".work"
    with (
        folders.open_record(loaded.folder, create=True, state=options.state) as record,
        Log(loaded.folder, observe) as log,
    ):
        record.own()
        if owner.taken_from is not None:
            log.tell("taken_over", run_id=run_id, message=f"the lease of {owner.taken_from}, which has ended")
        folders.claim(record, loaded, add=options.add)
        recover(record, hosted=lambda name: loaded.services.facts(name).hosted, at=clock.now())
        scratch.mkdir(exist_ok=True)
        claims = _claims(record, loaded)
        runner = _runner(record, loaded, options, owner=owner, run_id=run_id, scratch=scratch, log=log, claims=claims)
        control.attach(runner.drain)
        try:
            await runner.resolve()
            plan = make_plan(record, loaded, options)
            declined = not runner.desk.draining and not _may_go(plan, loaded, options, confirm)
            new_rows = folders.store_rows(record, loaded, plan)
            if not declined:
                record.begin_run(run_id, at=began)
                folders.arm_reviews(record, loaded)
                log.tell("run_started", run_id=run_id, rows=len(plan.items), **folders.standing_facts(record))
                counts = {action.value: plan.count(action) for action in Action if plan.count(action)}
                log.tell("planned", run_id=run_id, counts=counts)
                await runner.run(plan)
        finally:
            await runner.close()
            indexed = claims.standing() if claims.told_all else ""
            claims.close()
            with suppress(StoppedEarly):
                owner.check()  # what lies there may be another run's by now
                files.clear(scratch, keep=".part")
        if indexed:
            record.indexed(indexed)
        return _ended(record, loaded, runner, log, run_id=run_id, began=began, new_rows=new_rows, declined=declined)


def make_plan(record: Checkpoint | None, loaded: Loaded, options: Options) -> Plan:
    """What a run would do with the chosen rows; with no record yet, everything is new."""
    chosen = loaded.jobs if loaded.is_whole else jobs.those(loaded.jobs, loaded.chosen)
    facts = {name: loaded.services.facts(name) for name in jobs.providers_of(chosen)}
    known = folders.known(record, loaded.folder, facts) if record is not None else planning.Known()
    if options.reuse and any(of.hosted for of in facts.values()):
        elsewhere = loaded.services.elsewhere(record)
        known = replace(known, elsewhere=elsewhere, reusable=folders.Reusable(elsewhere=elsewhere))
    wishes = planning.Wishes(
        retry_failed=options.retry_failed,
        max_attempts=loaded.limits.max_attempts,
        pay_again=loaded.matching(options.pay_again),
        redo=frozenset(folders.redo_asked(record, loaded)),
        locked=frozenset(row.number for row in saying(loaded.manifest.rows, "review") if row.review == "keep"),
        price_usd=loaded.limits.price_usd,
    )
    return planning.plan(
        chosen, known=known, facts=facts, clips=loaded.clips, flaws=loaded.flaws, held=loaded.held, wishes=wishes
    )


def _may_go(plan: Plan, loaded: Loaded, options: Options, confirm: Confirm) -> bool:
    """Everything that must hold before the first request: keys, the engine, and a word for the money."""
    needed = {item.job.provider for item in plan.of(Action.SEND, Action.FETCH).samples()}
    for name in sorted(needed):
        loaded.services.require(name)
        if options.no_wait and not options.accept_expiry:
            _refuse_expiry(loaded, name)
    capped = loaded.limits.max_cost_usd is not None or loaded.limits.max_cost_per_run_usd is not None
    if capped:
        _refuse_unpriced(plan, loaded)
    if not plan.paid_sends or options.yes or capped:
        return True
    return confirm(plan, loaded)


def _refuse_unpriced(plan: Plan, loaded: Loaded) -> None:
    """A cap over requests whose price nobody knows holds nothing back."""
    names = planning.unpriced(plan, {name: loaded.services.facts(name) for name in jobs.providers_of(loaded.jobs)})
    if names:
        text = f"{' and '.join(names)} publishes no price, so that a cap cannot hold"
        raise UsageError(f"{text}: say what a request costs with --price-usd X; nothing was sent")


def _redo(record: Checkpoint, loaded: Loaded) -> dict[str, int]:
    """Id in casefold → the version its review asks to redo now."""
    asked = folders.redo_asked(record, loaded)
    return {row.id.casefold(): asked[row.number] for row in those(loaded.manifest.rows, asked)}


def _refuse_expiry(loaded: Loaded, name: str) -> None:
    facts = loaded.services.facts(name)
    has_history = (
        facts.hosted
        and facts.history
        and facts.history_keeps_outputs
        and loaded.services.endpoints(name).history is not None
    )
    problem = planning.expiry_problem(facts, has_history=has_history)
    if problem is not None:
        raise UsageError(f"--no-wait: {problem}; wait for them, or say --accept-expiry")


def _claims(record: Checkpoint, loaded: Loaded) -> Index | NoIndex:
    """The index of paid work, and room kept for receipts, where anything is or was paid."""
    names = jobs.providers_of(loaded.jobs) | {work.provider for work in record.unfinished()}
    if not any(loaded.services.facts(name).hosted for name in names):
        return NoIndex()
    load_ballast(record.path)
    return loaded.services.open_index(record, loaded.folder)


def _runner(
    record: Checkpoint,
    loaded: Loaded,
    options: Options,
    *,
    owner: owning.Ownership,
    run_id: str,
    scratch: Path,
    log: "Log",
    claims: Index | NoIndex,
) -> Runner:
    workers = min(executors.cores(), max(1, len(loaded.chosen)))
    videos = loaded.folder / "videos"  # may be a link to another disk
    settings = Settings(
        run_id=run_id,
        max_in_flight=loaded.limits.max_in_flight,
        submits_per_minute=loaded.limits.submits_per_minute,
        polls_per_minute=loaded.limits.polls_per_minute,
        local_workers=workers,
        stop_after_failures=loaded.limits.stop_after_failures,
        history_grace_s=options.history_grace_s,
        drain_s=options.drain_s,
        reuse=options.reuse,
        no_wait=options.no_wait,
        until=options.until,
        redo=_redo(record, loaded),
    )
    tools = Tools(
        checkpoint=record,
        folder=loaded.folder,
        scratch=scratch,
        provider=opener(loaded.services, record, scratch, workers=workers),
        verify=verifier(options.verify),
        clip=loaded.clips.get,
        observe=log.write,
        dice=secrets.SystemRandom().random,
        claims=claims,
        check_owner=owner.check,
        check_room=Room(scratch, videos if videos.exists() else loaded.folder, record.path.parent).check,
        elsewhere=others.holders(loaded.services, record, loaded.folder),
    )
    return Runner(tools, settings, _purse(record, loaded))


def _purse(record: Checkpoint, loaded: Loaded) -> Purse:
    """The caps: one over the folder since its record began, one over this run since its first start."""
    totals, (spent, reserved) = record.totals(), record.money_of_this_run()
    folder = limits.Budget(
        cap_usd=loaded.limits.max_cost_usd, done_usd=totals.spent_usd, reserved_usd=totals.reserved_usd
    )
    run_ = limits.Budget(cap_usd=loaded.limits.max_cost_per_run_usd, done_usd=spent, reserved_usd=reserved)
    return Purse((folder, record.reservations()), (run_, record.reservations(of_this_run=True)))


def opener(
    services: Services, record: Checkpoint, scratch: Path, *, workers: int
) -> Callable[[str, str], Provider | None]:
    """(name, origin) → the provider there, with what it needs of this folder."""
    return functools.partial(services.open, record=record, scratch=scratch, workers=workers)


def verifier(depth: Literal["decode", "container"]) -> Callable[[Path], Awaitable[VideoFacts | work.Refusal]]:
    """How outputs are checked before they count."""
    inline = executors.Inline()
    return lambda path: inline.submit(work.verify_video, str(path), depth)


class Log:
    """Writes events to events.jsonl and hands them on; counts what changed."""

    def __init__(self, folder: Path, observe: Callable[[Event], None]) -> None:
        self._path = folder / "events.jsonl"
        self._observe = observe
        self._file: IO[str] | None = None
        self._run_id = ""
        self.made = 0
        self.copied = 0
        self.changes = 0
        self.spent_usd = 0.0

    def __enter__(self) -> Self:
        self._file = self._path.open("a", encoding="utf-8")
        if not _ends_a_line(self._path):  # a kill or a full disk cut the last event; the next one is whole
            self._file.write("\n")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, event: Event) -> None:
        """Keep an event and hand it on."""
        assert self._file is not None
        self.changes += event.kind not in ("run_started", "planned", "run_ended", *_PASSING)
        self.made += (1 + len(event.facts.get("also", ()))) * (event.kind == "succeeded")
        self.copied += event.kind == "copied"
        self.spent_usd += float(event.facts.get("cost_usd") or 0.0) if event.kind == "succeeded" else 0.0
        if event.kind not in _PASSING:
            files.append_lines(self._file, [as_json(event)])
        try:
            self._observe(event)
        except OSError:  # whoever watched has gone: a request that is half sent is not left for that
            self._observe = lambda _: None

    def tell(self, kind: str, *, run_id: str, **facts: Any) -> None:
        """An event of the run itself."""
        self.write(Event(kind=kind, at=clock.iso(clock.now()), run_id=run_id, facts=facts))


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) in (b"", b"\n")


def as_json(event: Event) -> dict[str, Any]:
    """An event as one flat object."""
    head = {"event": event.kind, "at": event.at, "run_id": event.run_id, "id": event.id, "job_key": event.job_key}
    return {**{name: value for name, value in head.items() if value is not None}, **event.facts}


def _ended(
    record: Checkpoint,
    loaded: Loaded,
    runner: Runner,
    log: Log,
    *,
    run_id: str,
    began: float,
    new_rows: bool,
    declined: bool,
) -> Summary:
    counts = folders.counts(record, loaded)
    stop = "declined" if declined else runner.desk.stop_slug or _unfinished_slug(runner)
    waiting = counts.get("planned", 0) + record.wishes_of(run_id)
    code = exit_code({**counts, "planned": waiting}, stop=stop, warned=runner.desk.uncollected > 0)
    table, page = loaded.folder / "results.csv", loaded.folder / "report.html"
    if new_rows or log.changes or record.not_shown() or not (table.exists() and page.exists()):
        table, page = folders.write_results(record, loaded.folder)
    record.shown()
    if not declined:
        log.tell("run_ended", run_id=run_id, exit_code=code, stop_reason=stop, counts=counts)
        record.end_run(run_id, at=clock.now(), exit_code=code, stop_reason=stop)
    summary = Summary(
        folder=loaded.folder,
        exit_code=code,
        counts=counts,
        made=log.made,
        copied=log.copied,
        spent_usd=log.spent_usd,
        seconds=clock.now() - began,
        stop_reason=stop,
        message=runner.desk.stop_message,
        warnings=tuple(runner.desk.warnings),
        results=table,
        report=page,
    )
    _write_run_json(summary, run_id=run_id, began=began)
    return summary


def _unfinished_slug(runner: Runner) -> str | None:
    """Why a run that stopped by itself has not ended: paid outputs wait to be fetched, or were left on purpose."""
    if runner.desk.unfetched:
        return "download_failed"
    return "not_waited_for" if runner.desk.left else None


def exit_code(counts: Mapping[str, int], *, stop: str | None, warned: bool = False) -> int:
    """0 all succeeded (held rows are not selected); 3 something has not ended; 1 something failed; signals first."""
    if stop in SIGNALLED:
        return SIGNALLED[stop]
    if stop is not None or any(counts.get(name) for name in ("planned", "submitting", "submitted")):
        return 3
    if warned or any(counts.get(name) for name in ("failed", "invalid", "uncertain")):
        return 1
    return 0


def _write_run_json(summary: Summary, *, run_id: str, began: float) -> None:
    about = {
        "run_id": run_id,
        "started_at": clock.iso(began),
        "seconds": round(summary.seconds, 3),
        "exit_code": summary.exit_code,
        "stop_reason": summary.stop_reason,
        "message": summary.message,
        "counts": dict(summary.counts),
        "made": summary.made,
        "copied": summary.copied,
        "spent_usd": round(summary.spent_usd, 6),
        "warnings": list(summary.warnings),
    }
    text = json.dumps(about, indent=2, ensure_ascii=False).encode()
    files.write_whole(summary.folder / "run.json", lambda file: file.write(text))


def _not_begun(
    loaded: Loaded, exit_code: int, *, message: str | None = None, stop_reason: str | None = None
) -> Summary:
    return Summary(
        folder=loaded.folder, exit_code=exit_code, counts={}, made=0, copied=0, spent_usd=0.0, seconds=0.0,
        message=message, stop_reason=stop_reason,
    )  # fmt: skip
