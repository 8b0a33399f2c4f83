"""A lease: the one owner of a folder on a network file system, where locks cannot be trusted.

A lease is a numbered file; the highest number owns the folder, and each number is made by exactly one process
(`O_EXCL`). Its time stamp is the heartbeat. Whoever takes a dead lease over makes the next number and removes the
old file, so that an owner that was only asleep finds its file gone when it wakes up. A lease that was given back stays
as an empty claim, so that numbers never repeat.
"""

import json
import os
import re
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from batchmod.errors import FolderInUse, StoppedEarly

_NAME: Final = ".batchmod.lease"
_NUMBERED: Final = re.compile(re.escape(_NAME) + r"\.(\d{6,})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who holds a lease. `boot` is empty where the system does not name its boots: then only the heartbeat tells."""

    host: str
    pid: int
    boot: str
    started: str
    """When the process began, by its system; a number that is given again is another process."""

    @classmethod
    def me(cls) -> Self:
        """This process."""
        pid = os.getpid()
        return cls(host=socket.gethostname(), pid=pid, boot=_boot(), started=_started(pid) or "")

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Self:
        """Who wrote a lease; nobody known where it is cut, as its maker may have been killed over it."""
        pid = about.get("pid")
        texts = {name: str(about.get(name) or "") for name in ("boot", "started")}
        return cls(host=str(about.get("host") or "an unknown host"), pid=pid if isinstance(pid, int) else 0, **texts)

    def is_here(self, me: "Holder") -> bool:
        """Whether it lives in sight of `me`: a paused process of this machine still is the owner."""
        return bool(self.boot) and (self.host, self.boot) == (me.host, me.boot)

    def is_gone(self, me: "Holder") -> bool:
        """Whether it is known, seen from `me`, that the process ended; False also where that cannot be known."""
        return self.is_here(me) and _started(self.pid) != self.started

    def __str__(self) -> str:
        """`process 4711 on render-3`."""
        return f"process {self.pid} on {self.host}"


def _boot() -> str:
    """This boot of this machine, and the process numbers that are valid here: containers have their own."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def _started(pid: int) -> str | None:
    """Linux: when a process began, in ticks since the boot; None where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """How often a lease is renewed, and after how long a silence another host may take it over."""

    beat_s: float = 5.0
    stale_s: float = 60.0


class Lease:
    """A lease that this process holds, or held."""

    def __init__(self, path: Path, *, token: str, taken_from: Holder | None) -> None:
        self.path = path
        self._token = token
        self.taken_from = taken_from
        """The owner it was taken over from, which had died."""

    def check(self) -> None:
        """Raise StoppedEarly where another process has taken the lease over, or nobody can say."""
        try:
            mine = _read(self.path).get("token") == self._token
        except OSError as error:
            raise _lost(self.path.parent, f"its lease cannot be read: {error.strerror or error}") from error
        if not mine:
            raise _lost(self.path.parent, "its lease is another's")

    def beat(self) -> None:
        """Renew it: the file's time stamp, by the server's clock. Raises FileNotFoundError where it is gone."""
        os.utime(self.path)

    def give_back(self) -> None:
        """Free the folder, unless it is another's by now."""
        with suppress(StoppedEarly, OSError):
            self.check()
            self.path.write_bytes(b"{}")


def _lost(folder: Path, why: str) -> StoppedEarly:
    text = f"this run no longer owns {folder}: {why}. It was silent for too long (did the machine sleep?), and another"
    return StoppedEarly(f"{text} run went on with what it had sent; nothing more is sent", slug="lease_lost")


@contextmanager
def held(folder: Path, *, me: Holder | None = None, terms: Terms | None = None) -> Iterator[Lease]:
    """Own a folder for the block, by a lease that is kept alive. Raises FolderInUse where another owner lives."""
    mine, kept = me or Holder.me(), terms or Terms()
    lease = _acquire(folder, mine, kept)
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(lease, kept.beat_s, ended), name="lease", daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        ended.set()
        keeper.join()
        lease.give_back()


def _keep(lease: Lease, beat_s: float, ended: threading.Event) -> None:
    while not ended.wait(beat_s):
        try:
            lease.beat()
        except FileNotFoundError:
            return
        except OSError:  # a server that is away for a moment; `check` says so where it matters
            continue


def _acquire(folder: Path, me: Holder, terms: Terms) -> Lease:
    while True:
        last = _last(folder)
        dead = _refuse_living(folder, last, me, terms) if last else None
        path = folder / f"{_NAME}.{last + 1:06d}"
        token = uuid.uuid4().hex
        if not _make(path, {**asdict(me), "token": token}):
            continue
        if _last(folder) != last + 1:  # the number was free only because later owners had cleared it away
            path.unlink(missing_ok=True)
            continue
        for number in _numbers(folder):
            if number <= last:
                _path(folder, number).unlink(missing_ok=True)
        return Lease(path, token=token, taken_from=dead)


def _refuse_living(folder: Path, number: int, me: Holder, terms: Terms) -> Holder | None:
    """The dead owner of a lease, if it was not given back. Raises FolderInUse where it lives, or may."""
    path = _path(folder, number)
    try:
        about, silent_s = _read(path), _age(path)
    except FileNotFoundError:  # gone a moment ago: its successor is met when the next number is made
        return None
    if about == {}:
        return None
    holder = Holder.of(about)
    if holder.is_gone(me) or (not holder.is_here(me) and silent_s > terms.stale_s):
        return holder
    raise FolderInUse(f"{folder} is in use by another run ({holder}, last heard of {max(0.0, silent_s):.0f} s ago).")


def living(folder: Path, *, now: float, terms: Terms | None = None) -> Holder | None:
    """Who holds the folder's lease, looked up without touching anything; None where nobody lives that does.

    `now`: by this host's clock; where it differs from the server's, a silence may look longer or shorter than it is.
    """
    try:
        number = _last(folder)
        path = _path(folder, number)
        about, silent_s = _read(path), now - path.stat().st_mtime
    except OSError:
        return None
    if not number or about == {}:
        return None
    me, holder = Holder.me(), Holder.of(about)
    if holder.is_gone(me) or (not holder.is_here(me) and silent_s > (terms or Terms()).stale_s):
        return None
    return holder


def _read(path: Path) -> dict[str, Any]:
    """What a lease says. Opening the file, rather than looking at its name, makes a network client ask the server."""
    with path.open("rb") as file:
        content = file.read()
    with suppress(ValueError):
        found = json.loads(content)
        return found if isinstance(found, dict) else {"broken": True}
    return {"broken": True}


def _age(path: Path) -> float:
    """Seconds since the last heartbeat, by the clock of the server alone: that of a host may be wrong."""
    probe = path.with_name(f"{_NAME}.now-{uuid.uuid4().hex}")
    try:
        probe.touch()
        now = probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
    with path.open("rb") as file:
        return now - os.fstat(file.fileno()).st_mtime


def _make(path: Path, about: dict[str, Any]) -> bool:
    """Make a lease's file; False where somebody else was first."""
    try:
        with path.open("xb") as file:
            file.write(json.dumps(about).encode())
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


def _path(folder: Path, number: int) -> Path:
    return folder / f"{_NAME}.{number:06d}"


def _numbers(folder: Path) -> list[int]:
    found = (_NUMBERED.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(each[1]) for each in found if each)


def _last(folder: Path) -> int:
    """The highest number there is; 0 where there is none."""
    return max(_numbers(folder), default=0)
