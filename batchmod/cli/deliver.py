"""`deliver`: the copies of outputs that are fit for use."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from batchmod import app, files
from batchmod.app.options import Options
from batchmod.app.services import Services
from batchmod.cli.loading import Environ, state_of
from batchmod.cli.wording import counted
from batchmod.errors import UsageError


def deliver(args: argparse.Namespace, environ: Environ) -> int:
    """Make what is missing; 1 where an output has no copy."""
    path = Path(args.path)
    if not path.exists():
        raise UsageError(f"{path} is not there; give a manifest or an output folder")
    folder, says = path, None
    if not path.is_dir():
        folder, says = app.where_and_how(path, Options(output=args.output), environ)
    done = app.deliver(
        folder,
        Services(environ=environ),
        state=state_of(args),
        says=says,
        words=args.words,
        only=args.only,
        tell=(lambda _: None) if args.json else _say,
    )
    if args.json:
        print(json.dumps([_as_json(one) for one in done], ensure_ascii=False, indent=2))
    elif not args.quiet:
        print(_summary(folder, done))
    return int(any(one.state == "failed" for one in done))


def _say(one: app.Outcome) -> None:
    if one.state == "failed":
        print(f"{one.id}: no copy: {one.message} [{one.code}]", file=sys.stderr)
    elif one.state == "made" and one.path is not None:
        notes = f": {'; '.join(one.notes)}" if one.notes else ""
        print(f"{one.id}: {files.shortest(one.path)}{notes}")


def _summary(folder: Path, done: Sequence[app.Outcome]) -> str:
    if not done:
        return f"{files.shortest(folder)}: no output that a copy could be made of"
    numbers = {state: sum(one.state == state for one in done) for state in ("made", "there", "changed", "failed")}
    parts = [counted(numbers["made"], "copy").replace("copys", "copies") + " made"]
    parts += [f"{numbers['there']:,} there already"] if numbers["there"] else []
    parts += [f"{numbers['changed']:,} changed by hand and left so"] if numbers["changed"] else []
    parts += [f"{numbers['failed']:,} not made"] if numbers["failed"] else []
    return f"{files.shortest(folder / 'delivered')}: {', '.join(parts)}."


def _as_json(one: app.Outcome) -> dict[str, object]:
    return {
        "id": one.id,
        "output": one.output,
        "state": one.state,
        "copy": None if one.path is None else str(one.path),
        "notes": list(one.notes),
        "code": one.code,
        "message": one.message,
    }
