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

HEAD_BYTES: Final = 4096
"""How much of a file is asked for where its kind must be told by its bytes."""

_TELLING: Final = ("video/", "image/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a server said of a file; `problem` where it is not to be had, `status` 0 where nobody answered."""

    status: int = 0
    size: int | None = None
    """In bytes: how large it is, where the server says."""
    content_type: str = ""
    head: bytes = b""
    """Its first bytes, where they were asked for."""
    problem: str = ""


async def asked(url: str, rules: Download, *, limit_s: float) -> Asked:
    """HEAD first; a signed link may refuse it, and many servers call every file a stream of bytes: then a range."""
    try:
        async with asyncio.timeout(limit_s):
            said = await _head(url, rules)
            if said.status == HTTPStatus.OK and said.size and said.content_type.startswith(_TELLING):
                return said
            return await _first_bytes(url, rules)
    except FailedError as error:
        return Asked(problem=str(error))
    except TimeoutError:
        return Asked(problem=f"{_host(url)} did not answer within {limit_s:g} s")
    except Exception as error:  # noqa: BLE001 - trouble of the wire is an answer, whatever its class
        return Asked(problem=problem_of(error, _host(url)))


async def _head(url: str, rules: Download) -> Asked:
    async with rules.answered(url, 0, method="HEAD") as response:
        return Asked(status=response.status_code, size=_length(response), content_type=_type(response))


async def _first_bytes(url: str, rules: Download) -> Asked:
    async with rules.answered(url, 0, last=HEAD_BYTES - 1) as response:
        status = response.status_code
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            return Asked(status=status, problem=f"{_host(url)} answers {status}")
        size = _whole(response) if status == HTTPStatus.PARTIAL_CONTENT else _length(response)
        return Asked(status=status, size=size, content_type=_type(response), head=await _start(response))


async def _start(response: httpx.Response) -> bytes:
    """The first bytes of a body; whoever sends all of it is not listened to any longer."""
    got = b""
    async for chunk in cast(httpx.AsyncByteStream, response.stream):
        got += chunk
        if len(got) >= HEAD_BYTES:
            break
    return got[:HEAD_BYTES]


def _length(response: httpx.Response) -> int | None:
    length = response.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def _whole(response: httpx.Response) -> int | None:
    given = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("content-range", "").strip())
    return int(given[1]) if given else None


def _type(response: httpx.Response) -> str:
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower()


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the host"
