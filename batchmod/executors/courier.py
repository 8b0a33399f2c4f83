"""Questions and downloads in a process of their own, where there are so many that this one could do nothing else.

Only what may be done twice goes that way. A request that could cost money leaves from the process that has written its
intent down: one that waited in another process could leave after ours was killed.
"""

import asyncio
import multiprocessing
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Final

from batchmod.executors import children, errands, on_errands
from batchmod.executors.frames import Frames
from batchmod.model import Reply, Request, VideoFacts
from batchmod.transport import Fetched, Transport
from batchmod.work import Refusal, WorkerDied, verify_video

_MANY: Final = 32
"""So many at once are worth a process; fewer are done sooner than it has started."""
_KNOCK_EVERY_S: Final = 15.0
_KNOCKS: Final = 2
"""One that has not answered so many hangs. Not after the first: both of us may have been stopped, as by Ctrl-Z."""

_TO_COME: Final = 8
"""Of so many times as many jobs under way, as many ask or download at once."""


class Courier:
    """Asks and downloads for this process as soon as there is much of it; what it cannot do now is done here.

    It has no keys of its own: a request brings its secret headers along.
    """

    def __init__(
        self, *, drop_environment: Sequence[str] = (), many: int = _MANY, knock_every_s: float = _KNOCK_EVERY_S
    ) -> None:
        self._drop = tuple(drop_environment)
        self._many = many
        self._busy = 0
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._frames: Frames | None = None
        self._process: SpawnProcess | None = None
        self._starting: asyncio.Task[None] | None = None
        self._knock_every_s = knock_every_s
        self._unanswered = 0
        """Knocks since it was last heard."""
        self._next_knock: asyncio.TimerHandle | None = None
        self.is_ready = False
        """Whether its process has started."""

    @property
    def pid(self) -> int | None:
        """Its process, where there is one."""
        return None if self._process is None else self._process.pid

    async def expect(self, jobs: int) -> None:
        """Start now where so many jobs are about to be under way: it loads while this process still gets ready."""
        if jobs >= _TO_COME * self._many:
            await asyncio.wait([self._begun()])

    async def send(self, request: Request, *, secret_headers: Mapping[str, str], by: Transport) -> Reply:
        """What `by.send` gives. `request`: one without a body, that may be sent twice."""
        with self._counted():
            if self.is_ready and request.method == "GET" and not (request.json or request.form):
                asked = errands.Ask(
                    next(self._numbers),
                    by.user_agent,
                    request.url,
                    dict(request.headers),
                    dict(secret_headers),
                    request.read_timeout_s,
                )
                with suppress(WorkerDied):
                    answer = await self._answer(asked)
                    assert isinstance(answer, errands.Asked)
                    return answer.reply
            return await by.send(request, secret_headers=secret_headers)

    async def download(self, url: str, target: Path, *, loopback_allowed: bool, by: Transport) -> Fetched:
        """What `by.download` gives, where it goes on with what is there."""
        with self._counted():
            if self.is_ready:
                asked = errands.Fetch(next(self._numbers), by.user_agent, url, str(target), loopback_allowed)
                with suppress(WorkerDied):
                    return _fetched(await self._answer(asked))
            return await by.download(url, target, loopback_allowed=loopback_allowed, resume=True)

    async def verify(self, path: Path) -> VideoFacts | Refusal:
        """The facts of a whole video, by its container, or what is wrong with it."""
        if self.is_ready:
            with suppress(WorkerDied):
                answer = await self._answer(errands.Check(next(self._numbers), str(path)))
                assert isinstance(answer, errands.Checked)
                return answer.verdict
        return await asyncio.to_thread(verify_video, str(path), "container")

    def close(self) -> None:
        """End it, with what it has under way; nothing of it writes to the disk afterwards."""
        self.is_ready = False
        if self._starting is not None:
            self._starting.cancel()
        if self._frames is not None:
            self._frames.close()
        self._kill()

    def _kill(self) -> None:
        if self._next_knock is not None:
            self._next_knock.cancel()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.join()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._busy += 1
        if self._busy >= self._many:
            self._begun()
        try:
            yield
        finally:
            self._busy -= 1

    def _begun(self) -> "asyncio.Task[None]":
        """Its one start."""
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
        return self._starting

    async def _start(self) -> None:
        with suppress(OSError):  # no room for a process: everything is done here
            ours, theirs = socket.socketpair()
            try:
                with theirs, children.starting(self._drop):
                    self._process = _process(theirs, self._drop)
                self._frames = await Frames.over(ours, self._hear, self._ended)
            except BaseException:
                ours.close()
                raise

    async def _answer(self, asked: errands.Ask | errands.Fetch | errands.Check) -> Any:
        assert self._frames is not None
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[asked.number] = answer
        self._frames.say(asked)
        try:
            return await answer
        except asyncio.CancelledError:
            self._frames.say(errands.Drop(asked.number))
            raise
        finally:
            self._waiting.pop(asked.number, None)

    def _knock(self) -> None:
        """One that is stopped, or hangs, would keep whoever waits for it for ever: it is ended."""
        assert self._frames is not None
        if self._unanswered >= _KNOCKS:
            self._frames.close()
            return
        self._unanswered += 1
        self._frames.say(errands.Knock())
        self._next_knock = asyncio.get_running_loop().call_later(self._knock_every_s, self._knock)

    def _hear(self, message: Any) -> None:
        self._unanswered = 0
        if isinstance(message, errands.Ready):
            self.is_ready = True
            self._knock()
            return
        if isinstance(message, errands.Here):
            return
        waiting = self._waiting.get(message.number)
        if waiting is None or waiting.done():
            return
        if isinstance(message, errands.Failed):
            waiting.set_exception(WorkerDied("it could not be done there"))
        else:
            waiting.set_result(message)

    def _ended(self) -> None:
        """It was killed, say: whoever waits does it here, as soon as nobody else writes to the same files."""
        self.is_ready = False
        self._kill()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(WorkerDied("the process that fetches has ended"))


def _process(end: socket.socket, drop_environment: tuple[str, ...]) -> SpawnProcess:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=on_errands.run, args=(end, drop_environment), daemon=True, name="courier")
    process.start()
    return process


def _fetched(answer: errands.Fetched | errands.DiskRefused) -> Fetched:
    if isinstance(answer, errands.DiskRefused):
        raise OSError(answer.errno, answer.strerror, answer.filename)
    return Fetched(
        ok=answer.ok,
        status=answer.status,
        bytes=answer.bytes,
        sha256=answer.sha256,
        content_type=answer.content_type,
        problem=answer.problem,
        gone=answer.gone,
        retry=answer.retry,
    )
