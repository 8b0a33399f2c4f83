"""`batchmod serve`: an HTTP service that speaks Segmind's modify-video contract, done by the embedded engine.

    settings ─ door, contract, history (who may come in, what is asked, what is answered) ┐
    queue (SQL), store (files), bodies, forms, fetch (what comes in) ─ workshop ─ service ─┴─ api, page, docs ─ running

A wing of its own beside `app`: it knows no manifest, no record and no provider, only the engine's workers.
"""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Final

from batchmod.errors import MissingExtra, MissingKey, UsageError
from batchmod.serve.settings import Limits, Settings
from batchmod.urls import check_request_url

__all__ = ["KEY_ENV", "Limits", "Settings", "key_in", "serve"]

KEY_ENV: Final = "BATCHMOD_SERVE_KEY"
_NEEDED: Final = ("starlette", "uvicorn", "python_multipart", "cv2", "numba")


def key_in(environ: Mapping[str, str]) -> str | None:
    """The key that clients must send, if it is set."""
    return environ.get(KEY_ENV, "").strip() or None


def serve(settings: Settings, *, ready: Callable[[str, int], None], stopped: Callable[[str, int], None]) -> int:
    """Serve until SIGINT or SIGTERM; then 130 or 143.

    `ready` hears the base URL and how many requests go on from an earlier time, `stopped` the signal's name and how
    many wait for the next start. Raises MissingExtra, MissingKey, UsageError, PortInUse, RecordRefused and FolderInUse
    before it begins.
    """
    _check(settings)
    from batchmod.serve.running import run

    return run(settings, ready=ready, stopped=stopped)


def _check(settings: Settings) -> None:
    if any(find_spec(name) is None for name in _NEEDED):
        raise MissingExtra("batchmod serve is not installed: pip install 'batchmod[serve]'")
    if not settings.loopback and settings.key is None:
        raise MissingKey(
            f"{settings.host} is reached from other machines, so clients must show a key: export {KEY_ENV}=… with one "
            "that you choose, and give it to them; or stay with --host 127.0.0.1"
        )
    if settings.key is not None and not (settings.key.isascii() and settings.key.isprintable()):
        raise UsageError(f"{KEY_ENV} holds a character that no HTTP header may hold")
    if settings.public_url is not None and (problem := check_request_url(settings.public_url)) is not None:
        raise UsageError(f"--public-url: {problem}")
