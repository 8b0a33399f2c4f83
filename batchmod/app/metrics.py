"""A command's figures as an OpenMetrics text file, for node_exporter's textfile collector.

The file is also good in the older text format, which that collector reads: what only OpenMetrics has are comments
there, and no type is used that it would refuse (`info` is one). It takes counters for untyped, since their samples are
named `_total` and their families are not. Counters go on where the file stands, so that a run is seen as an increase;
gauges are of the last run.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from batchmod import __version__, clock, files
from batchmod.model import Event, Status

Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, Labels]
"""A sample's name and its labels."""

_EVERY_S: Final = 15.0
_BUCKETS_S: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
_LINE: Final = re.compile(r"(batchmod_\w+)\{(.*)\} (\S+)")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """A metric: its name without the endings that its type adds, and whether it outlives its run."""

    name: str
    type: str
    help: str
    unit: str | None = None
    kept: bool = False
    """Whether the next run goes on with it, or shows it until it has a newer one."""


FAMILIES: Final = (
    Family(name="batchmod_run_info", type="gauge", help="1 for the run that was begun last."),
    Family(name="batchmod_run_active", type="gauge", help="1 while a run goes on, 0 after its end."),
    Family(
        name="batchmod_run_started_timestamp_seconds", type="gauge", unit="seconds", help="When the last run was begun."
    ),
    Family(
        name="batchmod_run_ended_timestamp_seconds",
        type="gauge",
        unit="seconds",
        help="When the last run ended.",
        kept=True,
    ),
    Family(
        name="batchmod_run_exit_code",
        type="gauge",
        help="What the last run ended with: 0 everything succeeded, 1 something failed or is uncertain, 2 it could not "
        "begin, 3 it stopped early, 4 the folder is in use.",
        kept=True,
    ),
    Family(
        name="batchmod_last_success_timestamp_seconds",
        type="gauge",
        unit="seconds",
        help="When a run ended with 0 the last time.",
        kept=True,
    ),
    Family(
        name="batchmod_updated_timestamp_seconds", type="gauge", unit="seconds", help="When these figures were written."
    ),
    Family(name="batchmod_jobs", type="gauge", help="Selected rows of the manifest by state."),
    Family(
        name="batchmod_reserved_usd",
        type="gauge",
        unit="usd",
        help="What is reserved for requests of the last run that are in flight or uncertain.",
    ),
    Family(
        name="batchmod_cost_usd", type="counter", unit="usd", help="What outputs cost, by all runs so far.", kept=True
    ),
    Family(
        name="batchmod_requests",
        type="counter",
        help="Requests that can create a paid job, by what came of sending them.",
        kept=True,
    ),
    Family(name="batchmod_jobs_ended", type="counter", help="Jobs that ended, by how.", kept=True),
    Family(name="batchmod_retries", type="counter", help="How often something was tried again.", kept=True),
    Family(
        name="batchmod_job_duration_seconds",
        type="histogram",
        unit="seconds",
        help="From the request to the finished output.",
        kept=True,
    ),
)

_STATES: Final = {
    "intended": Status.SUBMITTING,
    "submitted": Status.SUBMITTED,
    "polled": Status.SUBMITTED,
    "output_known": Status.SUBMITTED,
    "refused": Status.PLANNED,
    "uncertain": Status.UNCERTAIN,
    "succeeded": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "copied": Status.SUCCEEDED,
}
_PLANNED: Final = {
    "keep": Status.SUCCEEDED,
    "leave": Status.FAILED,
    "held": Status.HELD,
    "invalid": Status.INVALID,
}
_DONE: Final = ("succeeded", "failed", "copied")


@dataclass(kw_only=True, slots=True)
class _Flight:
    """A job on its way in the run that goes on."""

    state: Status = Status.PLANNED
    reserved_usd: float = 0.0
    began: float | None = None


@dataclass(kw_only=True, slots=True)
class _Run:
    """The run that goes on."""

    manifest: str
    flights: dict[str, _Flight] = field(default_factory=dict)


class Metrics:
    """Counts what events tell, and keeps the file; where it cannot be written that is said once, and stops nothing."""

    def __init__(self, path: Path, *, warn: Callable[[str], None], every_s: float = _EVERY_S) -> None:
        self._path, self._warn, self._every_s = path, warn, every_s
        self._values = read(path)
        self._run = _Run(manifest="")
        self._written = -every_s

    def expect(self, manifests: Collection[str]) -> None:
        """The command runs these: what the file has of any other is dropped."""
        self._values = {sample: value for sample, value in self._values.items() if _manifest(sample) in manifests}

    def begin(self, manifest: str, run_id: str) -> None:
        """A run begins."""
        self._run = _Run(manifest=manifest)
        outliving = {family.name for family in FAMILIES if family.kept}
        self._values = {
            sample: value
            for sample, value in self._values.items()
            if _manifest(sample) != manifest or _family_of(sample[0]) in outliving
        }
        self._set("batchmod_run_info", 1, run_id=run_id, version=__version__)
        self._set("batchmod_run_active", 1)
        self._set("batchmod_run_started_timestamp_seconds", round(clock.now(), 3))
        self._write()

    def not_begun(self, manifests: Sequence[str], run_id: str) -> None:
        """No manifest could be read: the end that follows is that of the first; all else stays as it stands."""
        if manifests:
            self.begin(manifests[0], run_id)

    def observe(self, event: Event) -> None:
        """Count an event."""
        match event.kind:
            case "planned":
                self._plan(event.facts["counts"])
            case "run_ended":
                self._end(event.facts)
            case _ if event.job_key is not None:
                self._job(event)
            case _:
                pass

    def tick(self) -> None:
        """A second went by: write when it is time."""
        if clock.ticks() - self._written >= self._every_s:
            self._write()

    def _plan(self, counts: Mapping[str, int]) -> None:
        for state in Status:
            self._set("batchmod_jobs", 0, state=state.value)
        for action, number in counts.items():
            self._add("batchmod_jobs", number, state=_PLANNED.get(action, Status.PLANNED).value)

    def _end(self, facts: Mapping[str, Any]) -> None:
        now = round(clock.now(), 3)
        for state in Status:
            if facts["counts"]:
                self._set("batchmod_jobs", facts["counts"].get(state.value, 0), state=state.value)
        self._set("batchmod_run_active", 0)
        self._set("batchmod_run_ended_timestamp_seconds", now)
        self._set("batchmod_run_exit_code", facts["exit_code"])
        if facts["exit_code"] == 0 and facts["counts"]:  # without any it was skipped: another run holds the folder
            self._set("batchmod_last_success_timestamp_seconds", now)
        self._write()

    def _job(self, event: Event) -> None:
        facts, kind = event.facts, event.kind
        provider = str(facts.get("provider") or "")
        flight = self._run.flights.setdefault(str(event.job_key), _Flight())
        self._move(event, flight)
        if kind == "intended":
            flight.began, flight.reserved_usd = clock.ticks(), float(facts.get("reserved_usd") or 0.0)
        elif kind == "submitted":
            self._add("batchmod_requests_total", 1, provider=provider, outcome="accepted")
        elif kind == "refused":
            self._add("batchmod_requests_total", 1, provider=provider, outcome=str(facts["outcome"]))
        elif kind == "uncertain":
            self._add("batchmod_requests_total", 1, provider=provider, outcome="uncertain")
        elif kind == "retrying":
            self._add("batchmod_retries_total", 1, provider=provider)
        elif kind in _DONE:
            self._ended(event, flight, provider)
        if kind in (*_DONE, "refused") or (kind == "resolved" and not facts.get("request_id")):
            self._run.flights.pop(str(event.job_key))

    def _move(self, event: Event, flight: _Flight) -> None:
        """From one state to the next, with every row that the request is for."""
        state = _STATES.get(event.kind)
        if event.kind == "resolved":
            state = Status.SUBMITTED if event.facts.get("request_id") else Status.PLANNED
        if state is None or event.id is None or state is flight.state:
            return
        rows = 1 + len(event.facts.get("also", ()))
        self._add("batchmod_jobs", -rows, state=flight.state.value)
        self._add("batchmod_jobs", rows, state=state.value)
        flight.state = state

    def _ended(self, event: Event, flight: _Flight, provider: str) -> None:
        self._add("batchmod_jobs_ended_total", 1, provider=provider, outcome=event.kind)
        cost = float(event.facts.get("cost_usd") or 0.0)
        if cost and event.kind != "copied":
            self._add("batchmod_cost_usd_total", cost, provider=provider)
        if event.kind == "succeeded" and flight.began is not None:
            self._took(clock.ticks() - flight.began, provider)

    def _took(self, seconds: float, provider: str) -> None:
        name = "batchmod_job_duration_seconds"
        for limit in _BUCKETS_S:
            self._add(f"{name}_bucket", seconds <= limit, provider=provider, le=str(limit))
        self._add(f"{name}_bucket", 1, provider=provider, le="+Inf")
        self._add(f"{name}_sum", seconds, provider=provider)
        self._add(f"{name}_count", 1, provider=provider)

    def _set(self, name: str, value: float, **labels: str) -> None:
        self._values[name, (("manifest", self._run.manifest), *labels.items())] = value

    def _add(self, name: str, value: float, **labels: str) -> None:
        sample = name, (("manifest", self._run.manifest), *labels.items())
        self._values[sample] = max(0, self._values.get(sample, 0) + value)

    def _write(self) -> None:
        self._written = clock.ticks()
        self._set("batchmod_reserved_usd", round(sum(each.reserved_usd for each in self._run.flights.values()), 6))
        for manifest in {_manifest(sample) for sample in self._values}:
            self._values["batchmod_updated_timestamp_seconds", (("manifest", manifest),)] = round(clock.now(), 3)
        try:
            files.replace_shown(self._path, text(self._values).encode("utf-8", "backslashreplace"))
        except OSError as error:
            self._warn(f"--metrics {self._path} cannot be written ({error.strerror or error}); the run goes on")
            self._warn = _silent


def _silent(text: str) -> None:
    """Say nothing."""


def _manifest(sample: Sample) -> str:
    return dict(sample[1]).get("manifest", "")


def _family_of(name: str) -> str:
    """The family that a sample belongs to."""
    names = {family.name for family in FAMILIES}
    if name in names:
        return name
    return re.sub(r"_(?:total|bucket|sum|count)$", "", name)


def text(values: Mapping[Sample, float]) -> str:
    """The samples as OpenMetrics text."""
    return "\n".join([*_lines(values), "# EOF", ""])


def _lines(values: Mapping[Sample, float]) -> Iterator[str]:
    by_family: dict[str, list[Sample]] = {}
    for sample in values:
        by_family.setdefault(_family_of(sample[0]), []).append(sample)
    for family in FAMILIES:
        if samples := by_family.get(family.name):
            yield f"# TYPE {family.name} {family.type}"
            if family.unit:
                yield f"# UNIT {family.name} {family.unit}"
            yield f"# HELP {family.name} {family.help}"
            yield from (_line(sample, values[sample]) for sample in sorted(samples, key=_without_bounds))


def _without_bounds(sample: Sample) -> tuple[list[tuple[str, str]], bool, bool, bool]:
    """A histogram's samples stand together: its buckets as they were counted, then its sum and count."""
    rest = [label for label in sample[1] if label[0] != "le"]
    return rest, not sample[0].endswith("_bucket"), ("le", "+Inf") in sample[1], sample[0].endswith("_count")


def _line(sample: Sample, value: float) -> str:
    labels = ",".join(f'{name}="{_escaped(given)}"' for name, given in sample[1])
    number = str(int(value)) if value == int(value) else repr(round(value, 6))
    return f"{sample[0]}{{{labels}}} {number}"


def _escaped(value: str) -> str:
    return "".join(_ESCAPED.get(each, each) for each in value)


def read(path: Path) -> dict[Sample, float]:
    """The samples of a file of our own; none where there is none, or one that nobody can read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    return dict(_read_lines(lines))


def _read_lines(lines: Sequence[str]) -> Iterator[tuple[Sample, float]]:
    ours = {family.name for family in FAMILIES}
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None or _family_of(found[1]) not in ours:
            continue
        labels = tuple((name, _unescaped(value)) for name, value in _LABEL.findall(found[2]))
        try:
            yield (found[1], labels), float(found[3])
        except ValueError:
            continue


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], value)
