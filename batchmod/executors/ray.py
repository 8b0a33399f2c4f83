"""Work on a Ray cluster: each task where there is room for it, and lost ones told from failed ones."""

import asyncio
import multiprocessing
import pickle
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from batchmod.errors import MissingExtra, NoCluster, StoppedEarly
from batchmod.executors import bridge, children, plain
from batchmod.executors.messages import (
    Answer,
    Answered,
    Cancel,
    Capacity,
    Lost,
    Raised,
    Task,
    Terms,
    Unfit,
    Unreachable,
    Value,
)
from batchmod.executors.on_worker import sees, versions
from batchmod.work import WorkerDied, needs_of

Result = TypeVar("Result")

_AHEAD: Final = 2
"""Tasks for each CPU: one that runs and one that waits, so that none is idle and an autoscaler sees what is wanted."""
_LEAST: Final = 4
_JOINED_WITHIN_S: Final = 60.0
_LOST: Final = Unfit(slug="cluster_lost", message="the cluster is gone: its head, or this machine's part in it, ended")


class Ray:
    """Runs on a Ray cluster that is there already; starts none.

    Ray is spoken to by a process of its own (`bridge`). Nothing of a task is kept here but who waits for it.
    """

    def __init__(
        self, address: str, *, drop_environment: Sequence[str] = (), most: int | None = None, patience_s: float = 300.0
    ) -> None:
        self.address = address
        self.cpus = 0.0
        """What the cluster has, free or busy."""
        self.shares_files = True
        """Whether the workers see the files that are seen here."""
        self._drop = tuple(drop_environment)
        self._most = most
        self._patience_s = patience_s
        self._token: tuple[str, str] | None = None
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._sending = threading.Lock()
        self._connection: Connection | None = None
        self._process: SpawnProcess | None = None
        self._joined: asyncio.Future[Capacity | Unreachable] | None = None

    @property
    def width(self) -> int:
        """How many works are worth being begun at a time, as the cluster is now."""
        wide = max(_LEAST, int(self.cpus * _AHEAD))
        return wide if self._most is None else min(wide, self._most)

    @property
    def is_elsewhere(self) -> bool:
        """Whether a cluster was joined."""
        return self._connection is not None

    async def begin(self, folder: Path) -> None:
        """Join the cluster, and find out whether its workers see `folder`.

        Raises MissingExtra, NoCluster, or StoppedEarly where no worker takes a task or one is unfit.
        """
        if find_spec("ray") is None:
            raise MissingExtra("--executor ray needs Ray, which is not installed: pip install 'batchmod[ray]'")
        try:
            async with asyncio.timeout(_JOINED_WITHIN_S):
                joined = await self._join()
        except TimeoutError:
            joined = Unreachable(message=f"no answer within {_JOINED_WITHIN_S:g} s")
        if isinstance(joined, Unreachable):
            raise NoCluster(_nowhere(self.address, joined.message))
        self._token = None
        try:
            async with asyncio.timeout(self._patience_s):
                path, text = folder / "shared.token", secrets.token_hex(8)
                await asyncio.to_thread(path.write_text, text, encoding="ascii")
                self.shares_files = await self._is_seen(path, text)
        except TimeoutError:
            raise StoppedEarly(
                f"no worker of the cluster at {self.address} has taken a task within {self._patience_s:g} s: "
                f"it has {self.cpus:g} CPUs, all busy or none; `ray status` shows them",
                slug="no_workers",
            ) from None
        self._token = (str(path), text) if self.shares_files else None

    async def _is_seen(self, path: Path, text: str) -> bool:
        """Whether a worker sees a file; one that dies over so little says nothing."""
        while True:
            with suppress(WorkerDied):
                return await self.submit(sees, str(path), text)

    async def submit(self, function: Callable[..., Result], *values: object, reads: Sequence[str] = ()) -> Result:
        """Run `function(*values)` on a worker; `reads` are the files that it needs there.

        Raises what the function raises; WorkerDied where its worker ended before it; StoppedEarly where nothing of
        this run can go on there.
        """
        needs = needs_of(function)
        task = Task(
            number=next(self._numbers),
            terms=Terms(versions=versions(), token=self._token, reads=tuple(reads), drop_environment=self._drop),
            function=function,
            values=values,
            cpus=needs.cpus,
            gpus=needs.gpus,
        )
        match await self._answer(task):
            case Value(value=value):
                return cast(Result, value)
            case Raised(error=error):
                raise error
            case Lost(message=message, with_its_machine=with_it):
                raise WorkerDied(message, with_its_machine=with_it)
            case Unfit() as unfit:
                raise StoppedEarly(f"{unfit.message}; run again to go on", slug=unfit.slug)

    def close(self) -> None:
        """Let go of the cluster, which throws away what still runs of ours there."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()

    async def _join(self) -> Capacity | Unreachable:
        if self._joined is None:
            loop = asyncio.get_running_loop()
            self._joined = loop.create_future()
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            with children.starting(self._drop):
                self._process = context.Process(
                    target=bridge.talk, args=(theirs, self.address, self._drop), daemon=True, name="ray"
                )
                self._process.start()
            theirs.close()
            self._connection = ours
            threading.Thread(target=self._listen, args=(ours, loop), daemon=True, name="ray").start()
        return await asyncio.shield(self._joined)

    async def _answer(self, task: Task) -> Answer:
        if isinstance(await self._join(), Unreachable) or self._connection is None:
            return _LOST
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[task.number] = answer
        try:
            await asyncio.to_thread(self._send, task)
            return await answer
        except asyncio.CancelledError:
            self._send(Cancel(number=task.number))
            raise
        finally:
            self._waiting.pop(task.number, None)

    def _send(self, message: Task | Cancel) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            with self._sending:
                connection.send(message)
        except OSError:
            return  # the listener hears of it too, and tells everybody who waits

    def _listen(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread: hand what is said over to the loop, until nothing is said any more."""
        while True:
            try:
                message = plain.read(connection.recv_bytes())
            except (EOFError, OSError, pickle.UnpicklingError):
                message = None
            try:
                loop.call_soon_threadsafe(self._hear, message)
            except RuntimeError:  # the loop is closed: nobody waits
                return
            if message is None:
                return

    def _hear(self, message: Any) -> None:
        match message:
            case Answered(number=number, answer=answer):
                self._settle(number, answer)
            case Capacity(cpus=cpus):
                self.cpus = cpus
                self._settle_joined(message)
            case Unreachable():
                self._settle_joined(message)
            case _:
                self.close()
                self._connection = None
                self._settle_joined(Unreachable(message="the process that speaks to Ray has ended"))
                for number in list(self._waiting):
                    self._settle(number, _LOST)

    def _settle(self, number: int, answer: Answer) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _settle_joined(self, message: Capacity | Unreachable) -> None:
        if self._joined is not None and not self._joined.done():
            self._joined.set_result(message)


def _nowhere(address: str, why: str) -> str:
    return (
        f"there is no Ray cluster to be joined at '{address}' ({why}). Start one: ray start --head; "
        "then say where it is: --ray-address HOST:PORT (docs/cluster.md)"
    )
