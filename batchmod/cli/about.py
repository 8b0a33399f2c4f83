"""`providers`, `looks`, `schema`, `demo`: what there is, and a first try."""

import argparse
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from textwrap import fill
from typing import Any

from batchmod import files, providers
from batchmod.app import looks
from batchmod.app.services import Services, engine_installed
from batchmod.cli.arguments import parser
from batchmod.cli.loading import Environ
from batchmod.cli.run import run
from batchmod.cli.wording import table
from batchmod.errors import UsageError
from batchmod.model import ProviderFacts


def list_providers(args: argparse.Namespace, environ: Environ) -> int:
    """The providers as data."""
    services = Services(environ=environ)
    known = [services.facts(name) for name in providers.NAMES]
    if args.json:
        print(json.dumps([_provider_json(facts, services) for facts in known], ensure_ascii=False, indent=2))
        return 0
    for facts in known:
        print(table(_provider_rows(facts, services)))
        print()
    return 0


def _provider_rows(facts: ProviderFacts, services: Services) -> list[tuple[str, str]]:
    rows = [(facts.name, facts.title)]
    if facts.hosted:
        rows.append(("  key", f"{facts.key_env} ({'set' if services.key(facts.name) else 'not set'})"))
        rows += [
            (f"  {role} URL", f"{variable}, default {default}") for role, (variable, default) in facts.base_urls.items()
        ]
        rows.append(("  limits", _limits_words(facts)))
        rows.append(("  price", facts.price.note if facts.price else "not published"))
        rows.append(("  output lives", facts.output_lives))
        rows.append(("  history", "yes" if facts.history else "no"))
    else:
        rows.append(("  installed", "yes" if engine_installed() else "no: pip install 'batchmod[local]'"))
        rows.append(("  price", "free"))
    rows += [("  cancel", facts.cancel), ("  privacy", facts.privacy), ("  contract", facts.contract)]
    return [*rows, ("  last run live", facts.last_run_live)]


def _limits_words(facts: ProviderFacts) -> str:
    length = f"clips under {facts.max_clip_s:g} s" if facts.max_clip_s else "any length"
    size = f"{facts.max_clip_bytes / 1e6:.0f} MB" if facts.max_clip_bytes else "any size"
    pace = f"{facts.submits_per_minute:g} submits a minute" if facts.submits_per_minute else "no published pace"
    return f"{length}, at most {size}, {pace}"


def _provider_json(facts: ProviderFacts, services: Services) -> dict[str, Any]:
    return {
        "name": facts.name,
        "title": facts.title,
        "hosted": facts.hosted,
        "key_env": facts.key_env,
        "key_set": services.key(facts.name) is not None,
        "base_urls": {role: {"env": env, "default": url} for role, (env, url) in facts.base_urls.items()},
        "max_clip_s": facts.max_clip_s,
        "max_clip_bytes": facts.max_clip_bytes,
        "submits_per_minute": facts.submits_per_minute,
        "price": asdict(facts.price) if facts.price else None,
        "upload": facts.uploads,
        "history": facts.history,
        "cancel": facts.cancel,
        "output_lives": facts.output_lives,
        "privacy": facts.privacy,
        "contract": facts.contract,
        "last_run_live": facts.last_run_live,
    }


def list_looks(args: argparse.Namespace, environ: Environ) -> int:
    """The looks and modifiers with their words, and a picture of them all."""
    if args.frame and not args.sheet:
        raise UsageError("--frame says what the sheet is drawn from: name the sheet with --sheet FILE.png")
    there_are = looks.vocabulary()
    sheet = looks.write_sheet(Path(args.sheet), source=Path(args.frame) if args.frame else None) if args.sheet else None
    if args.json:
        shown = asdict(there_are) | {"sheet": str(sheet) if sheet else None}
        print(json.dumps(shown, ensure_ascii=False, indent=2))
        return 0
    print(_looks_words(there_are))
    if sheet:
        print(f"\nall of them, drawn: {sheet}")
    return 0


def _looks_words(there_are: looks.Vocabulary) -> str:
    """The lists, one look or modifier a paragraph."""
    drawn = [look for look in there_are.looks if not look.pure_colour]
    toned = [look for look in there_are.looks if look.pure_colour]
    parts = [
        _paragraphs("Looks with a texture, carried through each shot; a prompt takes one:", drawn),
        _paragraphs("Looks of light and colour, alone or with one of those:", toned),
        _paragraphs("Modifiers, alone or with any look:", there_are.modifiers),
        _wrapped("Colours, as in 'in teal and orange' or 'blue tones': ", there_are.colours),
    ]
    return "\n\n".join(parts)


def _paragraphs(title: str, items: Iterable[looks.Named]) -> str:
    return "\n".join([title, *(_wrapped(f"  {item.name:<16}", item.words) for item in items)])


def _wrapped(start: str, words: Iterable[str]) -> str:
    return fill(", ".join(words), width=100, initial_indent=start, subsequent_indent=" " * 18)


def schema(args: argparse.Namespace, environ: Environ) -> int:
    """Print a schema."""
    print(files.packaged("schemas", f"{args.name}.schema.json").read_text(encoding="utf-8"), end="")
    return 0


def _copy_example(folder: Path) -> None:
    source = files.packaged("manifests", "demo.yaml").parent
    (folder / "manifests").mkdir(parents=True, exist_ok=True)
    for item in ("demo.yaml", "demo"):
        target = folder / "manifests" / item
        if target.exists():
            continue
        if (source / item).is_dir():
            shutil.copytree(source / item, target)
        else:
            shutil.copyfile(source / item, target)


def demo(args: argparse.Namespace, environ: Environ) -> int:
    """Copy the example beside its clip, and run it on the embedded engine."""
    folder = Path(args.folder)
    try:
        _copy_example(folder)
    except OSError as error:
        text = f"the example cannot be copied: {error.filename}: {error.strerror or error}; name another folder"
        raise UsageError(f"{text}: batchmod demo FOLDER") from error
    argv = ["run", str(folder / "manifests" / "demo.yaml"), *(["--quiet"] if args.quiet else [])]
    return run(parser().parse_args(argv), environ)
