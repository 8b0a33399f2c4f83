"""Runs a manifest through the real app and fills the disk, but for some bytes, at the k-th event it tells.

`filler.py MANIFEST K REST [bare] [half-fetched]`: the disk is the manifest's. `bare` throws the ballast away, so that
the test can be shown to notice; `half-fetched` leaves a part of an output behind.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from batchmod import app
from batchmod.app.services import Services
from batchmod.checkpoint import BALLAST_NAME
from batchmod.errors import StoppedEarly
from batchmod.model import Event
from tests.disks import FILM, fill


class Filler:
    """Counts events; at the k-th the disk fills up."""

    def __init__(self, manifest: Path, *, k: int, rest: int, how: Sequence[str]) -> None:
        self.folder = manifest.parent
        self.k, self.rest, self.how = k, rest, how
        self.count = 0

    def __call__(self, event: Event) -> None:
        self.count += event.kind != "polled"
        if self.count == self.k and not (self.folder / FILM).exists():
            for ballast in self.folder.rglob(BALLAST_NAME) if "bare" in self.how else ():
                ballast.unlink()
            for scratch in self.folder.rglob(".work") if "half-fetched" in self.how else ():
                (scratch / "0-half.part").write_bytes(bytes(1 << 19))
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
    filler = Filler(manifest, k=int(sys.argv[2]), rest=int(sys.argv[3]), how=sys.argv[4:])
    try:
        sys.exit(asyncio.run(main(manifest, filler)))
    except StoppedEarly as error:
        print(f"{error.slug}: {error}", file=sys.stderr)
        sys.exit(3 if error.slug == "disk_full" else 1)
