"""What of an output folder is in its store, looked at anew where the book of it may be wrong.

Others may remove or overwrite what lies in a bucket. Where an output is here it can be put up again at any time; where
the store has the only one, a run must know whether it still does.
"""

from typing import Final

from batchmod import files
from batchmod.app.bookkeeping import Up
from batchmod.app.storing import mirroring, taking
from batchmod.app.storing.mirroring import Mirror

_LOOKED_AT: Final = ".work/look"


def recount(mirror: Mirror, *, has_card: bool) -> None:
    """Where the book vouches for outputs that are not here, or nothing vouches for the book, see what is up.

    One question for a thousand objects. `has_card`: whether the store says whose it is; one that does not any more has
    lost its pages too. Raises StorageError.
    """
    book, here = mirror.book, files.listing(mirror.folder, mirroring.VIDEOS)
    outputs = [name for name in book.names if name.startswith(f"{mirroring.VIDEOS}/")]
    if has_card and outputs and all(name in here for name in outputs):
        return
    known = {name: each for name in book.names if (each := book.get(name)) is not None}
    kept = {name: each for name, each in known.items() if has_card and mirroring.is_page(name)}
    for name, seen in taking.look(mirror.stores, mirror.store).items():
        if name not in known or _is_as_sent(mirror, name, known[name], seen):
            kept[name] = known.get(name, seen)
    book.keep_only(kept)


def _is_as_sent(mirror: Mirror, name: str, sent: Up, seen: Up) -> bool:
    """Whether an object is what was put there. Where it is not, it is sent once more, or fetched from its provider."""
    if sent.bytes != seen.bytes:
        return False
    if None in (sent.etag, seen.etag) or sent.etag == seen.etag:
        return True
    if sent.sha256 is None or (mirror.folder / name).exists():
        return False
    look = mirror.folder / _LOOKED_AT  # an object that was copied onto itself has another ETag and the same content
    try:
        mirror.stores.fetch(f"{mirror.store}/{name}", look)
        return files.sha256_of(look) == sent.sha256
    finally:
        look.unlink(missing_ok=True)
