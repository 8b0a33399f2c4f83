"""The command line: argv in, exit code out; the only rooms that print, and the one error handler."""

from batchmod.cli.main import main

__all__ = ["main"]
