"""Where the log goes and what it looks like: `--log-file`, `--log-level`, `--log-format`."""

import argparse
import json
import logging
import logging.handlers
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from batchmod import clock
from batchmod.app.logs import FIELDS, LOGGER
from batchmod.errors import UsageError

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def to_stderr(args: argparse.Namespace) -> bool:
    """Whether the log goes to standard error: there it takes the place of the progress."""
    return args.log_file is None and (args.log_level is not None or args.log_format is not None)


@contextmanager
def configured(args: argparse.Namespace) -> Iterator[None]:
    """Keep the log as the command says, for the block. Raises UsageError where its file cannot be written."""
    if args.log_file is None and not to_stderr(args):
        yield
        return
    handler = _to_file(Path(args.log_file)) if args.log_file is not None else logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if args.log_format == "json" else _Text())
    before = LOGGER.level
    LOGGER.setLevel(_LEVELS[args.log_level or "info"])
    LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(before)
        with suppress(OSError):  # what could not be written was said when it happened
            handler.close()


class _File(logging.handlers.WatchedFileHandler):
    """A file that may be moved away by logrotate; a log that cannot be written stops no run."""

    said = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's own name
        if not self.said:
            self.said = True
            print(f"warning: {self.baseFilename} cannot be written; the run goes on", file=sys.stderr)


def _to_file(path: Path) -> logging.Handler:
    try:
        return _File(path, mode="a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"--log-file {path} cannot be written: {(error.strerror or str(error)).lower()}") from error


class _Text(logging.Formatter):
    """`2026-05-03T10:00:00.123Z INFO 3fa2b1c9d0e4 woman-clay: accepted by segmind as 7f0c…`."""

    def format(self, record: logging.LogRecord) -> str:
        run_id = getattr(record, "run_id", None) or "-"
        return f"{clock.iso(record.created)} {record.levelname} {run_id} {record.getMessage()}"


class _Json(logging.Formatter):
    """An object a line: `time`, `level`, `logger`, `message`, and the fields that the record has."""

    def format(self, record: logging.LogRecord) -> str:
        about: dict[str, Any] = {"time": clock.iso(record.created), "level": record.levelname.lower()}
        about |= {"logger": record.name, "message": record.getMessage()}
        given = {name: getattr(record, name, None) for name in FIELDS}
        return json.dumps({**about, **{name: value for name, value in given.items() if value is not None}})
