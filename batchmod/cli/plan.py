"""`plan`: what run would send, keep, resume and leave, why, for how much and for how long."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, Final

from batchmod import app, files
from batchmod.changes import Change, Changes, Difference
from batchmod.cli.loading import Environ, load_all, options_of
from batchmod.cli.look import say_warnings
from batchmod.cli.wording import counted, duration, estimate, table, usd
from batchmod.forecast import Cap, Reused, Share, Span
from batchmod.model import Estimate
from batchmod.planning import Action, Item, Plan

_SHOWN_ROWS: Final = 200
_SHOWN_CHANGES: Final = 20
_SHOWN_TWINS: Final = 5
_LONGEST: Final = 60
_DECIMALS: Final = 6
_ALWAYS: Final = (Action.SEND, Action.KEEP, Action.RESUME, Action.ASK, Action.FAIL)

Balances = Mapping[str, float]


def plan(args: argparse.Namespace, environ: Environ) -> int:
    """What run would do with each row, and what that costs; nothing is sent."""
    options = options_of(args)
    loaded = load_all(args, environ)
    outlooks = [app.foresee(item, options) for item in loaded]
    balances = _balances(loaded, outlooks)
    if args.json:
        print(json.dumps([as_json(outlook, balances) for outlook in outlooks], ensure_ascii=False, indent=2))
        return 0
    for item, outlook in zip(loaded, outlooks, strict=True):
        say_warnings(item)
        if outlook.elsewhere is not None:
            print(f"{item.manifest.file}: {outlook.elsewhere}", file=sys.stderr)
        for line in _lines(item, outlook, balances):
            print(line)
        for objection in outlook.objections:
            print(f"run would end with {objection.exit_code}: {objection} [{objection.slug}]", file=sys.stderr)
    return 0


def _balances(loaded: Sequence[app.Loaded], outlooks: Sequence[app.Outlook]) -> Balances:
    """What is left on the accounts that would be charged."""
    asked = {
        share.provider: each.services
        for each, outlook in zip(loaded, outlooks, strict=True)
        for share in outlook.shares
        if share.requests and each.services.facts(share.provider).hosted
    }
    return {name: left for each, of in asked.items() for name, left in app.balances(of, [each]).items()}


def _lines(loaded: app.Loaded, outlook: app.Outlook, balances: Balances) -> Iterator[str]:
    yield from _row_lines(outlook)
    yield from _change_lines(outlook.changes)
    if outlook.shares:
        yield table(_share_rows(outlook))
    parts = [f"{number:,} {action.value}" for action, number in outlook.counts.items()]
    cost = f"; estimated cost {estimate(outlook.cost)}" if outlook.plan.paid_sends else "; costs nothing"
    yield f"{outlook.name}: {', '.join(parts) or 'no rows'}{cost}. Nothing was sent."
    yield from map(_time_words, (share for share in outlook.shares if share.each_s is not None))
    yield from _same_lines(outlook.plan)
    yield from _money_lines(outlook, balances)
    yield from _further_lines(loaded, outlook)


def _money_lines(outlook: app.Outlook, balances: Balances) -> Iterator[str]:
    for each in outlook.reused:
        folder = files.shortest(Path(each.folder))
        yield f"{counted(each.rows, 'row')} already paid ({usd(each.paid_usd)}), reused from {folder}."
    yield from (_cap_words(cap, sends=bool(outlook.plan.paid_sends)) for cap in outlook.caps)
    for name in (share.provider for share in outlook.shares):
        if name in balances:
            yield f"The balance at {name} is {usd(balances[name])}."
    if outlook.needs_a_word:
        yield "run asks before it pays; where nobody can be asked it needs --yes or a cap (--max-cost-usd)."


def _further_lines(loaded: app.Loaded, outlook: app.Outlook) -> Iterator[str]:
    for name, count in outlook.public_files.items():
        facts = loaded.services.facts(name)
        kind = "public URLs" if facts.uploads_public else "URLs that may be public"
        yield f"{counted(count, 'local file')} would go to {kind} at {name} (kept: {facts.uploads_kept})."
    anew = sum(rows for item, rows in outlook.plan.counted() if _sends_prepared(item))
    if anew:
        yield f"{counted(anew, 'row')} would send a clip that `check --fix` wrote anew."
    if outlook.orphans:
        yield f"{counted(len(outlook.orphans), 'unfinished request')} of other rows or versions will be collected too."


def _sends_prepared(item: Item) -> bool:
    return item.action is Action.SEND and app.is_prepared(item.job.video)


def _row_lines(outlook: app.Outlook) -> Iterator[str]:
    """Each row; of a long manifest those that are not simply kept."""
    whole = len(outlook.items)
    few = whole <= _SHOWN_ROWS
    count = whole if few else whole - outlook.plan.count(Action.KEEP)
    if not count:
        return
    changed = _changed(outlook.changes)
    shown = (item for item in outlook.items if few or item.action is not Action.KEEP)
    rows = [("id", "action", "provider", "mode", "cost", "why")]
    rows += [
        (item.job.id, item.action.value, item.job.provider, item.job.mode, _cost(item), why_words(item, changed))
        for item in islice(shown, _SHOWN_ROWS)
    ]
    yield table(rows)
    if count > _SHOWN_ROWS:
        yield f"… and {count - _SHOWN_ROWS:,} more rows"
    yield ""


def _changed(changes: Changes | None) -> dict[str, Change]:
    return {change.id: change for change in changes.changed} if changes else {}


def why_words(item: Item, changed: Mapping[str, Change]) -> str:
    """Why a row gets its action; of one that is new because it was edited, by which field."""
    change = changed.get(item.job.id)
    if item.why != "new" or change is None or change.same_request:
        return item.why
    return f"changed: {', '.join(each.field for each in change.fields)}"


def _cost(item: Item) -> str:
    """What a row may cost; empty where it costs nothing."""
    return "" if item.estimate is None else _short(item.estimate)


def _short(cost: Estimate) -> str:
    return "unknown" if cost.unpriced else usd(cost.likely)


def _share_rows(outlook: app.Outlook) -> list[tuple[str, ...]]:
    """Counts, money and time by provider; all of them together below, where there are several."""
    whole = outlook.counts
    shown = [action for action in Action if action in _ALWAYS or action in whole]
    shown.sort(key=lambda action: _ALWAYS.index(action) if action in _ALWAYS else len(_ALWAYS))
    rows = [("provider", *(action.value for action in shown), "cost", "time")]
    rows += [_share_row(share, shown) for share in outlook.shares]
    if len(outlook.shares) > 1 or outlook.invalid:
        numbers = (f"{whole.get(action, 0):,}" for action in shown)
        rows.append(("together", *numbers, _short(outlook.cost), span_words(outlook.seconds)))
    return rows


def _share_row(share: Share, shown: Sequence[Action]) -> tuple[str, ...]:
    numbers = (f"{share.counts.get(action, 0):,}" for action in shown)
    return (share.provider, *numbers, _short(share.cost), span_words(share.seconds))


def span_words(span: Span) -> str:
    """`5 min 12 s`, or how long it takes at least."""
    if span.all is None:
        return f"over {duration(span.sending)}" if span.sending else "unknown"
    return duration(span.all) if span.all else "none"


def _time_words(share: Share) -> str:
    """How long it takes to wait for a provider, and what that is made of."""
    pace = (
        "" if share.per_minute is None else f"{counted(share.requests, 'request')} at {share.per_minute:g} a minute, "
    )
    made_of = f"{pace}{share.side_by_side} side by side, about {duration(share.each_s or 0.0)} each"
    last = f"; the last one leaves after {duration(share.seconds.sending)}" if share.seconds.sending else ""
    return f"{share.provider}: about {span_words(share.seconds)} at the current limits ({made_of}{last})."


def _same_lines(plan: Plan) -> Iterator[str]:
    """Rows that are one request: paid once, delivered to each."""
    twins: dict[str, list[str]] = {}
    for item, _ in plan.counted():
        if item.action is Action.COPY and item.twin_of is not None:
            twins.setdefault(item.twin_of, []).append(item.job.id)
    sent = {item.job.id for item, _ in plan.counted() if item.action is Action.SEND and item.job.id in twins}
    twins = {first: others for first, others in twins.items() if first in sent}
    for first, others in list(twins.items())[:_SHOWN_CHANGES]:
        names = ", ".join([first, *others[:_SHOWN_TWINS]]) + (", …" if len(others) > _SHOWN_TWINS else "")
        copies = "1 copy" if len(others) == 1 else f"{len(others):,} copies"
        yield f"{names} are the same request: 1 is made, {copies}; `variants: {len(others) + 1}` makes each its own."


def _cap_words(cap: Cap, *, sends: bool) -> str:
    if not sends:
        return f"{cap.name} is {usd(cap.usd)}: {usd(cap.committed_usd)} of it is committed."
    left = f"{usd(cap.committed_usd)} of it is committed; " if cap.committed_usd else ""
    return f"{cap.name} is {usd(cap.usd)}: {left}it lets {counted(cap.requests, 'new request')} through for certain."


def _change_lines(changes: Changes | None) -> Iterator[str]:
    """What is not as the last run saw it: first what makes another request, and so costs."""
    if changes is None:
        return
    folder = files.shortest(Path(changes.folder))
    dear = [change for change in changes.changed if not change.same_request]
    cheap = [change for change in changes.changed if change.same_request]
    if not (dear or cheap or changes.new or changes.gone):
        yield f"Nothing has changed since the last run into {folder}."
        yield ""
        return
    numbers = {"changed": len(dear), "changed where nothing is paid for": len(cheap)}
    numbers |= {"new": len(changes.new), "gone": len(changes.gone)}
    words = ", ".join(f"{number:,} {name}" for name, number in numbers.items() if number)
    yield f"Since the last run into {folder}: {words}."
    for change in [*dear, *cheap][:_SHOWN_CHANGES]:
        yield f"  {change.id}: {'; '.join(map(difference, change.fields))}"
    if (more := len(dear) + len(cheap) - _SHOWN_CHANGES) > 0:
        yield f"  … and {more:,} more; --json has all of them"
    for name, ids in (("new", changes.new), ("gone", changes.gone)):
        if ids:
            yield f"  {name}: {', '.join(ids[:_SHOWN_CHANGES])}{', …' if len(ids) > _SHOWN_CHANGES else ''}"
    yield ""


def difference(each: Difference) -> str:
    """`prompt 'as wool' → 'as clay'`, `video_url (another content)`."""
    if each.note is not None:
        return f"{each.field} ({each.note})"
    return f"{each.field} {_quoted(each.before)} → {_quoted(each.after)}"


def _quoted(text: str | None) -> str:
    if text is None:
        return "(none)"
    line = " ".join(text.split())
    return f"'{line if len(line) <= _LONGEST else line[: _LONGEST - 1] + '…'}'"


def as_json(outlook: app.Outlook, balances: Balances) -> dict[str, Any]:
    """A plan as docs/plan.md says."""
    changed = _changed(outlook.changes)
    return {
        "manifest": str(outlook.manifest),
        "output": str(outlook.folder),
        "counts": {action.value: number for action, number in outlook.counts.items()},
        "cost_usd": _money(outlook.cost),
        "seconds": asdict(outlook.seconds),
        "providers": [_share_json(share, balances) for share in outlook.shares],
        "balances_usd": dict(balances),
        "caps": [_money(cap) for cap in outlook.caps],
        "reused": [_money(each) for each in outlook.reused],
        "public_files": dict(outlook.public_files),
        "needs_a_word": outlook.needs_a_word,
        "objections": [{"slug": each.slug, "message": str(each)} for each in outlook.objections],
        "warnings": [str(problem) for problem in outlook.warnings],
        "changes": None if outlook.changes is None else asdict(outlook.changes),
        "items": [item_json(item, changed) for item in outlook.items],
        "orphans": [work.request_id for work in outlook.orphans],
        "invalid": [{"row": row.number, "id": row.id, "why": row.why} for row in outlook.invalid],
    }


def _money(amounts: Estimate | Cap | Reused) -> dict[str, Any]:
    """Amounts without what adding up binary fractions leaves at their ends: the same sum reads the same everywhere."""
    return {
        name: round(value, _DECIMALS) if isinstance(value, float) else value for name, value in asdict(amounts).items()
    }


def _share_json(share: Share, balances: Balances) -> dict[str, Any]:
    return {
        "provider": share.provider,
        "counts": {action.value: number for action, number in share.counts.items()},
        "requests": share.requests,
        "cost_usd": _money(share.cost),
        "seconds": asdict(share.seconds),
        "seconds_each": share.each_s,
        "per_minute": share.per_minute,
        "side_by_side": share.side_by_side,
        "balance_usd": balances.get(share.provider),
    }


def item_json(item: Item, changed: Mapping[str, Change]) -> dict[str, Any]:
    """One row's line of a plan."""
    return {
        "id": item.job.id,
        "row": item.job.number,
        "action": item.action.value,
        "why": why_words(item, changed),
        "provider": item.job.provider,
        "mode": item.job.mode,
        "job_key": item.job.key,
        "cost_usd": _money(item.estimate) if item.estimate else None,
        "same_as": item.twin_of,
    }
