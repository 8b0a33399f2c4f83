"""A stand-in for Segmind's modify-video service: real HTTP on loopback, real files, a ledger and faults by name.

By hand: `python tests/servers/segmind.py --port 8801 --fault accept_then_reset`.
"""

import argparse
import asyncio
import json
import re
import sys
import threading
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from aiohttp import web

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers import segmind_contract as contract
from tests.servers.clips import Clip
from tests.servers.faults import Fault, FaultBook, Reply, Way, hang_up, spoil
from tests.servers.ledger import Job, Kind, Ledger, iso
from tests.servers.segmind_service import ROUTES, Call, Route, Service
from tests.servers.segmind_settings import KEY, Origin, Settings

__all__ = ["KEY", "Clip", "Job", "Kind", "Origin", "SegmindStandIn", "Settings"]

HOST = "127.0.0.1"
BIGGEST_BODY = 256 * 2**20


class SegmindStandIn:
    """A context manager: the service runs in its own thread and event loop while the block runs.

    `settings` are the fields of `Settings`; a port of 0 is any free one (it is the API's; the other hosts take
    any). Leaving the block raises what went wrong inside the stand-in itself.
    """

    def __init__(self, *, port: int = 0, faults: Iterable[str] = (), **settings: Any) -> None:
        self._service = Service(Settings(**settings))
        self._port = port
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="segmind-stand-in", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._api: web.AppRunner
        self.bugs: list[Exception] = []
        for name in faults:
            self.faults.add_text(name)

    # --- for tests ------------------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        return self._service.ledger

    @property
    def faults(self) -> FaultBook:
        return self._service.faults

    @property
    def settings(self) -> Settings:
        return self._service.settings

    @property
    def key(self) -> str:
        return self.settings.key

    @property
    def url(self) -> str:
        return self._service.urls[Origin.API]

    @property
    def upload_url(self) -> str:
        return self._service.urls[Origin.UPLOAD]

    @property
    def history_url(self) -> str:
        return self._service.urls[Origin.HISTORY]

    @property
    def outputs_url(self) -> str:
        return self._service.urls[Origin.OUTPUTS]

    @property
    def elsewhere_url(self) -> str:
        """An origin that is none of the service's: redirects and foreign URLs lead there."""
        return self._service.urls[Origin.ELSEWHERE]

    def environment(self) -> dict[str, str]:
        """The variables that point a client here."""
        return {
            "SEGMIND_API_KEY": self.key,
            "SEGMIND_BASE_URL": self.url,
            "SEGMIND_UPLOAD_BASE_URL": self.upload_url,
            "SEGMIND_HISTORY_BASE_URL": self.history_url,
        }

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
        return self._service.file_of(job)

    def seed(self, inputs: Mapping[str, Any], *, ago_s: float = 3600.0, error: str | None = None) -> Job:
        """A job of the same account from elsewhere (a script, the playground), long ended; not in the counters."""
        return self._service.seed(inputs, ago_s=ago_s, error=error)

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

    # --- the thread -----------------------------------------------------------------------------------------

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
            self._service.storage.base = f"{self.outputs_url}/assets/"
            self._started.set()
            await self._stop.wait()
        finally:
            await asyncio.gather(*(runner.cleanup() for runner in runners))

    def _sites(self) -> list[frozenset[Origin]]:
        ours = frozenset(Origin) - {Origin.ELSEWHERE}
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

    # --- one request ----------------------------------------------------------------------------------------

    async def _answer(self, request: web.Request, origins: frozenset[Origin]) -> web.StreamResponse:
        if request.path == "/__ledger__" and Origin.API in origins:
            return web.json_response(self.ledger.snapshot())
        route, argument, miss = _routed(request, origins)
        call = self._seen(request, route, argument, origins)
        try:
            response = await self._through(call, route, miss)
        except contract.Refused as refusal:
            response = refusal.reply.response({})
        except web.HTTPException as refusal:
            response = contract.error(refusal.status, refusal.reason).response({})
        except (OSError, web.RequestPayloadError):
            hang_up(request)
            response = web.Response(status=400)
        except Exception as error:  # noqa: BLE001  a bug of the stand-in must not look like an answer of the service
            self.bugs.append(error)
            response = web.Response(status=500, text=f"bug in the stand-in: {error!r}")
        cut = request.transport is None or request.transport.is_closing()
        call.seen.status = None if cut else response.status
        response.headers["Date"] = formatdate(self._service.clock.now() + self.settings.clock_skew_s, usegmt=True)
        return response

    def _seen(self, request: web.Request, route: Route | None, argument: str, origins: frozenset[Origin]) -> Call:
        key = request.headers.get("x-api-key", "")
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
        if origins - {Origin.OUTPUTS, Origin.ELSEWHERE}:
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
            reply = contract.error(fault.status or reply.status, fault.text, **reply.headers)
        return reply.response(await self._names(call, fault))

    async def _names(self, call: Call, fault: Fault) -> dict[str, str]:
        """What a fixed answer may mention."""
        wait_s = 1.0 if fault.seconds is None else fault.seconds
        body = await call.request.read() if call.request.content_type == "application/json" else b""
        found = re.search(rb'"video_url":\s*"([^"]*)"', body)
        return {
            "elsewhere": self.elsewhere_url,
            "path": call.request.path_qs,
            "request_id": call.argument,
            "seconds": f"{wait_s:g}",
            "reset_at": iso(self._service.clock.now() + wait_s),
            "video_url": found[1].decode() if found else "",
        }


def _routed(request: web.Request, origins: frozenset[Origin]) -> tuple[Route | None, str, Reply]:
    """The route, the argument in its path, and what to answer if there is none: 404, or 405 in HTML."""
    miss = contract.NO_ROUTE
    for route in ROUTES:
        found = re.fullmatch(route.path, request.path) if route.origin in origins else None
        if found is None:
            continue
        if route.method in ("*", request.method):
            return route, found[1] if found.groups() else "", miss
        miss = contract.WRONG_VERB
    return None, "", miss


def main() -> None:
    """Serves until Ctrl-C, then prints the ledger."""
    parser = argparse.ArgumentParser(description="A stand-in for Segmind's modify-video service, on loopback.")
    parser.add_argument("--port", type=int, default=8801)
    parser.add_argument("--fault", action="append", default=[], metavar="NAME[@KIND][:TIMES]")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long a job takes")
    chosen = parser.parse_args()
    with SegmindStandIn(port=chosen.port, faults=chosen.fault, processing_s=chosen.seconds) as server:
        for name, value in server.environment().items():
            print(f"export {name}={value}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(json.dumps(server.ledger.snapshot(), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
