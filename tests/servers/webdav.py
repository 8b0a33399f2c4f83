"""A folder on loopback that speaks WebDAV: a real server from a package, with a ledger of what was asked."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from werkzeug.serving import make_server
from werkzeug.wsgi import get_input_stream
from wsgidav.wsgidav_app import WsgiDAVApp

USER: Final = "mirror"
PASSWORD: Final = "webdav-password-0123456789"


@dataclass(kw_only=True, slots=True)
class Shelf:
    """Where the server is, what lies there, and what it was asked."""

    folder: Path
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    fault: Callable[[str, str], int | None] = lambda _verb, _path: None
    """(verb, path) → the status to answer with instead of the server's own answer."""

    @property
    def environ(self) -> dict[str, str]:
        """What a run must have in its environment to write here."""
        return {"BATCHMOD_STORE_USER": USER, "BATCHMOD_STORE_PASSWORD": PASSWORD}

    def names(self) -> list[str]:
        """Every file there, below the folder."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.folder).as_posix() for path in found)


@contextmanager
def shelf(folder: Path) -> Iterator[Shelf]:
    """A server over an empty folder, for the block."""
    folder.mkdir(parents=True)
    made = Shelf(folder=folder)
    users = {"*": {USER: {"password": PASSWORD}}}
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(folder)},
            "simple_dc": {"user_mapping": users},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "verbose": 0,
            "logging": {"enable": False},
        }
    )

    def watched(environ: dict[str, Any], begin: Callable[..., Any]) -> Iterable[bytes]:
        verb, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        made.asked.append((verb, path))
        environ["wsgi.input"] = get_input_stream(environ)  # which ends where the body does
        status = made.fault(verb, path)
        if status is not None:
            environ["wsgi.input"].read()
            begin(f"{status} No", [("content-length", "0")])
            return [b""]
        answer: Iterable[bytes] = app(environ, begin)
        return answer

    server = make_server("127.0.0.1", 0, watched, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
