"""`serve`: the embedded engine behind Segmind's HTTP contract."""

import argparse
import sys
from pathlib import Path

from batchmod import executors, serve
from batchmod.app.homes import data_folder
from batchmod.cli.loading import Environ
from batchmod.cli.wording import counted

_GB = 1024**3


def run(args: argparse.Namespace, environ: Environ) -> int:
    """Serve until a signal."""
    limits = serve.Limits(data_bytes=int(args.max_data_gb * _GB))
    settings = serve.Settings(
        data=Path(args.data) if args.data else data_folder(environ) / "serve",
        host=args.host,
        port=args.port,
        workers=args.workers or executors.cores(),
        key=serve.key_in(environ),
        public_url=args.public_url,
        limits=limits,
    )
    return serve.serve(settings, ready=lambda url, left: _say_ready(settings, url, left), stopped=_say_stopped)


def _say_ready(settings: serve.Settings, url: str, left: int) -> None:
    print(f"batchmod serve: {url} ({counted(settings.workers, 'worker')}, files in {settings.data}); Ctrl-C stops it.")
    if left:
        print(f"{counted(left, 'request')} of an earlier time {'go' if left > 1 else 'goes'} on.")
    print(f"The page is {url}/, the HTTP interface {url}/docs. To have Segmind's clients come here:")
    for name in ("SEGMIND_BASE_URL", "SEGMIND_UPLOAD_BASE_URL", "SEGMIND_HISTORY_BASE_URL"):
        print(f"export {name}={url}")
    key = f'"${serve.KEY_ENV}"' if settings.key else "any"
    print(f"export SEGMIND_API_KEY={key}", flush=True)


def _say_stopped(name: str, left: int) -> None:
    waiting = f"; {counted(left, 'request')} will go on when it is started again" if left else ""
    print(f"\n{name.upper()}: the service has ended{waiting}.", file=sys.stderr)
