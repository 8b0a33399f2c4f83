"""Runs a manifest through the real app and kills itself, without a word, at the k-th event it is told.

`driver.py MANIFEST K [--pay-again] [MUTANT]`: K 0 kills nothing and prints the number of events. A mutant leaves one
promise out, so that the sweep can be shown to notice.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from batchmod import app, clock, files
from batchmod.app.services import Services
from batchmod.checkpoint import Checkpoint
from batchmod.model import Event
from batchmod.runner import delivering


class Killer:
    """Counts events; the k-th is the last thing this process does."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.count = 0

    def __call__(self, event: Event) -> None:
        self.count += event.kind != "polled"
        if self.count == self.k:
            os.kill(os.getpid(), signal.SIGKILL)


def forget_intents() -> None:
    """Mutant: the intent is not on disk before the request leaves."""

    def remember_nothing(*_: Any, **__: Any) -> int:
        return 0

    Checkpoint.intend = remember_nothing  # type: ignore[method-assign]


def write_in_place() -> None:
    """Mutant: an output is written under its final name, and the process dies in the middle of it."""

    def careless(moves: Sequence[files.Move]) -> NoReturn:
        part, target = moves[0].part, moves[0].target
        content = part.read_bytes()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    files.put_all_in_place = careless


def mark_early() -> None:
    """Mutant: an output is written down as done, and the process dies before the file has its name."""

    async def careless(desk: Any, task: Any, part: Path, facts: Any, *, sha256: str) -> None:
        desk.record.arrived(task.work.work_id, sha256=sha256)
        desk.record.succeed(task.work.work_id, facts=facts, sha256=sha256, at=clock.now())
        os.kill(os.getpid(), signal.SIGKILL)

    delivering._place = careless  # type: ignore[assignment]


MUTANTS = {"forget_intents": forget_intents, "write_in_place": write_in_place, "mark_early": mark_early}


async def main(manifest: Path, k: int, *, pay_again: bool) -> int:
    options = app.Options(
        provider="segmind",
        yes=True,
        history_grace_s=0.0,
        submits_per_minute=6000,
        polls_per_minute=60000,
        pay_again=("*",) if pay_again else (),
    )
    killer = Killer(k)
    loaded = app.load(manifest, options, Services(environ=os.environ))
    done = await app.run(loaded, options, observe=killer, confirm=lambda *_: True, control=app.Control())
    print(killer.count)
    return done.exit_code


if __name__ == "__main__":
    more = sys.argv[3:]
    for mutant in more:
        MUTANTS.get(mutant, int)()
    sys.exit(asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), pay_again="--pay-again" in more)))
