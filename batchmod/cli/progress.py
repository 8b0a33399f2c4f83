"""What is seen while a run goes on: a bar on a terminal, plain lines at intervals elsewhere, or JSON lines."""

import json
import os
import sys
from collections.abc import Callable
from typing import IO, Any

from tqdm import tqdm

from batchmod import clock
from batchmod.app.running import as_json
from batchmod.cli.wording import usd
from batchmod.model import Event

_EVERY_S = 15.0


class Tally:
    """Done, failed, in flight and money, kept from the events."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = self.failed = self.uncertain = 0
        self.flying: set[str] = set()
        self.money = 0.0

    def add(self, event: Event) -> bool:
        """Count an event; whether something ended."""
        key = event.job_key or ""
        if event.kind in ("intended", "resolved", "polled"):
            self.flying.add(key)
        if event.kind in ("succeeded", "failed", "uncertain", "retrying"):
            self.flying.discard(key)
        ids = 1 + len(event.facts.get("also", ()))
        self.done += ids * (event.kind in ("succeeded", "copied"))
        self.failed += ids * (event.kind == "failed")
        self.uncertain += ids * (event.kind == "uncertain")
        self.money += float(event.facts.get("cost_usd") or 0.0) if event.kind == "succeeded" else 0.0
        return event.kind in ("succeeded", "failed", "copied", "uncertain")

    def words(self) -> str:
        """`2 done, 1 failed, 3 in flight, $1.20`."""
        parts = [f"{self.done} done", f"{self.failed} failed", f"{len(self.flying)} in flight"]
        parts += [f"{self.uncertain} uncertain"] if self.uncertain else []
        return ", ".join([*parts, usd(self.money)])


def bar(tally: Tally, label: str) -> Callable[[Event], None]:
    """A tqdm bar on standard error."""
    form = "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}]{postfix}"
    # A terminal that does not know its size (some recorders) says 0 by 0, and tqdm would draw nothing.
    known = os.get_terminal_size(sys.stderr.fileno()).columns > 0
    size: Any = {"dynamic_ncols": True} if known else {"ncols": 80, "nrows": 24}
    shown: Any = tqdm(total=tally.total, desc=label, bar_format=form, file=sys.stderr, **size)

    def observe(event: Event) -> None:
        tally.add(event)
        if event.kind in ("failed", "uncertain", "stopping"):
            why = event.facts.get("message") or event.facts.get("reason") or ""
            shown.write(f"{event.id or label}: {event.kind}: {why}", file=sys.stderr)
        shown.set_postfix_str(tally.words(), refresh=False)
        shown.update(min(shown.total, tally.done + tally.failed + tally.uncertain) - shown.n)
        shown.refresh()
        if event.kind == "run_ended":
            shown.close()

    return observe


def lines(tally: Tally, label: str, out: IO[str]) -> Callable[[Event], None]:
    """A line when something ends, at most one in 15 s while many do, and one for each trouble."""
    last = [clock.ticks() - _EVERY_S]

    def observe(event: Event) -> None:
        ended = tally.add(event)
        if event.kind in ("failed", "uncertain", "stopping"):
            why = event.facts.get("message") or event.facts.get("reason") or ""
            print(f"{event.id or label}: {event.kind}: {why}", file=out, flush=True)
        now = clock.ticks()
        whole = tally.done + tally.failed + tally.uncertain >= tally.total
        if (ended and (whole or now - last[0] >= _EVERY_S)) or now - last[0] >= 4 * _EVERY_S:
            last[0] = now
            print(f"{label}: {tally.done + tally.failed} of {tally.total}: {tally.words()}", file=out, flush=True)

    return observe


def json_lines(event: Event) -> None:
    """Each event as a JSON object on standard output."""
    print(json.dumps(as_json(event), ensure_ascii=False), flush=True)


def silent(event: Event) -> None:
    """Say nothing."""
