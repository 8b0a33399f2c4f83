"""`status`: where output folders stand, once or for as long as a run goes on there."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from batchmod import app, clock
from batchmod.app.watching import as_json
from batchmod.cli import screen
from batchmod.cli.loading import Environ, state_of
from batchmod.cli.look import folder_of
from batchmod.cli.wording import counted, counts, json_line, usd

_SHARE: Final = 10.0
"""Looking may take a tenth of the time: a long record is looked at less often."""
_OVER: Final = (app.Phase.ENDED, app.Phase.CUT_OFF)


def status(args: argparse.Namespace, environ: Environ) -> int:
    """Counts and money of each folder; with --watch again and again, until their runs have ended."""
    found = [folder_of(args, environ, at=path) for path in args.paths]
    if args.watch:
        return asyncio.run(_watch(found, args))
    for folder in found:
        _once(folder, args, alone=len(found) == 1)
    return 0


def _once(folder: Path, args: argparse.Namespace, *, alone: bool) -> None:
    standing = app.standing(folder, state=state_of(args))
    with app.Watch(folder, state=state_of(args)) as watch:
        view = watch.look()
    if args.json:
        about = {
            **as_json(view),
            "orphans": list(standing.orphans),
            "copies": standing.copies,
            "copies_lacking": standing.lacking,
        }
        print(json_line(about, sys.stdout, indent=2 if alone else None))
        return
    held = f", up to {usd(standing.reserved_usd)} in flight or uncertain" if standing.reserved_usd else ""
    print(f"{standing.folder}: {counted(standing.rows, 'row')}: {counts(standing.counts)}; "
          f"{usd(standing.spent_usd)} spent{held}.")  # fmt: skip
    print(f"  {screen.about_run(view)}")
    if standing.copies or standing.lacking:
        lacking = f", {standing.lacking:,} lacking (`batchmod deliver` makes them)" if standing.lacking else ""
        print(f"  {standing.copies:,} delivered{lacking}")
    for row_id, state, message in standing.troubles:
        print(f"  {row_id}: {state}: {message}")
    for orphan in standing.orphans:
        print(f"  {orphan}; no row shows it any more, the next run collects it")


async def _watch(found: Sequence[Path], args: argparse.Namespace) -> int:
    """Look until each run is over, or cut off for longer than a moment."""
    show = _Lines() if args.json or not sys.stdout.isatty() else _Screen()
    seen: dict[Path, str | None] = {}
    over: dict[Path, int] = dict.fromkeys(found, 0)
    with ExitStack() as stack:
        watches = [stack.enter_context(app.Watch(folder, state=state_of(args))) for folder in found]
        while True:
            began = clock.ticks()
            views = [watch.look() for watch in watches]
            for view in views:
                over[view.folder] = over[view.folder] + 1 if _is_over(view, seen) else 0
            show(views, as_lines=args.json)
            if all(over[view.folder] > (view.phase is app.Phase.CUT_OFF) for view in views):
                return 0
            await clock.sleep(max(args.interval, _SHARE * (clock.ticks() - began)))


def _is_over(view: app.View, seen: dict[Path, str | None]) -> bool:
    """Whether the run that is watched has ended: also while its process still holds the folder."""
    run = view.run
    if view.phase is app.Phase.RUNNING and run is not None:
        seen[view.folder] = run.run_id
    watched = run is not None and run.ended_at is not None and seen.get(view.folder) == run.run_id
    return view.phase in _OVER or watched


class _Screen:
    """Drawn over itself in place, in one piece, so that nothing flickers."""

    def __init__(self) -> None:
        self._drawn = 0

    def __call__(self, views: Sequence[app.View], *, as_lines: bool) -> None:
        size = os.get_terminal_size(sys.stdout.fileno())
        columns, rows = (size.columns or 80), (size.lines or 24)
        drawn = [line for view in views for line in screen.drawn(view)][: max(1, rows - 1)]
        shown = [screen.fitted(line, columns, encoding=sys.stdout.encoding) for line in drawn]
        back = f"\x1b[{self._drawn}A\r" if self._drawn else ""
        sys.stdout.write(back + "".join(f"{line}\x1b[K\n" for line in shown) + "\x1b[J")
        sys.stdout.flush()
        self._drawn = len(shown)


class _Lines:
    """A line for each look at which something has changed; an object for each look."""

    def __init__(self) -> None:
        self._said: dict[Path, Any] = {}

    def __call__(self, views: Sequence[app.View], *, as_lines: bool) -> None:
        for view in views:
            if as_lines:
                print(json_line(as_json(view), sys.stdout), flush=True)
                continue
            line = screen.line_of(view)
            if line != self._said.get(view.folder):
                print(f"{clock.time_of_day(view.at)} {line}", flush=True)
            self._said[view.folder] = line
