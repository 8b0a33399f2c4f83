"""Faults by name: what goes wrong, at which kind of request, how many times; and how a reply is spoiled on the wire."""

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from string import Template
from typing import Any

from aiohttp import web

from tests.servers.ledger import Kind

JSON = "application/json"
HTML = "text/html"
PAID = (Kind.SUBMIT, Kind.BLOCKING)
ALL = tuple(Kind)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A fixed answer; `$names` in the body and the headers are filled in when it is given."""

    status: int
    body: str
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, names: Mapping[str, str]) -> web.Response:
        return web.Response(
            status=self.status,
            text=Template(self.body).safe_substitute(names),
            content_type=self.content_type,
            headers={name: Template(value).safe_substitute(names) for name, value in self.headers.items()},
        )


class Way(StrEnum):
    """How a reply is spoiled; INSIDE: the handler does it, since it is about the job, the file or the rows."""

    ANSWER = "answer"
    DELAY = "delay"
    RESET = "reset"
    CLOSE = "close"
    CUT_HEAD = "cut_head"
    CUT_BODY = "cut_body"
    NO_HTTP = "no_http"
    WRONG_LENGTH = "wrong_length"
    INSIDE = "inside"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A fault of the catalogue: the kinds it makes sense for (the first is the default), and what it does."""

    way: Way
    on: tuple[Kind, ...] = (Kind.SUBMIT, *ALL)
    takes_effect: bool = False
    """The request does its work (a job is accepted, an asset stored) before the reply is spoiled."""
    reply: Reply | None = None
    per_job: bool = False
    """Unless said otherwise, planned for each request id by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A recipe planned for some requests: after the first `after` ones, `times` times (None: always)."""

    name: str
    recipe: Recipe
    on: Kind
    times: int | None = 1
    after: int = 0
    per_job: bool = False
    """Counts each request id by itself."""
    chance: float = 1.0
    """How likely it is each time its turn comes, from 0 to 1; the dice are the book's, and seeded."""
    match: str | None = None
    """Only requests whose path, query or body has this text."""
    seconds: float | None = None
    status: int | None = None
    text: str | None = None


class UnknownFaultError(ValueError):
    """No such fault, or it makes no sense there; the message names what there is."""


class FaultBook:
    """The faults planned so far; may be changed while the stand-in runs."""

    def __init__(self, catalogue: Mapping[str, Recipe]) -> None:
        self.catalogue = catalogue
        self.dice = random.Random(0)
        self._planned: list[tuple[Fault, Counter[str]]] = []
        self._lock = threading.Lock()

    def add(self, name: str, *, on: str | None = None, times: int | None = 1, **more: Any) -> Fault:
        """Plans a fault; `more` are the other fields of `Fault`."""
        recipe = self.catalogue.get(name)
        if recipe is None:
            raise UnknownFaultError(f"no fault {name!r}; there are {', '.join(sorted(self.catalogue))}")
        kind = Kind(on) if on else recipe.on[0]
        if kind not in recipe.on:
            raise UnknownFaultError(f"{name} happens on {', '.join(recipe.on)}, not on {kind}")
        more.setdefault("per_job", recipe.per_job)
        fault = Fault(name=name, recipe=recipe, on=kind, times=times, **more)
        with self._lock:
            self._planned.append((fault, Counter()))
        return fault

    def add_text(self, text: str) -> Fault:
        """`NAME[@KIND][:TIMES]`; times `*` is always."""
        name, _, times = text.partition(":")
        name, _, kind = name.partition("@")
        return self.add(name, on=kind or None, times=None if times == "*" else int(times or 1))

    def clear(self) -> None:
        with self._lock:
            self._planned.clear()

    def reads_bodies(self, kind: Kind) -> bool:
        with self._lock:
            return any(fault.on is kind and fault.match for fault, _ in self._planned)

    def take(self, kind: Kind, *, request_id: str, text: str) -> Fault | None:
        """The first planned fault whose turn it is; the ones behind it do not count this request."""
        with self._lock:
            for fault, counts in self._planned:
                if fault.on is not kind or (fault.match and fault.match not in text):
                    continue
                scope = request_id if fault.per_job else ""
                if fault.times is not None and counts[scope] >= fault.after + fault.times:
                    continue
                if fault.chance < 1.0 and self.dice.random() >= fault.chance:
                    continue
                counts[scope] += 1
                if counts[scope] > fault.after:
                    return fault
        return None


def reset(request: web.Request) -> None:
    """Ends the connection with RST: the client sees `connection reset by peer`."""
    if request.transport is None:
        return
    sock = request.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


def hang_up(request: web.Request, last_words: bytes = b"") -> None:
    """Sends raw bytes, if any, and ends the connection with FIN."""
    if request.transport is None:
        return
    if last_words:
        request.transport.write(last_words)
    request.transport.close()


def raw(response: web.Response) -> tuple[bytes, bytes]:
    """Head and body as they would go over the wire; Content-Length is the whole body's."""
    body = response.body if isinstance(response.body, bytes) else b""
    headers = {**response.headers, "Content-Length": str(len(body))}
    lines = [f"HTTP/1.1 {response.status} {response.reason}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode(), body


async def spoil(request: web.Request, response: web.Response, fault: Fault) -> web.Response:
    """Does to a good response what the fault says; one that was cut returns and finds its connection closed."""
    head, body = raw(response)
    match fault.recipe.way:
        case Way.DELAY:
            await asyncio.sleep(30.0 if fault.seconds is None else fault.seconds)
        case Way.RESET:
            reset(request)
        case Way.CLOSE:
            hang_up(request)
        case Way.CUT_HEAD:
            hang_up(request, head[: len(head) // 2])
        case Way.CUT_BODY:
            if request.transport is not None:
                request.transport.write(head + body[: len(body) // 2])
            # a client may give up what it has not read yet when the end comes: the half is there well before
            await asyncio.sleep(0.5)
            hang_up(request)
        case Way.NO_HTTP:
            hang_up(request, b"\x16\x03\x01 this is no HTTP at all\r\n\r\n")
        case Way.WRONG_LENGTH:
            longer = head.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % (len(body) + 1000))
            hang_up(request, longer + body)
        case Way.ANSWER | Way.INSIDE:
            pass
    return response


_PAGE = "<html><head><title>$title</title></head><body><center><h1>$title</h1></center><hr>nginx</body></html>"


def page(status: int, title: str) -> Reply:
    """What a gateway in front of the service answers."""
    body = _PAGE.replace("$title", f"{status} {title}")
    return Reply(status=status, body=body, content_type=HTML)


def both(name: str, reply: Reply, on: tuple[Kind, ...] = ALL) -> dict[str, Recipe]:
    """An error answer, said truly (`name`, also `name_not_created`) or after the work was done (`name_created`)."""
    refused = Recipe(way=Way.ANSWER, on=(Kind.SUBMIT, *on), reply=reply)
    done = Recipe(way=Way.ANSWER, on=(Kind.SUBMIT, *on), reply=reply, takes_effect=True)
    return {name: refused, f"{name}_not_created": refused, f"{name}_created": done}


def _garbage(body: str, content_type: str = JSON, **headers: str) -> Recipe:
    reply = Reply(status=200, body=body, content_type=content_type, headers=headers)
    return Recipe(way=Way.ANSWER, reply=reply, takes_effect=True)


def _merged(*tables: Mapping[str, Recipe]) -> dict[str, Recipe]:
    return {name: recipe for table in tables for name, recipe in table.items()}


def redirects(statuses: Iterable[int]) -> dict[str, Recipe]:
    """A redirect of the request to another origin, where nobody may see the key."""
    return {
        f"redirect_{status}": Recipe(
            way=Way.ANSWER,
            reply=Reply(status=status, body="", content_type=HTML, headers={"Location": "$elsewhere$path"}),
        )
        for status in statuses
    }


WIRE: Mapping[str, Recipe] = _merged(
    {
        "accept_then_delay": Recipe(way=Way.DELAY, takes_effect=True),
        "accept_then_reset": Recipe(way=Way.RESET, takes_effect=True),
        "accept_then_close": Recipe(way=Way.CLOSE, takes_effect=True),
        "accept_then_cut_head": Recipe(way=Way.CUT_HEAD, takes_effect=True),
        "accept_then_cut_body": Recipe(way=Way.CUT_BODY, takes_effect=True),
        "accept_then_no_http": Recipe(way=Way.NO_HTTP, takes_effect=True),
        "accept_then_garbage": _garbage('{"request_id": "7f0c, '),
        "accept_then_html": _garbage("<html><body>Welcome</body></html>", HTML),
        "accept_then_empty": _garbage(""),
        "accept_then_wrong_json": _garbage('{"message": "ok"}'),
        "accept_then_bad_gzip": _garbage("this is not gzip", **{"Content-Encoding": "gzip"}),
        "delay_then_accept": Recipe(way=Way.DELAY),
        "reset_before_accept": Recipe(way=Way.RESET),
        "close_before_accept": Recipe(way=Way.CLOSE),
    },
    redirects((301, 302, 303, 307, 308)),
    both("error_500_html", page(500, "Internal Server Error")),
    both("error_502", page(502, "Bad Gateway")),
    both("error_502_html", page(502, "Bad Gateway")),
    both("error_503", page(503, "Service Temporarily Unavailable")),
    both("error_504", page(504, "Gateway Time-out")),
)
