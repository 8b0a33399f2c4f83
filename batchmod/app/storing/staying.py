"""What a run does about a store where it has none: nothing, and a word where it had one before."""

from collections.abc import Iterator
from typing import Final

from batchmod.app.beside import Companion
from batchmod.app.ending import Summary
from batchmod.app.log import Log
from batchmod.app.storing import carding
from batchmod.checkpoint import Checkpoint
from batchmod.planning import Plan
from batchmod.runner import Runner

_AWAY: Final = (
    "earlier runs put this folder up into a store, and this one did not look there: what another machine has done "
    "since is not known; a run with that output puts up what is new"
)


class Nowhere:
    """A run whose outputs stay on this machine: what is done for a store is nothing here."""

    def check(self) -> None:
        """Raise StoppedEarly where another run has taken the store over."""

    async def settled(self, record: Checkpoint, log: Log, run_id: str) -> list[str]:  # noqa: ARG002 - as Session has it
        """The record is owned; what is worth knowing before anything is sent."""
        return [_AWAY] if carding.was_up(record) else []

    async def look_for_unknown(self, record: Checkpoint, runner: Runner) -> tuple[str, ...]:  # noqa: ARG002
        """Book what the record should know and does not; what cannot be known."""
        return ()

    def companions(self, record: Checkpoint, log: Log) -> Iterator[Companion]:  # noqa: ARG002
        """Who sends outputs up beside the run."""
        return iter(())

    async def begun(self, record: Checkpoint, plan: Plan) -> None:
        """The run begins to carry its plan out."""

    async def rest(self) -> int:
        """The record is about to be closed; how many files are not up so far."""
        return 0

    async def last(self, summary: Summary) -> Summary:
        """The run has closed its record; the summary with what is not up."""
        return summary
