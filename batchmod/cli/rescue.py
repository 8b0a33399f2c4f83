"""`rescue`: shows what was found in the provider's history, what was booked, and what is to be chosen."""

import argparse
import asyncio
import json
from collections.abc import Mapping
from typing import Any

from batchmod import app, clock
from batchmod.cli.arguments import pairs
from batchmod.cli.loading import Environ, load_all, options_of
from batchmod.cli.wording import counted, usd
from batchmod.errors import UsageError
from batchmod.model import HistoryRow


def rescue(args: argparse.Namespace, environ: Environ) -> int:
    """Find, book and fetch; nothing is sent. The gravest exit code of several manifests."""
    by_hand = _by_hand(args.pair)
    loaded = load_all(args, environ)
    if by_hand and len(loaded) > 1:
        raise UsageError("--pair names rows of one manifest; give one at a time")
    done = [(item, _one(item, args, by_hand)) for item in loaded]
    if args.json:
        print(json.dumps([_as_json(item, found) for item, found in done], ensure_ascii=False, indent=2))
    else:
        for item, found in done:
            _say(item.manifest.name, found, days=args.days)
    return max(found.exit_code for _, found in done)


def _by_hand(given: list[str]) -> Mapping[str, str]:
    try:
        named = pairs(given, "--pair")
    except ValueError as error:
        raise UsageError(str(error)) from None
    if len({name.casefold() for name, _ in named}) < len(named):
        raise UsageError("--pair names one row twice")
    return dict(named)


def _one(loaded: app.Loaded, args: argparse.Namespace, by_hand: Mapping[str, str]) -> app.Rescued:
    options = options_of(args)
    return asyncio.run(app.rescue(loaded, options, by_hand=by_hand, days=args.days, observe=lambda _: None))


def _say(name: str, found: app.Rescued, *, days: float) -> None:
    for warning in found.warnings:
        print(f"{name}: {warning}")
    for pair in found.booked:
        print(f"{pair.job.id}: request {_row(pair.row)}: {found.statuses[pair.job.key]}")
    for choice in found.choices:
        print(f"{choice.job.id}: not booked, {counted(len(choice.rows), 'request')} may be its own:")
        for row in choice.rows:
            print(f"  --pair {choice.job.id}={row.request_id}  ({_when(row)})")
    if found.message:
        print(f"{name}: {found.message}")
    if not (found.booked or found.choices):
        print(f"{name}: no request of the last {days:g} days fits a row that has no output.")
    if found.others or found.unreadable:
        hidden = f", {found.unreadable:,} of unreadable inputs" if found.unreadable else ""
        print(f"{name}: the history holds {counted(found.others, 'other request')} that fit no such row{hidden}.")
    print(f"{name}: {counted(len(found.booked), 'request')} booked, {usd(found.spent_usd)}; nothing was sent.")


def _row(row: HistoryRow) -> str:
    return f"{row.request_id} ({_when(row)})"


def _when(row: HistoryRow) -> str:
    when = "time unknown" if row.at is None else clock.iso(row.at)
    return f"{when}, {row.status.lower()}"


def _as_json(loaded: app.Loaded, found: app.Rescued) -> dict[str, Any]:
    return {
        "manifest": str(loaded.path),
        "output": str(loaded.folder),
        "booked": [
            {"id": pair.job.id, "request_id": pair.row.request_id, "status": found.statuses[pair.job.key]}
            for pair in found.booked
        ],
        "choices": [
            {"id": choice.job.id, "request_ids": [row.request_id for row in choice.rows]} for choice in found.choices
        ],
        "spent_usd": round(found.spent_usd, 6),
        "others": found.others,
        "unreadable": found.unreadable,
        "warnings": list(found.warnings),
        "stop_reason": found.stop_reason,
    }
