"""Uncertain jobs: asked for in their provider's history, or decided by the user's word."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchmod import clock
from batchmod.app import folder as folders
from batchmod.app import hands, others, owning, tables
from batchmod.app.equipping import opener, verifier
from batchmod.app.log import Log
from batchmod.app.services import Services
from batchmod.checkpoint import Checkpoint
from batchmod.errors import UsageError
from batchmod.model import Event, Status, Work
from batchmod.runner import Runner, Settings, Tools, recover, telling
from batchmod.runner.money import Purse

_RUN_ID: Final = "resolve"


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """A job that may have been paid."""

    ids: tuple[str, ...]
    name: str
    """What this request alone is called: `attempt:7`."""
    provider: str
    sent_at: str | None
    request_id: str | None
    reason: str


async def resolve(
    folder: Path,
    services: Services,
    *,
    state: Path | None = None,
    ask: bool,
    resend: Sequence[str],
    give_up: Sequence[str],
    grace_s: float,
    observe: Callable[[Event], None],
) -> list[Doubt]:
    """Ask, then do as told; the jobs that are uncertain afterwards. Raises UsageError for an id that is not."""
    with owning.owned(folder), folders.open_record(folder, create=False, state=state) as record:
        record.own()
        recover(record, hosted=lambda name: services.facts(name).hosted, at=clock.now())
        with Log(folder, observe) as log:
            if ask:
                await _ask(record, folder, services, grace_s=grace_s, observe=log.write)
            for work in _named(record, resend):
                record.resend(work.work_id, at=clock.now())
                _tell_given_up(log, record, work)
            for work in _named(record, give_up):
                message = "given up by hand: whether it was paid is not known"
                record.fail(work.work_id, code="given_up", message=message, billed=None, at=clock.now())
                _tell_given_up(log, record, work)
        if ask or resend or give_up:
            tables.write(record, folder)
        return [_doubt(record, work) for work in _uncertain(record)]


def _tell_given_up(log: Log, record: Checkpoint, work: Work) -> None:
    """The user's word stands in the event log too."""
    now = record.work(work.work_id)
    facts = {"code": now.error_code, "message": now.error, **telling.kept(record, "failed", now)}
    row_id = next(iter(_ids(record, work)), None)
    at = clock.iso(clock.now())
    log.write(Event(kind="failed", at=at, run_id=_RUN_ID, id=row_id, job_key=now.job_key, facts=facts))


async def _ask(
    record: Checkpoint, folder: Path, services: Services, *, grace_s: float, observe: Callable[[Event], None]
) -> None:
    scratch = folder / ".work"
    claims = services.open_index(record, folder)
    tools = Tools(
        checkpoint=record,
        folder=folder,
        scratch=scratch,
        provider=opener(services, record, scratch, engine=hands.engine(services)),
        verify=verifier("decode"),
        clip=lambda _: None,
        observe=observe,
        dice=secrets.SystemRandom().random,
        claims=claims,
        elsewhere=others.holders(services, record, folder),
    )
    runner = Runner(tools, Settings(run_id=_RUN_ID, history_grace_s=grace_s), Purse())
    try:
        await runner.resolve()
    finally:
        await runner.close()
        claims.close()


def _uncertain(record: Checkpoint) -> list[Work]:
    return [work for work in record.unfinished() if work.status is Status.UNCERTAIN]


async def cancel(
    folder: Path,
    services: Services,
    *,
    state: Path | None = None,
    ids: Sequence[str],
    observe: Callable[[Event], None],
) -> list[str]:
    """Ask the providers to stop what was sent for these ids; what came of each. Raises UsageError as `resolve` does."""
    with owning.owned(folder), folders.open_record(folder, create=False, state=state) as record:
        record.own()
        with Log(folder, observe) as log:
            works = _named(record, ids, _sent(record), what="under way")
            said = [await _cancelled(log, record, work, folder, services) for work in works]
        tables.write(record, folder)
        return said


def _sent(record: Checkpoint) -> list[Work]:
    return [work for work in record.unfinished() if work.status is Status.SUBMITTED]


async def _cancelled(log: Log, record: Checkpoint, work: Work, folder: Path, services: Services) -> str:
    """Wish a request stopped; what came of it, in words. One that is known no more is over, and may have been paid."""
    label = ", ".join(_ids(record, work)) or f"request {work.request_id}"
    provider = services.open(
        work.provider, work.origin, record=record, scratch=folder / ".work", engine=hands.engine(services)
    )
    if provider is None:
        return f"{label}: not stopped: the key of {work.provider} is not set"
    try:
        done = await provider.cancel(work)
    finally:
        await provider.close()
    if not done.asked:
        return f"{label}: not stopped: {done.problem}"
    if not done.gone:
        return f"{label}: {work.provider} was asked to stop it; run again to see what became of it"
    message = "cancelled by hand; whether it was paid is not known"
    record.fail(work.work_id, code="cancelled", message=message, billed=None, at=clock.now())
    _tell_given_up(log, record, work)
    return f"{label}: stopped; whether it was paid is not known, so it counts as paid"


def _named(
    record: Checkpoint, ids: Sequence[str], works: Sequence[Work] | None = None, *, what: str = "uncertain"
) -> list[Work]:
    """The works of these names among those (None: the uncertain ones); all of them must be there."""
    by_name = _by_name(record, _uncertain(record) if works is None else works)
    unknown = [name for name in ids if name.casefold() not in by_name]
    if unknown:
        raise UsageError(f"not {what}: {', '.join(unknown)}; nothing was changed")
    for name in ids:
        _refuse_ambiguous(record, name, by_name[name.casefold()])
    return list({work.work_id: work for name in ids for work in by_name[name.casefold()]}.values())


def _by_name(record: Checkpoint, works: Sequence[Work]) -> dict[str, list[Work]]:
    """Each work under all that it may be called: ids, its job_key, its request id, `attempt:` and a number."""
    found: dict[str, list[Work]] = {}
    for work in works:
        names = (*_ids(record, work), work.job_key, work.request_id, _attempt_name(record, work))
        for name in {name.casefold() for name in names if name}:
            found.setdefault(name, []).append(work)
    return found


def _refuse_ambiguous(record: Checkpoint, name: str, works: Sequence[Work]) -> None:
    """Raise UsageError where a name is that of several requests: the wrong one would be paid for again."""
    if len(works) > 1:
        each = (f"{_attempt_name(record, work)} (sent at {_sent_at(record, work)})" for work in works)
        text = f"{name} is the name of {len(works)} requests: {', '.join(each)}; say which one. Nothing was changed"
        raise UsageError(text)


def _attempt_name(record: Checkpoint, work: Work) -> str | None:
    attempt = record.last_attempt(work.work_id)
    return None if attempt is None else f"attempt:{attempt.attempt_id}"


def _sent_at(record: Checkpoint, work: Work) -> str | None:
    attempt = record.last_attempt(work.work_id)
    at = work.submitted_at if attempt is None else attempt.sent_at
    return None if at is None else clock.iso(at)


def _ids(record: Checkpoint, work: Work) -> tuple[str, ...]:
    """The ids a work is for; the rows', where a record that was made anew knows of no output."""
    return tuple(delivery.id for delivery in record.deliveries_of(work.work_id)) or record.rows_of(work.job_key)


def _doubt(record: Checkpoint, work: Work) -> Doubt:
    return Doubt(
        ids=_ids(record, work),
        name=_attempt_name(record, work) or work.job_key,
        provider=work.provider,
        sent_at=_sent_at(record, work),
        request_id=work.request_id,
        reason=work.error or "",
    )
