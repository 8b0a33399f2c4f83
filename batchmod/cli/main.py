"""argv → a command → an exit code; errors become one or more lines on standard error."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from batchmod.cli.arguments import parse
from batchmod.errors import BatchmodError, ManifestError, StoppedEarly

_BUG = 70
_BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; never lets an exception out."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        args = parse(argv)
    except SystemExit as exit_:
        _tell_machines(sys.argv[1:] if argv is None else argv, exit_)
        return int(exit_.code or 0)
    try:
        return _done(args)
    except BatchmodError as error:
        print(f"batchmod: {error} [{error.slug}]", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        return _say_os_error(error)
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 - the last line of defence: a bug is said to be one
        traceback.print_exc()
        print(
            "batchmod: this is a bug in batchmod; what was sent is in the record, run again to go on.", file=sys.stderr
        )
        return _BUG


def _done(args: argparse.Namespace) -> int:
    """Run the command; what is wrong with a manifest is said as it was asked for."""
    from batchmod.cli import commands

    try:
        return commands.COMMANDS[args.command](args, os.environ)
    except ManifestError as error:
        lines_only = args.command == "run" and args.json and not args.dry_run
        _say_problems(error, getattr(args, "format", "text"), aside=lines_only)
        return error.exit_code


def _tell_machines(argv: Sequence[str], exit_: SystemExit) -> None:
    """Who reads the lines of `run --json` reads there, too, that the command line was wrong."""
    if exit_.code and argv[:1] == ["run"] and "--json" in argv:
        from batchmod.cli.observing import Eyes

        Eyes((), lines=True, metrics=None).broken(exit_)


def _say_os_error(error: OSError) -> int:
    """The system refused: what was sent is in the record, so that the run can go on."""
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    stopped = StoppedEarly.of(error)
    print(f"batchmod: {stopped} [{stopped.slug}]", file=sys.stderr)
    return stopped.exit_code


def _say_problems(error: ManifestError, form: str, *, aside: bool) -> None:
    """On standard output in a form for machines, unless that is kept for lines of another kind."""
    from batchmod.cli.problems import shown

    print(shown(error, form), file=sys.stderr if form == "text" or aside else sys.stdout)
