"""Where outputs are looked at: in processes of low priority that know no key, or on a cluster that sees the files."""

import contextlib
from collections.abc import Callable
from typing import Final, TypeVar

from batchmod import executors, work
from batchmod.providers.base import Executor

Answer = TypeVar("Answer")

_NEEDED: Final = (
    *("PATH", "HOME", "USER", "TMPDIR", "TMP", "TEMP", "LANG", "TZ", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
    *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "LOCALAPPDATA", "APPDATA", "USERPROFILE"),
    *("BATCHMOD_HOME", "XDG_CACHE_HOME"),
)
_NEEDED_BY_NAME: Final = ("LC_", "PYTHON", "NUMBA_", "OMP_", "OPENBLAS_", "COVERAGE_")
"""All that a worker is told of the environment: what it opens comes from anywhere, and it needs no key."""


class Workers:
    """Runs functions on files; whatever goes wrong with one of them is an answer.

    `machines`: where a run's works go; a cluster that sees the folder looks at its outputs too.
    """

    def __init__(self, count: int, machines: Executor | None = None) -> None:
        self._pool = executors.Processes(count, drop_environment=_not_needed(), nicer=19)
        self._machines = machines

    async def run(
        self, function: Callable[..., Answer], *values: object, reads: tuple[str, ...] = ()
    ) -> "Answer | work.Refusal":
        """The worker's answer; one that dies is tried once more, since its neighbours die with it."""
        if self._machines is not None and is_shared(self._machines):
            # what a cluster cannot do (a clip of the web lies here alone, a worker dies over it) is done here
            with contextlib.suppress(Exception):
                return await self._machines.submit(function, *values, reads=reads)
        for _ in range(2):
            try:
                return await self._pool.submit(function, *values)
            except work.WorkerDied:
                continue
            except Exception as error:  # noqa: BLE001 - a broken clip must harm nothing; the text is shown
                return work.Refusal(slug="engine_failed", message=f"{type(error).__name__}: {error}")
        return work.Refusal(slug="engine_failed", message="the process that looked at it died")

    def close(self) -> None:
        """Stop the processes at once."""
        self._pool.close()


def is_shared(machines: Executor) -> bool:
    """Whether these are a cluster's, which sees the files that are seen here."""
    return machines.is_elsewhere and machines.shares_files


def _not_needed() -> tuple[str, ...]:
    """The variables of the environment that a worker is not told."""
    return tuple(
        name
        for name in executors.environment()
        if name.upper() not in _NEEDED and not name.upper().startswith(_NEEDED_BY_NAME)
    )
