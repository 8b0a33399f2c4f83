"""What keeps a test from reaching anything that is not its own: other machines, the user's home, the user's keys."""

import ipaddress
import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

_SECRET: Final = re.compile(
    r"(_API_KEY|_API_TOKEN|_API_SECRET|_ACCESS_TOKEN|^FAL_KEY|_BASE_URL|_PROXY)$"
    r"|^(AWS|AZURE_STORAGE|GOOGLE|FSSPEC)_",
    re.IGNORECASE,
)


class StrangerError(RuntimeError):
    """A test tried to reach another machine. No OSError: that would look like any refused connection."""


def is_near(family: int, address: Any) -> bool:
    """Whether a socket's address is on this machine: a Unix socket or a loopback address."""
    if family not in (socket.AF_INET, socket.AF_INET6):
        return family == getattr(socket, "AF_UNIX", None)
    host = str(address[0])
    if host == "localhost":
        return True
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def keep_strangers_out(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Refuse every connection and datagram that leaves this machine; the addresses that were tried."""
    tried: list[Any] = []

    def guarded(call: Callable[..., Any]) -> Callable[..., Any]:
        def guard(self: socket.socket, *values: Any) -> Any:
            address = values[-1]
            if isinstance(address, tuple | str | bytes) and not is_near(self.family, address):
                tried.append(address)
                raise StrangerError(f"a test must not reach {address!r}")
            return call(self, *values)

        return guard

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
    return tried


def live_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `home` the user's home, with batchmod's own folders in it."""
    home.mkdir()
    for name, folder in {"HOME": home, "XDG_CACHE_HOME": home / ".cache", "BATCHMOD_HOME": home / "batchmod"}.items():
        monkeypatch.setenv(name, str(folder))


def is_secret(name: str) -> bool:
    """Whether a variable of the environment holds a key, or says where one is sent."""
    return _SECRET.search(name) is not None


def forget_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take keys, base URLs and proxies out of the environment, and whatever else is meant for batchmod."""
    for name in list(os.environ):
        if is_secret(name) or name.startswith("BATCHMOD_"):
            monkeypatch.delenv(name)


def live_in_utc() -> None:
    """Make UTC the time zone of this process and its children."""
    os.environ["TZ"] = "UTC"
    if hasattr(time, "tzset"):
        time.tzset()


def keep_machine_code(repository: Path) -> None:
    """Let all tests of all runs share the engine's machine code: a home of one's own would compile it each time."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(repository / ".pytest_cache" / "numba"))
