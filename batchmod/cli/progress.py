"""What is seen while a run goes on: a bar on a terminal, plain lines at intervals elsewhere, or JSON lines."""

import os
import sys
from typing import Any, Final, Protocol

from tqdm import tqdm

from batchmod import clock
from batchmod.app.log import as_json
from batchmod.cli.wording import json_line, usd
from batchmod.model import Event

_EVERY_S: Final = 15.0
_ENDS: Final = {"succeeded": "done", "copied": "done", "failed": "failed", "uncertain": "uncertain"}
_TROUBLE: Final = (
    "failed",
    "uncertain",
    "stopping",
    "left",
    "taken_over",
    "hook_failed",
    "not_stored",
    "source_changed",
)


class Watcher(Protocol):
    """Watches a run: every event, and a tick each second."""

    def observe(self, event: Event) -> None:
        """Something happened."""
        ...

    def tick(self) -> None:
        """A second went by."""
        ...

    def close(self) -> None:
        """The run is over."""
        ...


class Tally:
    """Done, failed, in flight and money, kept from the events."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.money = 0.0
        self._before = {"done": 0, "failed": 0}
        self._ended: dict[tuple[str, str], tuple[str, int]] = {}
        self._flying: set[str] = set()
        self._part: dict[str, float] = {}

    def add(self, event: Event) -> bool:
        """Count an event; whether something ended."""
        key = event.job_key or ""
        if event.kind == "planned":
            counts = event.facts.get("counts", {})
            self._before = {"done": counts.get("keep", 0), "failed": counts.get("leave", 0)}
        if event.kind in ("intended", "resolved", "polled"):
            self._flying.add(key)
            self._ended.pop((key, ""), None)
        if event.kind == "progress" and event.facts.get("frames"):
            self._part[key] = min(1.0, event.facts["frames_done"] / event.facts["frames"])
        if event.kind not in _ENDS:
            self._flying.difference_update({key} if event.kind == "retrying" else ())
            return False
        self._flying.discard(key)
        self._part.pop(key, None)
        copy = event.id or "" if event.kind == "copied" else ""
        self._ended[key, copy] = (_ENDS[event.kind], 1 + len(event.facts.get("also", ())))
        self.money += float(event.facts.get("cost_usd") or 0.0) if event.kind == "succeeded" else 0.0
        return True

    def count(self, end: str) -> int:
        """How many rows are `done`, `failed` or `uncertain`."""
        return self._before.get(end, 0) + sum(rows for state, rows in self._ended.values() if state == end)

    @property
    def ended(self) -> int:
        """How many rows have come to an end."""
        return min(self.total, sum(self.count(end) for end in ("done", "failed", "uncertain")))

    @property
    def reached(self) -> float:
        """How many rows have come to an end, with what is done of those that are being made."""
        return min(float(self.total), self.ended + sum(self._part.values()))

    def words(self) -> str:
        """`2 done, 1 failed, 3 in flight, $1.20`."""
        parts = [f"{self.count('done')} done", f"{self.count('failed')} failed", f"{len(self._flying)} in flight"]
        parts += [f"{self.count('uncertain')} uncertain"] if self.count("uncertain") else []
        return ", ".join([*parts, usd(self.money)])


def trouble(event: Event, label: str) -> str | None:
    """An event that somebody should read now, in a line."""
    if event.kind not in _TROUBLE:
        return None
    why = event.facts.get("message") or event.facts.get("reason") or ""
    if event.kind == "stopping":
        return f"{label}: stopping ({event.facts.get('code')}): nothing more is sent"
    if event.kind == "left":
        return f"{event.id or label}: sent; collect it before {event.facts.get('collect_by') or 'it expires'}"
    return f"{event.id or label}: {event.kind}: {why}"


class Bar:
    """A tqdm bar on standard error, from the moment that the run goes ahead: before that there may be a question."""

    def __init__(self, label: str, total: int) -> None:
        self._label, self._tally = label, Tally(total)
        self._bar: Any = None

    def _drawn(self, total: int) -> Any:
        form = "{desc} {percentage:3.0f}% |{bar}| {n:.3g}/{total_fmt} [{elapsed}<{remaining}]{postfix}"
        # A terminal that does not know its size (some recorders) says 0 by 0, and tqdm would draw nothing.
        known = os.get_terminal_size(sys.stderr.fileno()).columns > 0
        size: Any = {"dynamic_ncols": True} if known else {"ncols": 80, "nrows": 24}
        return tqdm(total=total, desc=self._label, bar_format=form, file=sys.stderr, **size)

    def observe(self, event: Event) -> None:
        """Move the bar."""
        self._tally.add(event)
        line = trouble(event, self._label)
        if line:
            tqdm.write(line, file=sys.stderr)
        if event.kind == "scoring" and self._bar is not None:
            self._bar.set_postfix_str(f"scores: {event.facts['done']} of {event.facts['of']}")
            return
        if event.kind == "planned":
            self._bar = self._drawn(self._tally.total)
        if self._bar is None:
            return
        self._bar.set_postfix_str(self._tally.words(), refresh=False)
        self._bar.update(round(self._tally.reached, 2) - self._bar.n)

    def tick(self) -> None:
        """Let the time run."""
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()


class Lines:
    """Plain lines on standard error: one in 15 s, one at the end, and one for each trouble."""

    def __init__(self, label: str, total: int) -> None:
        self._label, self._tally = label, Tally(total)
        self._last = clock.ticks()
        self._said = ""

    def observe(self, event: Event) -> None:
        """Say troubles at once, everything else at its time."""
        ended = self._tally.add(event)
        line = trouble(event, self._label)
        if line:
            print(line, file=sys.stderr, flush=True)
        if ended and self._tally.ended >= self._tally.total:
            self._say()

    def tick(self) -> None:
        """Say where it stands, when it is time."""
        if clock.ticks() - self._last >= _EVERY_S:
            self._say()

    def close(self) -> None:
        """Nothing is left to say."""

    def _say(self) -> None:
        self._last = clock.ticks()
        line = f"{self._label}: {self._tally.ended} of {self._tally.total}: {self._tally.words()}"
        if line != self._said:
            print(line, file=sys.stderr, flush=True)
        self._said = line


class Counting:
    """So many of so many, as a bar on a terminal, and as a line in 15 s elsewhere."""

    def __init__(self, label: str, *, quiet: bool = False) -> None:
        self._label, self._quiet = label, quiet
        self._bar: Any = None
        self._last = clock.ticks()

    def tell(self, done: int, total: int) -> None:
        """Say where it stands."""
        if self._quiet or not total:
            return
        if sys.stderr.isatty():
            self._bar = self._bar or tqdm(total=total, desc=self._label, file=sys.stderr, dynamic_ncols=True)
            self._bar.update(done - self._bar.n)
        elif clock.ticks() - self._last >= _EVERY_S:
            self._last = clock.ticks()
            print(f"{self._label}: {done} of {total}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave it as it is."""
        if self._bar is not None:
            self._bar.close()


class JsonLines:
    """Each event as a JSON object on standard output."""

    def observe(self, event: Event) -> None:
        """Print it; where nobody reads on, the run goes on all the same."""
        try:
            print(json_line(as_json(event), sys.stdout), flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def tick(self) -> None:
        """Time is no event."""

    def close(self) -> None:
        """Nothing is held."""


def warn(text: str) -> None:
    """Say on standard error what stops nothing."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


class Silent:
    """Says nothing."""

    def observe(self, event: Event) -> None:
        """Say nothing."""

    def tick(self) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""
