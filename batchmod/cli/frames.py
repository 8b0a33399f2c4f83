"""`frames`: each clip's first frame as a picture to edit."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace

from batchmod import app, files
from batchmod.cli.loading import Environ, load_all, options_of
from batchmod.cli.wording import counted


def frames(args: argparse.Namespace, environ: Environ) -> int:
    """Write them; 1 where one could not be."""
    options = replace(options_of(args), first_frames=False)
    written = [(item, app.extract(item, options)) for item in load_all(args, environ, options=options)]
    if args.json:
        print(json.dumps([_as_json(one) for _, found in written for one in found], ensure_ascii=False, indent=2))
    else:
        for loaded, found in written:
            _say(loaded, found)
    is_short = any(loaded.invalid for loaded, _ in written)
    return int(is_short or any(one.outcome in ("left", "failed") for _, found in written for one in found))


def _as_json(one: app.Extracted) -> dict[str, object]:
    return {"id": one.id, "path": str(one.path), "outcome": one.outcome, "why": one.why}


def _say(loaded: app.Loaded, found: Sequence[app.Extracted]) -> None:
    for one in found:
        if one.why is not None:
            print(f"{one.id}: {files.shortest(one.path)}: {one.outcome}: {one.why}", file=sys.stderr)
    if not found:
        print(f"{loaded.manifest.file}: no row is chosen")
        return
    folder = files.shortest(found[0].path.parent)
    parts = [f"{counted(_count(found, 'written'), 'frame')} written to {folder}"]
    parts += [f"{count:,} {words}" for name, words in _WORDS if (count := _count(found, name))]
    print(f"{loaded.manifest.file}: {', '.join(parts)}.")
    _say_next(loaded, found)


_WORDS = (("there", "already there"), ("left", "left as they are"), ("failed", "failed"))


def _count(found: Sequence[app.Extracted], outcome: str) -> int:
    return sum(one.outcome == outcome for one in found)


def _say_next(loaded: app.Loaded, found: Sequence[app.Extracted]) -> None:
    """How an edited frame finds its way back."""
    named = [one for one in found if one.named and one.outcome == "written"]
    for one in named:
        print(f"{one.id}: the row names {one.path.name} itself as its first frame: edit it before you run")
    if all(one.named or one.outcome == "failed" for one in found):
        return
    example = next(one for one in found if not one.named and one.outcome != "failed")
    edited = f"{example.path.stem}.edited.png"
    how = "a run takes it" if loaded.manifest.pair_frames else "`pair_frames: true` or --pair-frames takes it"
    print(f"Edit a copy, keep its shape, and save it beside: {edited} is the first frame of '{example.id}' ({how}).")
