"""Arguments → wishes and loaded manifests."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from batchmod import app
from batchmod.app.options import Options
from batchmod.app.services import Services
from batchmod.cli.arguments import pairs
from batchmod.cli.wording import counted
from batchmod.errors import ManifestError, Problem, UsageError
from batchmod.rows import Ways

Environ = Mapping[str, str]


def reading_options(args: argparse.Namespace) -> Options:
    """How a manifest is read, and where its outputs are. Raises UsageError for a pair that is none."""
    try:
        columns = dict(pairs(args.column, "--column"))
    except ValueError as error:
        raise UsageError(str(error)) from None
    return Options(
        output=args.output,
        state=state_of(args),
        columns=columns,
        extra_columns=tuple(args.extra_column),
        ways=Ways(encoding=args.encoding, delimiter=args.delimiter, sheet=args.sheet, visible_only=args.visible_only),
        kind=args.input_format,
    )


def options_of(args: argparse.Namespace) -> Options:
    """The command's wishes. Raises UsageError for a pair that is none."""
    try:
        where = tuple(pairs(args.where, "--where"))
    except ValueError as error:
        raise UsageError(str(error)) from None
    return replace(
        reading_options(args),
        provider=args.provider,
        only=tuple(args.only),
        where=where,
        first=args.first,
        rehearse=args.rehearse,
        pair_frames=args.pair_frames,
        media=not getattr(args, "no_media", False),
        allow_outside=args.allow_outside,
        key_env=tuple(args.key_env),
        allow_hooks=getattr(args, "allow_hooks", False),
        skip_invalid=getattr(args, "skip_invalid", False),
        add=getattr(args, "add", False),
        retry_failed=getattr(args, "retry_failed", False),
        reuse=not getattr(args, "no_reuse", False),
        pay_again=tuple(getattr(args, "pay_again", ())),
        take_copy=getattr(args, "take_copy", False),
        until=getattr(args, "until", None),
        no_wait=getattr(args, "no_wait", False),
        accept_expiry=getattr(args, "accept_expiry", False),
        max_in_flight=getattr(args, "max_in_flight", None),
        submits_per_minute=getattr(args, "submits_per_minute", None),
        polls_per_minute=getattr(args, "polls_per_minute", None),
        max_cost_usd=getattr(args, "max_cost_usd", None),
        price_usd=getattr(args, "price_usd", None),
        history_grace_s=getattr(args, "history_grace", 600.0),
        drain_s=getattr(args, "drain_seconds", 60.0),
        verify=getattr(args, "verify", "decode"),
        deliver=tuple(getattr(args, "deliver", ())),
        scores=not getattr(args, "no_scores", False),
        wait_scores=getattr(args, "wait_scores", False),
        score_remote=getattr(args, "score_remote", False),
        executor=getattr(args, "executor", "process"),
        ray_address=getattr(args, "ray_address", None),
        yes=getattr(args, "yes", False),
        if_locked=getattr(args, "if_locked", None) or "refuse",
    )


def state_of(args: argparse.Namespace) -> Path | None:
    """Where `--state` wants the record."""
    given = getattr(args, "state", None)
    return None if given is None else Path(given)


def load_all(
    args: argparse.Namespace,
    environ: Environ,
    *,
    outputs: bool = True,
    options: Options | None = None,
    say_invalid: bool = True,
) -> list[app.Loaded]:
    """Every manifest of the command; all problems of all of them at once.

    `outputs`: whether each needs an output folder. What was found out about sheets is said here, and which rows are
    left out; without `say_invalid` nothing of a manifest that has such rows: their problems are for the caller.
    """
    services, options = Services(environ=environ), options or options_of(args)
    loaded: list[app.Loaded] = []
    problems: list[Problem] = []
    notes: list[str] = []
    lines: dict[str, Sequence[str]] = {}
    documents: list[object] = []
    is_refused = False
    if args.manifests.count("-") > 1:
        raise UsageError("standard input can be read once only")
    for name in args.manifests:
        try:
            item = app.load(name, options, services)
            loaded.append(item)
            if not say_invalid and item.problems:
                problems += item.problems
                notes += [note.text for note in item.notes if not note.usual]
                lines |= item.lines
                documents += item.sheets
        except ManifestError as error:
            is_refused = True
            problems += error.problems
            notes += error.notes
            lines |= error.lines
            documents += error.documents
    if is_refused:
        raise ManifestError(problems, notes=notes, lines=lines, documents=documents)
    _say_how_read([item for item in loaded if say_invalid or not item.problems], args)
    if say_invalid:
        _say_left_out(loaded)
    if outputs and (homeless := next((item for item in loaded if item.homeless), None)):
        raise UsageError(f"{homeless.manifest.file} has no folder of its own: say --output DIR")
    folders = [item.folder for item in loaded]
    if len(set(folders)) < len(folders):
        raise UsageError("two of these manifests would share one output folder; run them one by one with --output")
    stores = [item.store for item in loaded if item.store is not None]
    if len(set(stores)) < len(stores):
        raise UsageError("two of these manifests would share one place in a store; give each an output of its own")
    return loaded


def _say_how_read(loaded: list[app.Loaded], args: argparse.Namespace) -> None:
    """How each sheet was read."""
    for item in loaded:
        for note in item.notes:
            if not (args.json or getattr(args, "quiet", False)):
                print(note.text, file=sys.stderr)


def _say_left_out(loaded: list[app.Loaded]) -> None:
    """Which rows are left out and why."""
    for item in loaded:
        for problem in item.problems:
            print(problem, file=sys.stderr)
        if item.invalid:
            left = counted(len(item.invalid), "invalid row")
            print(f"{item.manifest.file}: {left} left out; the others go on.", file=sys.stderr)
