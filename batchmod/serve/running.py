"""Starts the service, and ends it so that nothing accepted is lost."""

import asyncio
import contextlib
import errno
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from batchmod import clock, files, mounts, providers
from batchmod.errors import PortInUse, RecordOnNetwork, UsageError
from batchmod.executors import Processes
from batchmod.serve import KEY_ENV, Settings, api, door
from batchmod.serve.connections import Hurried
from batchmod.serve.fetch import Fetcher
from batchmod.serve.queue import FILE_NAME, Queue
from batchmod.serve.service import Service
from batchmod.serve.store import Store
from batchmod.serve.workshop import Workshop
from batchmod.urls import origin_of

_EXITS: Final = {"sigint": 130, "sigterm": 143}
_GRACE_S: Final = 5
"""How long answers that are under way may take when the service ends."""
_BACKLOG: Final = 512
_LOOK_S: Final = 0.1
_OWNER_ONLY: Final = 0o700

Ready = Callable[[str, int], None]
Stopped = Callable[[str, int], None]


def run(settings: Settings, *, ready: Ready, stopped: Stopped) -> int:
    """See `batchmod.serve.serve`."""
    _make_folder(settings.data)
    with files.locked(settings.data), closing(Queue.open(settings.data / FILE_NAME)) as queue:
        with closing(listening(settings.host, settings.port)) as listener, _signals() as seen:
            left = asyncio.run(_served(settings, queue, listener, ready, seen))
        name = seen[0] if seen else "sigterm"
        stopped(name, left)
        return _EXITS[name]


def _make_folder(folder: Path) -> None:
    """The folder for all data, which nobody else on this machine may read. Raises UsageError, RecordOnNetwork."""
    if kind := mounts.network_file_system(folder):
        raise RecordOnNetwork(f"{folder} is on a network ({kind}), where SQLite breaks; give a local disk with --data")
    made = not folder.exists()
    files.make_folder(folder)
    if made:
        with contextlib.suppress(OSError):
            folder.chmod(_OWNER_ONLY)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises PortInUse, or UsageError for an address that is not this machine's."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((str(address[0]), port), family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        raise UsageError(f"--host {host} is no address of this machine ({error.strerror})") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"port {port} of {host} is in use by another program; stop it, or choose another --port"
            raise PortInUse(text) from None
        raise UsageError(
            f"--host {host} --port {port} cannot be listened on ({os.strerror(error.errno or 0)})"
        ) from None


@contextmanager
def _signals() -> Iterator[list[str]]:
    """The signals that ended the server, which hands them on when it is done."""
    seen: list[str] = []

    def note(number: int, _: FrameType | None) -> None:
        seen.append(signal.Signals(number).name.lower())

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _served(settings: Settings, queue: Queue, listener: socket.socket, ready: Ready, seen: list[str]) -> int:
    """Serve until a signal; how many requests are left."""
    service, fetcher = assemble(settings, queue, port=listener.getsockname()[1])
    server = uvicorn.Server(configured(service))
    left_before = service.workshop.start()
    watching = asyncio.create_task(_tell(server, service.workshop, seen))
    ready(_address(settings, service.port), left_before)
    try:
        await server.serve(sockets=[listener])
    finally:
        watching.cancel()
        left = await service.workshop.stop()
        await fetcher.aclose()
    return left


def assemble(settings: Settings, queue: Queue, *, port: int, loopback_sources: bool = False) -> tuple[Service, Fetcher]:
    """The service's parts, put together; `loopback_sources` lets `video_url` lead to this machine."""
    limits = settings.limits
    store = Store(settings.data, queue, limits)
    store.tidy()
    store.sweep(at=clock.now())
    fetcher = Fetcher(time_s=limits.fetch_s, loopback_allowed=loopback_sources)
    keys = [key for name in providers.NAMES if (key := providers.facts(name).key_env)]
    hands = [Processes(1, drop_environment=(KEY_ENV, *keys)) for _ in range(settings.workers)]
    workshop = Workshop(queue=queue, store=store, fetcher=fetcher, hands=hands, limits=limits)
    machine, public = socket.gethostname(), settings.public_url
    rules = door.Door(
        names=door.names_of(host=settings.host, machine=machine, public_url=public),
        addresses=not settings.loopback,
        key=settings.key,
        token=secrets.token_urlsafe(32),
        public_origin=origin_of(public) if public else None,
    )
    service = Service(settings=settings, door=rules, port=port, queue=queue, store=store, workshop=workshop)
    return service, fetcher


def configured(service: Service) -> uvicorn.Config:
    """How the server serves it."""
    return uvicorn.Config(
        api.application(service),
        log_config=None,
        access_log=False,  # what is asked for holds URLs that open files
        lifespan="on",
        loop="asyncio",
        http=Hurried,
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )


async def _tell(server: uvicorn.Server, workshop: Workshop, seen: list[str]) -> None:
    """Have whoever waits for a video told as soon as the server is to end, also by a signal before it listened."""
    while not server.should_exit:
        server.should_exit = bool(seen)
        await clock.sleep(_LOOK_S)
    workshop.stop_waiting()


def _address(settings: Settings, port: int) -> str:
    if settings.public_url:
        return origin_of(settings.public_url)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{port}"
