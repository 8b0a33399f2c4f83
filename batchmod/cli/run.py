"""`run`: carries manifests out under the eyes of the user, with a hand on the brake."""

import argparse
import asyncio
import atexit
import gc
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from batchmod import app, clock, files
from batchmod.app.ending import SIGNALLED
from batchmod.app.options import Options
from batchmod.cli import logs, progress
from batchmod.cli.loading import Environ, load_all, options_of
from batchmod.cli.look import say_warnings
from batchmod.cli.observing import Eyes, watched
from batchmod.cli.plan import plan
from batchmod.cli.wording import counted, counts, duration, estimate, usd
from batchmod.errors import SpendingNeedsAWord, StoppedEarly
from batchmod.jobs import providers_of
from batchmod.planning import Plan

_ASKED_ABOUT = 20


def run(args: argparse.Namespace, environ: Environ) -> int:
    """Carry manifests out, one after the other; the gravest exit code wins."""
    if args.dry_run:
        return plan(args, environ)
    atexit.register(gc.freeze)  # no cycle is looked for in what the process ends with: that took a tenth of a second
    app.wish_of(None, args.deliver)  # a word that means nothing is said before anything is sent
    with watched(args) as eyes:
        loaded = load_all(args, environ)
        eyes.expect(loaded)
        codes: list[int] = []
        for item in loaded:
            codes.append(_run_one(item, args, eyes))
            if codes[-1] in SIGNALLED.values():
                break
    return max(codes, key=_gravity)


def _gravity(code: int) -> tuple[bool, bool, int]:
    """A signal before "not ended" before "something failed"."""
    return code in SIGNALLED.values(), code == StoppedEarly.exit_code, code


def _run_one(loaded: app.Loaded, args: argparse.Namespace, eyes: Eyes) -> int:
    name, run_id = loaded.manifest.name, eyes.begin(loaded)
    if not args.quiet:
        say_warnings(loaded)
    if providers_of(loaded.jobs) == {"local"} and not args.quiet and not args.json:
        rows = counted(len(loaded.chosen), "row")
        print(f"{name}: {rows} on the embedded engine, into {loaded.folder}{_and_into(loaded)}")
    watcher = eyes.watching(_watcher(loaded, args))
    with _seldom_collecting():
        summary = asyncio.run(_watched(loaded, options_of(args), watcher, run_id=run_id))
    eyes.end(summary)
    if not args.json:
        _say_summary(name, summary, quiet=args.quiet)
    return summary.exit_code


def _and_into(loaded: app.Loaded) -> str:
    return "" if loaded.store is None else f", and from there into {loaded.store}"


@contextmanager
def _seldom_collecting() -> Iterator[None]:
    """Look for cycles seldom, and never among what is there by now: there are few, and it took a twelfth of a run."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def _watched(loaded: app.Loaded, options: Options, watcher: progress.Watcher, *, run_id: str) -> app.Summary:
    """Run with a hand on the brake: a first signal drains, a second one stops at once."""
    control = app.Control()
    running = asyncio.ensure_future(
        app.run(loaded, options, observe=watcher.observe, confirm=_confirm, control=control, run_id=run_id)
    )
    ticking = asyncio.ensure_future(_tick(watcher))
    _listen(control, running)
    try:
        return await running
    except asyncio.CancelledError:
        raise SystemExit(SIGNALLED.get(control.stopped or "", SIGNALLED["sigint"])) from None
    finally:
        ticking.cancel()
        watcher.close()


def _listen(control: app.Control, running: "asyncio.Future[app.Summary]") -> None:
    """Let SIGINT and SIGTERM stop the run."""

    def stop(name: str) -> None:
        if control.stopped is not None:
            running.cancel()
            return
        words = "no new requests; writing down what is in the air. Once more to stop at once."
        print(f"\n{name.upper()}: {words}", file=sys.stderr)
        control.stop(name)

    if sys.platform != "win32":
        loop = asyncio.get_running_loop()
        for number, name in ((signal.SIGINT, "sigint"), (signal.SIGTERM, "sigterm")):
            loop.add_signal_handler(number, stop, name)


async def _tick(watcher: progress.Watcher) -> None:
    while True:
        await clock.sleep(1.0)
        watcher.tick()


def _watcher(loaded: app.Loaded, args: argparse.Namespace) -> progress.Watcher:
    if args.json or args.quiet or logs.to_stderr(args):
        return progress.Silent()
    if sys.stderr.isatty():
        return progress.Bar(loaded.manifest.name, len(loaded.chosen))
    return progress.Lines(loaded.manifest.name, len(loaded.chosen))


def _confirm(plan_: Plan, loaded: app.Loaded) -> bool:
    """Show what a paid run would send and for how much, and ask."""
    sends = plan_.paid_sends
    what = f"{loaded.manifest.name}: {counted(len(sends), 'paid request')}, estimated cost {estimate(plan_.cost)}"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise SpendingNeedsAWord(f"{what}. Say --yes, or set a cap with --max-cost-usd; nothing was sent.")
    # While it is asked, Ctrl-C must end the question; the run's own handler only sets a mark.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        print(what, file=sys.stderr)
        for item in sends[:_ASKED_ABOUT]:
            print(f"  {item.job.id}: {item.job.provider}, {item.job.mode}", file=sys.stderr)
        print("Send them? [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    finally:
        signal.signal(signal.SIGINT, before)


def _nothing(summary: app.Summary) -> str:
    """Why nothing was made."""
    return "stopped, nothing made" if summary.stop_reason else "nothing new to make"


def _tables(summary: app.Summary) -> str:
    """Where the results stand."""
    written = [files.shortest(path) for path in (summary.results, summary.workbook) if path is not None]
    if len(written) > 1:
        return f"the tables are {' and '.join(written)}"
    return f"the table is {written[0] if written else files.shortest(summary.folder / 'results.csv')}"


def _say_summary(name: str, summary: app.Summary, *, quiet: bool) -> None:
    for warning in summary.warnings:
        print(f"{name}: {warning}", file=sys.stderr)
    if summary.message:
        print(f"{name}: {summary.message}", file=sys.stderr)
    if quiet:
        return
    shown = files.shortest(summary.folder)
    made = f"{counted(summary.made, 'video')} made in {shown}/videos" if summary.made else _nothing(summary)
    made += f", {counted(summary.copied, 'copy').replace('copys', 'copies')}" if summary.copied else ""
    made += (
        f", {counted(summary.delivered, 'copy').replace('copys', 'copies')} in delivered" if summary.delivered else ""
    )
    money = f", {usd(summary.spent_usd)}" if summary.spent_usd else ""
    took = f"{duration(summary.seconds)}{money}, {counts(summary.counts)}"
    print(f"{name}: {made} ({took}); look at {shown}/report.html, {_tables(summary)}")
    if summary.store is not None:
        print(f"{name}: all of it is in {summary.store} too")
    if summary.unscored:
        print(f"{name}: scores: batchmod report {shown} ({counted(summary.unscored, 'output')} without them)")
    if summary.exit_code in (StoppedEarly.exit_code, *SIGNALLED.values()):
        print("Run the same command again to go on; nothing that was paid is paid again.")
