"""A request of ours as it goes over the wire, to be held against an SDK's."""

import asyncio
import json

from batchmod.model import Request
from batchmod.transport.body import body_of


def rendered(request: Request) -> bytes:
    """The bytes of a request's body."""

    async def joined() -> bytes:
        body = body_of(request)
        return b"" if body is None else b"".join([piece async for piece in body])

    return asyncio.run(joined())


def compact(raw: bytes) -> bytes:
    """A JSON body without the spaces that some clients put behind commas and colons; fields stay in their order."""
    return json.dumps(json.loads(raw), separators=(",", ":"), ensure_ascii=False).encode()
