"""The library: `load_manifest`, `plan`, `run`, `run_sync`, and the types they answer with.

Nothing here prints, exits, or touches a signal handler; what goes wrong is raised as the errors of `errors`.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, Unpack
from weakref import WeakKeyDictionary

from batchmod import app, executors
from batchmod.app import Outlook, Summary
from batchmod.app.loading import Invalid, limits_of
from batchmod.app.options import Options
from batchmod.app.services import Services
from batchmod.errors import Problem, SpendingNeedsAWord, StoppedEarly, UsageError
from batchmod.model import DELIMITERS, Event, Row
from batchmod.planning import Plan
from batchmod.runner import Gates

Texts = str | Sequence[str]
"""One text, or several."""


class ReadingWishes(TypedDict, total=False):
    """How a manifest is read: the options of `batchmod check`."""

    provider: str | None
    output: str | Path | None
    state: str | Path | None
    columns: Mapping[str, str]
    extra_columns: Texts
    encoding: str | None
    delimiter: str | None
    sheet: str | None
    visible_only: bool
    input_format: Literal["yaml", "csv", "tsv", "xlsx", "jsonl"] | None
    only: Texts
    where: Mapping[str, str]
    first: int | None
    rehearse: bool
    pair_frames: bool
    allow_outside: bool
    allow_hooks: bool
    key_env: Texts
    skip_invalid: bool


class PlanWishes(TypedDict, total=False):
    """What is to be done: the options of `batchmod plan`."""

    add: bool
    retry_failed: bool
    pay_again: Texts
    reuse: bool
    max_in_flight: int | None
    submits_per_minute: float | None
    polls_per_minute: float | None
    max_cost_usd: float | None
    price_usd: float | None


class RunWishes(PlanWishes, total=False):
    """How it is done: the options of `batchmod run`."""

    yes: bool
    until: datetime | float | None
    no_wait: bool
    accept_expiry: bool
    history_grace_s: float
    drain_s: float
    verify: Literal["decode", "container"]
    deliver: Texts
    scores: bool
    wait_scores: bool
    score_remote: bool
    take_copy: bool
    if_locked: Literal["refuse", "wait", "skip"]
    executor: Literal["process", "ray"]
    ray_address: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedManifest:
    """A manifest that was read and checked: its rows are good, and where its outputs go is known."""

    path: Path
    name: str
    folder: Path
    """The output folder."""
    rows: Sequence[Row]
    """Every good row, with its defaults filled in."""
    chosen: Collection[int]
    """The numbers of the rows that `only`, `where` and `first` have left."""
    warnings: tuple[Problem, ...]
    problems: tuple[Problem, ...]
    """With `skip_invalid`: what is wrong with the rows that are left out."""
    invalid: tuple[Invalid, ...]
    """Those rows."""
    notes: tuple[str, ...]
    """How its sheets were read."""
    _loaded: app.Loaded = field(repr=False)
    _options: Options = field(repr=False)


Manifest = LoadedManifest | Path | str
"""What was loaded, or the name of what is to be loaded as `load_manifest` does without further wishes."""


def load_manifest(
    name: Path | str, *, environ: Mapping[str, str] | None = None, **wishes: Unpack[ReadingWishes]
) -> LoadedManifest:
    """Read and check a manifest, and look at the files that it names; nothing is sent.

    `name`: a path, `-` for standard input, or the https:// address of a published sheet; `environ`: where keys and
    base URLs are, this process's environment where nothing is said.
    Raises ManifestError with every problem, UsageError for a wish that cannot be.
    """
    options = _with(Options(), wishes, ReadingWishes.__annotations__)
    services = Services(environ=executors.environment() if environ is None else dict(environ))
    with _typed():
        loaded = app.load(name, options, services)
    if loaded.homeless:
        raise UsageError(f"{loaded.manifest.file} has no folder of its own: say output=…")
    return LoadedManifest(
        path=loaded.path,
        name=loaded.manifest.name,
        folder=loaded.folder,
        rows=loaded.manifest.rows,
        chosen=loaded.chosen,
        warnings=loaded.warnings,
        problems=loaded.problems,
        invalid=loaded.invalid,
        notes=tuple(note.text for note in loaded.notes),
        _loaded=loaded,
        _options=options,
    )


def plan(manifest: Manifest, **wishes: Unpack[PlanWishes]) -> Outlook:
    """What `run` would do now, with the same wishes: it needs no key, takes no lock, and asks nobody.

    Raises RecordRefused and OtherManifest where `run` would.
    """
    loaded, options = _ready(_read(manifest), wishes, PlanWishes.__annotations__)
    with _typed():
        return app.foresee(loaded, options)


async def run(
    manifest: Manifest, *, observe: Callable[[Event], None] | None = None, **wishes: Unpack[RunWishes]
) -> Summary:
    """Carry a manifest out; the same call again goes on where it stopped, and pays for nothing twice.

    Rows that fail and a stop that leaves rows over are in the summary. What keeps a run from beginning, or breaks it,
    is raised: SpendingNeedsAWord where something would be paid and there is neither `yes` nor a cap, MissingKey,
    FolderInUse, RecordRefused, StoppedEarly.

    A task that is cancelled sends nothing new, writes down what is in the air, for `drain_s` seconds at most, and is
    cancelled then; cancelled once more it stops at once. `observe` hears each event; what it raises ends the run in
    the same way, and comes out of here.
    """
    if not isinstance(manifest, LoadedManifest):
        manifest = await asyncio.to_thread(load_manifest, manifest)
    loaded, options = _ready(manifest, wishes, RunWishes.__annotations__)
    loaded = replace(loaded, services=replace(loaded.services, gates=_gates_of_this_loop()))
    control = app.Control()
    watch = _Watch(observe, control)
    running = asyncio.ensure_future(app.run(loaded, options, observe=watch, confirm=_refuse, control=control))
    with _typed():
        summary = await _drained(running, control)
    if watch.raised is not None:
        watch.raised.add_note(f"raised by `observe`; the run into {loaded.folder} was stopped, and can be gone on with")
        raise watch.raised
    return summary


def run_sync(
    manifest: Manifest, *, observe: Callable[[Event], None] | None = None, **wishes: Unpack[RunWishes]
) -> Summary:
    """`run` for who has no event loop, or sits in one that may be blocked, as in a notebook.

    It runs in a thread of its own, and so does `observe`. Ctrl-C drains the run, and is raised then.
    """
    made: Future[Summary] = Future()
    begun: Future[Callable[[], object]] = Future()

    async def carried() -> Summary:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        begun.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
        return await run(manifest, observe=observe, **wishes)

    def work() -> None:
        try:
            made.set_result(asyncio.run(carried()))
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            made.set_exception(error)

    threading.Thread(target=contextvars.copy_context().run, args=(work,), name="batchmod", daemon=True).start()
    return _waited_for(made, begun)


_WAYS: Final = ("encoding", "delimiter", "sheet", "visible_only")
_LISTS: Final = ("extra_columns", "only", "key_env", "pay_again", "deliver")
_LEAST: Final[Mapping[str, float]] = {
    "first": 1,
    "max_in_flight": 1,
    "max_cost_usd": 0,
    "price_usd": 0,
    "history_grace_s": 0,
    "drain_s": 0,
}
_MORE_THAN_NOTHING: Final = ("submits_per_minute", "polls_per_minute")
_COUNTS: Final = ("first", "max_in_flight")
_PAIRS: Final = ("columns", "where")
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "input_format": ("yaml", "csv", "tsv", "xlsx", "jsonl"),
    "verify": ("decode", "container"),
    "if_locked": ("refuse", "wait", "skip"),
    "executor": ("process", "ray"),
}


def _with(options: Options, wishes: Mapping[str, Any], known: Mapping[str, object]) -> Options:
    """The options with these wishes. Raises TypeError for a name that is none, UsageError for a value."""
    for name, value in wishes.items():
        if name not in known:
            raise TypeError(f"there is no option '{name}' here; there are {', '.join(sorted(known))}")
        _check(name, value)
    wishes = {name: value for name, value in wishes.items() if value is not None}
    ways = {name: value for name, value in wishes.items() if name in _WAYS}
    if "delimiter" in ways:
        ways["delimiter"] = DELIMITERS.get(ways["delimiter"].lower(), ways["delimiter"])
    rest = {name: _as_option(name, value) for name, value in wishes.items() if name not in _WAYS}
    if "input_format" in rest:
        rest["kind"] = rest.pop("input_format")
    return replace(options, ways=replace(options.ways, **ways) if ways else options.ways, **rest)


def _check(name: str, value: Any) -> None:
    """Raises UsageError for what would be misread, or break a run in its middle."""
    if value is None:
        return
    if (kind := _kind_of(name)) is not None and (isinstance(value, bool) or not isinstance(value, kind[0])):
        raise UsageError(f"{name} must be {kind[1]}, not {value!r}")
    if name in _LEAST and not value >= _LEAST[name]:
        raise UsageError(f"{name} must be {_LEAST[name]:g} or more, not {value!r}")
    if name in _MORE_THAN_NOTHING and not value > 0:
        raise UsageError(f"{name} must be more than 0, not {value!r}")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise UsageError(f"{name} must be one of {', '.join(_CHOICES[name])}, not {value!r}")
    if name == "deliver":
        app.wish_of(None, (value,) if isinstance(value, str) else tuple(value))
    if name == "delimiter" and (len(found := DELIMITERS.get(value.lower(), value)) != 1 or found in '"\r\n'):
        raise UsageError(f"delimiter must be {', '.join(DELIMITERS)}, or one character, not {value!r}")


def _kind_of(name: str) -> tuple[type | tuple[type, ...], str] | None:
    """What a wish must be, and that in words; None where any value has a meaning, as it has for yes and no."""
    if name in _COUNTS:
        return Integral, "a whole number"
    if name in _LEAST or name in _MORE_THAN_NOTHING:
        return Real, "a number"
    if name == "until":
        return (Real, datetime), "a datetime or Unix seconds"
    if name in _PAIRS:
        return Mapping, "a mapping"
    if name in _LISTS:
        return (str, Collection), "a text or several"
    return (str, "a text") if name in ("delimiter", "ray_address") else None


def _as_option(name: str, value: Any) -> Any:
    if name in _LISTS:
        return (value,) if isinstance(value, str) else tuple(value)
    if name == "where":
        return tuple(value.items())
    if name == "until" and isinstance(value, datetime):
        return value.timestamp()
    if name == "state" and value is not None:
        return Path(value)
    return str(value) if name == "output" and value is not None else value


def _read(manifest: Manifest) -> LoadedManifest:
    return manifest if isinstance(manifest, LoadedManifest) else load_manifest(manifest)


def _ready(
    manifest: LoadedManifest, wishes: Mapping[str, Any], known: Mapping[str, object]
) -> tuple[app.Loaded, Options]:
    """What was loaded, under these wishes."""
    options = _with(manifest._options, wishes, known)  # noqa: SLF001 - made here
    loaded = manifest._loaded  # noqa: SLF001 - made here
    return replace(loaded, limits=limits_of(loaded.manifest.limits, options)), options


@contextmanager
def _typed() -> Iterator[None]:
    """What the system refuses, as the end of a run: what was sent is in the record."""
    try:
        yield
    except OSError as error:
        raise StoppedEarly.of(error) from error


_GATES: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Gates]] = WeakKeyDictionary()


def _gates_of_this_loop() -> Gates:
    """Runs that go on at the same time in one loop share the pace of a key."""
    return _GATES.setdefault(asyncio.get_running_loop(), Gates())


class _Watch:
    """The caller's observer; when it raises, nothing that was sent is left half written down for that."""

    def __init__(self, observe: Callable[[Event], None] | None, control: app.Control) -> None:
        self._observe = observe
        self._control = control
        self.raised: Exception | None = None

    def __call__(self, event: Event) -> None:
        if self._observe is None or self.raised is not None:
            return
        try:
            self._observe(event)
        except Exception as error:  # noqa: BLE001 - raised when the run has ended
            self.raised = error
            asyncio.get_running_loop().call_soon(lambda: self._control.stop("observer_failed"))


async def _drained(running: "asyncio.Future[Summary]", control: app.Control) -> Summary:
    """The summary; cancelled, the run drains first, and a second time it is broken off."""
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if running.done():
            raise
        control.stop("task_cancelled")
        await running
        raise


def _refuse(made: Plan, loaded: app.Loaded) -> bool:
    """There is nobody to ask."""
    cost = "of unknown cost" if made.cost.unpriced else f"about ${made.cost.likely:,.2f}"
    what = f"{loaded.manifest.name}: {len(made.paid_sends):,} paid requests, {cost}"
    raise SpendingNeedsAWord(f"{what}. Say yes=True, or set a cap with max_cost_usd=…; nothing was sent.")


def _waited_for(made: Future[Summary], begun: Future[Callable[[], object]]) -> Summary:
    """The summary of a run in another thread; what interrupts the wait, as Ctrl-C does, drains it first."""
    interrupted: BaseException | None = None
    while not made.done():
        try:
            wait_for([made], timeout=1.0)  # in pieces: on Windows nothing gets through a wait without an end
        except BaseException as error:  # noqa: BLE001 - raised when the run has drained
            interrupted = interrupted or error
            begun.result()()
    if interrupted is not None:
        raise interrupted
    return made.result()
