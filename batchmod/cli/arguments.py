"""The arguments there are, and what they become."""

import argparse
from collections.abc import Sequence
from typing import Any

from batchmod import __version__
from batchmod.model import DELIMITERS

_EPILOG = """exit codes: 0 all succeeded; 1 some failed, invalid or uncertain; 2 bad usage or manifest,
nothing was sent; 3 stopped early, run again to go on; 4 the folder is in use; 130/143 stopped by a signal; 70 a bug."""

_COPIES = "h264 or prores, or KEY=VALUE of the manifest's `deliver:`, such as fit=crop"
_ADD = "add this manifest's rows to another one's output folder"


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="batchmod",
        description="Modify video clips in batches; never pay twice, never lose what was paid for.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"batchmod {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    text = "show what run would do, cost and take, and what has changed; sends nothing"
    plan = _add(commands, "plan", text, _manifests, _selection, _sheets, _pace, _json)
    plan.add_argument("--add", action="store_true", help=_ADD)
    text = "find every mistake in a manifest; sends nothing"
    check = _add(commands, "check", text, _manifests, _selection, _sheets, _json)
    check.add_argument("--fix", action="store_true", help="write clips anew where that mends them: cut, or as H.264")
    check.add_argument("--no-media", action="store_true", help="look at no clip or picture, and ask for none")
    check.add_argument("--annotate", action="store_true", help="write copies of sheets that say what is wrong, by row")
    text = "write each clip's first frame as a PNG to edit, named by its row"
    _add(commands, "frames", text, _manifests, _selection, _sheets, _skip_invalid, _json)
    status = _add(commands, "status", "counts and money of output folders, and the runs that go on there", _json)
    status.add_argument("paths", nargs="+", metavar="PATH", help="a manifest or an output folder")
    status.add_argument("--output", metavar="DIR", help="the output folder, where PATH is a manifest")
    status.add_argument("--watch", action="store_true", help="go on looking until the run has ended")
    status.add_argument("--interval", type=_rate, default=2.0, metavar="S", help="look every so many seconds")
    _state(status)
    text = "one row's whole story: as it was read, its requests, and what run would do with it now"
    why = _add(commands, "why", text, _one_row, _wishes, _sheets, _pace, _json)
    why.set_defaults(only=[], where=[], first=None)
    resolve = _add(commands, "resolve", "uncertain jobs: list them, look them up, or decide about them", _path, _json)
    resolve.add_argument("--ask", action="store_true", help="look them up in the provider's history")
    resolve.add_argument(
        "--resend", nargs="+", default=[], metavar="ID", help="plan them again: the next run sends them"
    )
    resolve.add_argument("--give-up", nargs="+", default=[], metavar="ID", help="take them for failed")
    resolve.add_argument("--cancel", nargs="+", default=[], metavar="ID", help="ask the provider to stop what was sent")
    resolve.add_argument("--rebuild", action="store_true", help="make a lost, cut or older record anew")
    resolve.add_argument("--history-grace", type=_money, default=600.0, metavar="SECONDS", help="how late a history is")
    _add_rescue(commands)
    _add_report(commands)
    _add_deliver(commands)
    _add_clean(commands)
    _add_serve(commands)
    _add(commands, "providers", "the providers there are: limits, prices, keys, privacy", _json)
    looks = _add(commands, "looks", "the looks and modifiers a prompt can ask of the embedded engine", _json)
    looks.add_argument("--sheet", metavar="FILE.png", help="draw them all into a picture")
    looks.add_argument("--frame", metavar="IMAGE_OR_CLIP", help="what the sheet is drawn from, not the example's clip")
    names = ("manifest", "row", "results", "config", "event", "run", "status")
    schema = _add(commands, "schema", "print a JSON schema: of a manifest or a row, or of what commands write")
    schema.add_argument("name", nargs="?", default="manifest", choices=names)
    init = _add(commands, "init", "write a small batch that works, to begin with: YAML, CSV and XLSX, with a real clip")
    init.add_argument("folder", nargs="?", default=".", metavar="DIR", help="where; else the current folder")
    demo = _add(commands, "demo", "copy a small example with a real clip and run it on the embedded engine", _quiet)
    demo.add_argument("folder", nargs="?", default="batchmod-demo", metavar="DIR")
    return top


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line as it was meant: manifests may stand between and behind options. SystemExit where it is wrong.

    argparse gives a list of positional arguments up at the first option after it.
    """
    top = parser()
    args, left = top.parse_known_args(argv)
    several = next((name for name in ("manifests", "words") if hasattr(args, name)), None)
    if left and not (several and all(_is_positional(word) for word in left)):
        top.error(f"unrecognized arguments: {' '.join(left)}")
    if left and several:
        getattr(args, several).extend(left)
    return args


def _is_positional(word: str) -> bool:
    return word == "-" or not word.startswith("-")


def _add(commands: Any, name: str, text: str, *parts: Any) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    for part in parts:
        part(command)
    return command


def _add_run(commands: Any) -> None:
    text = "carry a manifest out; run again to go on where it stopped"
    run = _add(commands, "run", text, _manifests, _selection, _sheets, _pace, _json, _quiet, _log)
    run.add_argument(
        "--metrics", metavar="FILE.prom", help="keep figures there, for node_exporter's textfile collector"
    )
    text = "go on with a copy of the record from the store, though requests may have been sent after it was made"
    run.add_argument("--take-copy", action="store_true", help=text)
    run.add_argument("--dry-run", action="store_true", help="the same as `batchmod plan`")
    run.add_argument("--yes", action="store_true", help="spend without asking")
    run.add_argument("--until", type=_moment, metavar="TIME", help="send nothing new after 06:00, or after 2h30m")
    run.add_argument("--no-wait", action="store_true", help="send and leave; a later run collects")
    run.add_argument("--accept-expiry", action="store_true", help="--no-wait although outputs expire within a day")
    run.add_argument("--add", action="store_true", help=_ADD)
    run.add_argument("--verify", choices=("decode", "container"), default="decode", help="how outputs are checked")
    run.add_argument("--deliver", action="append", default=[], metavar="WORD", help=f"copies fit for use: {_COPIES}")
    run.add_argument(
        "--drain-seconds", type=_money, default=60.0, metavar="N", help="how long Ctrl-C waits for answers"
    )
    run.add_argument("--wait-scores", action="store_true", help="end only when every output that can be has its scores")
    _scores(run)
    group = run.add_argument_group("where the embedded engine works")
    group.add_argument(
        "--executor", choices=("process", "ray"), default="process", help="on this machine, or a cluster"
    )
    text = "where the Ray cluster is: HOST:PORT, auto, or ray://HOST:PORT; else $RAY_ADDRESS, else this machine's own"
    group.add_argument("--ray-address", metavar="ADDRESS", help=text)
    run.add_argument("--if-locked", choices=("wait", "skip"), help="when another run holds the folder")


def _add_rescue(commands: Any) -> None:
    text = "find, book and fetch what was paid for elsewhere; sends nothing"
    rescue = _add(commands, "rescue", text, _manifests, _selection, _sheets, _state, _json)
    rescue.add_argument("--pair", action="append", default=[], metavar="ID=REQUEST", help="this request is that row's")
    rescue.add_argument("--days", type=_rate, default=7.0, metavar="N", help="how far to look back (outputs live 7)")
    rescue.add_argument("--polls-per-minute", type=_rate, metavar="N")
    rescue.add_argument("--verify", choices=("decode", "container"), default="decode", help="how outputs are checked")
    rescue.add_argument("--history-grace", type=_money, default=600.0, metavar="SECONDS", help="how late a history is")


def _add_report(commands: Any) -> None:
    text = "make missing scores and thumbnails; results.csv (and results.xlsx) and report.html anew; a page to send"
    report = _add(commands, "report", text, _path, _headers, _sheets, _scores, _quiet)
    report.add_argument("--marks", metavar="FILE", help="write the marks that a report has exported into your sheets")
    report.add_argument("--bundle", metavar="FILE.zip", help="pack the page with light videos, without money, to send")


def _add_deliver(commands: Any) -> None:
    text = "make the copies that are fit for use and are missing; needs no key and sends nothing"
    deliver = _add(commands, "deliver", text, _path, _json, _quiet)
    deliver.add_argument("words", nargs="*", metavar="WORD", help=f"{_COPIES}; else what manifest or last run said")
    deliver.add_argument("--only", action="append", default=[], metavar="ID-GLOB", help="only these rows")


def _add_clean(commands: Any) -> None:
    text = "what an output folder can do without: old logs, rehearsals, idle files; never what was paid for"
    clean = _add(commands, "clean", text, _json)
    clean.add_argument("path", metavar="PATH", help="a manifest or an output folder")
    clean.add_argument("--output", metavar="DIR", help="the output folder, where PATH is a manifest")
    text = "only files that old: a number and h, d or w (30d)"
    clean.add_argument("--older-than", type=_age, default=30 * 86400.0, metavar="AGE", help=text)
    text = "old versions too that the embedded engine has made, where a newer one is there"
    clean.add_argument("--superseded", action="store_true", help=text)
    clean.add_argument("--yes", action="store_true", help="delete them; else they are only shown")


def _add_serve(commands: Any) -> None:
    text = "an HTTP service that speaks Segmind's modify-video contract, done by the embedded engine"
    serve = _add(commands, "serve", text)
    serve.add_argument("--host", default="127.0.0.1", help="where to listen; not this machine alone: a key is needed")
    serve.add_argument("--port", type=_port, default=8700, metavar="N", help="0: any that is free")
    serve.add_argument("--data", metavar="DIR", help="where queue and files are kept, on a local disk")
    serve.add_argument(
        "--max-data-gb", type=_gigabytes, default=20.0, metavar="X", help="how much room the files may take"
    )
    serve.add_argument("--workers", type=_positive, metavar="N", help="clips side by side; one for each core")
    serve.add_argument("--public-url", metavar="URL", help="where clients reach it through a proxy, or by a name")


def _manifests(command: argparse.ArgumentParser) -> None:
    text = (
        "a .yaml, .csv, .tsv, .xlsx or .jsonl file, - for standard input, or the https:// address of a published sheet"
    )
    command.add_argument("manifests", nargs="+", metavar="MANIFEST", help=text)
    forms = ("text", "json", "sarif", "github")
    command.add_argument("--format", choices=forms, default="text", help="how problems are said")


def _path(command: argparse.ArgumentParser) -> None:
    command.add_argument("path", metavar="PATH", help="a manifest or an output folder")
    command.add_argument("--output", metavar="DIR", help="the output folder, where PATH is a manifest")
    _state(command)


def _one_row(command: argparse.ArgumentParser) -> None:
    command.add_argument("path", metavar="PATH", help="a manifest or an output folder")
    command.add_argument("id", metavar="ID", help="the row's id")


def _selection(command: argparse.ArgumentParser) -> None:
    _wishes(command)
    group = command.add_argument_group("which rows")
    group.add_argument("--only", action="append", default=[], metavar="ID-GLOB", help="only these rows")
    group.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE", help="only rows that say so")
    group.add_argument("--first", type=_positive, metavar="N", help="only the first N rows")


def _wishes(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("what to take")
    group.add_argument("--provider", metavar="NAME", help="this provider for every row")
    group.add_argument("--output", metavar="DIR", help="where outputs go: a folder, or s3://, gs://, az://, https://")
    _headers(group)
    group.add_argument(
        "--pair-frames", action="store_true", help="rows without a first frame take frames/ID.edited.png where it is"
    )
    group.add_argument("--rehearse", action="store_true", help="everything on the embedded engine, for free")
    group.add_argument(
        "--key-env", action="append", default=[], metavar="NAME", help="the manifest may read its key there"
    )
    text = "start the program and tell the people that the manifest names"
    group.add_argument("--allow-hooks", action="store_true", help=text)
    group.add_argument("--allow-outside", action="store_true", help="files outside the manifest's folder are meant")


def _headers(command: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    command.add_argument("--column", action="append", default=[], metavar="FIELD=HEADER", help="a header of your own")
    command.add_argument("--extra-column", action="append", default=[], metavar="NAME", help="a column that is yours")


def _sheets(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("how a sheet is read")
    group.add_argument("--sheet", metavar="NAME", help="this sheet of a workbook; else the first that is not hidden")
    group.add_argument("--visible-only", action="store_true", help="leave out a workbook's hidden and filtered rows")
    group.add_argument("--encoding", metavar="NAME", help="a text's encoding, such as cp1252, where it leaves a choice")
    separators = "comma, semicolon, tab, pipe, or one character"
    group.add_argument("--delimiter", type=_delimiter, metavar="NAME", help=f"what separates cells: {separators}")
    kinds = ("yaml", "csv", "tsv", "xlsx", "jsonl")
    group.add_argument("--input-format", choices=kinds, help="what the manifest is, where its name does not say")


def _pace(command: argparse.ArgumentParser) -> None:
    _state(command)
    group = command.add_argument_group("how fast, how dear")
    group.add_argument("--max-in-flight", type=_positive, metavar="N")
    group.add_argument("--submits-per-minute", type=_rate, metavar="N")
    group.add_argument("--polls-per-minute", type=_rate, metavar="N")
    group.add_argument("--max-cost-usd", type=_money, metavar="X", help="never commit more than this in this folder")
    group.add_argument("--price-usd", type=_money, metavar="X", help="a request's price where none is published")
    _skip_invalid(group)
    group.add_argument("--retry-failed", action="store_true", help="try rows again that failed without being billed")
    group.add_argument(
        "--pay-again",
        action="append",
        default=[],
        metavar="ID-GLOB",
        help="one more version of finished rows, paid anew",
    )
    group.add_argument("--no-reuse", action="store_true", help="pay again for what another folder has paid for")
    group.add_argument("--history-grace", type=_money, default=600.0, metavar="SECONDS", help="how late a history is")


def _skip_invalid(command: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    command.add_argument("--skip-invalid", action="store_true", help="leave rows with mistakes out, and do the others")


def _state(command: argparse.ArgumentParser) -> None:
    text = "the record is kept below DIR, on a local disk, where the output folder is on a network"
    command.add_argument("--state", metavar="DIR", help=text)


def _scores(command: argparse.ArgumentParser) -> None:
    command.add_argument("--no-scores", action="store_true", help="make neither scores nor thumbnails")
    command.add_argument("--score-remote", action="store_true", help="fetch sources on the web to compare with them")


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="JSON on standard output")


def _quiet(command: argparse.ArgumentParser) -> None:
    command.add_argument("--quiet", action="store_true", help="say only what went wrong")


def _log(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("the log, on standard error where no file is named")
    group.add_argument("--log-file", metavar="FILE", help="append to it; it may be moved away by logrotate")
    group.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="info where nothing is said")
    group.add_argument("--log-format", choices=("text", "json"), help="lines to read, or an object a line")


def pairs(values: Sequence[str], option: str) -> list[tuple[str, str]]:
    """`A=B` options as pairs. Raises ValueError with the option's name."""
    found = []
    for value in values:
        name, sign, rest = value.partition("=")
        if not sign or not name.strip():
            raise ValueError(f"{option} takes NAME=VALUE, not '{value}'")
        found.append((name.strip(), rest.strip()))
    return found


def _moment(text: str) -> float:
    """A moment (Unix seconds): the command's own beginning is what a duration counts from."""
    from batchmod import clock

    at = clock.now()
    try:
        return at + clock.seconds_until(text, at=at)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _age(text: str) -> float:
    from batchmod.manifest.standing import age_of

    found = 0.0 if text == "0" else age_of(text)
    if found is None:
        raise argparse.ArgumentTypeError("is a number and h, d or w, such as 30d")
    return found


def _delimiter(text: str) -> str:
    found = DELIMITERS.get(text.lower(), text)
    if len(found) != 1 or found in '"\r\n':
        raise argparse.ArgumentTypeError(f"is {', '.join(DELIMITERS)}, or one character")
    return found


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value < 1 << 16:
        raise argparse.ArgumentTypeError("must be 0 to 65535")
    return value


def _gigabytes(text: str) -> float:
    value = float(text)
    if not 1 <= value < 1_000_000:  # noqa: PLR2004 - less has no room for a clip and its output
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def _money(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value
