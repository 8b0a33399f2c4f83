"""Writes events into logs of small parts, each time by a process that kills itself before the k-th touch of a file.

`rotator.py FOLDER`: for each k until one lives, a line of JSON that says what was written, and what is read then.
"""

import json
import os
import signal
import sys
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

from batchmod.app import rotating, trail
from batchmod.app.log import Log

TOUCHING = ("open", "os.rename", "os.remove", "os.listdir", "os.scandir")
SAID = "said"


class Killer:
    """Counts what Python does to files of the log, in whichever thread."""

    def __init__(self, folder: Path, k: int) -> None:
        self.folder = str(folder)
        self.k = k
        self.count = 0

    def __call__(self, event: str, words: tuple[Any, ...]) -> None:
        if event in TOUCHING and str(words[0]).startswith(self.folder):
            self.count += 1
            if self.count == self.k:
                os.kill(os.getpid(), signal.SIGKILL)


def write(folder: Path, numbers: Iterable[int], said: int) -> None:
    """Two parts' worth, and say of each event that it is written."""
    with Log(folder, lambda _: None) as log:
        for number in numbers:
            log.tell("step", run_id="run", number=number, text="." * 30)
            os.write(said, b".")


def by_a_process(folder: Path, k: int, numbers: Iterable[int]) -> tuple[int, int]:
    """Write in a process of its own; how it ended, and how many it said were written."""
    listen, say = os.pipe()
    child = os.fork()
    if child == 0:
        if k:
            sys.addaudithook(Killer(folder, k))
        write(folder, numbers, say)
        os._exit(0)
    os.close(say)
    with os.fdopen(listen, "rb") as heard:
        said = len(heard.read())
    return os.waitpid(child, 0)[1], said


def read(folder: Path) -> list[int]:
    """What stands in the log."""
    return [event["number"] for event in trail.read(folder)]


def main(top: Path) -> None:
    """Kill at each step, look, go on, and look again."""
    rotating.PART_BYTES = 400  # type: ignore[misc]
    for k in count(1):
        folder = top / str(k)
        folder.mkdir()
        status, said = by_a_process(folder, k, range(12))
        found = read(folder)
        by_a_process(folder, 0, range(len(found), len(found) + 8))
        names = sorted(path.name for path in folder.iterdir())
        print(
            json.dumps(
                {"k": k, "killed": status != 0, "said": said, "then": found, "after": read(folder), "names": names}
            )
        )
        if status == 0:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
