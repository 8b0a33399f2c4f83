"""Everybody who works on a run: its runner, its hands and its companions, gathered before it and let go after it."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from batchmod import files
from batchmod.app import hands, owning
from batchmod.app.beside import Beside, Companion
from batchmod.app.copies import Copies
from batchmod.app.equipping import claims_of, opener, runner_of, settings_of
from batchmod.app.following import Follower, environment_of
from batchmod.app.loading import Loaded
from batchmod.app.log import Log
from batchmod.app.options import Options
from batchmod.app.scoring.beside_a_run import Scoring
from batchmod.app.storing import Nowhere
from batchmod.checkpoint import Checkpoint
from batchmod.errors import StoppedEarly


@dataclass(frozen=True, kw_only=True, slots=True)
class Here:
    """A folder that a run owns, its record and its log open, and what the run was told."""

    record: Checkpoint
    log: Log
    loaded: Loaded
    options: Options
    run_id: str
    began: float
    """Unix seconds."""

    @property
    def scratch(self) -> Path:
        """Where what is not finished lies."""
        return self.loaded.folder / ".work"

    def tell_scoring(self, done: int, of: int) -> None:
        """Say how far the scores are that a run waits for."""
        self.log.tell("scoring", run_id=self.run_id, done=done, of=of)


class Crew:
    """All of them; none has begun anything yet."""

    def __init__(self, here: Here, owner: owning.Ownership, store: Nowhere) -> None:
        record, loaded, options = here.record, here.loaded, here.options
        self._here, self._owner = here, owner
        here.scratch.mkdir(exist_ok=True)
        self._claims, self.hands = claims_of(record, loaded), hands.of(loaded, options)
        self.scoring = Scoring(record, loaded.folder, options, here.tell_scoring, machines=self.hands.engine)
        self.beside = Beside([*_companions(here), self.scoring, *store.companions(record, here.log)])
        self.runner = runner_of(
            record,
            loaded,
            settings_of(record, loaded, options, here.run_id),
            owner=owner,
            provider=opener(
                loaded.services,
                record,
                here.scratch,
                engine=self.hands.engine,
                store=loaded.store,
                courier=self.hands.courier,
            ),
            observe=self.beside.watching(here.log.write),
            claims=self._claims,
            checker=self.hands.checker,
        )
        self.indexed = ""
        """What the index of paid work holds of this folder, in so many words; known once all are let go."""

    async def close(self) -> None:
        """Let go of everybody, also where nothing was begun; what is half downloaded stays."""
        try:
            await self.beside.close()
            await self.runner.close()
        finally:
            self.hands.close()
        self.indexed = self._claims.standing() if self._claims.told_all else ""
        self._claims.close()
        with suppress(StoppedEarly):
            self._owner.check()  # what lies there may be another run's by now
            files.clear(self._here.scratch, keep=".part")


def _companions(here: Here) -> Iterator[Companion]:
    yield Copies(here.record, here.loaded, here.options, here.log, run_id=here.run_id)
    if here.loaded.allowed.hook is not None:
        yield Follower(
            here.loaded,
            here.record,
            run_id=here.run_id,
            began=here.began,
            wait_s=here.options.drain_s,
            tell=here.log.write,
            environ=environment_of(here.loaded, here.loaded.services.environ),
        )
