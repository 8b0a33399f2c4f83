"""`check`, `status`, `resolve`, `report`: what is wrong, where it stands."""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from batchmod import app, files
from batchmod.app.ending import SIGNALLED
from batchmod.app.options import Options
from batchmod.app.services import Services
from batchmod.cli import progress
from batchmod.cli.loading import Environ, load_all, options_of, reading_options, state_of
from batchmod.cli.problems import shown, warned
from batchmod.cli.wording import counted, counts
from batchmod.errors import ManifestError, Problem, UsageError
from batchmod.manifest import distinct, in_order
from batchmod.rows import those
from batchmod.urls import is_put_up


def say_warnings(loaded: app.Loaded) -> None:
    """What is worth knowing before a run, and stops none."""
    for problem in loaded.warnings:
        print(f"warning: {problem}", file=sys.stderr)


def check(args: argparse.Namespace, environ: Environ) -> int:
    """Every problem that can be found without sending anything."""
    try:
        checked = _without_problem(args, environ)
    except ManifestError as error:
        if args.annotate:
            _annotate(error)
        raise
    if args.format != "text":
        warnings = [problem for item in checked for problem in item.warnings]
        notes = [note.text for item in checked for note in item.loaded.notes]
        if answer := shown(ManifestError(warnings, notes=notes), args.format):
            print(answer)
        return 0
    if args.json:
        print(json.dumps([_checked_json(item) for item in checked], ensure_ascii=False))
        return 0
    for item in checked:
        _say_checked(item)
        count = f", {counted(len(item.warnings), 'warning')}" if item.warnings else ""
        print(f"{item.loaded.manifest.file}: {counted(len(item.loaded.jobs), 'row')}, no problems{count}.")
    return 0


def _say_checked(item: app.Checked) -> None:
    """What was mended, what is worth knowing, and what was not looked at."""
    for line in _mended(item):
        print(line)
    for line in warned(item.warnings):
        print(line, file=sys.stderr)
    for note in item.notes:
        print(f"{item.loaded.manifest.file}: {note}", file=sys.stderr)


def _mended(item: app.Checked) -> Iterator[str]:
    for one in item.mended:
        rows = one.ids[0] if len(one.ids) == 1 else f"{one.ids[0]} and {counted(len(one.ids) - 1, 'other row')}"
        if one.problem is not None:
            yield f"{rows}: not mended: {one.problem}"
            continue
        cut = (
            ""
            if one.recipe.until_s is None
            else f", cut from {one.before.video.duration_s:.1f} s to {one.recipe.until_s:.1f} s"
        )
        yield f"{rows}: {files.shortest(one.path)} is {one.clip.name} as upright H.264 in MP4{cut}; runs take it"


def _checked_json(item: app.Checked) -> dict[str, Any]:
    return {
        "manifest": item.loaded.manifest.file,
        "rows": len(item.loaded.jobs),
        "problems": [],
        "warnings": [str(problem) for problem in item.warnings],
        "notes": list(item.notes),
        "mended": [
            {"ids": one.ids, "clip": str(one.clip), "path": str(one.path), "problem": one.problem}
            for one in item.mended
        ],
    }


def _without_problem(args: argparse.Namespace, environ: Environ) -> list[app.Checked]:
    options = options_of(args)
    if args.fix and args.no_media:
        raise UsageError("--fix looks at the clips, and --no-media says not to: leave one out")
    # rows with mistakes are left out, so that the clips of the others are looked at in the same go
    loaded = load_all(args, environ, outputs=args.fix, options=replace(options, skip_invalid=True), say_invalid=False)
    fix = _tell if args.fix and not any(item.problems for item in loaded) else None
    checked = [app.check(item, options, fix=fix) for item in loaded]
    problems = [
        problem
        for item in checked
        for problem in distinct(in_order([*item.loaded.problems, *_flaws_as_problems(item)]))
    ]
    if not problems:
        return checked
    if args.format == "text":
        for item in checked:
            _say_checked(item)
    else:
        problems += [problem for item in checked for problem in item.warnings]
    lines = {file: each for item in checked for file, each in item.loaded.lines.items()}
    notes = [note.text for item in checked if item.loaded.problems for note in item.loaded.notes if not note.usual]
    raise ManifestError(
        problems, notes=notes, lines=lines, documents=[sheet for item in checked for sheet in item.loaded.sheets]
    )


def _tell(clip: Path) -> None:
    print(f"{files.shortest(clip)}: writing it anew", file=sys.stderr)


def _annotate(error: ManifestError) -> None:
    written = app.annotate(error)
    for path in written:
        print(f"{path}: a copy of the sheet, with what is wrong in its last column", file=sys.stderr)
    if not written:
        print("--annotate: no problem stands in a .csv, .tsv or .xlsx that could be copied", file=sys.stderr)


def _flaws_as_problems(item: app.Checked) -> list[Problem]:
    loaded = item.loaded
    rows = {row.number: row for row in those(loaded.manifest.rows, loaded.flaws)}
    found = []
    for number, flaw in sorted(loaded.flaws.items()):
        if number in loaded.chosen:
            place = rows[number].places.get(flaw.field, rows[number].place)
            hint = "`batchmod check --fix` mends it" if number in item.mendable else None
            found.append(
                Problem(place=place, field=flaw.field, message=flaw.message, slug=flaw.slug, hint=hint, row=number)
            )
    return found


def folder_of(args: argparse.Namespace, environ: Environ, *, at: str | None = None) -> Path:
    """PATH (or `at`) as an output folder: itself, or the one its manifest writes to."""
    said = args.path if at is None else at
    if is_put_up(said):
        text = "give the manifest whose output it is, or its folder on this machine"
        raise UsageError(f"{said} is a store, and its record is read here: {text}")
    path = Path(said)
    if path.is_dir():
        return path
    if not path.exists():
        raise UsageError(f"{path} is not there; give a manifest or an output folder")
    return app.where(path, Options(output=args.output), environ)


def resolve(args: argparse.Namespace, environ: Environ) -> int:
    """List the uncertain, look them up, or do as told; 1 while any is left."""
    rebuilt = app.rebuild(folder_of(args, environ), Services(environ=environ)) if args.rebuild else None
    if args.rebuild and not args.json:
        _say_rebuilt(rebuilt)
    observe = (progress.JsonLines() if args.json else progress.Silent()).observe
    where, services, state = folder_of(args, environ), Services(environ=environ), state_of(args)
    said = (
        asyncio.run(app.cancel(where, services, state=state, ids=args.cancel, observe=observe)) if args.cancel else []
    )
    doubts = asyncio.run(
        app.resolve(
            where,
            services,
            state=state,
            ask=args.ask,
            resend=args.resend,
            give_up=args.give_up,
            grace_s=args.history_grace,
            observe=observe,
        )
    )
    if args.json:
        anew: dict[str, Any] = {"rebuilt": None if rebuilt is None else asdict(rebuilt)} if args.rebuild else {}
        anew |= {"cancelled": said} if args.cancel else {}
        print(json.dumps({**anew, "uncertain": [asdict(doubt) for doubt in doubts]}, default=str, ensure_ascii=False))
        return 1 if doubts else 0
    for line in said:
        print(line)
    for doubt in doubts:
        ids = f"{', '.join(doubt.ids)} ({doubt.name})" if doubt.ids else doubt.name
        print(f"{ids}: sent to {doubt.provider} at {doubt.sent_at or 'a time not known'}: {doubt.reason}")
    if doubts:
        print("They may have been paid. `batchmod run` looks them up again; --ask does it now. If the provider's own")
        print("pages show that one was never made, --resend ID sends it again; --give-up ID takes it for failed.")
    else:
        print("Nothing is uncertain.")
    return 1 if doubts else 0


def _say_rebuilt(rebuilt: app.Rebuilt | None) -> None:
    """What the new record holds, and what cannot be known."""
    if rebuilt is None:
        print("The record is whole and knows everything the event log tells: it was left as it is.")
        return
    kept = f"; the old one is kept as {rebuilt.kept.name}" if rebuilt.kept else ""
    print(f"{rebuilt.record} was made anew{kept}: {counts(rebuilt.counts)}.")
    if rebuilt.strangers:
        print(
            f"{counted(rebuilt.strangers, 'file')} in videos/ came from no request that is known; the names stay taken."
        )
    for note in rebuilt.notes:
        print(f"What cannot be known: {note}.")


def report(args: argparse.Namespace, environ: Environ) -> int:
    """results.csv, report.html and, where the manifest is a workbook, results.xlsx anew; marks, and a page to send."""
    folder, state = folder_of(args, environ), state_of(args)
    if args.marks:
        manifest = None if Path(args.path).is_dir() else Path(args.path)
        options = reading_options(args)
        _say_reviewed(app.review(folder, Path(args.marks), manifest=manifest, options=options, environ=environ))
    stopped = None if args.no_scores else _score(args, folder, state)
    written = app.rewrite(folder, state=state)
    for path in written:
        print(path)
    for said in app.written_aside(*written):
        print(said, file=sys.stderr)
    if args.bundle:
        _say_bundled(app.bundle(folder, Path(args.bundle), state=state))
    return stopped or 0


def _say_reviewed(reviewed: app.Reviewed) -> None:
    for path, backup, rows in reviewed.written:
        print(f"{path}: {counted(rows, 'row')} marked; what it was before is {backup.name}")
    for line in warned(reviewed.left):
        print(line, file=sys.stderr)
    if reviewed.written:
        print("`batchmod run` of the sheet does what the marks say.")


def _say_bundled(bundled: app.Bundled) -> None:
    print(
        f"{bundled.path}: {counted(bundled.clips, 'video')}, {bundled.bytes / 1e6:.1f} MB; "
        "unpack it and open report.html"
    )
    for said in bundled.left:
        print(said, file=sys.stderr)


def _score(args: argparse.Namespace, folder: Path, state: Path | None) -> int | None:
    """Make what is missing; the exit code where Ctrl-C has ended that."""
    bar = progress.Counting("scores", quiet=args.quiet)
    made = app.LookedAt()
    try:
        asyncio.run(app.look_at_missing(folder, made, state=state, remote=args.score_remote, tell=bar.tell))
    except KeyboardInterrupt:
        bar.close()
        print("Stopped; what was found is kept, and the same command goes on.", file=sys.stderr)
        return SIGNALLED["sigint"]
    finally:
        bar.close()
        if not args.quiet:
            _say_scored(made)
    return None


def _say_scored(made: app.LookedAt) -> None:
    """What came of it, as far as there is something to say."""
    if made.kept:
        print(f"{counted(made.kept, 'output')} looked at", file=sys.stderr)
    for problem, count in made.problems.items():
        print(f"{counted(count, 'output')} without scores: {problem}", file=sys.stderr)
    if made.remote:
        text = "the source is on the web; --score-remote fetches it"
        print(f"{counted(made.remote, 'output')} without scores: {text}", file=sys.stderr)
    if made.lacks_engine:
        print("No scores: the embedded engine measures them; pip install 'batchmod[local]'", file=sys.stderr)
