"""The processes that work for a run: those that make and check videos, here or on a Ray cluster, and the courier."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batchmod import executors
from batchmod.app.loading import Loaded
from batchmod.app.options import Options
from batchmod.app.services import Services
from batchmod.app.verifying import Checker
from batchmod.jobs import providers_of
from batchmod.providers.base import Executor

if TYPE_CHECKING:  # with it comes the HTTP client
    from batchmod.executors.courier import Courier


@dataclass(frozen=True, kw_only=True, slots=True)
class Hands:
    """All of one run."""

    engine: Executor
    """Makes videos."""
    courier: "Courier"
    """Asks and downloads."""
    checker: Checker
    """Looks whether outputs are whole."""

    def close(self) -> None:
        """Stop all of them at once; none of them writes to the disk afterwards."""
        self.engine.close()
        self.checker.close()
        self.courier.close()


def of(loaded: Loaded, options: Options) -> Hands:
    """Those of a run, none of them started yet."""
    from batchmod.executors.courier import Courier

    rows = len(loaded.chosen)
    made_by = engine(loaded.services, options, rows=rows)
    keys = loaded.services.key_names()
    courier = Courier(drop_environment=keys)
    checker = Checker(options.verify, outputs=rows, engine=made_by, courier=courier, drop_environment=keys)
    return Hands(engine=made_by, courier=courier, checker=checker)


def engine(services: Services, options: Options | None = None, *, rows: int = 1) -> Executor:
    """What the embedded engine runs on, not begun yet: `rows` is the most that could be done at a time."""
    options = options or Options()
    if options.executor == "ray":
        from batchmod.executors.ray import Ray

        # Ray's own convention: what the environment says, else the cluster that this machine belongs to.
        address = options.ray_address or services.environ.get("RAY_ADDRESS") or "auto"
        return Ray(address, drop_environment=services.key_names(), most=options.max_in_flight)
    count = min(executors.cores(), max(1, rows), options.max_in_flight or executors.cores())
    return executors.Processes(count, drop_environment=services.key_names())


async def begin(engine: Executor, loaded: Loaded, scratch: Path) -> tuple[str, ...]:
    """Make it ready where the engine has something to do; what is worth knowing of it."""
    if "local" not in providers_of(loaded.jobs):
        return ()
    await engine.begin(scratch)
    if engine.shares_files:
        return ()
    text = "the cluster's workers do not see this folder: clips go there and back through its memory, while they are"
    return (f"{text} small (docs/cluster.md)",)
