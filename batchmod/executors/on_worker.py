"""What a Ray worker does with a task: it checks the terms, and answers with a value whatever happens."""

import functools
import hashlib
import os
import pickle
import signal
import socket
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import batchmod
from batchmod.executors.messages import Answer, Raised, Terms, Unfit, Value
from batchmod.executors.plain import is_plain, read

_BELOW: Final = ("av", "llvmlite", "numba", "numpy", "opencv-python-headless")
"""What the engine computes with."""


def carry(terms: Terms, function: Callable[..., Any], values: tuple[object, ...]) -> Answer:
    """`function(*values)` on these terms."""
    _live_as_a_worker(terms.drop_environment)
    refused = _refusal(terms)
    if refused is not None:
        return refused
    try:
        return Value(value=function(*values))
    except Exception as error:  # noqa: BLE001 - it is raised where the work was asked for
        return Raised(error=_portable(error))


@functools.cache
def versions() -> Mapping[str, str]:
    """All that an output's bytes depend on beside its inputs: our own code by its text, the rest by its version."""
    below = {name: _version(name) for name in _BELOW}
    return {"batchmod": f"{batchmod.__version__} ({_digest(Path(batchmod.__file__).parent)})", **below}


def sees(path: str, text: str) -> bool:
    """Whether a file of the driver's is seen here."""
    try:
        return Path(path).read_text(encoding="ascii") == text
    except (OSError, ValueError):
        return False


def _live_as_a_worker(drop_environment: tuple[str, ...]) -> None:
    """Leave Ctrl-C to the driver, and have no keys, whatever the cluster was started with."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in drop_environment:
        os.environ.pop(name, None)


def _refusal(terms: Terms) -> Unfit | None:
    here = versions()
    if here != terms.versions:
        other = [
            f"{name} {here.get(name)} instead of {its}" for name, its in terms.versions.items() if here.get(name) != its
        ]
        text = f"the worker on {socket.gethostname()} has {', '.join(other)}: its outputs would differ"
        return Unfit(slug="versions_differ", message=f"{text}; install the same everywhere")
    unseen = [] if terms.token is None or sees(*terms.token) else [str(Path(terms.token[0]).parent)]
    unseen += [path for path in terms.reads if not Path(path).exists()]
    if not unseen:
        return None
    text = f"the worker on {socket.gethostname()} does not see {unseen[0]}, which is here"
    return Unfit(slug="not_shared", message=f"{text}; mount it there under the same path")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "(none)"


def _digest(package: Path) -> str:
    """Of the code that makes outputs."""
    made = hashlib.sha256()
    for path in (package / "work.py", *sorted(package.glob("engine/**/*.py")), *sorted(package.glob("media/**/*.py"))):
        made.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return made.hexdigest()[:12]


def _portable(error: Exception) -> Exception:
    """The error as it can travel: one of other people's classes may be made here and not there."""
    try:
        if is_plain(type(error)):
            read(pickle.dumps(error))
            return error
    except Exception:  # noqa: BLE001, S110 - whatever a class does to itself
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")
