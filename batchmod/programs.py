"""Starts a program of the user's: without a shell, for a bounded time, its words kept in a file."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from batchmod import clock

LOG_BYTES: Final = 1 << 20
"""How much of what a program says is kept of one start."""

_TURN_S: Final = 0.1
_GRACE_S: Final = 5.0
_CHUNK: Final = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a program ended; `problem` empty where it ended with 0. `stopped`: it was told to, by us."""

    problem: str = ""
    stopped: bool = False

    @property
    def ok(self) -> bool:
        """Whether it did what it was to do."""
        return not self.problem


def run(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    folder: Path,
    log: Path,
    timeout_s: float,
    stop: threading.Event,
) -> Ended:
    """Start a program and wait for it; blocks. With `stop` set it is ended, and so it is after `timeout_s`.

    It has a session of its own, so that a Ctrl-C of ours is not its; what it starts ends with it where it is ended.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as words:
        words.write(f"--- {clock.iso(clock.now())} {' '.join(argv)}\n".encode("utf-8", "replace"))
        words.flush()
        try:
            process = subprocess.Popen(  # noqa: S603 - what is started is what the user has allowed, without a shell
                list(argv),
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            return Ended(problem=f"{argv[0]} cannot be started: {why.lower()}")
        assert process.stdout is not None
        listener = threading.Thread(target=_keep, args=(process.stdout, words), daemon=True)
        listener.start()
        ended = _waited_for(process, timeout_s=timeout_s, stop=stop)
        listener.join(1.0)  # what a program has left running may hold its mouth open for ever
        return ended


def _waited_for(process: "subprocess.Popen[bytes]", *, timeout_s: float, stop: threading.Event) -> Ended:
    end = clock.ticks() + timeout_s
    while True:
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(_TURN_S)
            return Ended() if code == 0 else Ended(problem=_words(code))
        if stop.is_set() or clock.ticks() > end:
            _end(process)
            if stop.is_set():
                return Ended(problem="it was stopped with the run", stopped=True)
            return Ended(problem=f"it had not ended after {timeout_s:g} s")


def _words(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"it was ended by {signal.Signals(-code).name}"
    return f"it ended with {code}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a program and its whole session: asked first, then without being asked."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                process.kill()
            else:
                os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
            if number != signal.SIGTERM:
                return


def _keep(said: IO[bytes], words: IO[bytes]) -> None:
    """Keep the beginning of what a program says; the rest is listened to, so that it does not wait, and dropped."""
    left = LOG_BYTES
    with said, suppress(OSError, ValueError):
        while chunk := os.read(said.fileno(), _CHUNK):
            kept = chunk[:left]
            if kept and not words.closed:
                words.write(kept)
                words.flush()
            left -= len(kept)
