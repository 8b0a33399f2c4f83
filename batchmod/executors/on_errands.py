"""The courier itself: a process that asks and downloads what it is told, and keeps nothing."""

import asyncio
import gc
import os
import socket
from dataclasses import astuple
from pathlib import Path
from typing import Any, Final

from batchmod.executors import children, errands
from batchmod.executors.frames import Frames
from batchmod.model import Request, VideoFacts
from batchmod.transport import Transport
from batchmod.work import Refusal, verify_video

_SMALL: Final = 8 * 2**20
"""Bytes of a file whose check is over before anybody could miss us."""


def run(end: socket.socket, drop_environment: tuple[str, ...]) -> None:
    """Carry out errands until the other end of the socket is closed."""
    children.begin(drop_environment)
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    asyncio.run(_Errands().carry(end))


class _Errands:
    def __init__(self) -> None:
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._transports: dict[str, Transport] = {}
        """User agent → the connections of those who send it."""

    async def carry(self, end: socket.socket) -> None:
        over = asyncio.Event()
        self._frames = await Frames.over(end, self._hear, over.set)
        self._frames.say(errands.Ready(os.getpid()))
        await over.wait()

    def _hear(self, message: Any) -> None:
        if isinstance(message, errands.Knock):
            self._frames.say(errands.Here())
            return
        if isinstance(message, errands.Drop):
            task = self._under_way.get(message.number)
            if task is not None:
                task.cancel()
            return
        task = asyncio.ensure_future(self._done(message))
        self._under_way[message.number] = task
        task.add_done_callback(lambda task: self._ended(message.number, task))

    def _ended(self, number: int, task: "asyncio.Task[None]") -> None:
        del self._under_way[number]
        if not task.cancelled() and task.exception() is not None:
            self._frames.say(errands.Failed(number))

    async def _done(self, message: errands.Ask | errands.Fetch | errands.Check) -> None:
        match message:
            case errands.Ask():
                await self._ask(message)
            case errands.Fetch():
                await self._fetch(message)
            case errands.Check(number, path):
                self._frames.say(errands.Checked(number, await _checked(path)))

    async def _ask(self, asked: errands.Ask) -> None:
        request = Request(method="GET", url=asked.url, headers=asked.headers, read_timeout_s=asked.read_timeout_s)
        reply = await self._transport(asked.user_agent).send(request, secret_headers=asked.secret_headers)
        self._frames.say(errands.Asked(asked.number, reply))

    async def _fetch(self, asked: errands.Fetch) -> None:
        transport, allowed = self._transport(asked.user_agent), asked.loopback_allowed
        try:
            got = await transport.download(asked.url, Path(asked.target), loopback_allowed=allowed, resume=True)
        except OSError as error:
            said = errands.DiskRefused(asked.number, error.errno or 0, error.strerror or "", error.filename)
            self._frames.say(said)
            return
        self._frames.say(errands.Fetched(asked.number, *astuple(got)))

    def _transport(self, user_agent: str) -> Transport:
        if user_agent not in self._transports:
            self._transports[user_agent] = Transport(user_agent=user_agent)
        return self._transports[user_agent]


async def _checked(path: str) -> VideoFacts | Refusal:
    if _is_small(Path(path)):  # threads that take turns would make twice the work of it
        return verify_video(path, "container")
    return await asyncio.to_thread(verify_video, path, "container")


def _is_small(path: Path) -> bool:
    return path.stat().st_size <= _SMALL
