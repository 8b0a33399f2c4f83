"""One clip of two seconds against a live service, with a real key: `make live PROVIDER=luma`.

Shows the price, asks, runs, and writes down in docs/providers/<name>.md and batchmod/providers/live.json when it
worked and with which version. Against a stand-in it does all but the writing down.
"""

import argparse
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import yaml

from batchmod import __version__, providers
from batchmod.app.services import Services
from batchmod.errors import UsageError
from batchmod.model import ProviderFacts
from batchmod.urls import origin_of
from tests.support import read_results

ROOT = Path(__file__).parents[1]
CLIP_S = 2.0


def main(argv: list[str] | None = None) -> int:
    """0: it came home and was written down, or need not be; 1 or the run's own code: it did not."""
    parser = argparse.ArgumentParser(prog="make live", description=__doc__)
    parser.add_argument("provider", choices=providers.HOSTED)
    parser.add_argument("--clip", metavar="URL", help="a clip of your own on a public URL, for who takes no files")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, default=ROOT / "outputs/live", metavar="DIR")
    chosen = parser.parse_args(argv)
    facts = providers.facts(chosen.provider)
    try:
        origin = Services(environ=os.environ).origin(facts.name)
        manifest = prepared(facts, chosen.into / facts.name, clip=chosen.clip)
    except UsageError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for words in (["plan"], ["run"]):
        done = subprocess.run([sys.executable, "-m", "batchmod", *words, str(manifest)], check=False)
        if done.returncode != 0:
            return done.returncode
    line = read_results(manifest.parent / "outputs" / manifest.stem)[0]
    if origin != origin_of(facts.base_urls["api"][1]):
        print(f"{facts.name}: it worked, and is not written down: {origin} is not the vendor's own service.")
        return 0
    return written_down(chosen.root, facts, stamp(line, now=datetime.now(UTC)))


def prepared(facts: ProviderFacts, folder: Path, *, clip: str | None) -> Path:
    """A manifest of one row beside its clip. Raises UsageError where a provider takes no files and no URL is given."""
    if clip is None and not facts.uploads:
        raise UsageError(f"{facts.name} takes no files: say CLIP=https://… (2 s, an MP4 of your own)")
    folder.mkdir(parents=True, exist_ok=True)
    row: dict[str, Any] = {"id": "live", "video_url": clip or "clip.mp4", "prompt": "a clay figure, soft light"}
    if "mode" in facts.fields:
        row["mode"] = "adhere_1"
    if clip is None:
        cut(ROOT / "manifests/demo/bunny.mp4", folder / "clip.mp4", seconds=CLIP_S)
    manifest = folder / "live.yaml"
    manifest.write_text(yaml.safe_dump({"version": 1, "provider": facts.name, "clips": [row]}), encoding="utf-8")
    return manifest


def cut(source: Path, target: Path, *, seconds: float) -> None:
    """The first seconds of a clip, encoded anew, without its sound."""
    with av.open(str(source), "r") as taken, av.open(str(target), "w", format="mp4") as made:
        old = taken.streams.video[0]
        rate = old.average_rate
        assert rate is not None
        new = made.add_stream("libx264", rate=rate, options={"crf": "18"})
        new.width, new.height, new.pix_fmt = old.width, old.height, "yuv420p"
        for number, frame in enumerate(taken.decode(old)):
            if number >= round(seconds * rate):
                break
            frame.pts, frame.time_base = number, 1 / rate
            made.mux(new.encode(frame))
        made.mux(new.encode(None))


def stamp(line: dict[str, str], *, now: datetime) -> str:
    """`2026-11-26 with batchmod 0.1.0 (ray-2, $0.35 by the provider)`."""
    cost = f"${line['cost_usd']} by the {line['cost_source']}" if line["cost_usd"] else "no cost named"
    model = f"{line['model']}, " if line["model"] else ""
    return f"{now:%Y-%m-%d} with batchmod {__version__} ({model}{cost})"


def written_down(root: Path, facts: ProviderFacts, said: str) -> int:
    """Into the provider's page and the list; 1 where the page has no place for it."""
    page, known = root / f"docs/providers/{facts.name}.md", root / "batchmod/providers/live.json"
    text = page.read_text(encoding="utf-8")
    lines = text.splitlines()
    at = next((number for number, line in enumerate(lines) if line.startswith("Last run live: ")), None)
    if at is None:
        print(f"{page} has no line 'Last run live: …'; it worked: {said}", file=sys.stderr)
        return 1
    lines[at] = f"Last run live: {said}."
    head = "\n".join(lines).replace("; never yet run against the live service", "; run live as said below")
    page.write_text(f"{head}\n", encoding="utf-8")
    runs = {**json.loads(known.read_text(encoding="utf-8")), facts.name: said}
    known.write_text(json.dumps(runs, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{facts.name}: it worked; written down in {page.name} and {known.name}: {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
