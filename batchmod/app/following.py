"""`on_succeeded`: a program of the user's for each output that is delivered, at least once, and never in its way."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batchmod import clock, files, programs
from batchmod.app.loading import Loaded
from batchmod.checkpoint import Checkpoint
from batchmod.manifest.standing import arguments
from batchmod.model import Delivery, Event, Hook, Row, Work

BOOK: Final = "hooks.jsonl"
LOGS: Final = "hooks"
RUNS: Final = 10
"""In how many runs a program may fail for one output before it is given up."""

_PAUSE_S: Final = 1.0
_SHOWN: Final = 5
_TOLD: Final = ("succeeded", "copied")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """One output that the program is to be started for."""

    path: str
    values: Mapping[str, str]


class Book:
    """Which outputs a program was started for: a line each, kept beside the outputs.

    An output is owed from the program's first run on: what was there before is nobody's news.
    """

    def __init__(self, path: Path, hook: Hook) -> None:
        self._path = path
        self._hook = hashlib.sha256(json.dumps(hook.command).encode()).hexdigest()[:16]
        self.since: float | None = None
        self.owed: dict[str, None] = {}
        self.done: set[str] = set()
        self.failed: dict[str, int] = {}
        for line in _lines(path):
            if line.get("hook") == self._hook:
                self._take(line)

    def _take(self, line: Mapping[str, Any]) -> None:
        output = str(line.get("output"))
        match line.get("state"):
            case "since" if isinstance(line.get("time"), int | float):
                self.since = float(line["time"])
            case "owed":
                self.owed[output] = None
            case "done":
                self.done.add(output)
            case "failed":
                self.failed[output] = self.failed.get(output, 0) + 1
            case _:  # a newer batchmod's, or nobody's
                pass

    def wants(self, path: str) -> bool:
        """Whether the program is still to be started for this output."""
        return path not in self.done and self.failed.get(path, 0) < RUNS

    def begin(self, at: float) -> float:
        """Since when outputs are owed; from now on where the program is new."""
        if self.since is None:
            self.since = at
            self.write("since", time=at)
        return self.since

    def write(self, state: str, **facts: Any) -> None:
        """Add a line, durably: what is done must not be done again."""
        line = {"hook": self._hook, "state": state, "at": clock.iso(clock.now()), **facts}
        files.append_durably(self._path, line)
        self._take(line)


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """The lines of a book; one that a kill has cut is passed over."""
    with suppress(FileNotFoundError), path.open(encoding="utf-8", errors="replace") as book:
        for text in book:
            with suppress(ValueError):
                if isinstance(line := json.loads(text), dict):
                    yield line


class Follower:
    """Starts the program of one run: what earlier runs owe first, then each output when it is there."""

    def __init__(
        self,
        loaded: Loaded,
        record: Checkpoint,
        *,
        run_id: str,
        began: float,
        wait_s: float,
        tell: Callable[[Event], None],
        environ: Mapping[str, str],
    ) -> None:
        hook = loaded.allowed.hook
        assert hook is not None
        self._hook, self._loaded, self._record, self._run_id, self._tell = hook, loaded, record, run_id, tell
        self._environ, self._began, self._wait_s = environ, began, wait_s
        self._book = Book(loaded.folder / BOOK, hook)
        self._rows: dict[str, Row] = {}
        self._queue: asyncio.Queue[_Call] = asyncio.Queue()
        self._queued: set[str] = set()
        self._pool = ThreadPoolExecutor(hook.at_once, thread_name_prefix="hook")
        self._stop = threading.Event()
        self._ending = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []
        self.failed: list[str] = []
        """The outputs for which it has failed in this run."""
        self.problem = ""
        """Why nothing more was started."""

    def begin(self) -> None:
        """Take up what earlier runs owe."""
        since = self._book.begin(self._began)
        for delivery in self._record.delivered_since(since):
            self._add(delivery, self._record.work(delivery.work_id))
        for path in tuple(self._book.owed):
            if (copy := self._record.delivery_at(path)) is not None:
                self._add(copy, self._record.work(copy.work_id))
        self._workers = [asyncio.ensure_future(self._work_off()) for _ in range(self._hook.at_once)]

    def heard(self, event: Event) -> None:
        """An event of the run: one that brings outputs is taken up."""
        try:
            self._hear(event)
        except OSError as error:
            self.problem = f"{self._loaded.folder / BOOK} cannot be written: {error.strerror or error}"
            self._ending.set()

    def _hear(self, event: Event) -> None:
        if event.kind not in _TOLD or (work_id := event.facts.get("work")) is None:
            return
        work = self._record.work(work_id)
        for delivery in self._record.deliveries_of(work_id):
            if event.kind == "copied" and delivery.delivered and self._book.wants(delivery.path):
                self._owe(delivery.path, event)
            self._add(delivery, work)

    def _owe(self, path: str, event: Event) -> None:
        """A copy is as old as what it is a copy of, so that nobody would know later that it is owed."""
        ids = {str(each).casefold() for each in (event.id, *event.facts.get("also", ()))}
        delivery = self._record.delivery_at(path)
        if delivery is not None and delivery.id.casefold() in ids and path not in self._book.owed:
            self._book.write("owed", output=path)

    def _add(self, delivery: Delivery, work: Work) -> None:
        path = delivery.path
        if not delivery.delivered or path in self._queued or not self._book.wants(path):
            return
        if (work.finished_at or 0.0) < (self._book.since or 0.0) and path not in self._book.owed:
            return
        if not (self._loaded.folder / path).is_file():
            return
        self._queued.add(path)
        self._queue.put_nowait(_Call(path=path, values=self._values(delivery, work)))

    @property
    def warnings(self) -> list[str]:
        """What is to be said at the end."""
        said = [f"on_succeeded: {self.problem}"] if self.problem else []
        if self.failed:
            shown = ", ".join(self.failed[:_SHOWN]) + (", …" if len(self.failed) > _SHOWN else "")
            program = self._hook.command[0]
            given_up = sum(not self._book.wants(path) for path in self.failed)
            following = "the next run starts it again" if given_up < len(self.failed) else "no run starts it any more"
            some = f", but for {given_up} that it is given up for" if 0 < given_up < len(self.failed) else ""
            text = f"{program} failed for {shown}; what it said is in {LOGS}/, and {following}{some}"
            said.append(f"on_succeeded: {text}")
        return said

    def stop(self) -> None:
        """Begin nothing more: what is not started is owed to the next run."""
        self._ending.set()

    async def finish(self) -> None:
        """Wait for what is to be started; once told to stop, for a while at most for what runs."""
        rest = asyncio.ensure_future(self._queue.join())
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait([rest, ending], return_when=asyncio.FIRST_COMPLETED)
            if not rest.done():
                busy = [worker for worker in self._workers if not worker.done()]
                await asyncio.wait(busy, timeout=self._wait_s) if busy else None
        finally:
            rest.cancel()
            ending.cancel()
            await self.close()

    async def close(self) -> None:
        """End what still runs."""
        self._ending.set()
        self._stop.set()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    async def _work_off(self) -> None:
        while not self._ending.is_set():
            call = await self._next()
            if call is None:
                return
            try:
                await self._carry(call)
            except OSError as error:  # without its book nobody would know what was started
                self.problem = f"{self._loaded.folder / BOOK} cannot be written: {error.strerror or error}"
                self._ending.set()
            finally:
                self._queue.task_done()

    async def _next(self) -> _Call | None:
        getting = asyncio.ensure_future(self._queue.get())
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait([getting, ending], return_when=asyncio.FIRST_COMPLETED)
            return getting.result() if getting.done() and not self._ending.is_set() else None
        finally:
            getting.cancel()
            ending.cancel()

    async def _carry(self, call: _Call) -> None:
        """Start the program for one output, several times where it fails."""
        words = arguments(self._hook, call.values)
        log = self._loaded.folder / LOGS / f"{files.safe_name(call.path.removeprefix('videos/'))}.log"
        problem = words if isinstance(words, str) else ""
        for number in range(self._hook.tries if isinstance(words, list) else 0):
            await clock.sleep(_PAUSE_S * 2.0 ** (number - 1) if number else 0.0)
            ended = await self._started(call, [self._loaded.allowed.program, *words], log)
            if ended.stopped or (not ended.ok and self._ending.is_set()):
                return
            problem = ended.problem
            if ended.ok:
                break
        if problem:
            self.failed.append(call.path)
            self._book.write("failed", output=call.path, problem=problem)
            self._say("hook_failed", call, message=problem, log=files.relative(log, self._loaded.folder))
        else:
            self._book.write("done", output=call.path)
            self._say("hook_succeeded", call)

    async def _started(self, call: _Call, argv: list[str], log: Path) -> programs.Ended:
        facts = {
            f"BATCHMOD_{name.upper()}": value.replace("\0", "") for name, value in call.values.items() if name in _FACTS
        }

        def work() -> programs.Ended:
            return programs.run(
                argv,
                environ={**self._environ, **facts},
                folder=self._loaded.folder,
                log=log,
                timeout_s=self._hook.timeout_s,
                stop=self._stop,
            )

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except OSError as error:  # no room for what it says, or no folder for it
            return programs.Ended(problem=f"{log} cannot be written: {error.strerror or error}")

    def _say(self, kind: str, call: _Call, **facts: Any) -> None:
        about = {"output": call.path, **facts}
        self._tell(Event(kind=kind, at=clock.iso(clock.now()), run_id=self._run_id, id=call.values["id"], facts=about))

    def _values(self, delivery: Delivery, work: Work) -> dict[str, str]:
        """What the arguments may name: the row's columns as the manifest says them now, and facts of the output."""
        if not self._rows:
            self._rows = {row.id.casefold(): row for row in self._loaded.manifest.rows}
        row = self._rows.get(delivery.id.casefold())
        given = _columns(row) if row is not None else {}
        facts = {
            "output": str(self._loaded.folder / delivery.path),
            "id": delivery.id,
            "version": str(delivery.version),
            "job_key": work.job_key,
            "request_id": work.request_id,
            "run_id": self._run_id,
            "cost_usd": work.cost_usd,
            "folder": str(self._loaded.folder),
            "manifest": str(self._loaded.path.resolve()),
            "provider": work.provider,
            "mode": work.inputs.get("mode"),
            "prompt": work.inputs.get("prompt"),
        }
        return {**given, **{name: "" if value is None else str(value) for name, value in facts.items()}}


_FACTS: Final = frozenset(
    {"output", "id", "version", "job_key", "request_id", "run_id", "cost_usd", "folder", "manifest", "provider"}
)
"""What stands in the program's environment too, as `BATCHMOD_…`."""


def _columns(row: Row) -> dict[str, str]:
    fields = ("video_url", "first_frame_url", "model", "variant", "keyframes", "review", "source_id")
    known: Iterable[tuple[str, Any]] = ((name, getattr(row, name)) for name in fields)
    return {**row.own, **{name: "" if value is None else str(value) for name, value in known}}


def environment_of(loaded: Loaded, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the user's programs: ours, without providers' keys, our own secrets and BATCHMOD_VAR_…."""
    secret = {*loaded.services.key_names(), *loaded.allowed.secrets, "BATCHMOD_SERVE_KEY"}
    return {n: value for n, value in environ.items() if n not in secret and not n.startswith("BATCHMOD_VAR_")}
