"""Ask a server about a file without fetching it: HEAD, and where that says too little its first bytes."""

import asyncio
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast
from urllib.parse import urlsplit

import httpx

from batchmod.transport.download import Download, FailedError
from batchmod.transport.outcome import problem_of

PIECE_BYTES: Final = 64 * 1024
"""How much of a file's beginning and end is asked for: the index of a clip of half a minute is there."""

_TELLING: Final = ("video/", "image/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a server said of a file; `problem` where it is not to be had, `status` 0 where nobody answered."""

    status: int = 0
    size: int | None = None
    """In bytes, where the server says."""
    content_type: str = ""
    etag: str = ""
    """As it stands in the answer; that of the bytes, where some were asked for."""
    head: bytes = b""
    """Its first bytes, where they were asked for."""
    tail: bytes = b""
    """Its last bytes, where they were asked for and the server can give a part."""
    problem: str = ""


async def asked(url: str, rules: Download, *, limit_s: float, pieces: bool) -> Asked:
    """HEAD first; a signed link may refuse it, and many servers call every file a stream of bytes: then a range.

    With `pieces` the beginning and the end are asked for in any case.
    """
    try:
        async with asyncio.timeout(limit_s):
            said = await _head(url, rules)
            if not pieces and said.status == HTTPStatus.OK and said.size and said.content_type.startswith(_TELLING):
                return said
            return await _pieces(url, rules, tail=pieces)
    except FailedError as error:
        return Asked(problem=str(error))
    except TimeoutError:
        return Asked(problem=f"{_host(url)} did not answer within {limit_s:g} s")
    except Exception as error:  # noqa: BLE001 - trouble of the wire is an answer, whatever its class
        return Asked(problem=problem_of(error, _host(url)))


async def _head(url: str, rules: Download) -> Asked:
    async with rules.answered(url, 0, method="HEAD") as response:
        return Asked(
            status=response.status_code, size=_length(response), content_type=_type(response), etag=_etag(response)
        )


async def _pieces(url: str, rules: Download, *, tail: bool) -> Asked:
    async with rules.answered(url, 0, last=PIECE_BYTES - 1) as response:
        status, kind = response.status_code, _type(response)
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            return Asked(status=status, problem=f"{_host(url)} answers {status}")
        in_part = status == HTTPStatus.PARTIAL_CONTENT
        size, head = _whole(response) if in_part else _length(response), await _start(response)
        etag = _etag(response)
    end = await _end(url, rules, size, etag=etag) if tail and in_part and size is not None and size > len(head) else b""
    return Asked(status=status, size=size, content_type=kind, etag=etag, head=head, tail=end)


async def _end(url: str, rules: Download, size: int, *, etag: str) -> bytes:
    """The last bytes of a file; none where the server gives something else, or of another file."""
    first = max(PIECE_BYTES, size - PIECE_BYTES)
    async with rules.answered(url, first, last=size - 1) as response:
        got = await _start(response) if response.status_code == HTTPStatus.PARTIAL_CONTENT else b""
        return got if len(got) == size - first and _etag(response) == etag else b""


async def _start(response: httpx.Response) -> bytes:
    """The first bytes of a body; whoever sends all of it is not listened to any longer."""
    got = b""
    async for chunk in cast(httpx.AsyncByteStream, response.stream):
        got += chunk
        if len(got) >= PIECE_BYTES:
            break
    return got[:PIECE_BYTES]


def _length(response: httpx.Response) -> int | None:
    length = response.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def _whole(response: httpx.Response) -> int | None:
    given = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("content-range", "").strip())
    return int(given[1]) if given else None


def _etag(response: httpx.Response) -> str:
    found: str = response.headers.get("etag", "")
    return found.strip()


def _type(response: httpx.Response) -> str:
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower()


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the host"
