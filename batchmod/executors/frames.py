"""Messages over a stream socket: those of one turn of the loop go in one piece."""

import asyncio
import pickle
import socket
from collections.abc import Callable
from typing import Any, Final

from batchmod.executors import plain

_LENGTH: Final = 8
"""Bytes that say how long a piece is."""


class Frames(asyncio.Protocol):
    """One end of the socket. A piece is a pickled list of messages after its length."""

    def __init__(self, hear: Callable[[Any], None], ended: Callable[[], None]) -> None:
        """`hear` is called with each message, `ended` once, when the other end is closed or says what is none."""
        self._hear, self._ended = hear, ended
        self._transport: asyncio.Transport | None = None
        self._got = bytearray()
        self._to_say: list[Any] = []

    @classmethod
    async def over(cls, end: socket.socket, hear: Callable[[Any], None], ended: Callable[[], None]) -> "Frames":
        """Talk over a connected socket, in the running loop."""
        end.setblocking(False)  # noqa: FBT003 - its name says it
        _, frames = await asyncio.get_running_loop().create_connection(lambda: cls(hear, ended), sock=end)
        return frames

    def say(self, message: Any) -> None:
        """Say it with what else is said in this turn; nothing, where the other end is gone."""
        if not self._to_say:
            asyncio.get_running_loop().call_soon(self._say_all)
        self._to_say.append(message)

    def _say_all(self) -> None:
        said, self._to_say = self._to_say, []
        if self._transport is not None and not self._transport.is_closing():
            piece = pickle.dumps(said, pickle.HIGHEST_PROTOCOL)
            self._transport.write(len(piece).to_bytes(_LENGTH) + piece)

    def close(self) -> None:
        """Say nothing more."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hear every message that is whole."""
        self._got += data
        while len(self._got) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._got[:_LENGTH])
            if len(self._got) < end:
                return
            piece = bytes(self._got[_LENGTH:end])
            del self._got[:end]
            try:
                messages = plain.read(piece)
            except pickle.UnpicklingError:
                self.close()
                return
            for message in messages:
                self._hear(message)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end is gone."""
        del exc
        self._ended()
