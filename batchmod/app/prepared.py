"""The clips that were written anew for an output folder, and what each of them stands for."""

import hashlib
import json
from pathlib import Path
from typing import Final

from batchmod import files, work
from batchmod.fitness import Recipe
from batchmod.model import Source
from batchmod.rows import ids
from batchmod.work import Refusal

FOLDER: Final = "prepared"
LEDGER: Final = "prepared.json"
_MARK: Final = "prepared"


def identity_of(original: Source, recipe: str) -> str:
    """What a prepared clip is known by: the original and what was done to it, never its own bytes."""
    return f"{_MARK}:{recipe}:{original.identity}"


def is_prepared(video: Source) -> bool:
    """Whether a job's clip is one that was written anew."""
    return video.identity.startswith(f"{_MARK}:")


def parts_of(identity: str) -> tuple[str, str] | None:
    """(the original's identity, the recipe), of the identity of a prepared clip."""
    mark, _, rest = identity.partition(":")
    recipe, _, original = rest.partition(":")
    return (original, recipe) if mark == _MARK else None


class PreparedClips:
    """The prepared clips of one output folder, by the identities they have."""

    def __init__(self, folder: Path, hashes: files.Identities) -> None:
        self._folder = folder / FOLDER
        self._hashes = hashes
        self._known = _ledger(self._folder / LEDGER)

    def place(self, original: Source, recipe: str) -> Path:
        """Where the clip lies, or is to lie."""
        mark = hashlib.sha256(identity_of(original, recipe).encode()).hexdigest()[:10]
        return self._folder / f"{ids.clean(ids.stem(original.location))}-{mark}.mp4"

    def source(self, original: Source, recipe: str) -> Source:
        """The clip as a job takes it; without a hash where it is not there as it was written."""
        path, identity = self.place(original, recipe), identity_of(original, recipe)
        written = self._known.get(identity)
        is_whole = written is not None and path.is_file() and self._hashes.sha256(path) == written
        sha256 = written if is_whole else None
        return Source(location=str(path), local=True, identity=identity, sha256=sha256, media_type="video/mp4")

    def write(self, original: Source, recipe: Recipe, *, max_bytes: int | None) -> str | None:
        """Write a clip beside its place, then put it there; what went wrong, if anything did."""
        target = self.place(original, recipe.text)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        try:
            refusal = work.prepare(original.location, str(part), recipe.until_s, max_bytes)
            if isinstance(refusal, Refusal):
                return refusal.message
            target.unlink(missing_ok=True)  # one that is there is not what was written, else nobody would write it
            files.put_in_place(part, target)
        finally:
            part.unlink(missing_ok=True)
        return None

    def add(self, original: Source, recipe: str) -> None:
        """Keep in mind a clip that was just written."""
        sha256 = self._hashes.sha256(self.place(original, recipe))
        ledger = self._folder / LEDGER
        self._known = {**_ledger(ledger), identity_of(original, recipe): sha256}
        text = json.dumps(self._known, indent=2, sort_keys=True).encode()
        files.write_whole(ledger, lambda file: file.write(text))


def written(folder: Path) -> frozenset[str]:
    """The names of the clips in an output folder that were written anew, and are as they were written."""
    known = set(_ledger(folder / FOLDER / LEDGER).values())
    place = folder / FOLDER
    found = (path for path in place.iterdir() if path.is_file()) if place.is_dir() else ()
    return frozenset(path.name for path in found if path.suffix == ".mp4" and files.sha256_of(path) in known)


def _ledger(path: Path) -> dict[str, str]:
    """Identity → the hash of the clip that was written for it; nothing where the file is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    entries = found.items() if isinstance(found, dict) else ()
    return {identity: sha256 for identity, sha256 in entries if isinstance(sha256, str)}
