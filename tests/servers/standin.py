"""What every stand-in is made of: a thread with real HTTP on loopback, one port a host, a ledger, faults by name."""

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.utils import formatdate
from enum import StrEnum
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import unquote

from aiohttp import web

from tests.servers.faults import Fault, FaultBook, Reply, Way, hang_up, spoil
from tests.servers.ledger import Job, Kind, Ledger, Seen, iso
from tests.servers.storage import Storage

HOST = "127.0.0.1"
BIGGEST_BODY = 256 * 2**20


class Origin(StrEnum):
    """The hosts of a real service, and one that is none of its."""

    API = "api"
    UPLOAD = "upload"
    HISTORY = "history"
    BUCKET = "bucket"
    """Where presigned uploads go."""
    OUTPUTS = "outputs"
    ELSEWHERE = "elsewhere"


KEYLESS = frozenset({Origin.BUCKET, Origin.OUTPUTS, Origin.ELSEWHERE})
"""Hosts that have no business with a key."""


class Refused(Exception):
    """The request breaks the contract; carries the answer that says so."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"{reply.status} {reply.body}")
        self.reply = reply


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A request on its way through a stand-in."""

    request: web.Request
    kind: Kind
    origin: Origin
    account: str
    argument: str
    """The request id or file name in the path."""
    seen: Seen
    fault: Fault | None = None

    def faulty(self, prefix: str) -> str | None:
        """The name of this call's fault if it begins so."""
        return self.fault.name if self.fault and self.fault.name.startswith(prefix) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """An endpoint; the path's group is the call's argument. The handler gets the service and the call."""

    origin: Origin
    method: str
    path: str
    kind: Kind
    handler: Callable[[Any, Call], Awaitable[web.Response]]


class StandIn:
    """A context manager: the service runs in its own thread and event loop while the block runs.

    A port of 0 is any free one (it is the API's; the other hosts take any). Leaving the block raises what went
    wrong inside the stand-in itself.
    """

    origins: ClassVar[frozenset[Origin]]
    routes: ClassVar[tuple[Route, ...]]
    no_route: ClassVar[Reply]
    wrong_verb: ClassVar[Reply]
    clip_in_body: ClassVar[bytes]
    """Finds the clip's URL in a submit's body: what a refusal may name."""

    def __init__(self, service: Any, *, port: int = 0, faults: Iterable[str] = ()) -> None:
        self._service = service
        self._port = port
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stand-in", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._api: web.AppRunner
        self.bugs: list[Exception] = []
        for name in faults:
            self.faults.add_text(name)

    def key_in(self, request: web.Request) -> str:
        """The key a request carries; empty where it has none."""
        raise NotImplementedError

    def error(self, status: int, text: str) -> Reply:
        """The service's own shape of an error."""
        raise NotImplementedError

    def dressed(self, _call: Call, response: web.Response) -> web.Response:
        """An answer as the service would give it; most give it as it is."""
        return response

    @property
    def ledger(self) -> Ledger:
        ledger: Ledger = self._service.ledger
        return ledger

    @property
    def storage(self) -> Storage:
        storage: Storage = self._service.storage
        return storage

    @property
    def faults(self) -> FaultBook:
        faults: FaultBook = self._service.faults
        return faults

    @property
    def settings(self) -> Any:
        return self._service.settings

    @property
    def key(self) -> str:
        return str(self.settings.key)

    def _at(self, origin: Origin) -> str:
        return str(self._service.urls[origin])

    @property
    def url(self) -> str:
        return self._at(Origin.API)

    @property
    def upload_url(self) -> str:
        return self._at(Origin.UPLOAD)

    @property
    def history_url(self) -> str:
        return self._at(Origin.HISTORY)

    @property
    def outputs_url(self) -> str:
        return self._at(Origin.OUTPUTS)

    @property
    def elsewhere_url(self) -> str:
        """An origin that is none of the service's: redirects and foreign URLs lead there."""
        return self._at(Origin.ELSEWHERE)

    def environment(self) -> dict[str, str]:
        """The variables that point a client here."""
        raise NotImplementedError

    def configure(self, **changes: Any) -> None:
        """Other settings from now on; jobs accepted before keep theirs."""
        self._service.settings = replace(self.settings, **changes)

    def advance(self, seconds: float) -> None:
        """Lets time pass for the service alone: jobs end, records and files expire."""
        self._service.clock.advance(seconds)

    def forget_assets(self) -> None:
        """Every upload is gone."""
        self._service.storage.clear()

    def output_of(self, request_id: str) -> bytes:
        """The output file as it is served."""
        job = self.ledger.job(request_id)
        if job is None:
            raise KeyError(request_id)
        return bytes(self._service.file_of(job))

    def seed(self, inputs: Mapping[str, Any], *, ago_s: float = 3600.0, error: str | None = None) -> Job:
        """A job of the same account from elsewhere (a script, the playground), long ended; not in the counters."""
        seeded: Job = self._service.seed(inputs, ago_s=ago_s, error=error)
        return seeded

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """While the block runs, new connections to the API are refused; jobs and the record go on."""
        self._on_loop(self._close_door())
        try:
            yield
        finally:
            self._on_loop(self._reopen_door())

    def _on_loop(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _close_door(self) -> None:
        for site in list(self._api.sites):
            await site.stop()

    async def _reopen_door(self) -> None:
        await web.TCPSite(self._api, HOST, int(self.url.rsplit(":", 1)[1])).start()

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        self._raise_bugs()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if error is None:
            self._raise_bugs()

    def _raise_bugs(self) -> None:
        if self.bugs:
            raise ExceptionGroup("the stand-in itself failed", self.bugs)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001  it is raised again in the thread of the test
            self.bugs.append(error)
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        runners: list[web.AppRunner] = []
        try:
            for origins in self._sites():
                runner = await self._open(origins, self._port if Origin.API in origins else 0)
                runners.append(runner)
                if Origin.API in origins:
                    self._api = runner
                host, port = runner.addresses[0][:2]
                self._service.urls |= dict.fromkeys(origins, f"http://{host}:{port}")
            self._service.opened()
            self._started.set()
            await self._stop.wait()
        finally:
            await asyncio.gather(*(runner.cleanup() for runner in runners))

    def _sites(self) -> list[frozenset[Origin]]:
        ours = self.origins
        each = [ours] if self.settings.one_origin else [frozenset({origin}) for origin in sorted(ours)]
        return [*each, frozenset({Origin.ELSEWHERE})]

    async def _open(self, origins: frozenset[Origin], port: int) -> web.AppRunner:
        async def serve(request: web.Request) -> web.StreamResponse:
            return await self._answer(request, origins)

        app = web.Application(client_max_size=BIGGEST_BODY)
        app.router.add_route("*", "/{path:.*}", serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, HOST, port).start()
        return runner

    async def _answer(self, request: web.Request, origins: frozenset[Origin]) -> web.StreamResponse:
        if request.path == "/__ledger__" and Origin.API in origins:
            return web.json_response(self.ledger.snapshot())
        route, argument, miss = self._routed(request, origins)
        call = self._seen(request, route, argument, origins)
        try:
            response = await self._through(call, route, miss)
        except Refused as refusal:
            response = refusal.reply.response({})
        except web.HTTPException as refusal:
            response = self.error(refusal.status, refusal.reason).response({})
        except (OSError, web.RequestPayloadError):
            hang_up(request)
            response = web.Response(status=400)
        except Exception as error:  # noqa: BLE001  a bug of the stand-in must not look like an answer of the service
            self.bugs.append(error)
            response = web.Response(status=500, text=f"bug in the stand-in: {error!r}")
        response = self.dressed(call, response)
        cut = request.transport is None or request.transport.is_closing()
        call.seen.status = None if cut else response.status
        response.headers["Date"] = formatdate(self._service.clock.now() + self.settings.clock_skew_s, usegmt=True)
        return response

    def _seen(self, request: web.Request, route: Route | None, argument: str, origins: frozenset[Origin]) -> Call:
        key = self.key_in(request)
        kind = route.kind if route else Kind.UNKNOWN
        origin = route.origin if route else min(origins)
        peer = request.transport.get_extra_info("peername") if request.transport else None
        seen = self.ledger.saw(
            origin=str(origin),
            kind=kind,
            method=request.method,
            path=request.path_qs,
            peer=peer[1] if peer else 0,
            key=("good" if key in self._service.keys else "bad") if key else "absent",
            headers=tuple(request.headers),
            leak=self._leaks(request, origins),
        )
        return Call(request=request, kind=kind, origin=origin, account=key, argument=argument, seen=seen)

    def _leaks(self, request: web.Request, origins: frozenset[Origin]) -> bool:
        """A credential on a host that needs none, or the key where logs keep it."""
        keys = self._service.keys
        if any(key in unquote(request.path_qs) for key in keys):
            return True
        if origins - KEYLESS:
            return False
        secret = any(key in value for value in request.headers.values() for key in keys)
        return secret or "x-api-key" in request.headers or "Authorization" in request.headers

    async def _through(self, call: Call, route: Route | None, miss: Reply) -> web.Response:
        """The route's answer, with a planned fault before or after it."""
        if route is None:
            return miss.response({})
        fault = await self._fault(call)
        call = replace(call, fault=fault)
        if fault is None:
            return await self._handled(call, route)
        call.seen.fault = fault.name
        if not fault.recipe.takes_effect:
            return await self._unaccepted(call, route)
        response = await self._handled(call, route)
        if response.status >= 400 and response.status != 422:
            return response
        return await self._spoiled(call, response)

    async def _handled(self, call: Call, route: Route) -> web.Response:
        self._service.admit(call)
        return await route.handler(self._service, call)

    async def _fault(self, call: Call) -> Fault | None:
        text = call.request.path_qs
        if self.faults.reads_bodies(call.kind):
            text += (await call.request.read()).decode(errors="replace")
        return self.faults.take(call.kind, request_id=call.argument, text=text)

    async def _unaccepted(self, call: Call, route: Route) -> web.Response:
        """The fault comes first; the body is not even read where the connection is cut."""
        if call.fault is None or call.fault.recipe.way in (Way.RESET, Way.CLOSE):
            return await self._spoiled(call, web.Response())
        await call.request.read()
        if call.fault.recipe.way is Way.DELAY:
            await self._spoiled(call, web.Response())
            return await self._handled(call, route)
        return await self._spoiled(call, web.Response())

    async def _spoiled(self, call: Call, response: web.Response) -> web.Response:
        fault = call.fault
        if fault is None or fault.recipe.reply is None:
            return await spoil(call.request, response, fault) if fault else response
        reply = fault.recipe.reply
        if fault.text is not None:
            reply = replace(self.error(fault.status or reply.status, fault.text), headers=reply.headers)
        return reply.response(await self._names(call, fault))

    async def _names(self, call: Call, fault: Fault) -> dict[str, str]:
        """What a fixed answer may mention."""
        wait_s = 1.0 if fault.seconds is None else fault.seconds
        body = await call.request.read() if call.request.content_type == "application/json" else b""
        found = re.search(self.clip_in_body, body)
        return {
            "elsewhere": self.elsewhere_url,
            "path": call.request.path_qs,
            "request_id": call.argument,
            "seconds": f"{wait_s:g}",
            "reset_at": iso(self._service.clock.now() + wait_s),
            "video_url": found[1].decode() if found else "",
        }

    def _routed(self, request: web.Request, origins: frozenset[Origin]) -> tuple[Route | None, str, Reply]:
        """The route, the argument in its path, and what to answer if there is none: 404, or 405."""
        miss = self.no_route
        for route in self.routes:
            found = re.fullmatch(route.path, request.path) if route.origin in origins else None
            if found is None:
                continue
            if route.method in ("*", request.method):
                return route, found[1] if found.groups() else "", miss
            miss = self.wrong_verb
        return None, "", miss
