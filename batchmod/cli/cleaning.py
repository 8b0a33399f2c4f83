"""`clean`: shows what an output folder can do without, and deletes it when told."""

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict

from batchmod import app, files
from batchmod.cli.loading import Environ
from batchmod.cli.look import folder_of
from batchmod.cli.wording import counted

_WORDS = {
    "log": ("old part", " of the event log"),
    "hook_log": ("log", " of on_succeeded"),
    "thumbnail": ("idle thumbnail", ""),
    "prepared": ("idle prepared clip", ""),
    "rehearsal": ("file", " of a rehearsal"),
    "superseded": ("old version", " by the embedded engine"),
}


def clean(args: argparse.Namespace, environ: Environ) -> int:
    """Show what can go, or with --yes let it go; a paid output is never among it."""
    work = app.clean if args.yes else app.survey
    found = work(folder_of(args, environ), older_than_s=args.older_than, superseded=args.superseded, environ=environ)
    if args.json:
        about = {"output": str(found.folder), "deleted": found.deleted}
        lists = {"idle": [asdict(each) for each in found.idle], "kept": [asdict(each) for each in found.kept]}
        print(json.dumps({**about, **lists}, ensure_ascii=False, indent=2))
        return 0
    for each in found.kept:
        print(f"{each.path} stays: {each.why}", file=sys.stderr)
    if not args.yes:
        for idle in found.idle:
            print(f"  {idle.path}  ({''.join(_WORDS[idle.kind])}, {_size(idle.bytes)})")
    counts = Counter(idle.kind for idle in found.idle)
    named = ((count, *_WORDS[kind]) for kind, count in counts.items())
    what = ", ".join(f"{counted(count, noun)}{of}" for count, noun, of in named) or "nothing"
    size = _size(sum(idle.bytes for idle in found.idle))
    verb = "deleted" if found.deleted else "would delete"
    end = "." if found.deleted or not found.idle else "; say --yes to do it."
    print(f"{files.shortest(found.folder)}: {verb} {what} ({size}){end}")
    return 0


def _size(number: int) -> str:
    return f"{number / 1e6:.1f} MB" if number >= 100_000 else f"{number / 1e3:.1f} kB"  # noqa: PLR2004 - for the eye
