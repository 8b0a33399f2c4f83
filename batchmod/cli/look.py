"""`plan`, `check`, `status`, `resolve`, `report`: what would be, what is wrong, where it stands."""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from batchmod import app
from batchmod.app.options import Options
from batchmod.app.services import Services
from batchmod.cli import progress
from batchmod.cli.loading import Environ, load_all, options_of, state_of
from batchmod.cli.problems import shown
from batchmod.cli.wording import counted, counts, estimate, table, usd
from batchmod.errors import ManifestError, Problem, UsageError
from batchmod.planning import Action, Item, Plan, public_files

_SHOWN_ROWS: Final = 200


def plan(args: argparse.Namespace, environ: Environ) -> int:
    """What run would send, keep, resume and leave, and why."""
    options = options_of(args)
    shown = [(item, app.planned(item, options)) for item in load_all(args, environ)]
    asked = {item.job.provider: loaded.services for loaded, made in shown for item in made.paid_sends}
    balances = {name: left for each, of in asked.items() for name, left in app.balances(of, [each]).items()}
    if args.json:
        print(json.dumps([_plan_json(loaded, made, balances) for loaded, made in shown], ensure_ascii=False, indent=2))
        return 0
    for loaded, made in shown:
        say_warnings(loaded)
        _say_plan(loaded, made)
    for name, balance in balances.items():
        print(f"The balance at {name} is {usd(balance)}.")
    return 0


def say_warnings(loaded: app.Loaded) -> None:
    """What is worth knowing before a run, and stops none."""
    for problem in loaded.warnings:
        print(f"warning: {problem}", file=sys.stderr)


def _say_plan(loaded: app.Loaded, made: Plan) -> None:
    rows = [("id", "action", "provider", "mode", "cost", "why")]
    rows += [
        (item.job.id, item.action.value, item.job.provider, item.job.mode, _cost(item), item.why)
        for item in made.items[:_SHOWN_ROWS]
    ]
    print(table(rows))
    if len(made.items) > _SHOWN_ROWS:
        print(f"… and {len(made.items) - _SHOWN_ROWS:,} more rows")
    parts = [f"{made.count(action):,} {action.value}" for action in Action if made.count(action)]
    parts += [f"{len(loaded.invalid):,} invalid"] if loaded.invalid else []
    cost = f"; estimated cost {estimate(made.cost)}" if made.paid_sends else "; costs nothing"
    print(f"{loaded.manifest.name}: {', '.join(parts)}{cost}. Nothing was sent.")
    for name, count in _public_files(loaded, made).items():
        facts = loaded.services.facts(name)
        kind = "public URLs" if facts.uploads_public else "URLs that may be public"
        print(f"{counted(count, 'local file')} would go to {kind} at {name} (kept: {facts.uploads_kept}).")
    if made.orphans:
        print(f"{counted(len(made.orphans), 'unfinished request')} of other rows or versions will be collected too.")


def _cost(item: Item) -> str:
    """What a row may cost; empty where it costs nothing."""
    if item.estimate is None:
        return ""
    return "unknown" if item.estimate.unpriced else usd(item.estimate.likely)


def _public_files(loaded: app.Loaded, made: Plan) -> dict[str, int]:
    return public_files(made, {job.provider: loaded.services.facts(job.provider) for job in loaded.jobs})


def _plan_json(loaded: app.Loaded, made: Plan, balances: Mapping[str, float]) -> dict[str, Any]:
    return {
        "manifest": str(loaded.path),
        "output": str(loaded.folder),
        "counts": {action.value: made.count(action) for action in Action if made.count(action)},
        "cost_usd": asdict(made.cost),
        "balances_usd": dict(balances),
        "public_files": _public_files(loaded, made),
        "warnings": [str(problem) for problem in loaded.warnings],
        "items": [
            {
                "id": item.job.id,
                "action": item.action.value,
                "why": item.why,
                "provider": item.job.provider,
                "mode": item.job.mode,
                "job_key": item.job.key,
                "cost_usd": asdict(item.estimate) if item.estimate else None,
                "same_as": item.twin_of,
            }
            for item in made.items
        ],
        "orphans": [work.request_id for work in made.orphans],
        "invalid": [{"row": row.number, "id": row.id, "why": row.why} for row in loaded.invalid],
    }


def check(args: argparse.Namespace, environ: Environ) -> int:
    """Every problem that can be found without sending anything."""
    try:
        loaded = _without_problem(args, environ)
    except ManifestError as error:
        if args.annotate:
            _annotate(error)
        raise
    if args.format != "text":
        if answer := shown(ManifestError([], notes=[note.text for item in loaded for note in item.notes]), args.format):
            print(answer)
        return 0
    if args.json:
        print(json.dumps([_checked_json(item) for item in loaded], ensure_ascii=False))
        return 0
    for item in loaded:
        say_warnings(item)
        print(f"{item.manifest.file}: {counted(len(item.jobs), 'row')}, no problems.")
    return 0


def _checked_json(loaded: app.Loaded) -> dict[str, Any]:
    warnings = [str(problem) for problem in loaded.warnings]
    return {"manifest": loaded.manifest.file, "rows": len(loaded.jobs), "problems": [], "warnings": warnings}


def _without_problem(args: argparse.Namespace, environ: Environ) -> list[app.Loaded]:
    loaded = load_all(args, environ, outputs=False)
    problems = [problem for item in loaded for problem in _flaws_as_problems(item)]
    if problems:
        lines = {file: each for item in loaded for file, each in item.lines.items()}
        raise ManifestError(problems, lines=lines, documents=[sheet for item in loaded for sheet in item.sheets])
    return loaded


def _annotate(error: ManifestError) -> None:
    written = app.annotate(error)
    for path in written:
        print(f"{path}: a copy of the sheet, with what is wrong in its last column", file=sys.stderr)
    if not written:
        print("--annotate: no problem stands in a .csv, .tsv or .xlsx that could be copied", file=sys.stderr)


def _flaws_as_problems(loaded: app.Loaded) -> list[Problem]:
    rows = {row.number: row for row in loaded.manifest.rows}
    found = []
    for number, flaw in sorted(loaded.flaws.items()):
        if number in loaded.chosen:
            place = rows[number].places.get("video_url", rows[number].place)
            found.append(Problem(place=place, message=flaw.message, slug=flaw.slug, row=number))
    return found


def folder_of(args: argparse.Namespace, environ: Environ) -> Path:
    """PATH as an output folder: itself, or the one its manifest writes to."""
    path = Path(args.path)
    if path.is_dir():
        return path
    if not path.exists():
        raise UsageError(f"{path} is not there; give a manifest or an output folder")
    return app.where(path, Options(output=args.output), environ)


def status(args: argparse.Namespace, environ: Environ) -> int:
    """Counts and money."""
    standing = app.standing(folder_of(args, environ), state=state_of(args))
    if args.json:
        about = {
            "output": str(standing.folder),
            "rows": standing.rows,
            "counts": dict(standing.counts),
            "spent_usd": round(standing.spent_usd, 6),
            "reserved_usd": round(standing.reserved_usd, 6),
            "orphans": list(standing.orphans),
        }
        print(json.dumps(about, ensure_ascii=False, indent=2))
        return 0
    held = f", up to {usd(standing.reserved_usd)} in flight or uncertain" if standing.reserved_usd else ""
    print(f"{standing.folder}: {counted(standing.rows, 'row')}: {counts(standing.counts)}; "
          f"{usd(standing.spent_usd)} spent{held}.")  # fmt: skip
    for row_id, state, message in standing.troubles:
        print(f"  {row_id}: {state}: {message}")
    for orphan in standing.orphans:
        print(f"  {orphan}; no row shows it any more, the next run collects it")
    return 0


def resolve(args: argparse.Namespace, environ: Environ) -> int:
    """List the uncertain, look them up, or do as told; 1 while any is left."""
    rebuilt = app.rebuild(folder_of(args, environ), Services(environ=environ)) if args.rebuild else None
    if args.rebuild and not args.json:
        _say_rebuilt(rebuilt)
    observe = (progress.JsonLines() if args.json else progress.Silent()).observe
    where, services, state = folder_of(args, environ), Services(environ=environ), state_of(args)
    said = (
        asyncio.run(app.cancel(where, services, state=state, ids=args.cancel, observe=observe)) if args.cancel else []
    )
    doubts = asyncio.run(
        app.resolve(
            where,
            services,
            state=state,
            ask=args.ask,
            resend=args.resend,
            give_up=args.give_up,
            grace_s=args.history_grace,
            observe=observe,
        )
    )
    if args.json:
        anew: dict[str, Any] = {"rebuilt": None if rebuilt is None else asdict(rebuilt)} if args.rebuild else {}
        anew |= {"cancelled": said} if args.cancel else {}
        print(json.dumps({**anew, "uncertain": [asdict(doubt) for doubt in doubts]}, default=str, ensure_ascii=False))
        return 1 if doubts else 0
    for line in said:
        print(line)
    for doubt in doubts:
        ids = f"{', '.join(doubt.ids)} ({doubt.name})" if doubt.ids else doubt.name
        print(f"{ids}: sent to {doubt.provider} at {doubt.sent_at or 'a time not known'}: {doubt.reason}")
    if doubts:
        print("They may have been paid. `batchmod run` looks them up again; --ask does it now. If the provider's own")
        print("pages show that one was never made, --resend ID sends it again; --give-up ID takes it for failed.")
    else:
        print("Nothing is uncertain.")
    return 1 if doubts else 0


def _say_rebuilt(rebuilt: app.Rebuilt | None) -> None:
    """What the new record holds, and what cannot be known."""
    if rebuilt is None:
        print("The record is whole and knows everything the event log tells: it was left as it is.")
        return
    kept = f"; the old one is kept as {rebuilt.kept.name}" if rebuilt.kept else ""
    print(f"{rebuilt.record} was made anew{kept}: {counts(rebuilt.counts)}.")
    if rebuilt.strangers:
        print(
            f"{counted(rebuilt.strangers, 'file')} in videos/ came from no request that is known; the names stay taken."
        )
    for note in rebuilt.notes:
        print(f"What cannot be known: {note}.")


def report(args: argparse.Namespace, environ: Environ) -> int:
    """results.csv, report.html and, where the manifest is a workbook, results.xlsx anew."""
    written = app.rewrite(folder_of(args, environ), state=state_of(args))
    for path in written:
        print(path)
    for said in app.written_aside(*written):
        print(said, file=sys.stderr)
    return 0
