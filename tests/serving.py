"""`batchmod serve` for tests: in a thread of this process, or as a user starts it."""

import asyncio
import base64
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from batchmod.serve import Limits, Settings, running
from batchmod.serve.queue import FILE_NAME, Queue
from batchmod.serve.service import Service
from tests.servers.clips import Clip, encoded
from tests.support import bare_environment

KEY = "team-key-0123456789"


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A service in a thread of this process."""

    url: str
    service: Service

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request as a program sends it."""
        return httpx.request(method, f"{self.url}{path}", trust_env=False, timeout=60.0, **more)

    def upload(self, content: bytes, media_type: str = "video/mp4") -> str:
        """The URL of an upload."""
        answer = self.ask("POST", "/upload-asset", json={"data_urls": [data_url(content, media_type)]})
        assert answer.status_code == 200, answer.text
        found: str = answer.json()["urls"][0]
        return found

    def submit(self, **inputs: Any) -> str:
        """The id of a submit."""
        answer = self.ask("POST", "/v2/modify-video", json=inputs)
        assert answer.status_code == 200, answer.text
        found: str = answer.json()["request_id"]
        return found

    def ended(self, request_id: str) -> dict[str, Any]:
        """The status of a request when it has ended."""
        while True:
            body: dict[str, Any] = self.ask("GET", f"/v2/requests/{request_id}/status").json()
            if body["status"] in ("COMPLETED", "FAILED"):
                return body
            threading.Event().wait(0.05)


def data_url(content: bytes, media_type: str = "video/mp4") -> str:
    """The content as a data URL."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def clip(**facts: Any) -> bytes:
    """A small real MP4."""
    return encoded(Clip(**facts))


@contextmanager
def service(
    data: Path, *, workers: int = 0, loopback_sources: bool = False, limits: Limits | None = None, **settings: Any
) -> Iterator[Running]:
    """A service; without workers its jobs wait."""
    chosen = Settings(data=data, port=0, workers=workers, limits=limits or Limits(), **settings)
    data.mkdir(parents=True, exist_ok=True)
    with closing(Queue.open(data / FILE_NAME)) as queue, closing(running.listening("127.0.0.1", 0)) as listener:
        thread = _Thread(chosen, queue, listener, loopback_sources=loopback_sources)
        try:
            yield thread.begun()
        finally:
            thread.end()


class _Thread:
    def __init__(self, settings: Settings, queue: Queue, listener: socket.socket, *, loopback_sources: bool) -> None:
        self._made = (settings, queue, listener, loopback_sources)
        self._ready = threading.Event()
        self._server: uvicorn.Server
        self._service: Service
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def begun(self) -> Running:
        self._thread.start()
        self._ready.wait()
        return Running(url=f"http://127.0.0.1:{self._service.port}", service=self._service)

    def end(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    async def _serve(self) -> None:
        settings, queue, listener, near = self._made
        port = listener.getsockname()[1]
        self._service, fetcher = running.assemble(settings, queue, port=port, loopback_sources=near)
        self._server = uvicorn.Server(running.configured(self._service))
        self._service.workshop.start()
        self._ready.set()
        await self._server.serve(sockets=[listener])
        await self._service.workshop.stop()
        await fetcher.aclose()


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A service in a process of its own."""

    url: str
    process: "subprocess.Popen[str]"

    def kill(self) -> None:
        """As a power cut would, but for the disk."""
        self.process.kill()
        self.process.wait()

    def press_ctrl_c(self) -> tuple[int, str]:
        """The exit code and what was said, after what a terminal does: every process of the group is told."""
        os.killpg(self.process.pid, signal.SIGINT)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """The exit code and what was said, after a signal."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@contextmanager
def started(
    data: Path, *argv: str, environ: Mapping[str, str] | None = None, under: Sequence[str] = ()
) -> Iterator[Started]:
    """`batchmod serve` as a user starts it, on a free port; `under` goes before it."""
    command = [*under, sys.executable, "-m", "batchmod", "serve", "--port", "0", "--data", str(data), *argv]
    environment = bare_environment() | dict(environ or {})
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=data.parent,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        found = re.search(r"https?://\S+", first)
        assert found is not None, (first, process.stderr.read() if process.stderr else "")
        yield Started(url=found[0], process=process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def children_of(pid: int) -> list[int]:
    """The processes that a process has started, by Linux's own account."""
    return [int(word) for task in Path(f"/proc/{pid}/task").glob("*/children") for word in task.read_text().split()]


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
