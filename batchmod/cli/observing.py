"""Who watches a command's runs beside its progress: JSON lines on standard output, a metrics file, the log.

Each of them hears of every run that it ended, and how, whatever kept it from beginning or broke it.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from batchmod import app, clock
from batchmod.app.ending import SIGNALLED, end_facts
from batchmod.app.log import Tally
from batchmod.app.logs import EventLog, is_heard
from batchmod.app.metrics import Metrics
from batchmod.cli import logs, progress
from batchmod.cli.problems import as_json as problems_as_json
from batchmod.errors import BatchmodError, ManifestError, StoppedEarly
from batchmod.model import Event
from batchmod.urls import without_query

_BUG: Final = 70
_MOST_PROBLEMS: Final = 100


class Eyes(AbstractContextManager["Eyes"]):
    """The observers of one command, and which of its runs goes on."""

    def __init__(self, manifests: Sequence[str], *, lines: bool, metrics: Path | None) -> None:
        """`manifests`: as the command line names them; `lines`: whether standard output gets JSON."""
        self._lines = progress.JsonLines() if lines else None
        self._metrics = None if metrics is None else Metrics(metrics, warn=progress.warn)
        self._log = EventLog()
        self._given = tuple(Path(without_query(name)).stem or name for name in manifests)
        self._names: dict[str, str] = {}
        self._name: str | None = None
        self._run_id = ""
        self._told: BaseException | None = None
        self._tally, self._began = Tally(), clock.now()
        self._end: Event | None = None
        """How the run that goes on has ended: told when nothing follows any more."""

    @classmethod
    def of(cls, args: argparse.Namespace) -> "Eyes":
        """As the command line says."""
        return cls(args.manifests, lines=args.json, metrics=None if args.metrics is None else Path(args.metrics))

    def expect(self, loaded: Sequence[app.Loaded]) -> None:
        """These manifests are read, and will be run one after the other."""
        names = [item.manifest.name for item in loaded]
        self._names = {
            str(item.folder): name if names.count(name) == 1 else f"{name} ({item.folder})"
            for item, name in zip(loaded, names, strict=True)
        }
        if self._metrics is not None:
            self._metrics.expect(list(self._names.values()))

    def begin(self, loaded: app.Loaded) -> str:
        """One of them begins; the name of its run."""
        self._name, self._run_id, self._end = self._names[str(loaded.folder)], app.new_run_id(), None
        self._tally, self._began = Tally(), clock.now()
        if self._metrics is not None:
            self._metrics.begin(self._name, self._run_id)
        return self._run_id

    def watching(self, watcher: progress.Watcher) -> progress.Watcher:
        """The progress, and everybody else: nothing but the progress where there is nobody else."""
        alone = self._lines is None and self._metrics is None and not is_heard()
        return watcher if alone else _Both(watcher, self)

    def observe(self, event: Event) -> None:
        """Something happened in the run that goes on."""
        self._tally.count(event)
        if event.kind == "run_ended":
            self._end = event
        else:
            self._hand_on(event)

    def _hand_on(self, event: Event) -> None:
        if self._metrics is not None:
            self._metrics.observe(event)
        if self._lines is not None:
            self._lines.observe(event)

    def tick(self) -> None:
        """A second went by."""
        if self._metrics is not None:
            self._metrics.tick()

    def end(self, summary: app.Summary) -> None:
        """A run has ended in good order, or was not begun: the last that is told of it."""
        if self._end is not None:
            self._hand_on(self._end)
        else:
            self._tell("run_ended", **end_facts(summary), manifest=self._name)
        self._name = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """What broke the command, for machines; people read it on standard error."""
        if error is not None and error is not self._told:
            self._told = error
            self.broken(error)

    def broken(self, error: BaseException) -> None:
        """The run that went on, or else the command, ends with an error."""
        if self._name is None:
            self._tally = Tally()
        self._run_id, name = self._run_id if self._name else app.new_run_id(), self._name or ", ".join(self._given)
        code, slug, message = how_it_ends(error)
        about: dict[str, Any] = {"code": slug, "message": message, "manifest": name}
        if isinstance(error, ManifestError):
            problems = problems_as_json(error)["problems"]
            about |= {"problems": problems[:_MOST_PROBLEMS], "problem_count": len(problems)}
        if self._metrics is not None and self._name is None:
            self._metrics.not_begun(self._given, self._run_id)
        self._tell("error", **about)
        brought = asdict(self._tally) | {"spent_usd": round(self._tally.spent_usd, 6), "counts": {}, "warnings": []}
        took = round(clock.now() - self._began, 3) if self._name else 0.0
        about = {"exit_code": code, "stop_reason": slug, "message": message, **brought, "seconds": took}
        self._tell("run_ended", **about, manifest=name)

    def _tell(self, kind: str, **facts: Any) -> None:
        event = Event(kind=kind, at=clock.iso(clock.now()), run_id=self._run_id, facts=facts)
        self._log.observe(event)
        self._hand_on(event)


@contextmanager
def watched(args: argparse.Namespace) -> Iterator[Eyes]:
    """The observers that the command line names, the log among them; what breaks the block is told to each once."""
    eyes = Eyes.of(args)
    with eyes, logs.configured(args), eyes:  # within the log, and around it: its file may be what is wrong
        yield eyes


class _Both:
    """The progress of a run, and the other observers."""

    def __init__(self, watcher: progress.Watcher, eyes: Eyes) -> None:
        self._watcher, self._eyes = watcher, eyes

    def observe(self, event: Event) -> None:
        """Something happened."""
        self._watcher.observe(event)
        self._eyes.observe(event)

    def tick(self) -> None:
        """A second went by."""
        self._watcher.tick()
        self._eyes.tick()

    def close(self) -> None:
        """The run is over."""
        self._watcher.close()


def how_it_ends(error: BaseException) -> tuple[int, str, str]:
    """Exit code, short name and words of what ends a command."""
    match error:
        case ManifestError():
            count = len(error.problems)
            return error.exit_code, error.slug, f"{count:,} problem{'s' if count != 1 else ''}; nothing was sent"
        case BatchmodError():
            return error.exit_code, error.slug, str(error)
        case OSError():
            stopped = StoppedEarly.of(error)
            return stopped.exit_code, stopped.slug, str(stopped)
        case KeyboardInterrupt():
            return SIGNALLED["sigint"], "sigint", "stopped by Ctrl-C"
        case SystemExit(code=int(code)):
            slug = next((name for name, number in SIGNALLED.items() if number == code), "usage")
            return code, slug, "stopped at once" if slug in SIGNALLED else "wrong usage; standard error says what"
        case _:
            return _BUG, "bug", f"{type(error).__name__}; this is a bug in batchmod"
