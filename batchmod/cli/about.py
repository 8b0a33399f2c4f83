"""`providers`, `looks`, `schema`, `init`, `demo`: what there is, and a first try."""

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from textwrap import fill
from typing import Any, Final

from batchmod import app, files, providers
from batchmod.app import looks
from batchmod.app.services import Services, engine_installed
from batchmod.cli.arguments import parser
from batchmod.cli.loading import Environ
from batchmod.cli.run import run
from batchmod.cli.wording import table, usd
from batchmod.errors import UsageError
from batchmod.model import ProviderFacts


def list_providers(args: argparse.Namespace, environ: Environ) -> int:
    """The providers as data, with the balance of each account whose key is set."""
    services = Services(environ=environ)
    known = [services.facts(name) for name in providers.NAMES]
    balances = app.balances(services, [facts.name for facts in known if facts.hosted])
    if args.json:
        shown = [_provider_json(facts, services, balances.get(facts.name)) for facts in known]
        print(json.dumps(shown, ensure_ascii=False, indent=2))
        return 0
    for facts in known:
        print(table(_provider_rows(facts, services, balances.get(facts.name))))
        print()
    return 0


def _provider_rows(facts: ProviderFacts, services: Services, balance: float | None) -> list[tuple[str, str]]:
    rows = [(facts.name, facts.title)]
    if facts.hosted:
        rows.append(("  key", f"{facts.key_env} ({'set' if services.key(facts.name) else 'not set'})"))
        rows += [
            (f"  {role} URL", f"{variable}, default {default}") for role, (variable, default) in facts.base_urls.items()
        ]
        rows += [] if balance is None else [("  balance", usd(balance))]
        rows += [("  models", ", ".join(facts.models))] if facts.models else []
        rows.append(("  takes", ", ".join(field for field in _FIELDS if field in facts.fields)))
        rows.append(("  limits", _limits_words(facts)))
        rows.append(("  price", facts.price.note if facts.price else "not published"))
        rows.append(("  uploads", _upload_words(facts)))
        rows.append(("  output lives", facts.output_lives))
        rows.append(("  history", "yes" if facts.history else "no: a lost request stays uncertain until you say"))
        rows += [("  options", ", ".join(_options_of(facts)))] if _options_of(facts) else []
    else:
        rows.append(("  installed", "yes" if engine_installed() else "no: pip install 'batchmod[local]'"))
        rows.append(("  price", "free"))
    rows += [("  cancel", facts.cancel), ("  privacy", facts.privacy), ("  contract", facts.contract)]
    return [*rows, ("  last run live", facts.last_run_live)]


_FIELDS: Final = ("video_url", "first_frame_url", "mode", "prompt", "keyframes")
_PUBLIC: Final = {True: "a public URL", False: "a URL of the account's own", None: "a URL that may be public"}


def _upload_words(facts: ProviderFacts) -> str:
    """Where local clips go, how long they are kept there, and whether they can be deleted."""
    if not facts.uploads:
        return "none: clips and frames must be on URLs of your own"
    where = _PUBLIC[facts.uploads_public]
    return f"local files go to {where}; kept: {facts.uploads_kept}; deletable: {facts.uploads_deletable}"


def _options_of(facts: ProviderFacts) -> list[str]:
    return list(facts.options_schema.get("properties", {}))


def _limits_words(facts: ProviderFacts) -> str:
    most = "up to" if facts.longest_included else "under"
    length = f"clips {most} {facts.max_clip_s:g} s" if facts.max_clip_s else "any length"
    least = f" and from {facts.min_clip_s:g} s" if facts.min_clip_s else ""
    size = f"{facts.max_clip_bytes / 1e6:.0f} MB" if facts.max_clip_bytes else "any size"
    pace = f"{facts.submits_per_minute:g} submits a minute" if facts.submits_per_minute else "no published pace"
    return f"{length}{least}, at most {size}, {pace}"


def _provider_json(facts: ProviderFacts, services: Services, balance: float | None) -> dict[str, Any]:
    return {
        "name": facts.name,
        "title": facts.title,
        "hosted": facts.hosted,
        "key_env": facts.key_env,
        "key_set": services.key(facts.name) is not None,
        "balance_usd": balance,
        "base_urls": {role: {"env": env, "default": url} for role, (env, url) in facts.base_urls.items()},
        "models": list(facts.models),
        "fields": [field for field in _FIELDS if field in facts.fields],
        "min_clip_s": facts.min_clip_s,
        "max_clip_s": facts.max_clip_s,
        "max_clip_bytes": facts.max_clip_bytes,
        "submits_per_minute": facts.submits_per_minute,
        "price": asdict(facts.price) if facts.price else None,
        "upload": facts.uploads,
        "upload_public": facts.uploads_public,
        "upload_kept": facts.uploads_kept,
        "upload_deletable": facts.uploads_deletable,
        "history": facts.history,
        "cancel": facts.cancel,
        "output_lives": facts.output_lives,
        "privacy": facts.privacy,
        "contract": facts.contract,
        "last_run_live": facts.last_run_live,
        "options": facts.options_schema,
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


def init(args: argparse.Namespace, environ: Environ) -> int:
    """Write a batch to begin with, in YAML, CSV and XLSX; what is there already stays as it is."""
    begun = app.begin(Path(args.folder))
    shown = files.shortest(begun.folder.absolute())
    if begun.written:
        print(f"Written into {shown}: {', '.join(begun.written)}.")
    if begun.kept:
        print(f"Left as it was, since it was there already: {', '.join(begun.kept)}.")
    if begun.lacking:
        print(f"There is no {app.MANIFESTS[2]}: {begun.lacking}", file=sys.stderr)
    manifest = files.shortest((begun.folder / app.MANIFESTS[0]).absolute())
    print(f"Next: batchmod plan {shlex.quote(manifest)}, and then batchmod run {shlex.quote(manifest)}")
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
