"""The verbs: each takes the parsed arguments and the environment and answers an exit code."""

import argparse
import asyncio
import json
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from batchmod import app, files, providers
from batchmod.app.options import Options
from batchmod.app.running import SIGNALLED
from batchmod.app.services import Services, engine_installed
from batchmod.cli import progress
from batchmod.cli.arguments import pairs
from batchmod.cli.wording import counted, counts, duration, estimate, table, usd
from batchmod.errors import ManifestError, Problem, SpendingNeedsAWord, StoppedEarly, UsageError
from batchmod.model import Event, ProviderFacts
from batchmod.planning import Action, Plan

Environ = Mapping[str, str]

_SHOWN_ROWS: Final = 200


def options_of(args: argparse.Namespace) -> Options:
    """The command's wishes. Raises UsageError for a pair that is none."""
    try:
        columns = dict(pairs(args.column, "--column"))
        where = tuple(pairs(args.where, "--where"))
    except ValueError as error:
        raise UsageError(str(error)) from None
    return Options(
        provider=args.provider,
        output=args.output,
        columns=columns,
        extra_columns=tuple(args.extra_column),
        only=tuple(args.only),
        where=where,
        first=args.first,
        rehearse=args.rehearse,
        allow_outside=args.allow_outside,
        retry_failed=getattr(args, "retry_failed", False),
        max_in_flight=getattr(args, "max_in_flight", None),
        submits_per_minute=getattr(args, "submits_per_minute", None),
        polls_per_minute=getattr(args, "polls_per_minute", None),
        max_cost_usd=getattr(args, "max_cost_usd", None),
        history_grace_s=getattr(args, "history_grace", 600.0),
        verify=getattr(args, "verify", "decode"),
        yes=getattr(args, "yes", False),
        if_locked=getattr(args, "if_locked", None) or "refuse",
    )


def load_all(args: argparse.Namespace, environ: Environ) -> list[app.Loaded]:
    """Every manifest of the command; all problems of all of them at once."""
    services, options = Services(environ=environ), options_of(args)
    loaded: list[app.Loaded] = []
    problems: list[Problem] = []
    for name in args.manifests:
        try:
            loaded.append(app.load(Path(name), options, services))
        except ManifestError as error:
            problems += error.problems
    if problems:
        raise ManifestError(problems)
    folders = [item.folder for item in loaded]
    if len(set(folders)) < len(folders):
        raise UsageError("two of these manifests would share one output folder; run them one by one with --output")
    return loaded


# --- run ---


def run(args: argparse.Namespace, environ: Environ) -> int:
    """Carry manifests out, one after the other; the gravest exit code wins."""
    if args.dry_run:
        return plan(args, environ)
    loaded = load_all(args, environ)
    codes = [_run_one(item, args) for item in loaded]
    return max(codes, key=_gravity)


def _gravity(code: int) -> tuple[bool, bool, int]:
    """A signal before "not ended" before "something failed"."""
    return code in SIGNALLED.values(), code == StoppedEarly.exit_code, code


def _run_one(loaded: app.Loaded, args: argparse.Namespace) -> int:
    name = loaded.manifest.name
    if len(loaded.jobs) and {job.provider for job in loaded.jobs} == {"local"} and not args.quiet and not args.json:
        print(f"{name}: {counted(len(loaded.chosen), 'row')} on the embedded engine, into {loaded.folder}")
    summary = asyncio.run(_with_signals(loaded, options_of(args), _observer(loaded, args)))
    if not args.json:
        _say_summary(name, summary, quiet=args.quiet)
    return summary.exit_code


async def _with_signals(loaded: app.Loaded, options: Options, observe: Callable[[Event], None]) -> app.Summary:
    """Run with a hand on the brake: a first signal drains, a second one stops at once."""
    control = app.Control()
    running = asyncio.ensure_future(app.run(loaded, options, observe=observe, confirm=_confirm, control=control))
    loop = asyncio.get_running_loop()

    def stop(name: str) -> None:
        if control.stopped is not None:
            running.cancel()
            return
        print(f"\n{name.upper()}: no new requests; writing down what is in the air. Once more to stop at once.",
              file=sys.stderr)  # fmt: skip
        control.stop(name)

    if sys.platform != "win32":
        for number, name in ((signal.SIGINT, "sigint"), (signal.SIGTERM, "sigterm")):
            loop.add_signal_handler(number, stop, name)
    try:
        return await running
    except asyncio.CancelledError:
        raise SystemExit(143 if control.stopped == "sigterm" else 130) from None


def _observer(loaded: app.Loaded, args: argparse.Namespace) -> Callable[[Event], None]:
    if args.json:
        return progress.json_lines
    if args.quiet:
        return progress.silent
    tally = progress.Tally(len(loaded.chosen))
    if sys.stderr.isatty():
        return progress.bar(tally, loaded.manifest.name)
    return progress.lines(tally, loaded.manifest.name, sys.stderr)


def _confirm(plan_: Plan, loaded: app.Loaded) -> bool:
    """Show what a paid run would send and for how much, and ask."""
    sends = plan_.paid_sends
    what = f"{loaded.manifest.name}: {counted(len(sends), 'paid request')}, {estimate(plan_.cost)}"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise SpendingNeedsAWord(f"{what}. Say --yes, or set a cap with --max-cost-usd; nothing was sent.")
    print(what, file=sys.stderr)
    for item in sends[:20]:
        print(f"  {item.job.id}: {item.job.provider}, {item.job.mode}", file=sys.stderr)
    print("Send them? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _say_summary(name: str, summary: app.Summary, *, quiet: bool) -> None:
    for warning in summary.warnings:
        print(f"{name}: {warning}", file=sys.stderr)
    if summary.message:
        print(f"{name}: {summary.message}", file=sys.stderr)
    if quiet:
        return
    made = f"{counted(summary.made, 'video')} made" if summary.made else "nothing new to make"
    made += f", {counted(summary.copied, 'copy').replace('copys', 'copies')}" if summary.copied else ""
    money = f", {usd(summary.spent_usd)}" if summary.spent_usd else ""
    print(f"{name}: {made} in {duration(summary.seconds)}{money}: {counts(summary.counts)}.")
    shown = files.shortest(summary.folder)
    print(f"Look at {shown}/report.html; the videos are in {shown}/videos, the table is {shown}/results.csv.")
    if summary.exit_code in (StoppedEarly.exit_code, *SIGNALLED.values()):
        print("Run the same command again to go on; nothing that was paid is paid again.")


# --- plan, check ---


def plan(args: argparse.Namespace, environ: Environ) -> int:
    """What run would send, keep, resume and leave, and why."""
    options = options_of(args)
    shown = [(item, app.planned(item, options)) for item in load_all(args, environ)]
    if args.json:
        print(json.dumps([_plan_json(loaded, made) for loaded, made in shown], ensure_ascii=False, indent=2))
        return 0
    for loaded, made in shown:
        _say_plan(loaded, made)
    return 0


def _say_plan(loaded: app.Loaded, made: Plan) -> None:
    rows = [("id", "action", "provider", "mode", "cost", "why")]
    for item in made.items[:_SHOWN_ROWS]:
        cost = usd(item.estimate.likely) if item.estimate else ""
        rows.append((item.job.id, item.action.value, item.job.provider, item.job.mode, cost, item.why))
    print(table(rows))
    if len(made.items) > _SHOWN_ROWS:
        print(f"… and {len(made.items) - _SHOWN_ROWS:,} more rows")
    parts = [f"{made.count(action):,} {action.value}" for action in Action if made.count(action)]
    cost = f"; estimated cost {estimate(made.cost)}" if made.paid_sends else "; costs nothing"
    print(f"{loaded.manifest.name}: {', '.join(parts)}{cost}. Nothing was sent.")
    if made.orphans:
        print(f"{counted(len(made.orphans), 'unfinished request')} of earlier rows will be collected too.")


def _plan_json(loaded: app.Loaded, made: Plan) -> dict[str, Any]:
    return {
        "manifest": str(loaded.path),
        "output": str(loaded.folder),
        "counts": {action.value: made.count(action) for action in Action if made.count(action)},
        "cost_usd": asdict(made.cost),
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
    }


def check(args: argparse.Namespace, environ: Environ) -> int:
    """Every problem that can be found without sending anything."""
    loaded = load_all(args, environ)
    problems = [problem for item in loaded for problem in _flaws_as_problems(item)]
    if problems:
        raise ManifestError(problems)
    if args.json:
        print(json.dumps([{"manifest": str(item.path), "rows": len(item.jobs), "problems": []} for item in loaded]))
        return 0
    for item in loaded:
        print(f"{item.path}: {counted(len(item.jobs), 'row')}, no problems.")
    return 0


def _flaws_as_problems(loaded: app.Loaded) -> list[Problem]:
    rows = {row.number: row for row in loaded.manifest.rows}
    found = []
    for number, flaw in sorted(loaded.flaws.items()):
        if number in loaded.chosen:
            place = rows[number].places.get("video_url", rows[number].place)
            found.append(Problem(place=place, message=flaw.message, slug=flaw.slug, row=number))
    return found


# --- status, report ---


def folder_of(args: argparse.Namespace) -> Path:
    """PATH as an output folder: itself, or the one its manifest writes to."""
    path = Path(args.path)
    if path.is_dir():
        return path
    if not path.exists():
        raise UsageError(f"{path} is not there; give a manifest or an output folder")
    return app.where(path, Options(output=args.output))


def status(args: argparse.Namespace, environ: Environ) -> int:
    """Counts and money."""
    standing = app.standing(folder_of(args))
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
        print(f"  {orphan}; no row names it any more, the next run collects it")
    return 0


def resolve(args: argparse.Namespace, environ: Environ) -> int:
    """List the uncertain, look them up, or do as told; 1 while any is left."""
    doubts = asyncio.run(
        app.resolve(
            folder_of(args),
            Services(environ=environ),
            ask=args.ask,
            resend=args.resend,
            give_up=args.give_up,
            grace_s=args.history_grace,
            observe=progress.json_lines if args.json else progress.silent,
        )
    )
    if args.json:
        print(json.dumps({"uncertain": [asdict(doubt) for doubt in doubts]}, ensure_ascii=False))
        return 1 if doubts else 0
    for doubt in doubts:
        print(f"{', '.join(doubt.ids)}: sent to {doubt.provider} at {doubt.sent_at}: {doubt.reason}")
    if doubts:
        print("They may have been paid. `batchmod run` looks them up again; --ask does it now. If the provider's own")
        print("pages show that one was never made, --resend ID sends it again; --give-up ID takes it for failed.")
    else:
        print("Nothing is uncertain.")
    return 1 if doubts else 0


def report(args: argparse.Namespace, environ: Environ) -> int:
    """results.csv and report.html anew."""
    for written in app.rewrite(folder_of(args)):
        print(written)
    return 0


# --- providers, schema, demo ---


def list_providers(args: argparse.Namespace, environ: Environ) -> int:
    """The providers as data."""
    services = Services(environ=environ)
    known = [services.facts(name) for name in providers.NAMES]
    if args.json:
        print(json.dumps([_provider_json(facts, services) for facts in known], ensure_ascii=False, indent=2))
        return 0
    for facts in known:
        print(table(_provider_rows(facts, services)))
        print()
    return 0


def _provider_rows(facts: ProviderFacts, services: Services) -> list[tuple[str, str]]:
    rows = [(facts.name, facts.title)]
    if facts.hosted:
        rows.append(("  key", f"{facts.key_env} ({'set' if services.key(facts.name) else 'not set'})"))
        rows += [
            (f"  {role} URL", f"{variable}, default {default}") for role, (variable, default) in facts.base_urls.items()
        ]
        rows.append(("  limits", _limits_words(facts)))
        rows.append(("  price", facts.price.note if facts.price else "not published"))
        rows.append(("  output lives", facts.output_lives))
        rows.append(("  history", "yes" if facts.history else "no"))
    else:
        rows.append(("  installed", "yes" if engine_installed() else "no: pip install 'batchmod[local]'"))
        rows.append(("  price", "free"))
    rows += [("  cancel", facts.cancel), ("  privacy", facts.privacy), ("  contract", facts.contract)]
    return [*rows, ("  last run live", facts.last_run_live)]


def _limits_words(facts: ProviderFacts) -> str:
    length = f"clips under {facts.max_clip_s:g} s" if facts.max_clip_s else "any length"
    size = f"{facts.max_clip_bytes / 1e6:.0f} MB" if facts.max_clip_bytes else "any size"
    pace = f"{facts.submits_per_minute:g} submits a minute" if facts.submits_per_minute else "no published pace"
    return f"{length}, at most {size}, {pace}"


def _provider_json(facts: ProviderFacts, services: Services) -> dict[str, Any]:
    return {
        "name": facts.name,
        "title": facts.title,
        "hosted": facts.hosted,
        "key_env": facts.key_env,
        "key_set": services.key(facts.name) is not None,
        "base_urls": {role: {"env": env, "default": url} for role, (env, url) in facts.base_urls.items()},
        "max_clip_s": facts.max_clip_s,
        "max_clip_bytes": facts.max_clip_bytes,
        "submits_per_minute": facts.submits_per_minute,
        "price": asdict(facts.price) if facts.price else None,
        "upload": facts.uploads,
        "history": facts.history,
        "cancel": facts.cancel,
        "output_lives": facts.output_lives,
        "privacy": facts.privacy,
        "contract": facts.contract,
        "last_run_live": facts.last_run_live,
    }


def schema(args: argparse.Namespace, environ: Environ) -> int:
    """Print a schema."""
    print(files.packaged("schemas", f"{args.name}.schema.json").read_text(encoding="utf-8"), end="")
    return 0


def demo(args: argparse.Namespace, environ: Environ) -> int:
    """Copy the example beside its clip, and run it on the embedded engine."""
    folder = Path(args.folder)
    source = files.packaged("manifests", "demo.yaml").parent
    (folder / "manifests").mkdir(parents=True, exist_ok=True)
    for item in ("demo.yaml", "demo"):
        target = folder / "manifests" / item
        if target.exists():
            continue
        if (source / item).is_dir():
            shutil.copytree(source / item, target)
        else:
            shutil.copyfile(source / item, target)
    argv = ["run", str(folder / "manifests" / "demo.yaml"), *(["--quiet"] if args.quiet else [])]
    from batchmod.cli.arguments import parser

    return run(parser().parse_args(argv), environ)


COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace, Environ], int]]] = {
    "run": run,
    "plan": plan,
    "check": check,
    "status": status,
    "resolve": resolve,
    "report": report,
    "providers": list_providers,
    "schema": schema,
    "demo": demo,
}
