"""A provider for benchmarks, in a process of its own: Segmind's v2 contract with nothing behind it but a limit.

It answers as fast as asyncio lets it, keeps no ledger, and counts what it was asked. Started by `serving`.
"""

import argparse
import asyncio
import functools
import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class Limit:
    """What submits are held to: so many at once, or so many in a window; 0 is no limit."""

    def __init__(self, *, slots: int, per_window: int, window_s: float) -> None:
        self.slots, self.per_window, self.window_s = slots, per_window, window_s
        self.running = 0
        self._taken: deque[float] = deque()

    def takes(self, now: float) -> bool:
        """Whether one more is accepted now."""
        while self._taken and self._taken[0] <= now - self.window_s:
            self._taken.popleft()
        if (self.slots and self.running >= self.slots) or (self.per_window and len(self._taken) >= self.per_window):
            return False
        self._taken.append(now)
        self.running += 1
        return True


class Service:
    """The jobs, and the answers to what is asked about them."""

    def __init__(self, args: argparse.Namespace, file: bytes) -> None:
        self.args, self.file = args, file
        self.limit = Limit(slots=args.slots, per_window=args.per_window, window_s=args.window_s)
        self.counts: Counter[str] = Counter()
        self.accepted: list[float] = []
        self.refused: list[float] = []
        self.ends: list[float] = []
        self.most_at_once = 0
        self.base = ""

    def answer(self, method: str, path: str, loop: asyncio.AbstractEventLoop) -> tuple[int, bytes, str, float]:
        """(status, body, extra headers, seconds before it is given)."""
        if method == "POST":
            return self._submit(loop)
        kind, _, name = path.removeprefix("/").partition("/")
        self.counts[kind] += 1
        if kind == "file":
            tail = name.encode()
            return 200, self.file + (len(tail) + 8).to_bytes(4) + b"free" + tail, "Content-Type: video/mp4\r\n", 0.0
        if kind == "counts":
            return 200, json.dumps(self.told()).encode(), "", 0.0
        if kind == "limit":
            self.limit.slots, self.limit.per_window = (int(part) for part in name.split("/"))
            return 200, b"{}", "", 0.0
        if kind == "status":
            done = loop.time() >= self.ends[int(name)]
            return 200, b'{"status": "COMPLETED"}' if done else b'{"status": "PROCESSING"}', "", 0.0
        if kind == "result":
            told = {"status": "COMPLETED", "output": f"{self.base}/file/{name}", "metrics": {"cost": 0.6}}
            return 200, json.dumps(told).encode(), "", 0.0
        return 404, b"{}", "", 0.0

    def _submit(self, loop: asyncio.AbstractEventLoop) -> tuple[int, bytes, str, float]:
        self.counts["submit"] += 1
        now = loop.time()
        if not self.limit.takes(now):
            self.refused.append(now)
            header = f"Retry-After: {self.args.retry_after:g}\r\n" if self.args.retry_after else ""
            return 429, b'{"error": "Too many requests"}', header, 0.0
        number = len(self.accepted)
        self.accepted.append(now)
        self.ends.append(now + self.args.takes_s)
        self.most_at_once = max(self.most_at_once, self.limit.running)
        loop.call_later(self.args.takes_s, self._ended)
        told = {
            "request_id": f"r{number}",
            "status": "QUEUED",
            "status_url": f"{self.base}/status/{number}",
            "response_url": f"{self.base}/result/{number}",
        }
        return 200, json.dumps(told).encode(), "", self.args.takes_s if self.args.blocks else 0.0

    def _ended(self) -> None:
        self.limit.running -= 1

    def told(self) -> dict[str, Any]:
        """What it has counted; moments in seconds since it was asked first."""
        first = min((*self.accepted[:1], *self.refused[:1]), default=0.0)
        return {
            "counts": dict(self.counts),
            "accepted": [round(at - first, 4) for at in self.accepted],
            "refused": [round(at - first, 4) for at in self.refused],
            "most_at_once": self.most_at_once,
            "cpu_s": time.process_time(),
        }


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as much of it as clients here use."""

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._service, self._loop, self._got = service, loop, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._got += data
        while (end := self._got.find(b"\r\n\r\n")) >= 0:
            head = self._got[:end]
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._got) < end + 4 + length:
                return
            self._got = self._got[end + 4 + length :]
            method, path, _ = head.split(b" ", 2)
            closing = b"connection: close" in head.lower()
            status, body, headers, after_s = self._service.answer(method.decode(), path.decode(), self._loop)
            whole = f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body
            if after_s:
                self._loop.call_later(after_s, functools.partial(self._write, whole, closing=closing))
            else:
                self._write(whole, closing=closing)

    def _write(self, whole: bytes, *, closing: bool) -> None:
        if not self._transport.is_closing():
            self._transport.write(whole)
            if closing:
                self._transport.close()


async def _serve(args: argparse.Namespace, file: bytes) -> None:
    loop = asyncio.get_running_loop()
    service = Service(args, file)
    server = await loop.create_server(lambda: Connection(service, loop), "127.0.0.1", 0, backlog=4096)
    service.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(service.base, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", help="what every job's output is")
    parser.add_argument("--takes-s", type=float, default=0.0, help="how long a job takes")
    parser.add_argument("--blocks", action="store_true", help="a submit is answered when its job has ended")
    parser.add_argument("--slots", type=int, default=0, help="so many jobs at once")
    parser.add_argument("--per-window", type=int, default=0, help="so many submits in a window")
    parser.add_argument("--window-s", type=float, default=60.0)
    parser.add_argument("--retry-after", type=float, default=0.0, help="what a 429 says; 0: nothing")
    args = parser.parse_args()
    asyncio.run(_serve(args, Path(args.file).read_bytes() if args.file else b""))


@contextmanager
def serving(*options: object) -> Iterator[str]:
    """The provider with these options in a process of its own; its origin."""
    command = [sys.executable, "-m", "benchmarks.provider", *map(str, options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(10)


def asked(origin: str, path: str = "counts") -> dict[str, Any]:
    """What the provider has counted, or is told (`limit/SLOTS/PER_WINDOW`)."""
    with urllib.request.urlopen(f"{origin}/{path}") as answer:
        told: dict[str, Any] = json.load(answer)
        return told


if __name__ == "__main__":
    main()
