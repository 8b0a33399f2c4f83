"""A Ray cluster on this machine: a head and workers, each begun by `ray start` as on a machine of its own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from batchmod import work
from tests.support import bare_environment

_MEMORY = str(80 * 2**20)
"""Bytes of a node's object store: about the least that Ray takes."""

QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}


@dataclass(kw_only=True, slots=True)
class Node:
    """One `ray start --block`, and all that it has started."""

    process: subprocess.Popen[bytes]
    log: Path

    def is_up(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(self.log.read_text(errors="replace"))
        return b"Ray runtime started" in self.log.read_bytes()

    def kill(self) -> None:
        """End it as a machine ends whose power goes."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(kw_only=True, slots=True)
class Cluster:
    """A head without CPUs, so that it takes no work, and nodes."""

    folder: Path
    port: int
    nodes: list[Node] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @classmethod
    def begin(cls, *workers: Mapping[str, str], gpus: Sequence[int] = ()) -> Self:
        """A head, and a node of one CPU for each of these environments."""
        # A socket's name must be short: not below pytest's folder.
        made = cls(folder=Path(tempfile.mkdtemp(prefix="ray-")), port=_free_port())
        head = made._start(
            "--head",
            f"--port={made.port}",
            f"--temp-dir={made.folder}",
            "--num-cpus=0",
            "--include-dashboard=false",
            environ={},
        )
        try:
            made.wait(head)
            for each, count in zip(workers, gpus or [0] * len(workers), strict=True):
                made.wait(made.add(environ=each, gpus=count))  # together they would name their sockets alike
        except BaseException:
            made.end()
            raise
        return made

    def add(self, *, environ: Mapping[str, str] = {}, gpus: int = 0, cpus: int = 1) -> Node:
        """One more node, which is on its way."""
        return self._start(f"--address={self.address}", f"--num-cpus={cpus}", f"--num-gpus={gpus}", environ=environ)

    def wait(self, *nodes: Node) -> None:
        """Until they are there."""
        end = time.monotonic() + 120
        while not all(node.is_up() for node in nodes):
            assert time.monotonic() < end, [node.log.read_text() for node in nodes]
            time.sleep(0.1)

    def end(self) -> None:
        """Leave nothing behind."""
        for node in self.nodes:
            if node.process.poll() is None:
                node.kill()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def processes(self) -> list[int]:
        """Every process that names this cluster, by Linux's own account."""
        mark = str(self.folder).encode()
        return [pid for pid in every_process() if mark in _words(pid)]

    def _start(self, *words: str, environ: Mapping[str, str]) -> Node:
        log = self.folder / f"node-{len(self.nodes)}.log"
        quiet = ("--block", "--disable-usage-stats")
        with log.open("wb") as file:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "ray.scripts.scripts",
                    "start",
                    *words,
                    *quiet,
                    f"--object-store-memory={_MEMORY}",
                ],
                env=bare_environment() | QUIET | dict(environ),
                cwd=self.folder,  # nobody's but theirs
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.nodes.append(Node(process=process, log=log))
        return self.nodes[-1]


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        pid = parent_of(pid)
        yield pid


def writers(folder: Path) -> dict[int, str]:
    """Process → the file below the folder that it has open for writing: what it is in the middle of."""
    found = {}
    for pid in every_process():
        try:
            names = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        for name in names:
            if name.startswith(f"{folder}/") and name.endswith(".new"):
                found[pid] = name
    return found


def until(found: Callable[[], Any], *, seconds: float = 120.0) -> Any:
    """What is found in the end."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


def caught_working(node: Node, folder: Path) -> int:
    """A worker of this node that has begun an output, and has said that it has made frames of it."""

    def look() -> int | None:
        for pid, name in writers(folder).items():
            said = work.told(f"{name.partition('.made')[0]}.made.progress")
            if said and said[0] > 0 and node.process.pid in ancestors(pid):
                return pid
        return None

    return int(until(look))


def every_process() -> list[int]:
    """Those that run now, by Linux's own account."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
