"""The endpoints as an ASGI application."""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchmod.serve import contract, docs, openapi, page
from batchmod.serve.bodies import MOST_TEXT, Arriving, Lifted, Parts
from batchmod.serve.contract import SLUG, Refused
from batchmod.serve.door import base_of, check
from batchmod.serve.forms import Form
from batchmod.serve.queue import Job
from batchmod.serve.service import Service, no_room, url_of
from batchmod.serve.store import ASSETS, OUTPUTS, NoRoomError

_BASE64: Final = 1.4
"""How much longer a file may get on the way, generously."""
_CLIPS: Final = 2
"""So many files of a clip's size one body may hold."""
_PATIENCE_S: Final = 20.0
"""How long what a refused client still sends is read and thrown away, so that it gets to hear why."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_JSON: Final = "application/json"
_FORM: Final = "multipart/form-data"

_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "cache-control": "no-store",
}
"""On every answer that does not say otherwise: nothing of it runs, is framed, read by another site, or kept."""

_FILE_HEADERS: Final = {"cache-control": "private, max-age=3600", "content-security-policy": "sandbox"}
"""A file may be looked at by itself, which the page around it needs to load, but nothing in it may act."""

Handler = Callable[[Request], Awaitable[Response]]


class Guard:
    """Lets in whom the door lets in, and puts the headers on every answer."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                more = [
                    (name.encode(), value.encode()) for name, value in _HEADERS.items() if name.encode() not in there
                ]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        request = Request(scope, receive)
        try:
            check(self._service.door, method=request.method, path=scope["path"], headers=request.headers)
        except Refused as refusal:
            await _drained(request, self._service)
            await _refused(request, refusal)(scope, receive, sent)
            return
        await self._app(scope, receive, sent)


def application(service: Service) -> Starlette:
    """The whole service, ready for a server; it works while the application's lifespan lasts."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(service.sweep_forever())
        try:
            yield
        finally:
            sweeping.cancel()

    app = Starlette(
        routes=Api(service).routes(),
        middleware=[Middleware(Guard, service=service)],
        exception_handlers={
            Refused: _on_refusal,
            HTTPException: _on_http,
            ClientDisconnect: _on_gone,
            OSError: _on_disk,
            500: _on_bug,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a submit follows no redirect
    return app


class Api:
    """The handlers; each raises Refused for what it does not take."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        """Every path there is; `openapi.document` describes the same ones."""
        past = "/inference-request/request-history"
        table: list[tuple[str, str, Handler]] = [
            ("POST", f"/v1/{SLUG}", self.blocking),
            ("POST", f"/v2/{SLUG}", self.submit),
            ("GET", "/v2/requests/{request_id}/status", self.status),
            ("GET", "/v2/requests/{request_id}", self.result),
            ("GET", "/v1/requests/{request_id}", self.result),
            ("POST", "/upload-asset", self.upload),
            ("GET", "/v1/get-user-credits", self.credits),
            ("GET", past, self.history),
            ("GET", past + "/{request_id}", self.history_of),
            ("GET", "/" + ASSETS + "/{name}", self.asset),
            ("GET", "/" + OUTPUTS + "/{name}", self.output),
            ("GET", "/", self.page),
            ("GET", "/page/{name}", self.page_file),
            ("GET", "/docs", self.docs),
            ("GET", "/openapi.json", self.openapi),
            ("GET", "/favicon.ico", self.icon),
        ]
        return [Route(path, handler, methods=[method]) for method, path, handler in table]

    async def submit(self, request: Request) -> Response:
        """v2: an id at once."""
        return JSONResponse(contract.submitted(await self._accepted(request), self._base(request)))

    async def blocking(self, request: Request) -> Response:
        """v1: the video, when it is made."""
        job, path = await self._service.made(await self._accepted(request))
        return FileResponse(path, media_type="video/mp4", headers=contract.blocking_headers(job))

    async def _accepted(self, request: Request) -> Job:
        inputs = await self._inputs(request)
        return self._service.accept(inputs, host=request.headers["host"])

    async def status(self, request: Request) -> Response:
        """How far a request is."""
        code, body = self._service.status(request.path_params["request_id"], self._base(request))
        return JSONResponse(body, status_code=code)

    async def result(self, request: Request) -> Response:
        """What became of a request."""
        code, body = self._service.result(request.path_params["request_id"], self._base(request))
        return JSONResponse(body, status_code=code)

    async def credits(self, request: Request) -> Response:  # noqa: ARG002 - handlers are alike
        """The balance."""
        return JSONResponse(contract.credits_())

    async def history(self, request: Request) -> Response:
        """A page of the history."""
        return JSONResponse(self._service.history(request.query_params, self._base(request)))

    async def history_of(self, request: Request) -> Response:
        """One request of the history."""
        return JSONResponse(self._service.history_of(request.path_params["request_id"], self._base(request)))

    async def upload(self, request: Request) -> Response:
        """Files as data URLs."""
        if _media_type(request) != _JSON:
            await _drained(request, self._service)
            raise Refused(406, contract.CONTENT_TYPE)
        async with self._parts(request) as parts:
            lifted = Lifted(parts)
            await self._read(request, lifted.feed)
            given = contract.decoded(lifted.finish()).get("data_urls")
            if not isinstance(given, list) or not given:
                raise Refused(400, "data_urls must be a list of data URLs")
            found = [file for value in given if (file := lifted.file_of(value)) is not None]
            if len(found) < len(given):
                raise Refused(400, "data_urls must hold base64 data URLs")
            return JSONResponse(contract.uploaded(await self._adopted(request, found)))

    async def _inputs(self, request: Request) -> dict[str, Any]:
        """A submit's fields; a file part becomes an asset, and its URL the field's value."""
        media_type = _media_type(request)
        if media_type == _FORM:
            return await self._form(request)
        if media_type != _JSON:
            await _drained(request, self._service)
            raise Refused(406, contract.CONTENT_TYPE)
        body = bytearray()
        await self._read(request, body.extend, most=MOST_TEXT)
        return contract.decoded(bytes(body))

    async def _form(self, request: Request) -> dict[str, Any]:
        async with self._parts(request) as parts:
            form = Form(request.headers["content-type"], parts)
            await self._read(request, form.feed)
            form.finish()
            inputs: dict[str, Any] = {}
            for name, value in form.fields.items():
                if isinstance(value, str):
                    inputs[name] = value
                elif value.size:
                    inputs[name] = (await self._adopted(request, [value]))[0]
            # a form sends what was left empty as an empty text
            return {name: value for name, value in inputs.items() if value != ""}

    async def _adopted(self, request: Request, arrived: list[Arriving]) -> list[str]:
        base = self._base(request)
        for file in arrived:
            await asyncio.to_thread(file.settle)
        return [url_of(self._service.adopt(file.path), base) for file in arrived]

    @contextlib.asynccontextmanager
    async def _parts(self, request: Request) -> AsyncIterator[Parts]:
        """Where the files of a body go while it comes; the room for them is kept as long."""
        limits = self._service.settings.limits
        length = request.headers.get("content-length", "")
        expected = int(length) if length.isdecimal() else _CLIPS * limits.clip_bytes
        store = self._service.store
        parts = Parts(lambda: Arriving(store.new_incoming(), limits.clip_bytes))
        try:
            with store.room(min(expected, _CLIPS * limits.clip_bytes)):
                yield parts
        except NoRoomError as error:
            await _drained(request, self._service)
            raise no_room(error) from None
        finally:
            parts.discard()

    async def _read(self, request: Request, feed: Callable[[bytes], object], *, most: int | None = None) -> None:
        """Hand a body on as it comes; Refused (408, 413) where it is too slow or too long."""
        limits = self._service.settings.limits
        most = most or int(_CLIPS * _BASE64 * limits.clip_bytes) + MOST_TEXT
        pieces = aiter(request.stream())
        seen = 0
        try:
            while True:
                async with asyncio.timeout(limits.stall_s):
                    piece = await anext(pieces)
                seen += len(piece)
                _check_length(seen, most)
                feed(piece)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Refused(408, f"Nothing of the body came for {limits.stall_s:g} seconds") from None
        except Refused:
            await _drained(request, self._service)
            raise

    async def asset(self, request: Request) -> Response:
        """An uploaded file."""
        return self._file(ASSETS, request)

    async def output(self, request: Request) -> Response:
        """A finished video."""
        return self._file(OUTPUTS, request)

    def _file(self, kind: str, request: Request) -> Response:
        file, path = self._service.file(kind, request.path_params["name"])
        return FileResponse(path, media_type=file.media_type, headers=_FILE_HEADERS)

    async def page(self, request: Request) -> Response:  # noqa: ARG002 - handlers are alike
        """The page where a person drops a clip."""
        html = page.html(token=self._service.door.token, needs_key=self._service.door.key is not None)
        return HTMLResponse(html, headers={"content-security-policy": page.POLICY})

    async def page_file(self, request: Request) -> Response:
        """The page's script and style."""
        found = page.asset(request.path_params["name"])
        if found is None:
            raise Refused(404, "Not found")
        text, media_type = found
        return Response(text, media_type=media_type)

    async def docs(self, request: Request) -> Response:
        """The contract for people."""
        html = docs.html(
            openapi.document(self._service.settings.limits),
            base=self._base(request),
            needs_key=self._service.door.key is not None,
        )
        return HTMLResponse(html, headers={"content-security-policy": docs.POLICY})

    async def openapi(self, request: Request) -> Response:
        """The contract for programs."""
        document = openapi.document(self._service.settings.limits)
        return JSONResponse({**document, "servers": [{"url": self._base(request)}]})

    async def icon(self, request: Request) -> Response:  # noqa: ARG002 - handlers are alike
        """Browsers ask for one."""
        return Response(page.ICON, media_type="image/svg+xml")

    def _base(self, request: Request) -> str:
        return base_of(self._service.door, request.headers)


def _refused(request: Request, refusal: Refused) -> Response:
    """A refusal in the contract's shape; the connection ends where the client may still be sending."""
    headers = dict(refusal.headers)
    if request.method not in ("GET", "HEAD"):
        headers["connection"] = "close"
    return JSONResponse({"error": refusal.text}, status_code=refusal.status, headers=headers)


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _refused(request, error)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:  # noqa: PLR2004 - the contract has this one in HTML
        return HTMLResponse(contract.WRONG_VERB, status_code=405, headers=dict(error.headers or {}))
    text = "Not found" if error.status_code == 404 else error.detail  # noqa: PLR2004 - as the contract says it
    return _refused(request, Refused(error.status_code, text))


async def _on_disk(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    if error.errno not in _FULL:
        raise error
    return _refused(request, Refused(507, "The service has no room left on its disk"))


async def _on_bug(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the server prints the error
    return _refused(request, Refused(500, "Internal server error"))


async def _on_gone(request: Request, error: Exception) -> Response:  # noqa: ARG001 - nobody is there to read it
    return Response(status_code=400)


async def _drained(request: Request, service: Service) -> None:
    """Read and throw away what still comes, for a while and not without end."""
    most = int(_CLIPS * _BASE64 * service.settings.limits.clip_bytes)
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(_PATIENCE_S):
            async for piece in request.stream():
                most -= len(piece)
                if most < 0:
                    return


def _check_length(seen: int, most: int) -> None:
    if seen > most:
        raise Refused(413, f"A request may have at most {most} bytes")


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
