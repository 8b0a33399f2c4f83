"""Runs a manifest through the real app and fills the disk, but for some bytes, at the k-th event it tells.

`filler.py MANIFEST K REST [bare]`: the disk is the manifest's. `bare` throws the ballast away, so that the test can be
shown to notice.
"""

import asyncio
import os
import sys
from pathlib import Path

from batchmod import app
from batchmod.app.services import Services
from batchmod.checkpoint import BALLAST_NAME
from batchmod.errors import StoppedEarly
from batchmod.model import Event

FILL_NAME = "fill"


def fill(folder: Path, *, rest: int) -> None:
    """Take all the room there is, then give `rest` bytes back."""
    with (folder / FILL_NAME).open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while True:
                    file.write(b"\1" * size)
            except OSError:
                pass
        file.truncate(max(0, file.tell() - rest))


class Filler:
    """Counts events; at the k-th the disk fills up."""

    def __init__(self, manifest: Path, *, k: int, rest: int, bare: bool) -> None:
        self.folder = manifest.parent
        self.k, self.rest, self.bare = k, rest, bare
        self.count = 0

    def __call__(self, event: Event) -> None:
        self.count += event.kind != "polled"
        if self.count == self.k and not (self.folder / FILL_NAME).exists():
            for ballast in self.folder.rglob(BALLAST_NAME) if self.bare else ():
                ballast.unlink()
            fill(self.folder, rest=self.rest)


async def main(manifest: Path, filler: Filler) -> int:
    options = app.Options(
        provider="segmind", yes=True, history_grace_s=0.0, submits_per_minute=6000, polls_per_minute=60000
    )
    loaded = app.load(manifest, options, Services(environ=os.environ))
    done = await app.run(loaded, options, observe=filler, confirm=lambda *_: True, control=app.Control())
    return done.exit_code


if __name__ == "__main__":
    manifest = Path(sys.argv[1])
    filler = Filler(manifest, k=int(sys.argv[2]), rest=int(sys.argv[3]), bare="bare" in sys.argv)
    try:
        sys.exit(asyncio.run(main(manifest, filler)))
    except StoppedEarly as error:
        sys.exit(3 if error.slug == "disk_full" else f"{error.slug}: {error}")
